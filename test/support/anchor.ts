import { connectChain, contractsAt, deployCity, embedded, Sender } from "@msec/chain";
import { concat, type Epoch, fromHex, type Hex, toHex } from "@msec/core";
import { anchorAll, committee, fixedRandom, TestStream } from "../../packages/core/test/city.ts";

const SLOT = 29_000_000;
const DEPLOYER: Hex = `0x${"d1".repeat(32)}`;

/** A city's anchor on a running chain, with epochs of one stream; `next` anchors three more packs, three times. */
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
  const chain = { chainId, anchor: addresses.DataAnchor };
  const sender = new Sender(DEPLOYER, provider, chainId);
  const { DataAnchor } = contractsAt(addresses, provider);
  const epochs: ReturnType<typeof anchorAll>[] = [];
  return {
    provider,
    chain,
    stream,
    epochs,
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
