import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  connectChain,
  deployCity,
  embedded,
  type EmbeddedChain,
  type Founding,
  manifestOf,
  startChain,
  writeManifest,
} from "@msec/chain";
import { type Hex } from "@msec/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "@msec/service";
import { Layout, people } from "./city/layout.ts";
import { type Session } from "./context.ts";
import { handOverCity } from "./contracts.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "msec-contracts-"));
const key = (n: number) => `0x${n.toString(16).padStart(64, "0")}` as Hex;
const address = (n: number) => `0x${n.toString(16).padStart(40, "0")}` as Hex;
let chain: EmbeddedChain;

beforeAll(async () => {
  chain = await startChain(folder, await freePort());
});
afterAll(async () => {
  await chain?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function msec(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, "contracts", ...args], {
      cwd: folder,
      env: { ...process.env, MSEC_DIR: folder, NO_COLOR: "1" },
    });
    let [out, err] = ["", ""];
    child.stdout.on("data", (part) => (out += String(part)));
    child.stderr.on("data", (part) => (err += String(part)));
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

const founding: Founding = {
  committee: { q: 1, members: [address(11)], organisations: [key(12)], fromEpoch: 1 },
  organisations: [{ account: address(21), organisation: key(22) }],
  registrars: [address(21)],
  threshold: 1,
  softwareCap: 10,
  balances: [],
};

test("ends with 0 where the network is as the manifest says, and with 1 and a reason where not", async () => {
  const provider = connectChain(embedded(chain.rpc, chain.chainId));
  try {
    const { addresses } = await deployCity(provider, chain.chainId, key(0xd0d2), founding);
    writeManifest(join(folder, "manifest.json"), await manifestOf(provider, chain.chainId, key(0xd0d2), founding));
    const good = await msec("--rpc", chain.rpc);
    expect([good.code, good.err]).toEqual([0, ""]);
    const [first, second] = good.out.split("\n");
    expect(first).toMatch(/^the account that deployed still holds the roles, without delay/);
    expect(second).toMatch(/^\d+ contracts, their roles, delays and names are as /);

    const code = await provider.getCode(addresses.Marketplace);
    await provider.send("anvil_setCode", [addresses.Marketplace, `${code}00`]);
    const bad = await msec("--rpc", chain.rpc, "--manifest", "manifest.json");
    expect(bad.code).toBe(1);
    expect(bad.out).toMatch(/^differs {2}Marketplace\.code: the code at 0x[0-9a-f]{40} differs from byte \d+ on$/m);
    const json = await msec("--rpc", chain.rpc, "--json");
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out)).toMatchObject({
      same: false,
      founding: true,
      differences: [{ where: "Marketplace.code" }, {}],
    });
    expect(readFileSync(join(folder, "manifest.json"), "utf8")).toContain("msec.deployment/1");
    const away = await msec("--rpc", "http://127.0.0.1:1");
    expect(away.code).toBe(2);
    expect(away.err).toMatch(/127\.0\.0\.1:1 does not answer/);
  } finally {
    provider.destroy();
  }
}, 120_000);

test("a hand-over is written into the city's manifest, and the network is as it says", async () => {
  const provider = connectChain(embedded(chain.rpc, chain.chainId));
  try {
    const layout = new Layout(join(folder, "city"));
    mkdirSync(layout.root, { recursive: true });
    const { deployer } = people(layout);
    const deployment = await deployCity(provider, chain.chainId, deployer.key, founding);
    writeManifest(layout.manifest, await manifestOf(provider, chain.chainId, deployer.key, founding));
    const session = { layout, provider, deployment } as Session;
    const file = join(folder, "holders.json");
    const roles = ["ADMIN", "GOVERNOR", "OFFICER", "GUARDIAN", "MEMBERSHIP", "MINTER"];
    const holders = Object.fromEntries(roles.map((role, i) => [role, [address(31 + i)]]));

    writeFileSync(file, JSON.stringify({ ...holders, MAYOR: [address(40)] }));
    await expect(handOverCity(session, file)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/^there is no role MAYOR/) as string,
    });
    await expect(handOverCity(session, join(folder, "nothing.json"))).rejects.toMatchObject({ exitCode: 2 });
    expect((await msec("--rpc", chain.rpc, "--manifest", layout.manifest)).out).toMatch(/^the account that deployed/);

    writeFileSync(file, JSON.stringify(holders));
    await handOverCity(session, file);
    const after = await msec("--rpc", chain.rpc, "--manifest", layout.manifest);
    expect([after.code, after.err]).toEqual([0, ""]);
    expect(after.out).toMatch(/^\d+ contracts, their roles, delays and names are as /);
  } finally {
    provider.destroy();
  }
}, 240_000);
