import { address, bytes32, chain, logLevel, readConfig as read } from "@msec/service";
import { z } from "zod";

const schema = z.strictObject({
  /** Name of the operator, for people. */
  name: z.string().min(1),
  /** Folder of this operator alone: keys, erasure keys, content. */
  dataDir: z.string().min(1),
  /** Where the root of the erasure keys is: a file in `dataDir`, or the NV memory of a TPM, named as the TPM client takes it. */
  erasureRoot: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("file") }),
      z.strictObject({
        kind: z.literal("tpm"),
        tpm: z.string().regex(/^(device:\/|swtpm:)./, "name the TPM as device:/dev/tpmrm0 or swtpm:path=SOCKET"),
      }),
    ])
    .default({ kind: "file" }),
  /** PostgreSQL of this operator alone; DATABASE_URL overrides it. */
  databaseUrl: z.string().startsWith("postgres"),
  /** Where this operator is reached over HTTP. */
  host: z.string().default("127.0.0.1"),
  port: z.int().min(0).max(65535),
  mqttUrl: z.string().regex(/^(mqtts?|wss?|tls|ssl):\/\//, "expected mqtt://, mqtts://, ws:// or wss://"),
  /** With a broker that takes client certificates: PEM file of its authority, and where certificates are issued. */
  mqttTls: z.strictObject({ ca: z.string().min(1), enrolment: z.url({ protocol: /^https$/ }) }).optional(),
  chain,
  /** Every operator, this one included. */
  committee: z.array(z.strictObject({ address, organisation: bytes32, url: z.url() })).min(1),
  /** HTTP API of a Kubo node; without it an embedded Helia serves the contents. IPFS_API_URL overrides it. */
  ipfsApiUrl: z.url().optional(),
  /** Port of the embedded IPFS node; 0 takes a free one. */
  ipfsPort: z.int().min(0).max(65535).default(0),
  /** Milliseconds between two epochs. */
  epochMs: z.int().min(100).default(1000),
  /** Milliseconds of silence after which the next operator leads. */
  silenceMs: z.int().min(500).default(3000),
  /** Most packs of one stream that wait for their anchoring; beyond it no receipt is given. */
  maxPending: z.int().min(1).default(20_000),
  /** Threads that check signatures and contents; if absent one per core but one, at most 4: each takes some 50 MB. */
  verifiers: z.int().min(0).max(64).optional(),
  logLevel: logLevel.default("info"),
});

export type Config = z.infer<typeof schema>;

/** DATABASE_URL and IPFS_API_URL win over the file. */
export function readConfig(file: string, env: NodeJS.ProcessEnv = process.env): Config {
  return read(schema, file, { databaseUrl: env.DATABASE_URL, ipfsApiUrl: env.IPFS_API_URL });
}
