import { connectChain, contractsAt, deployCity, embedded, Sender } from "@msec/chain";
import {
  addressOfKey,
  concat,
  ENROL,
  type Epoch,
  fromHex,
  type Hex,
  keyAlgOf,
  keyHash,
  registryDomain,
  signTyped,
  toHex,
  ZERO32,
} from "@msec/core";
import { anchorAll, committee, fixedRandom, TestStream } from "../../packages/core/test/city.ts";

const SLOT = 29_000_000;
const DEPLOYER: Hex = `0x${"d1".repeat(32)}`;
const OWNER: Hex = `0x${"0e".repeat(32)}`;
const HOUR_MS = 3_600_000;

/**
 * A city's anchor on a running chain, with epochs of one stream; `next` anchors three more packs, three times, `enrol` puts the
 * stream's device, a software element, into the registry.
 */
export async function anchorOn(rpc: string, chainId: number) {
  const provider = connectChain(embedded(rpc, chainId));
  const random = fixedRandom("recorded");
  const stream = new TestStream(0, 60, random).fill(SLOT, 9);
  const who = committee(4, random);
  const { addresses } = await deployCity(provider, chainId, DEPLOYER, {
    committee: who.config,
    organisations: [],
    registrars: [who.config.members[0] as Hex],
    threshold: 1,
    softwareCap: 1,
    balances: [],
  });
  const chain = { chainId, anchor: addresses.DataAnchor, registry: addresses.DeviceRegistry };
  const sender = new Sender(DEPLOYER, provider, chainId);
  const { DataAnchor, DeviceRegistry } = contractsAt(addresses, provider);
  const epochs: ReturnType<typeof anchorAll>[] = [];
  return {
    provider,
    chain,
    stream,
    epochs,
    async enrol(): Promise<void> {
      const { spki } = stream.key;
      const enrol = {
        ...{ deviceId: stream.preimage.deviceId, ekHash: ZERO32, akName: ZERO32, policyId: ZERO32 },
        nonce: await DeviceRegistry.nonceOf(stream.preimage.deviceId),
        ...{ keyAlg: keyAlgOf(spki), keyHash: keyHash(spki), evidenceDigest: ZERO32, deadline: Date.now() + HOUR_MS },
        ...{ owner: addressOfKey(fromHex(OWNER)), organisation: who.config.organisations[0] as Hex },
      };
      const domain = registryDomain(chainId, chain.registry);
      const [owner, registrar] = [fromHex(OWNER), who.keys[0] as Uint8Array].map((key) =>
        signTyped(key, domain, ENROL, enrol),
      );
      const data = DeviceRegistry.interface.encodeFunctionData("enrol", [enrol, toHex(spki), owner, [registrar]]);
      await sender.transact({ to: chain.registry, data });
    },
    async next(): Promise<Epoch> {
      const packs = stream.packs.slice(3 * epochs.length, 3 * epochs.length + 3);
      const anchored = anchorAll(stream, who, packs, {}, epochs.at(-1)?.epoch, chain);
      const signatures = toHex(concat(...anchored.signatures.map((s) => fromHex(s))));
      const data = DataAnchor.interface.encodeFunctionData("anchor", [anchored.epoch, signatures]);
      await sender.transact({ to: chain.anchor, data });
      epochs.push(anchored);
      return anchored.epoch;
    },
  };
}
