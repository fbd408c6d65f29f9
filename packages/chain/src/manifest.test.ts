import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Hex } from "@msec/core";
import { encodeBytes32String } from "ethers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EmbeddedChain, startChain } from "./anvil.ts";
import { artifact } from "./artifacts.ts";
import { type ContractName, contractsAt, SOURCES } from "./contracts.ts";
import { type Deployment, deployCity, type Founding } from "./deploy.ts";
import { checkManifest, type Manifest, manifestOf, readManifest, writeManifest } from "./manifest.ts";
import { type ChainProvider, connectChain, embedded } from "./provider.ts";
import { Sender } from "./sender.ts";
import { freePort } from "../../service/src/ports.ts";

const key = (n: number) => `0x${n.toString(16).padStart(64, "0")}` as Hex;
const address = (n: number) => `0x${n.toString(16).padStart(40, "0")}` as Hex;
const DEPLOYER = key(0xd0d1);
const founding: Founding = {
  committee: { q: 1, members: [address(11)], organisations: [key(12)], fromEpoch: 1 },
  organisations: [{ account: address(21), organisation: key(22) }],
  registrars: [address(21)],
  threshold: 1,
  softwareCap: 10,
  balances: [],
};

let folder: string;
let chain: EmbeddedChain;
let provider: ChainProvider;
let sender: Sender;
let deployment: Deployment;
let manifest: Manifest;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "msec-manifest-"));
  chain = await startChain(folder, await freePort());
  provider = connectChain(embedded(chain.rpc, chain.chainId));
  sender = new Sender(DEPLOYER, provider, chain.chainId);
});
afterAll(async () => {
  provider?.destroy();
  await chain?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Where the chain differs now. */
const differences = async (from: Manifest = manifest) => (await checkManifest(provider, from)).map((d) => d.where);

async function transact(name: ContractName, method: string, ...values: unknown[]): Promise<void> {
  const { interface: abi } = contractsAt(deployment.addresses, provider)[name];
  const data = (abi as { encodeFunctionData(m: string, v: unknown[]): string }).encodeFunctionData(method, values);
  await sender.transact({ to: deployment.addresses[name], data });
}

/** A copy of the manifest with something changed. */
function changed(change: (copy: Manifest) => void): Manifest {
  const copy = structuredClone(manifest);
  change(copy);
  return copy;
}

describe("the manifest of a deployment", () => {
  test("comes out the same after a kill in the middle, and the chain is as it says", async () => {
    let left = 5;
    const cut = new Proxy(provider, {
      get(target, name) {
        if (name === "send")
          return async (method: string, params: unknown[]) => {
            if (method === "eth_sendRawTransaction" && left-- === 0) throw new Error("the power went");
            return (await target.send(method, params)) as unknown;
          };
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? (value as (...a: unknown[]) => unknown).bind(target) : value;
      },
    });
    await expect(deployCity(cut, chain.chainId, DEPLOYER, founding)).rejects.toThrow("the power went");
    await expect(manifestOf(provider, chain.chainId, DEPLOYER, founding)).rejects.toThrow(
      /was not created by this build/,
    );
    deployment = await deployCity(provider, chain.chainId, DEPLOYER, founding);
    manifest = await manifestOf(provider, chain.chainId, DEPLOYER, founding);

    expect(await checkManifest(provider, manifest)).toEqual([]);
    await deployCity(provider, chain.chainId, DEPLOYER, founding);
    expect(await manifestOf(provider, chain.chainId, DEPLOYER, founding)).toEqual(manifest);
    expect(Object.keys(manifest.contracts)).toEqual(Object.keys(SOURCES));
    for (const { compiler } of Object.values(manifest.contracts)) {
      expect(compiler).toMatchObject({ evmVersion: "istanbul", viaIR: true });
      expect(compiler.version).toMatch(/^0\.8\.36\+/);
    }
    expect(manifest.access.roles.map((role) => role.name)).toContain("GUARDIAN");
    const file = join(folder, "manifest.json");
    writeManifest(file, manifest);
    expect(readManifest(file)).toEqual(manifest);
    expect(await differences(readManifest(file))).toEqual([]);
    writeFileSync(file, "{}");
    expect(() => readManifest(file)).toThrow(/is no manifest/);
  }, 240_000);
});

describe("what differs is named", () => {
  const setCode = (name: ContractName, code: string) =>
    provider.send("anvil_setCode", [deployment.addresses[name], code]) as Promise<unknown>;

  test("a wrong byte, a wrong immutable, no code", async () => {
    const code = await provider.getCode(deployment.addresses.Escrow);
    await setCode("Escrow", `${code.slice(0, -2)}ff`);
    const [difference] = await checkManifest(provider, manifest);
    expect(difference).toMatchObject({ where: "Escrow.code" });
    expect(difference?.what).toContain(`from byte ${(code.length - 2) / 2 - 1} on`);
    const { immutableReferences } = artifact(SOURCES.Escrow);
    const places = Object.values(immutableReferences).flat();
    for (const { start } of [places[0], places.at(-1)] as { start: number }[]) {
      const at = 2 + 2 * (start + 31);
      const other = code.slice(at, at + 2) === "01" ? "02" : "01";
      await setCode("Escrow", code.slice(0, at) + other + code.slice(at + 2));
      expect(new Set(await differences())).toEqual(new Set(["Escrow.immutables", "access.modules.Escrow"]));
    }
    await setCode("Escrow", "0x");
    expect((await checkManifest(provider, manifest))[0]?.what).toMatch(/^no code at 0x/);
    await setCode("Escrow", code);
    expect(await differences()).toEqual([]);
  }, 240_000);

  test("another holder of a role, a missing or another delay, another function", async () => {
    await transact("AccessManager", "grantRole", 3, address(99), 0);
    expect(await differences()).toEqual(["access.roles.GUARDIAN 3.members"]);
    await transact("AccessManager", "revokeRole", 3, address(99));
    expect(await differences()).toEqual([]);
    await transact("AccessManager", "grantRole", 77, address(99), 0);
    expect(await differences()).toEqual(["access.roles.unknown 77.members", "access.roles.unknown 77"]);
    await transact("AccessManager", "revokeRole", 77, address(99));
    const delayed = changed((copy) => {
      for (const role of copy.access.roles)
        if (role.name === "GOVERNOR") for (const m of role.members) m.delay = 86_400;
    });
    expect(await differences(delayed)).toContain("access.roles.GOVERNOR 1.members");
    const selector = contractsAt(deployment.addresses, provider).Escrow.interface.getFunction("pause").selector;
    await transact("AccessManager", "setTargetFunctionRole", deployment.addresses.Escrow, [selector], 5);
    expect(await differences()).toContain(`access.functions.Escrow.${selector}`);
    await transact("AccessManager", "setTargetFunctionRole", deployment.addresses.Escrow, [selector], 3);
    await transact("AccessManager", "setTargetClosed", deployment.addresses.Escrow, true);
    expect(await differences()).toContain("access.targets");
    await transact("AccessManager", "setTargetClosed", deployment.addresses.Escrow, false);
  }, 240_000);

  test("a pause, another name in the Directory", async () => {
    await transact("Escrow", "pause");
    expect(await differences()).toContain("access.paused");
    await transact("Escrow", "unpause");
    await transact("Directory", "setModule", encodeBytes32String("Escrow"), deployment.addresses.Marketplace, 2);
    expect(await differences()).toContain("access.modules");
  }, 240_000);

  test("another argument, another transaction, another build, another chain", async () => {
    const argument = changed((copy) => (copy.contracts.MSecToken.arguments[1] = "1"));
    expect(await differences(argument)).toEqual(
      expect.arrayContaining(["MSecToken.immutables", "MSecToken.transaction"]) as string[],
    );
    const moved = changed((copy) => (copy.contracts.Directory.block += 1));
    expect(await differences(moved)).toContain("Directory.transaction");
    const build = changed((copy) => (copy.contracts.Directory.runtimeHash = key(1)));
    expect(await differences(build)).toContain("Directory.bytecode");
    const settings = changed((copy) => (copy.contracts.Directory.compiler.optimizer.runs = 200));
    expect(await differences(settings)).toContain("Directory.compiler");
    expect(await differences(changed((copy) => (copy.chainId = 1)))).toEqual(["chainId"]);
  }, 240_000);
});
