import { logLevel, readConfig as read } from "@msec/service";
import { z } from "zod";

const port = z.int().min(0).max(65_535);
const rate = z.strictObject({ perSecond: z.number().positive(), burst: z.number().min(1) });

const schema = z.strictObject({
  /** Name of the organisation or its node, for people. */
  name: z.string().min(1),
  /** JSON-RPC of the node behind it. */
  node: z.url({ protocol: /^https?$/ }),
  chainId: z.int().min(2),
  /** The node has a privacy manager, so what it says of state is its organisation's own. */
  privateState: z.boolean(),
  /** For users. */
  host: z.string().default("127.0.0.1"),
  port,
  /** Status and metrics. */
  health: z.strictObject({ host: z.string().default("127.0.0.1"), port }),
  /** Cost of requests a remote address may cause: most cost 1, calls 5, logs 10. */
  connection: rate.default({ perSecond: 100, burst: 1000 }),
  /** Transactions that an account may send. */
  account: rate.default({ perSecond: 5, burst: 100 }),
  /** Bytes of the largest request: four transactions of 64 KiB in hex. */
  largestBody: z.int().min(1024).default(524_288),
  largestBatch: z.int().min(1).default(50),
  /** Most requests that wait for the node at once. */
  inFlight: z.int().min(1).default(256),
  logLevel: logLevel.default("info"),
});

export type Config = z.infer<typeof schema>;

export const readConfig = (file: string): Config => read(schema, file);
