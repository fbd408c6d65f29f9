import { createServer } from "node:net";
import {
  audienceOf,
  ConnectError,
  identityOf,
  mayPublish,
  maySubscribe,
  type Rights,
  rightsOf,
  type Shown,
  StatementReader,
} from "@msec/broker";
import { chain, logLevel, Loops, onStop, readConfig, runMain } from "@msec/service";
import { Aedes, type AuthenticateError, type Client } from "aedes";
import { pino } from "pino";
import { z } from "zod";
import { Registry } from "./registry.ts";

// The embedded MQTT broker (aedes, MQTT 3.1.1): loopback only, nothing kept. Devices keep what no operator has receipted.
// Everybody shows a statement signed by their key, and is held to their rights and to the registry.

const schema = z.strictObject({
  port: z.int().min(1).max(65535),
  chain,
  logLevel: logLevel.default("info"),
});

/** How often the chain is asked for changes. */
const FOLLOW_MS = 200;
/** MQTT 3.1.1, table 3.1. */
const REFUSED = { identifier: 2, unavailable: 3, credentials: 4, notAuthorised: 5 } as const;

interface Guest {
  shown: Shown;
  rights: Rights;
}

async function main(file: string): Promise<void> {
  const config = readConfig(schema, file);
  const log = pino({ level: config.logLevel, base: { broker: "embedded" } });
  const registry = new Registry(config.chain);
  const reader = new StatementReader(audienceOf(`mqtt://127.0.0.1:${config.port}`));
  const guests = new Map<Client, Guest>();

  /** Who a client is. It is a guest from here on, so that a change of the registry meanwhile turns it away, too. */
  const enter = async (client: Client, username: string | undefined, password: string | undefined): Promise<void> => {
    const shown = reader.read(username, password);
    if (client.id !== shown.identity.id && !client.id.startsWith(`${shown.identity.id}/`))
      throw refusal(
        REFUSED.identifier,
        "the client id must begin with the user name: nobody ends another's connection",
      );
    guests.set(client, { shown, rights: rightsOf(shown.identity) });
    await registry.admit(shown);
    if (client.closed) throw refusal(REFUSED.unavailable, "it went away meanwhile");
    reader.use(shown);
  };
  const aedes = await Aedes.createBroker({
    queueLimit: 1_000_000,
    authenticate: (client, username, password, done) => {
      enter(client, username ?? undefined, password?.toString("latin1")).then(
        () => done(null, true),
        (error: Error) => {
          guests.delete(client);
          const name = identityOf(username ?? "")?.id;
          log.warn({ name, code: (error as Partial<ConnectError>).code, error: error.message }, "not let in");
          done(refusal(returnCodeOf(error), error.message), null);
        },
      );
    },
    authorizePublish: (client, { topic, retain }, done) => {
      if (client === null) return done(null);
      const guest = guests.get(client);
      const mayRetain = guest?.shown.identity.kind === "operator";
      if (guest && mayPublish(guest.rights, topic) && (mayRetain || !retain)) return done(null);
      log.warn({ name: guest?.shown.identity.id, topic, retain }, "may not publish this: its connection is closed");
      done(new Error("not authorised"));
    },
    authorizeSubscribe: (client, subscription, done) => {
      const guest = client && guests.get(client);
      if (guest && maySubscribe(guest.rights, subscription.topic)) return done(null, subscription);
      log.warn({ name: guest?.shown.identity.id, filter: subscription.topic }, "may not subscribe to this");
      done(null, null);
    },
  });
  aedes.on("clientDisconnect", (client) => void guests.delete(client));
  aedes.on("clientError", (client) => void guests.delete(client));

  const check = async (client: Client, { shown }: Guest): Promise<void> => {
    try {
      await registry.admit(shown);
    } catch (error) {
      if (!(error instanceof ConnectError)) throw error;
      log.warn({ name: shown.identity.id, code: error.code, error: error.message }, "turned away");
      guests.delete(client);
      client.close();
    }
  };
  const follow = async (): Promise<void> => {
    const changes = await registry.changes();
    const concerned = ({ identity }: Shown) =>
      changes === "all" || (identity.kind === "device" ? changes.devices.has(identity.id) : changes.committee);
    await Promise.all([...guests].filter(([, guest]) => concerned(guest.shown)).map((g) => check(...g)));
  };
  let away = false;
  const loops = new Loops(() => undefined);
  loops.every(FOLLOW_MS, "registry", async () => {
    try {
      await follow();
      away = false;
    } catch (error) {
      if (!away) log.warn({ error: (error as Error).message }, "the chain does not answer: nobody new is let in");
      away = true;
    }
  });

  const server = createServer(aedes.handle);
  server.listen(config.port, "127.0.0.1");
  onStop(async () => {
    await loops.stop();
    await new Promise<void>((resolve) => aedes.close(() => server.close(() => resolve())));
    registry.close();
  });
}

const refusal = (returnCode: number, message: string): AuthenticateError =>
  Object.assign(new Error(message), { returnCode });

function returnCodeOf(error: Error): number {
  if ("returnCode" in error) return error.returnCode as number;
  if (!(error instanceof ConnectError)) return REFUSED.unavailable;
  return error.code === "status" ? REFUSED.notAuthorised : REFUSED.credentials;
}

runMain("broker", main);
