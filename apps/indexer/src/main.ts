import { type Addresses, connectChain, contractsAt } from "@msec/chain";
import { connect } from "@msec/companion-db";
import { type Hex, registryDomain } from "@msec/core";
import { Loops, onStop, Reply, runMain, serve } from "@msec/service";
import { pino } from "pino";
import { routesOf } from "./api.ts";
import { Auditor } from "./audit/auditor.ts";
import { readConfig } from "./config.ts";
import { Decoder } from "./decode.ts";
import { describeStream } from "./describe.ts";
import { Metrics } from "./metrics.ts";
import { Reader } from "./reader.ts";
import { handlers, openapi } from "./routes.ts";
import { followScores } from "./scores.ts";
import { Store } from "./store.ts";
import { followStreams } from "./streams.ts";

const READ_MS = 250;
const DESCRIBE_MS = 1_000;
const FOLLOW_MS = 5_000;
/** How old the answers may be before the indexer says that they are. */
const STALE_MS = 10_000;
const VERSION = "0.1.0";

async function main(file: string): Promise<void> {
  const config = readConfig(file);
  const log = pino({ level: config.logLevel, base: { process: "indexer" } });
  const { chainId, addresses } = config.chain;
  const provider = connectChain(config.chain);
  const db = connect(config.databaseUrl);
  const store = await Store.open(db, { chainId, addresses }, process.argv.includes("--rebuild"));
  const decoder = new Decoder(addresses as Addresses);
  const metrics = new Metrics();
  const reader = new Reader(provider, decoder, store, config.fromBlock, (block) =>
    log.warn({ block }, "the chain has lost blocks: what came after this one is read again"),
  );

  let problem = "the chain was not read yet";
  const loops = new Loops((loop, error) => {
    if (loop === "chain" && problem !== error.message) log.error({ error: error.message }, "the chain can't be read");
    if (loop === "chain") problem = error.message;
    else log.error({ loop, error: error.message }, "a step failed: it is tried again");
  });
  loops.every(READ_MS, "chain", async () => {
    await reader.tick();
    if (problem) log.info({ block: reader.chainHead }, "everything up to this block was read");
    problem = "";
    metrics.block.set(reader.chainHead);
    metrics.chainHead.set(reader.chainHead);
  });
  loops.every(DESCRIBE_MS, "streams", async () => {
    for (const id of await store.undescribed()) {
      const preimage = await describeStream(id, config.operators);
      if (preimage) await store.describe(id, preimage);
    }
  });

  const domain = registryDomain(chainId, addresses.DeviceRegistry as Hex);
  loops.every(FOLLOW_MS, "operators", () => followStreams(store, config.operators, domain));
  const contracts = contractsAt(addresses as Addresses, provider);
  loops.every(FOLLOW_MS, "scores", () => followScores(store, contracts));

  const status = async () => {
    const [head, { rows }] = await Promise.all([
      store.head(),
      db.query("select count(*)::integer as count from events"),
    ]);
    const stale = Date.now() - reader.caughtUpAt > STALE_MS;
    const problems = problem ? [problem] : stale ? ["the chain was not read for 10 s"] : [];
    return {
      healthy: problems.length === 0,
      problems,
      chainId,
      chainHead: reader.chainHead,
      block: head?.number ?? 0,
      caughtUpAtMs: reader.caughtUpAt,
      events: (rows[0] as { count: number }).count,
    };
  };
  const auditor = new Auditor(provider, addresses as Addresses, store, config.manifest);
  const routes = routesOf(store, status, () => auditor.now());
  const document = openapi(routes, VERSION);
  const server = await serve(
    {
      ...handlers(routes),
      "GET /openapi.json": () => document,
      "GET /metrics": async () => new Reply(200, await metrics.registry.metrics(), metrics.registry.contentType),
    },
    config.host,
    config.port,
    (error) => log.error({ error: error.message }, "a request failed"),
  );
  log.info({ port: config.port }, "indexer runs");
  onStop(async () => {
    server.close();
    server.closeAllConnections();
    await loops.stop();
    await db.end();
    provider.destroy();
    log.info("indexer stopped");
  });
}

runMain("indexer", main);
