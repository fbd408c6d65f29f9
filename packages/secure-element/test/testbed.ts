import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe } from "vitest";
import { Tpm } from "../src/tpm/index.ts";
import { manufacture, missingSwtpm, startSwtpm, type Swtpm } from "../src/swtpm.ts";

const missing = missingSwtpm();
if (missing) console.log(`skipped: tests against a TPM: ${missing}`);

/** Tests against real swtpm processes; skipped, with the reason, where there is none. */
export const withSwtpm = missing ? describe.skip : describe;

const cleanups: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});
export const later = (clean: () => Promise<unknown>): void => void cleanups.push(clean);

export async function temporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "msec-tpm-test-"));
  later(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A TPM of its own: made, started, and ended after the tests. */
export async function newTpm(maker?: string): Promise<{ folder: string; maker: string; swtpm: Swtpm }> {
  const root = await temporary();
  const made = { folder: join(root, "tpm"), maker: maker ?? join(root, "maker") };
  await manufacture(made.folder, made.maker);
  const swtpm = await startSwtpm(made.folder);
  later(() => swtpm.cut());
  return { ...made, swtpm };
}

export async function connected(swtpm: Swtpm): Promise<Tpm> {
  const tpm = await Tpm.open(swtpm.address);
  later(() => tpm.close());
  return tpm;
}

/** The same bytes but for one. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const out = Uint8Array.from(bytes);
  out[at < 0 ? out.length + at : at]! ^= 1;
  return out;
}
