import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  addNode,
  downNetwork,
  genesis,
  initNetwork,
  NetworkFolder,
  readPlan,
  removeValidator,
  runningNodes,
  upNetwork,
} from "@msec/quorum";
import { connectChain, embedded, proveSlots, type RawHeader, sealedHeader, validatorChanges } from "@msec/chain";
import {
  type Certificate,
  type DeviceCertificate,
  deviceSlots,
  epochHash,
  type EpochCertificate,
  epochSlot,
  type Hex,
  toBase64,
  type WindowBundle,
} from "@msec/core";
import { writeJson } from "@msec/service";
import { windowBundle } from "../../packages/core/test/city.ts";
import { anchorOn } from "../support/anchor.ts";

// Records what a real GoQuorum network says of its blocks, for the vectors of packages/core. Keys of nodes and committee are
// born for it and thrown away. Run: GOQUORUM_BIN=… node test/quorum/record.ts

const SLOT = 29_000_000;
const CHAIN_ID = 20_261;
const out = fileURLToPath(new URL("../../packages/core/vectors/recorded/", import.meta.url));

async function network(validators: 1 | 4): Promise<{ root: string; rpc: string; validators: Hex[] }> {
  const root = mkdtempSync(join(tmpdir(), "msec-record-"));
  const options = { chainId: CHAIN_ID, blockSeconds: 1 };
  const plan = await initNetwork(root, { ...options, validators: 4, observers: 0, members: 0 });
  const nodes = plan.nodes.slice(0, validators);
  const addresses = nodes.map(({ address }) => address);
  if (validators === 1) {
    // The generator refuses such a network, since it stops with its one validator.
    const folder = new NetworkFolder(root);
    writeJson(folder.plan, { ...plan, nodes });
    writeJson(folder.genesis, genesis({ ...options, validators: addresses }));
  }
  const { rpcs } = await upNetwork(root, () => undefined);
  return { root, rpc: rpcs[0] as string, validators: addresses };
}

/** The newest block's certificate of the newest epoch. */
async function certify({
  provider,
  chain,
  epochs,
}: Awaited<ReturnType<typeof anchorOn>>): Promise<{ header: RawHeader; epoch: EpochCertificate }> {
  const header = await sealedHeader(provider, "latest");
  if (!header) throw new Error("the chain's blocks carry no seals");
  const number = epochs.length;
  const { account, storage } = await proveSlots(provider, chain.anchor, [epochSlot(number)], header.number);
  const nodes = storage[0] as Uint8Array[];
  return {
    header,
    epoch: { number, header: toBase64(header.bytes), account: account.map(toBase64), storage: nodes.map(toBase64) },
  };
}

/** The certificate of the device's key, by a block that has it. */
async function certifyDevice(
  { provider, chain, stream }: Awaited<ReturnType<typeof anchorOn>>,
  header: RawHeader,
): Promise<DeviceCertificate> {
  const slots = deviceSlots(stream.preimage.deviceId, 1);
  const { account, storage } = await proveSlots(provider, chain.registry, [slots.key, slots.state], header.number);
  const [key, state] = storage.map((nodes) => nodes.map(toBase64)) as [string[], string[]];
  return { header: toBase64(header.bytes), account: account.map(toBase64), key, state };
}

async function four() {
  const { root, rpc, validators } = await network(4);
  try {
    const city = await anchorOn(rpc, CHAIN_ID);
    await city.enrol();
    await city.next();
    const first = await certify(city);
    await addNode(root, true);
    await city.next();
    await sleep(3000);
    const second = await certify(city);
    await removeValidator(root, "node-2");
    await city.next();
    await sleep(3000);
    const third = await certify(city);
    const found = await validatorChanges(city.provider, validators, 1, third.header.number);
    const certificate: Certificate = {
      changes: (found.changes ?? []).map(({ headers }) => headers.map(({ bytes }) => toBase64(bytes))),
      epochs: [first.epoch, second.epoch, third.epoch],
      device: await certifyDevice(city, third.header),
    };
    const { stream, epochs, chain } = city;
    const bundle: WindowBundle = {
      ...windowBundle(stream, epochs[2] as (typeof epochs)[0], SLOT + 1, SLOT + 7),
      chain,
      certificate,
    };
    bundle.packs.forEach((pack, i) => {
      const built = stream.packs[i + 1] as (typeof stream.packs)[0];
      pack.anchoring = (epochs[Math.floor((i + 1) / 3)] as (typeof epochs)[0]).anchoring(built);
    });
    // Without one of four, its turns to propose time out.
    process.kill(runningNodes(new NetworkFolder(root))["node-1"] as number, "SIGKILL");
    const other = connectChain(
      embedded(`http://127.0.0.1:${readPlan(new NetworkFolder(root)).nodes[2]?.rpc}`, CHAIN_ID),
    );
    let late = await sealedHeader(other, "latest");
    while (!late || late.round === 0) {
      await sleep(500);
      late = await sealedHeader(other, "latest");
    }
    other.destroy();
    city.provider.destroy();
    return {
      validators: [validators, second.header.validators, found.validators],
      lateRound: { header: toBase64(late.bytes), hash: late.hash },
      bundle,
    };
  } finally {
    await downNetwork(root);
    rmSync(root, { recursive: true, force: true });
  }
}

async function one() {
  const { root, rpc, validators } = await network(1);
  try {
    const city = await anchorOn(rpc, CHAIN_ID);
    const epoch = await city.next();
    const { epoch: certified } = await certify(city);
    city.provider.destroy();
    return {
      validators,
      anchor: city.chain.anchor,
      hash: epochHash(epoch),
      certificate: { changes: [], epochs: [certified] },
    };
  } finally {
    await downNetwork(root);
    rmSync(root, { recursive: true, force: true });
  }
}

mkdirSync(out, { recursive: true });
writeFileSync(join(out, "quorum.json"), `${JSON.stringify({ four: await four(), one: await one() }, null, 1)}\n`);
