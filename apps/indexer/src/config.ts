import { chain, logLevel, readConfig as read } from "@msec/service";
import { z } from "zod";

const schema = z.strictObject({
  /** PostgreSQL of this process alone; DATABASE_URL overrides it. Everything in it can be read from the chain again. */
  databaseUrl: z.string().startsWith("postgres"),
  host: z.string().default("127.0.0.1"),
  port: z.int().min(0).max(65535),
  chain,
  /** Block of the deployment, or one before it. */
  fromBlock: z.int().min(0).default(0),
  /** Custody oracles, asked in this order for what streams are called and measure. */
  operators: z.array(z.url()).min(1),
  /** File that says what was deployed, for /audit; without it code is not compared. */
  manifest: z.string().optional(),
  logLevel: logLevel.default("info"),
});

export type Config = z.infer<typeof schema>;

/** DATABASE_URL wins over the file. */
export function readConfig(file: string, env: NodeJS.ProcessEnv = process.env): Config {
  return read(schema, file, { databaseUrl: env.DATABASE_URL });
}
