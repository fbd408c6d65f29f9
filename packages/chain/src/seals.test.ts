import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { certifiedDevice, deviceSlots, epochSlot, type Hex, sha256, toBase64, toHex, uint, utf8, ZERO_ADDRESS } from "@msec/core"; // prettier-ignore
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../../service/src/ports.ts";
import { type EmbeddedChain, startChain } from "./anvil.ts";
import { contractsAt } from "./contracts.ts";
import { creationData } from "./deploy.ts";
import { type ChainProvider, connectChain, embedded } from "./provider.ts";
import { proveSlots, sealedHeader } from "./seals.ts";
import { Sender } from "./sender.ts";

// What certificates prove is where the compiled contracts keep it. Seals are tested on a real network: test/quorum.

const word = (label: string): Hex => toHex(sha256(utf8(label)));
const DEVICE = { deviceId: word("device"), keyEpoch: 3, keyHash: word("key") };
let folder: string;
let chain: EmbeddedChain;
let provider: ChainProvider;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "msec-seals-"));
  chain = await startChain(folder, await freePort());
  provider = connectChain(embedded(chain.rpc, chain.chainId));
});
afterAll(async () => {
  provider?.destroy();
  await chain?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function deploy(name: "DataAnchor" | "DeviceRegistry", args: unknown[]): Promise<Hex> {
  const sender = new Sender(word("deployer"), provider, chain.chainId);
  const { contractAddress } = await sender.transact({ data: await creationData(name, args) });
  return contractAddress?.toLowerCase() as Hex;
}

const store = (contract: Hex, slot: Hex, value: Hex) =>
  provider.send("anvil_setStorageAt", [contract, slot, value]) as Promise<unknown>;

test("an epoch's word stands in its slot", async () => {
  const anchor = await deploy("DataAnchor", [ZERO_ADDRESS, ZERO_ADDRESS]);
  const { DataAnchor } = contractsAt({ DataAnchor: anchor }, provider);
  // Where the head is: the first epoch is number 1.
  await store(anchor, toHex(uint(2, 32)), toHex(uint((1n << 128n) | 9n, 32)));
  await store(anchor, epochSlot(7), word("epoch 7"));
  expect(await DataAnchor.epochHash(7)).toBe(word("epoch 7"));
  expect(await DataAnchor.firstNumber()).toBe(1n);
});

test("a device's key and assurance stand in their slots, and the node proves them", async () => {
  const registry = await deploy("DeviceRegistry", [ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS]);
  const { DeviceRegistry } = contractsAt({ DeviceRegistry: registry }, provider);
  const slots = deviceSlots(DEVICE.deviceId, DEVICE.keyEpoch);
  await store(registry, slots.key, DEVICE.keyHash);
  expect(await DeviceRegistry.keyHashOf(DEVICE.deviceId, 3)).toBe(DEVICE.keyHash);
  for (const [assurance, name] of [
    [1, "software"],
    [2, "TPM"],
  ] as const) {
    await store(registry, slots.state, toHex(uint((3n << 16n) | BigInt(assurance << 8) | 1n, 32)));
    const view = await DeviceRegistry.device(DEVICE.deviceId);
    expect([Number(view.status), Number(view.assurance), Number(view.keyEpoch)]).toEqual([1, assurance, 3]);
    await provider.send("evm_mine", []);
    const block = await provider.send("eth_getBlockByNumber", ["latest", false]) as { number: string; stateRoot: Hex }; // prettier-ignore
    const { account, storage } = await proveSlots(provider, registry, [slots.key, slots.state], Number(block.number));
    const [key, state] = storage.map((nodes) => nodes.map(toBase64)) as [string[], string[]];
    const proof = { header: "", account: account.map(toBase64), key, state };
    expect(certifiedDevice(block.stateRoot, { registry, deviceKey: DEVICE }, proof)).toBe(name);
  }
});

test("blocks of the embedded chain carry no seals", async () => {
  expect(await sealedHeader(provider, "latest")).toBeUndefined();
});
