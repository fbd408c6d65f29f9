import { logLevel, Loops, onStop, readConfig, Reply, runMain, serve } from "@msec/service";
import { pino } from "pino";
import { Counter, Gauge, Registry } from "prom-client";
import { z } from "zod";
import { type Kept, keepPeers } from "./permissions.ts";

// One beside each node, with its operator's rights: keeps whom the node lets in and dials as the Directory says.

const schema = z.strictObject({
  /** Folder of the network, and the node in it. */
  network: z.string().min(1),
  node: z.string().min(1),
  host: z.string().default("127.0.0.1"),
  /** Status and metrics. */
  port: z.int().min(1).max(65_535),
  logLevel: logLevel.default("info"),
});

const EVERY_MS = 500;

async function main(file: string): Promise<void> {
  const config = readConfig(schema, file);
  const log = pino({ level: config.logLevel, base: { keeper: config.node } });
  const registry = new Registry();
  const block = new Gauge({
    name: "msec_keeper_block",
    help: "Block of which the Directory was read last",
    registers: [registry],
  });
  const changes = new Counter({
    name: "msec_keeper_changes_total",
    help: "Peers that were removed or dialled",
    labelNames: ["change"],
    registers: [registry],
  });
  let last: Kept | undefined;
  let problem: string | undefined = "the node has not answered yet";
  const note = (now: string | undefined) => {
    if (now !== undefined && now !== problem) log.warn({ reason: now }, "the peers are left as they are");
    problem = now;
  };
  let spared = "";
  const loops = new Loops((_, error) => note(error.message));
  loops.every(EVERY_MS, "peers", async () => {
    const kept = await keepPeers(config.network, config.node, last?.block);
    if (kept === "behind") return note("the node has no new block");
    note(undefined);
    if (kept === "same") return;
    // One that is away is dialled until it is back.
    const dialled = kept.added.filter((name) => !last?.added.includes(name));
    last = kept;
    block.set(kept.block);
    changes.inc({ change: "removed" }, kept.removed.length);
    if (kept.removed.length > 0) log.info({ block: kept.block, nodes: kept.removed }, "cut off: not in the Directory");
    if (dialled.length > 0)
      log.info({ block: kept.block, nodes: dialled }, "dialled: in the Directory and not connected");
    changes.inc({ change: "dialled" }, dialled.length);
    const now = kept.spared.map(({ name }) => name).join(", ");
    if (now !== spared && now !== "")
      log.error({ nodes: now }, "not in the Directory, but the chain would stop without them: vote them out first");
    spared = now;
  });
  const status = () => ({
    node: config.node,
    healthy: problem === undefined && spared === "",
    problems: [problem ?? [], spared === "" ? [] : `${spared}: not in the Directory, and still validators`].flat(),
    block: last?.block ?? null,
    admitted: last?.admitted.map(({ name }) => name) ?? [],
  });
  const server = await serve(
    {
      "GET /status": status,
      "GET /metrics": async () => new Reply(200, await registry.metrics(), registry.contentType),
    },
    config.host,
    config.port,
    (error) => log.error({ error: error.message }, "a request failed"),
  );
  log.info("keeps the node's peers in step with the Directory");
  onStop(async () => {
    await loops.stop();
    await new Promise((resolve) => server.close(resolve));
  });
}

runMain("keeper", main);
