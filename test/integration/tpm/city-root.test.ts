import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { missingSwtpm } from "@msec/secure-element/swtpm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type City, up } from "../../../apps/cli/src/city/up.ts";
import { type Status } from "../../../oracles/custody/src/health.ts";
import { csvFile, msec, openPlan, until } from "../../support/city.ts";

// Where the operators of an embedded city keep the root of their erasure keys, over starts with and without swtpm.

const missing = missingSwtpm();
if (missing) console.log(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)("a city that was founded without TPMs", () => {
  const root = mkdtempSync(join(tmpdir(), "msec-city-root-"));
  const said: string[] = [];
  let city: City | undefined;
  const start = async (software: boolean) => {
    const plans = [openPlan("lamp", csvFile(root, "lamp.csv", 20_000, 1000).file, 10, 40)];
    city = await up(root, plans, { progress: (line) => said.push(line), epochMs: 500, software });
    return city;
  };
  const stop = async () => {
    await city?.stop();
    city = undefined;
  };
  const states = (running: City) =>
    Promise.all(running.run.operators.map(async ({ url }) => (await (await fetch(`${url}/status`)).json()) as Status));
  const goesOn = async (running: City) => {
    const packs = async () => Math.min(...(await states(running)).map((s) => s.packs));
    const before = await packs();
    await until("packs are anchored", async () => (await packs()) > before + 3);
  };
  const files = (running: City, name: string) =>
    running.run.operators.map((_, i) => existsSync(join(running.layout.operator(i + 1), name)));
  const erase = async (from: string, to: string) => {
    const { code, out } = await msec(["erase", "lamp/air", "--from", from, "--to", to, "--json", "--dir", root]);
    expect(code, out).toBe(0);
    return JSON.parse(out) as { packs: number; complete: boolean };
  };

  beforeAll(async () => void (await start(true)), 240_000);
  afterAll(async () => {
    await stop();
    if (process.env.MSEC_LOGS) cpSync(join(root, "logs"), process.env.MSEC_LOGS, { recursive: true });
    rmSync(root, { recursive: true, force: true });
  });

  test("has its roots in files, shown as weaker, and erases", async () => {
    expect(said).toContainEqual(expect.stringMatching(/^root of the erasure keys: a file, weaker than a TPM/));
    await goesOn(city!);
    expect((await states(city!)).map((s) => s.erasureRoot)).toEqual(Array(4).fill("file"));
    expect((await msec(["status", "--dir", root])).out.match(/file \(weaker\)/g)).toHaveLength(4);
    expect(await erase("2024-01-01T00:00:10Z", "2024-01-01T00:00:19Z")).toMatchObject({ packs: 1, complete: true });
  });

  test("moves them into TPMs at its next start, opens what it held, and erases twice in a row", async () => {
    await stop();
    await start(false);
    expect(said).toContain("root of the erasure keys: a TPM an operator (swtpm)");
    expect((await states(city!)).map((s) => s.erasureRoot)).toEqual(Array(4).fill("tpm"));
    expect(files(city!, "erasure.root")).toEqual(Array(4).fill(false));
    await goesOn(city!);
    expect(await erase("2024-01-01T00:00:30Z", "2024-01-01T00:00:39Z")).toMatchObject({ packs: 1, complete: true });
    expect(await erase("2024-01-01T00:00:50Z", "2024-01-01T00:00:59Z")).toMatchObject({ packs: 1, complete: true });
  });

  test("an operator that is killed with its TPM comes back with its keys", async () => {
    const { run, tpms } = city!;
    process.kill(run.processes["operator-2"]!, "SIGKILL");
    await tpms.cut("operator-2");
    await until("both run again", async () => (await states(city!))[1]?.healthy);
    await goesOn(city!);
    expect(await erase("2024-01-01T00:01:10Z", "2024-01-01T00:01:19Z")).toMatchObject({ packs: 1, complete: true });
  });

  test("does not start without swtpm afterwards, and says why", async () => {
    await stop();
    await expect(start(true)).rejects.toThrow(
      /^operator-1 has the root of its erasure keys in a TPM, and software elements were asked for$/,
    );
  });
});
