import { readFileSync } from "node:fs";
import { type Hex } from "@msec/core";
import { z } from "zod";

export const address = z
  .string()
  .regex(/^0x[0-9a-f]{40}$/, "expected a lower-case address of 0x and 40 hex digits") as unknown as z.ZodType<Hex>;
export const bytes32 = z
  .string()
  .regex(/^0x[0-9a-f]{64}$/, "expected 0x and 64 lower-case hex digits") as unknown as z.ZodType<Hex>;
export const chain = z.strictObject({
  rpc: z.url(),
  /** WebSocket of the same node, for receipts by subscription. */
  ws: z.url({ protocol: /^wss?$/ }).optional(),
  blockSeconds: z.int().positive().default(1),
  chainId: z.int().positive(),
  addresses: z.record(z.string(), address),
});
export const logLevel = z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]);

/**
 * Reads a JSON file and checks it: the one place that a process takes its settings from. `overrides` (from the
 * environment) win. Throws one line per field that is wrong.
 */
export function readConfig<T extends z.ZodType>(
  schema: T,
  file: string,
  overrides: Record<string, string | undefined> = {},
): z.infer<T> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new Error(`cannot read the configuration ${file}: ${(error as Error).message}`);
  }
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value));
  const result = schema.safeParse({ ...(json as object), ...given });
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `  ${issue.path.join(".") || "(file)"}: ${issue.message}`);
  throw new Error(`the configuration ${file} is not usable:\n${lines.join("\n")}`);
}
