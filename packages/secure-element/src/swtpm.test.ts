import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { missingSwtpm } from "./swtpm.ts";

afterEach(() => vi.unstubAllEnvs());

test("what is not installed is named, with the packages that bring it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "msec-path-"));
  vi.stubEnv("PATH", `/nowhere:${folder}`);
  expect(missingSwtpm()).toMatch(/^swtpm, swtpm_setup, swtpm_localca not found: .*apt-get install swtpm swtpm-tools/);
  await writeFile(join(folder, "swtpm"), "");
  expect(missingSwtpm()).toMatch(/^swtpm_setup, swtpm_localca not found/);
  for (const name of ["swtpm_setup", "swtpm_localca"]) await writeFile(join(folder, name), "");
  expect(missingSwtpm()).toBeUndefined();
  await rm(folder, { recursive: true });
});
