import { type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { flushCompileCache } from "node:module";
import { connect } from "@msec/companion-db";
import { healthPage, Loops, onStop, Reply, runMain, serve } from "@msec/service";
import { type Logger, pino } from "pino";
import { type Config, readConfig } from "./config.ts";
import { admitLoopback, handlerOf, listen, plainServer, type Routes } from "./http.ts";
import { identityKey, KeyRing } from "./keys.ts";
import { Manager } from "./manager.ts";
import { Metrics } from "./metrics.ts";
import { Outbox } from "./outbox.ts";
import { peerServer } from "./p2p.ts";
import { type Envelope } from "./payload.ts";
import { Parties, type Party } from "./parties.ts";
import { Peers } from "./peers.ts";
import { q2tRoutes, type ResidentGroup, thirdPartyRoutes } from "./q2t.ts";
import { Store } from "./store.ts";

const VERSION = "msec-privacy 0.1.0";
const OUTBOX_MS = 500;
const DRAIN_MS = 4000;
const IDLE_MS = 20;

function groupsOf({ residentGroups, keys }: Config, ring: KeyRing): ResidentGroup[] {
  if (!residentGroups) return [{ name: "private", description: "all keys of this manager", members: ring.publicKeys }];
  return residentGroups.map(({ name, description, keys: members }) => ({
    ...{ name, description },
    members: members.map((member) => ring.publicKeys[keys.indexOf(member)] as string),
  }));
}

/** Stops taking connections and waits for the answers that are due. */
async function close(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  // Connections that are kept for a next request become idle with the answer to their last.
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_MS);
  const late = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
  await closed;
  clearInterval(idle);
  clearTimeout(late);
}

async function main(file: string): Promise<void> {
  const config = readConfig(file);
  const log = pino({ level: config.logLevel, base: { privacy: config.name } });
  let stop = async (): Promise<void> => undefined;
  const begin = async (parties: Parties) => {
    stop = await start(config, parties, log);
  };
  const begun = begin(readParties(config));
  let turn = begun;
  // A changed party list, without the seconds of silence that a node would end of. It can be told while it starts.
  process.on("SIGHUP", () => {
    turn = turn.then(async () => {
      let parties: Parties;
      try {
        parties = readParties(config);
      } catch (error) {
        return log.error({ error: (error as Error).message }, "the party list stays as it was");
      }
      await stop();
      await begin(parties);
    });
    turn.catch((error: Error) => {
      log.error({ error: error.message }, "ends: it could not start again");
      process.exit(1);
    });
  });
  await begun;
  onStop(async () => {
    await turn;
    await stop();
    log.info("privacy manager stopped");
  });
}

function readParties({ dataDir, keys, partyList }: Config): Parties {
  return Parties.read(partyList, identityKey(dataDir), KeyRing.open(dataDir, keys).publicKeys);
}

/** @returns What ends it in order. */
async function start(config: Config, parties: Parties, log: Logger): Promise<() => Promise<void>> {
  const ring = KeyRing.open(config.dataDir, config.keys);
  const identity = identityKey(config.dataDir);
  const db = connect(config.databaseUrl, 16);
  const store = await Store.open(db);
  const metrics = new Metrics();
  const peers = new Peers(parties, identity);
  const push = async (party: Party, envelope: Envelope) => {
    try {
      await peers.push(party, envelope);
    } catch (error) {
      metrics.pushFailures.inc({ party: party.name });
      throw error;
    }
  };
  const manager = new Manager({ ring, parties, store, push, whenAway: config.whenAway });
  const outbox = new Outbox(parties, store, push);

  const problems = new Map<string, string>();
  const loops = new Loops((loop, error) => {
    if (problems.get(loop) !== error.message) log.warn({ loop, error: error.message }, "waiting payloads stay");
    problems.set(loop, error.message);
  });
  const onError = (error: Error) => log.error({ error: error.message }, "a request failed");
  const measured =
    (server: string, handle: (request: IncomingMessage, response: ServerResponse) => void) =>
    (request: IncomingMessage, response: ServerResponse) => {
      const end = metrics.seconds.startTimer({ server });
      response.on("finish", () => {
        end();
        metrics.requests.inc({ server, status: response.statusCode });
      });
      handle(request, response);
    };
  const plain = (name: string, routes: Routes, admit?: (request: IncomingMessage) => void) =>
    plainServer(measured(name, handlerOf(routes, onError, admit)));
  const upcheck = () => store.check();
  const q2t = q2tRoutes(manager, groupsOf(config, ring), VERSION, upcheck);

  const status = async () => {
    const counts = await store.counts();
    for (const { name } of parties.others) metrics.waiting.set({ party: name }, counts.waiting[name] ?? 0);
    const all = [...problems.values()];
    if (counts.refused > 0) all.push(`${counts.refused} waiting payloads were refused: see the table outbox`);
    return {
      name: config.name,
      healthy: all.length === 0,
      problems: all,
      keys: ring.publicKeys,
      parties: parties.all.map((party) => party.name),
      partyList: parties.digest,
      ...counts,
    };
  };
  const healthServer = await serve(
    {
      "GET /status": status,
      "GET /health": async () => {
        const now = await status();
        const page = healthPage(`Privacy manager ${now.name}`, now.problems, [
          {
            rows: [
              ["Payloads", String(now.payloads)],
              ["Keys", now.keys.join(" ")],
              ["Party list (SHA-256)", now.partyList],
            ],
          },
          { title: "Waiting", rows: Object.entries(now.waiting).map(([party, n]) => [party, String(n)]) },
        ]);
        return new Reply(200, page, "text/html; charset=utf-8");
      },
      "GET /metrics": async () => {
        await status();
        return new Reply(200, await metrics.registry.metrics(), metrics.registry.contentType);
      },
    },
    config.host,
    config.port,
    onError,
  );
  const peerSide = peerServer(manager, parties, identity, onError);
  const servers: Server[] = [await listen(peerSide, { host: config.p2p.host, port: config.p2p.port })];
  if (config.thirdParty)
    servers.push(await listen(plain("third-party", thirdPartyRoutes(manager, VERSION, upcheck)), config.thirdParty));
  if (config.q2t.port !== undefined)
    servers.push(await listen(plain("q2t", q2t, admitLoopback), { host: "127.0.0.1", port: config.q2t.port }));
  // Last: a node that finds the socket finds everything behind it.
  if (config.q2t.socket !== undefined) servers.push(await listen(plain("q2t", q2t), { socket: config.q2t.socket }));
  // A manager that now refuses may have been told to wait before: what waits is always delivered.
  for (const party of outbox.parties)
    loops.every(OUTBOX_MS, party.name, async () => {
      await outbox.deliver(party);
      problems.delete(party.name);
    });

  log.info({ keys: ring.publicKeys, partyList: parties.digest }, "privacy manager runs");
  // Now, not at the end: a process that is killed leaves its compiled code to the next, which must be up at once.
  flushCompileCache();
  return async () => {
    await Promise.all([...servers, healthServer].map(close));
    await loops.stop();
    peers.close();
    await db.end();
  };
}

runMain("privacy", main);
