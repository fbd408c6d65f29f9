import { buyerNodes, cover, type Deal, dealId, type Hex } from "@msec/core";
import { Interface, type Result } from "ethers";
import { describe, expect, test } from "vitest";
import { artifact } from "../../../packages/chain/src/artifacts.ts";
import { dealOf, endedBy, fundedIn, isClosed, nodesOf, PASSED, STATE, type Status, statusFrom } from "./deal-status.ts";

const escrow = new Interface(artifact("contracts/market/Escrow.sol").abi);
const word = (byte: string): Hex => `0x${byte.repeat(32)}`;
const account = (byte: string): Hex => `0x${byte.repeat(20)}`;

const deal: Deal = {
  anchor: account("a1"),
  streamId: word("51"),
  buyer: account("b1"),
  seller: account("5e"),
  deliverer: account("d1"),
  fallbackDeliverer: account("d2"),
  token: account("70"),
  price: 2n ** 128n - 1n,
  fee: 12_345_678_901_234_567_890n,
  bond: 0n,
  asOfEpoch: 12,
  packs: 3,
  readings: 30,
  endMs: 1_700_000_000_000,
  fromSlot: 0xfffffff0,
  toSlot: 0xffffffff,
  holesHash: word("77"),
  nodes: 1,
  keysRoot: word("33"),
  purpose: word("00"),
  erasures: 2,
  deliverSeconds: 60,
  complainSeconds: 600,
  nonce: word("0e"),
};

describe("a deal of an event", () => {
  const nodes = buyerNodes(new Uint8Array(32).fill(3), cover(5, 12));
  const event = escrow.getEvent("DealOpened");
  if (!event) throw new Error("no such event");
  const values = event.inputs.map(({ name, type }) =>
    name === "deal" ? deal : name === "nodes" ? nodes : type === "address" ? deal.buyer : dealId(deal),
  );
  const { topics, data } = escrow.encodeEventLog(event, values);
  const log = escrow.parseLog({ topics, data });

  test("is the deal that was opened: amounts exact, numbers as numbers, addresses in lower case", () => {
    const read = dealOf(log?.args.deal as Result);
    expect(read).toEqual(deal);
    expect(dealId(read)).toBe(dealId(deal));
  });

  test("comes with the buyer's nodes in their order", () => {
    expect(nodesOf(log?.args.nodes as Result)).toEqual(nodes);
    expect(nodes.length).toBeGreaterThan(1);
  });
});

describe("a window of time", () => {
  const at = 1_700_000_000_000;
  const status: Status = { state: STATE.funded, at, atBlock: 100, deliveryHash: word("00") };
  const closed = (seconds: number, afterMs: number, blocks: number) =>
    isClosed(status, seconds, { timestamp: (at + afterMs) / 1000, number: 100 + blocks });

  test("is open up to and including its last millisecond", () => {
    expect(closed(60, 60_000, 100)).toBe(false);
    expect(closed(60, 61_000, 100)).toBe(true);
    expect(closed(60, 1000, 100)).toBe(false);
  });

  test("stays open while the chain has made too few blocks: a halted chain takes nobody's right away", () => {
    expect(closed(600, 86_400_000, 29)).toBe(false);
    expect(closed(600, 86_400_000, 30)).toBe(true);
    expect(closed(61, 86_400_000, 3)).toBe(false);
    expect(closed(61, 86_400_000, 4)).toBe(true);
  });

  test("closes after as many blocks as the escrow counts", () => {
    // contracts/market/Escrow.sol: (block.number − atBlock) · SECONDS_PER_BLOCK ≥ seconds.
    expect(closed(0, 1000, 0)).toBe(true);
    expect(closed(0, 0, 0)).toBe(false);
  });
});

test("a passed deal keeps its state below the flag", () => {
  for (const state of Object.values(STATE)) expect((state | PASSED) & ~PASSED).toBe(state);
});

describe("the status of a deal", () => {
  const funded = fundedIn({ number: 100, timestamp: 1_700_000_000 });

  test("is read alike from a list, as ethers decodes it, and from names, as viem and the indexer have it", () => {
    const given = { state: 0x82, at: 1_700_000_000_000n, atBlock: "100", deliveryHash: word("de") };
    const status = { state: 0x82, at: 1_700_000_000_000, atBlock: 100, deliveryHash: word("de") };
    expect(statusFrom(given)).toEqual(status);
    expect(statusFrom([0x82n, 1_700_000_000_000n, 100n, word("de")])).toEqual(status);
  });

  test("after its end tells how, when, and who delivered", () => {
    expect(endedBy({ ...funded, state: STATE.delivered | PASSED }, { how: "released", block: 120 })).toEqual({
      ...funded,
      state: STATE.released | PASSED,
      endedAt: 120,
    });
    expect(endedBy(funded, { how: "refunded", block: 120, reason: 4n }).refund).toBe("a key was proved wrong");
    expect(endedBy(funded, { how: "refunded", block: 120, reason: 99 }).refund).toBe("for another reason");
  });
});
