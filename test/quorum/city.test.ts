import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { demo } from "../../apps/cli/src/demo.ts";
import { verifyFile } from "../../apps/cli/src/verify.ts";

const out = mkdtempSync(join(tmpdir(), "msec-quorum-demo-"));
afterAll(() => rmSync(out, { recursive: true, force: true }));

it("the whole city runs on four GoQuorum validators, and its proof stands when they are gone", async () => {
  const summary = await demo({ out, network: "quorum", quiet: true });
  expect(summary.ok).toBe(true);
  const bundle = JSON.parse(readFileSync(join(out, "proof.json"), "utf8")) as { chain: { chainId: number } };
  expect(bundle.chain.chainId).toBe(20_261);
  await verifyFile(join(out, "proof.json"), { rpc: [], offline: true });
});
