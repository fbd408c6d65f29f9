import { Interface, keccak256, toUtf8Bytes } from "ethers";
import { describe, expect, test } from "vitest";
import { artifact } from "../../../packages/chain/src/artifacts.ts";
import { type Deal, type Hex } from "@msec/core";
import {
  casePhase,
  complaintBond,
  complaintDigest,
  disputeCall,
  medianOf,
  panelTime,
  partiesOf,
  resolveCall,
} from "./arbitration.ts";

const account = (byte: string): Hex => `0x${byte.repeat(20)}`;
const word = (byte: string): Hex => `0x${byte.repeat(32)}`;
const deal: Deal = {
  ...{ anchor: account("a1"), streamId: word("51"), buyer: account("b1"), seller: account("5e") },
  ...{ deliverer: account("d1"), fallbackDeliverer: account("d2"), token: account("70") },
  ...{ price: 101n, fee: 5n, bond: 7n, asOfEpoch: 12, packs: 3, readings: 30, endMs: 1_700_000_000_000 },
  ...{ fromSlot: 1, toSlot: 9, holesHash: word("77"), nodes: 1, keysRoot: word("33"), purpose: word("44") },
  ...{ erasures: 0, deliverSeconds: 60, complainSeconds: 40, nonce: word("01") },
};
const status = { state: 5, at: 1_700_000_000_000, atBlock: 100, deliveryHash: word("de") };
const windows = { commitSeconds: 100, caseSeconds: 160, rulingSeconds: 320 };

/** Where a case is so many seconds and blocks after it was opened. */
const after = (seconds: number, blocks: number, revealed = 0) =>
  casePhase(status, revealed, windows, { number: 100 + blocks, timestamp: status.at / 1000 + seconds });

describe("a complaint about quality", () => {
  test("costs a tenth of the price, rounded up", () => {
    expect([0n, 1n, 10n, 11n, 101n].map((price) => complaintBond({ price }))).toEqual([0n, 1n, 1n, 2n, 11n]);
  });

  test("is judged by the panel that could be known when the deal was bought", () => {
    expect(panelTime(deal, status)).toBe(status.at - 60_000);
    expect(panelTime(deal, { at: 59_999 })).toBe(0);
    expect(partiesOf(deal)).toEqual([deal.buyer, deal.seller, deal.deliverer, deal.fallbackDeliverer]);
  });

  test("its digest is that of the text's UTF-8", () => {
    expect(complaintDigest("El sótano: 19,5 °C")).toBe(keccak256(toUtf8Bytes("El sótano: 19,5 °C")));
  });

  test("its calls are the escrow's", () => {
    const escrow = new Interface(artifact("contracts/market/Escrow.sol").abi);
    const dispute = disputeCall(deal, status, word("c0"));
    const read = escrow.parseTransaction({ data: escrow.encodeFunctionData(dispute.functionName, dispute.args) });
    expect(read?.args.complaint).toBe(word("c0"));
    const end = resolveCall(deal, status);
    expect(escrow.encodeFunctionData(end.functionName, end.args)).toMatch(/^0x[0-9a-f]{8}/);
  });
});

describe("where a case is", () => {
  test("each phase ends with its last second, and not before a block for each 20 seconds", () => {
    expect(after(100, 50)).toBe("commit");
    expect(after(101, 4)).toBe("commit");
    expect(after(101, 5)).toBe("reveal");
    expect(after(160, 50)).toBe("reveal");
    expect(after(161, 7)).toBe("reveal");
    expect(after(161, 8)).toBe("unruled");
  });

  test("a ruling takes three votes shown, and must be fetched in time", () => {
    expect([2, 3, 64].map((revealed) => after(200, 50, revealed))).toEqual(["unruled", "ruled", "ruled"]);
    expect(after(320, 50, 3)).toBe("ruled");
    expect(after(321, 50, 3)).toBe("lapsed");
  });

  test("the median is a vote: of an even number the lower one", () => {
    expect(medianOf([1000, 300, 700])).toBe(700);
    expect(medianOf([0, 1000, 400, 500])).toBe(400);
    expect(medianOf([5, 5, 5])).toBe(5);
  });
});
