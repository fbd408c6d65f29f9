import { address, bytes32, chain, logLevel, readConfig as read } from "@msec/service";
import { z } from "zod";

const service = z.strictObject({ name: z.string(), address, url: z.url() });

const schema = z.strictObject({
  host: z.string().default("127.0.0.1"),
  port: z.int().min(0).max(65535),
  /** Addresses under which people reach it, such as https://data.example.org; loopback if left out. */
  origins: z.array(z.url()).default([]),
  /** What people call this city. */
  city: z.string().min(1).max(60),
  chain,
  indexer: z.url(),
  operators: z.array(service).min(1),
  markets: z.array(service),
  /** What data is sold for: the exact texts whose hashes stand in grants and deals. */
  purposes: z.array(z.strictObject({ text: z.string(), language: z.string(), version: z.int().min(1) })).min(1),
  /** Pinned validators of a chain that seals its blocks. */
  validators: z.array(address).optional(),
  /** Organisations by the hash that the Directory keeps. */
  organisations: z.record(bytes32, z.string()).default({}),
  /** Folder of this process alone: what was wrong in the city, and who took it on. */
  dataDir: z.string().min(1),
  logLevel: logLevel.default("info"),
});

export type Config = z.infer<typeof schema>;

export const readConfig = (file: string): Config => read(schema, file);
