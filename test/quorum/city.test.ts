import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { demo, type Step } from "../../apps/cli/src/demo.ts";
import { verifyFile } from "../../apps/cli/src/verify.ts";

const out = mkdtempSync(join(tmpdir(), "msec-quorum-demo-"));
afterAll(() => rmSync(out, { recursive: true, force: true }));

it("the whole city runs on four GoQuorum validators, and its proof stands when they are gone", async () => {
  const summary = await demo({ out, network: "quorum", quiet: true });
  expect(summary.ok).toBe(true);
  const steps = new Map((summary.steps as Step[]).map(({ step, shown }) => [step, shown]));
  expect(steps.get("a city of its own")).toMatch(/^four GoQuorum validators, 3 of them with a privacy manager, /);
  expect(steps.get("the same contracts")).toMatch(/^\d\d contracts have this build's bytecode/);
  const bundle = JSON.parse(readFileSync(join(out, "proof.json"), "utf8")) as { chain: { chainId: number } };
  expect(bundle.chain.chainId).toBe(20_261);
  // The network is gone: nobody can be asked, and the validators' seals say it all.
  const proof = { rpc: [], offline: true, validators: join(out, "validators.json") };
  const { report, basis } = await verifyFile(join(out, "proof.json"), proof);
  expect(report.certified).toMatchObject({ pinned: true, seals: 3, changes: 0 });
  expect(report.certified?.validators).toHaveLength(4);
  expect(report.certified?.device).toMatch(/^(TPM|software)$/);
  expect(report.certified?.epochs).toContain(report.epoch.number);
  expect(basis[0]).toMatch(/^the chain: 3 of 4 validators have sealed .*; they are those that you pinned$/);
  const strangers = [1, 2, 3, 4].map((n) => `0x${`0${n}`.repeat(20)}`).join();
  await expect(verifyFile(join(out, "proof.json"), { ...proof, validators: strangers })).rejects.toThrow(
    "sealed by other validators than those pinned",
  );
});
