import { address, chain, logLevel, readConfig as read } from "@msec/service";
import { z } from "zod";

const schema = z.strictObject({
  /** Name of the deliverer, for people. */
  name: z.string().min(1),
  /** Folder of this process alone: its account's key. */
  dataDir: z.string().min(1),
  /** PostgreSQL of this process alone; DATABASE_URL overrides it. */
  databaseUrl: z.string().startsWith("postgres"),
  host: z.string().default("127.0.0.1"),
  port: z.int().min(0).max(65535),
  chain,
  /** The custody oracle of the same operator, whose keys are delivered, and the folder that holds its token. */
  custody: z.strictObject({ url: z.url(), dataDir: z.string().min(1) }),
  /** Token and amount (smallest unit) kept as free bond, in the escrow and for subscriptions each. */
  bond: z.strictObject({ token: address, amount: z.string().regex(/^\d+$/, "a whole number as text") }),
  logLevel: logLevel.default("info"),
});

export type Config = z.infer<typeof schema>;

/** DATABASE_URL wins over the file. */
export function readConfig(file: string, env: NodeJS.ProcessEnv = process.env): Config {
  return read(schema, file, { databaseUrl: env.DATABASE_URL });
}
