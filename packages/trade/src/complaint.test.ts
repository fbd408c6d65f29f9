import {
  buyerNodes,
  contentOpens,
  cover,
  decodeBundle,
  decodeCose,
  derive,
  encodeBundle,
  encodeCose,
  encodeHeader,
  fromBase64,
  fromHex,
  type Hex,
  keyCommitment,
  packAad,
  sha256,
  sigStructure,
  toBase64,
  toHex,
  type WindowBundle,
  ZERO32,
} from "@msec/core";
import { Interface } from "ethers";
import { expect, test } from "vitest";
import { artifact } from "../../chain/src/artifacts.ts";
import { anchorAll, committee, TestStream, windowBundle } from "../../core/test/city.ts";
import { aDeal } from "../../core/test/deal.ts";
import { complaintCall, packOfFault } from "./complaint.ts";
import { type Status } from "./deal-status.ts";
import { type Fault, faultOf } from "./delivery.ts";
import { type Operators } from "./operators.ts";

// What the buyer's client makes of a delivery whose keys are right and one of whose packs was anchored unopenable.

const SLOT = 29_000_000;
const [FROM, TO] = [SLOT + 1, SLOT + 4];

/** A stream whose pack of slot 3 names, and was signed with, a content whose tag is another's. */
function deceitful(): TestStream {
  const stream = new TestStream().fill(SLOT, 3);
  const tMs = (SLOT + 3) * 60_000 + 500;
  const unsigned = stream.prepare([{ n: "CO", u: "mg/m3", v: 4, tMs }]);
  const content = unsigned.content.slice();
  content[content.length - 1] = (content[content.length - 1] as number) ^ 1;
  const headerBytes = encodeHeader({ ...unsigned.header, contentDigest: toHex(sha256(content)) });
  const signature = stream.key.sign(sigStructure(unsigned.protectedHeader, headerBytes));
  const cose = encodeCose(unsigned.protectedHeader, headerBytes, signature);
  stream.packs.push({ cose, content, signed: decodeCose(cose) });
  return stream.fill(SLOT + 4, 2);
}

test("a delivery whose keys are right and whose packs open has no fault", () => {
  const stream = new TestStream().fill(SLOT, 6);
  const bundle = windowBundle(stream, anchorAll(stream, committee()), FROM, TO);
  expect(faultOf(bundle, derive(stream.frontier, cover(FROM, TO)))).toBeUndefined();
});

test("a wrong key is found before its pack is opened", () => {
  const stream = deceitful();
  const bundle = windowBundle(stream, anchorAll(stream, committee()), FROM, TO);
  const keys = derive(stream.frontier, cover(FROM, TO)).map((node) => ({ ...node, key: new Uint8Array(32) }));
  expect(faultOf(bundle, keys)).toEqual({ index: 0, cose: bundle.packs[0]?.cose });
});

test("a pack that its own key does not open is shown to the escrow with that key and its content", async () => {
  const stream = deceitful();
  const anchored = anchorAll(stream, committee());
  const bundle = decodeBundle(encodeBundle(windowBundle(stream, anchored, FROM, TO))) as WindowBundle;
  const bad = stream.packs[3] as (typeof stream.packs)[0];
  const keys = derive(stream.frontier, cover(FROM, TO));
  const fault = faultOf(bundle, keys) as Required<Fault>;
  expect(fault.cose).toBe(toBase64(bad.cose));
  const { header } = decodeCose(fromBase64(fault.cose));
  const aad = packAad(header.streamId, header.keyEpoch, header.seq);
  expect(toHex(keyCommitment(fault.key))).toBe(header.keyCommitment);
  expect(contentOpens(fault.key, aad, fault.content)).toBe(false);

  const operators = {
    packs: ([headerDigest]: Hex[]) =>
      Promise.resolve([{ headerDigest, cose: fault.cose, content: null, anchoring: anchored.anchoring(bad) }]),
  } as unknown as Operators;
  const pack = await packOfFault(operators, bundle.stream, fault);
  const status: Status = { state: 2, at: 1_700_000_000_000, atBlock: 5, deliveryHash: ZERO32 };
  const secret = new Uint8Array(32).fill(7);
  const kept = { deal: aDeal(bundle, 4, 4), nodes: buyerNodes(secret, cover(FROM, TO)), secret };
  const { functionName, args } = complaintCall(kept, status, { E: { x: 1n, v: 27 }, masked: [] }, fault, pack);
  const escrow = new Interface(artifact("contracts/market/Escrow.sol").abi);
  const call = escrow.parseTransaction({ data: escrow.encodeFunctionData(functionName, args) });
  expect(call?.name).toBe("proveUnopenable");
  const claim = call?.args[2];
  expect(claim.packKey).toBe(toHex(fault.key));
  expect(toHex(sha256(fromHex(claim.content as Hex)))).toBe(claim.pack.contentDigest);
  expect(claim.pack.slot).toBe(BigInt(SLOT + 3));
  expect(claim.node.firstSlot <= SLOT + 3, "the node above the pack").toBe(true);
  expect(claim.epoch.number).toBe(1n);
});
