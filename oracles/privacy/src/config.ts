import { logLevel, readConfig as read } from "@msec/service";
import { z } from "zod";

const name = z.string().regex(/^[a-z0-9-]{1,32}$/, "use lower-case letters, digits and hyphens");
const port = z.int().min(0).max(65535);

const schema = z
  .strictObject({
    /** Name of the party, for people. */
    name: z.string().min(1),
    /** Folder of this process alone: its keys. */
    dataDir: z.string().min(1),
    /** PostgreSQL of this process alone; DATABASE_URL overrides it. */
    databaseUrl: z.string().startsWith("postgres"),
    /** Who takes part: entries as keygen prints them. */
    partyList: z.string().min(1),
    /** Names of its keys; the first is used where a sender names none. */
    keys: z.array(name).min(1),
    /** For its own node: a Unix socket, a port of loopback, or both. */
    q2t: z.strictObject({ socket: z.string().min(1).optional(), port: port.optional() }),
    /** For applications that store payloads. */
    thirdParty: z.strictObject({ host: z.string().default("127.0.0.1"), port }).optional(),
    /** For the other parties' managers; `url` is how they reach it. */
    p2p: z.strictObject({ host: z.string().default("127.0.0.1"), port, url: z.url({ protocol: /^https$/ }) }),
    /** What a send does while a party's manager is away: fail, or wait for it on disk (flag 0 only). */
    whenAway: z.enum(["refuse", "queue"]).default("refuse"),
    /** Which keys share a private state; left out: all of them, as "private". */
    residentGroups: z
      .array(
        z.strictObject({ name: z.string().min(1), description: z.string().default(""), keys: z.array(name).min(1) }),
      )
      .optional(),
    /** Status, health page and metrics. */
    host: z.string().default("127.0.0.1"),
    port,
    logLevel: logLevel.default("info"),
  })
  .refine(({ q2t }) => q2t.socket !== undefined || q2t.port !== undefined, {
    path: ["q2t"],
    message: "give a socket, a port, or both",
  })
  .refine(
    ({ keys, residentGroups }) =>
      residentGroups === undefined ||
      [...residentGroups.flatMap((group) => group.keys)].sort().join() === [...keys].sort().join(),
    { path: ["residentGroups"], message: "every key must be in exactly one group" },
  );

export type Config = z.infer<typeof schema>;

/** DATABASE_URL wins over the file. */
export function readConfig(file: string, env: NodeJS.ProcessEnv = process.env): Config {
  return read(schema, file, { databaseUrl: env.DATABASE_URL });
}
