import { readdirSync, readFileSync } from "node:fs";
import { AbiCoder, keccak256, TypedDataEncoder } from "ethers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as core from "../src/index.ts";
import { expectRefusal } from "./expect.ts";

/** The type strings of the protocol, word for word. */
const TYPES =
  `Stream(bytes32 deviceId,uint32 ownerEpoch,bytes32 nameHash,bytes32 schemaHash,uint32 slotSeconds,uint8 mode,bytes32 salt)
Pack(bytes32 streamId,uint32 keyEpoch,uint64 seq,bytes32 headerDigest,bytes32 root,uint32 count,uint64 fromMs,uint64 toMs,uint32 slot,bytes32 keyCommitment,bytes32 contentDigest)
Epoch(uint64 number,bytes32 prev,bytes32 root,uint32 packs,uint64 readings,uint64 fromMs,uint64 toMs,uint64 closedAt,uint64 stateBlock,bytes32 manifest,bytes32 configDigest)
Config(uint16 q,address[] members,bytes32[] organisations,uint64 fromEpoch)
Holders(bytes32 streamId,uint64 version,address[] holders)
Opened(bytes32 headerDigest)
Refused(bytes32 headerDigest,uint16 reason)
Receipt(bytes32 streamId,uint32 keyEpoch,uint64 seq,bytes32 headerDigest,uint64 atMs)
Head(bytes32 streamId,uint64 epoch,uint32 keyEpoch,uint64 seq,bytes32 headerDigest)
DealKeys(address escrow,bytes32 streamId,uint32 fromSlot,uint32 toSlot,bytes32 holesHash,uint64 asOfEpoch,bytes32 nonce)
Deal(address anchor,bytes32 streamId,address buyer,address seller,address deliverer,address fallbackDeliverer,address token,uint128 price,uint128 fee,uint128 bond,uint64 asOfEpoch,uint32 packs,uint64 readings,uint64 endMs,uint32 fromSlot,uint32 toSlot,bytes32 holesHash,uint16 nodes,bytes32 keysRoot,bytes32 purpose,uint64 erasures,uint32 deliverSeconds,uint32 complainSeconds,bytes32 nonce)
Enrol(bytes32 deviceId,bytes32 ekHash,bytes32 akName,uint8 keyAlg,bytes32 keyHash,address owner,bytes32 organisation,bytes32 policyId,bytes32 evidenceDigest,uint256 nonce,uint64 deadline)
Rotation(bytes32 deviceId,uint32 keyEpoch,bytes32 akName,uint8 keyAlg,bytes32 keyHash,bool revokeOld,bytes32 policyId,bytes32 evidenceDigest,uint256 nonce,uint64 deadline)
Transfer(bytes32 deviceId,address newOwner,uint256 nonce,uint64 deadline)
Endorsement(bytes32 deviceId,bytes32 ekHash,uint64 deadline)
Quote(bytes32 deviceId,uint32 keyEpoch,bytes32 policyId,bytes32 pcrDigest,uint32 resetCount,uint32 restartCount,bool safe,uint64 quotedAtMs,uint64 validUntilMs,bytes32 evidenceDigest,uint64 deadline)
ThingDescription(bytes32 streamId,uint64 version,bytes32 document)
Binding(bytes32 streamId,address subject,uint64 deadline)
Grant(bytes32 streamId,bytes32 purpose,address grantee,uint64 fromMs,uint64 untilMs,uint64 epoch,uint64 nonce,uint64 deadline)
Revocation(bytes32 streamId,bytes32 purpose,address grantee,uint64 nonce,uint64 deadline)
RevocationOfAll(bytes32 streamId,uint64 epoch,uint64 deadline)
ErasureRequest(bytes32 streamId,uint32 fromSlot,uint32 toSlot,uint256 nonce,uint64 deadline)
SubjectErasure(address subject,uint64 deadline)
Erased(bytes32 streamId,uint64 number,uint32 fromSlot,uint32 toSlot,uint64 keysDestroyedAt,uint64 backupsExpireAt)
Facts(bytes32 provider,uint32 number,uint64 fromEpoch,uint64 toEpoch,uint32 gaps,uint32 late,uint32 equivocations,uint32 attestations,uint32 intrusions,uint32 disputes,uint32 probes,bytes32 configDigest)
Agreement(address agreement,uint64 version,bytes32 termsHash,address[] parties,address[] auditors,uint64 endMs,uint64 noticeMs,uint64 deadline,bytes32 salt)`.split(
    "\n",
  );

const structs = [
  core.STREAM,
  core.PACK,
  core.EPOCH,
  core.CONFIG,
  core.HOLDERS,
  core.OPENED,
  core.REFUSED,
  core.RECEIPT,
  core.HEAD,
  core.DEAL_KEYS,
  core.DEAL,
  core.ENROL,
  core.ROTATION,
  core.TRANSFER,
  core.ENDORSEMENT,
  core.QUOTE,
  core.THING_DESCRIPTION,
  core.BINDING,
  core.GRANT,
  core.REVOCATION,
  core.REVOCATION_OF_ALL,
  core.ERASURE_REQUEST,
  core.SUBJECT_ERASURE,
  core.ERASED,
  core.FACTS,
  core.AGREEMENT,
] as unknown as core.StructType<core.Fields>[];

const hex = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(core.toHex);
const field = (type: string): fc.Arbitrary<unknown> => {
  if (type === "bytes32") return hex(32);
  if (type === "bool") return fc.boolean();
  if (type === "address") return hex(20);
  if (type === "address[]") return fc.array(hex(20), { maxLength: 5 });
  if (type === "bytes32[]") return fc.array(hex(32), { maxLength: 5 });
  const bits = Number(type.slice(4));
  if (bits >= 128) return fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n });
  return bits === 64 ? fc.maxSafeNat() : fc.integer({ min: 0, max: 2 ** bits - 1 });
};
const valueOf = (struct: core.StructType<core.Fields>) =>
  fc.record(Object.fromEntries(struct.fields.map(([type, name]) => [name, field(type)])));

test("the types are those of the protocol", () => {
  expect(structs.map((s) => s.encodeType)).toEqual(TYPES);
});

test("the contracts hash the same type strings", () => {
  const folder = new URL("../../../contracts/", import.meta.url);
  const inContracts = new Map<string, string>();
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" }))
    if (file.endsWith(".sol") && !file.endsWith(".t.sol"))
      for (const [, type, name] of readFileSync(new URL(file, folder), "utf8").matchAll(
        /keccak256\(\s*"(([A-Z]\w*)\([^"]*\))"/g,
      ))
        inContracts.set(name as string, type as string);
  const shared = structs.filter((s) => inContracts.has(s.name));
  expect(shared.map((s) => s.name)).toEqual(
    expect.arrayContaining(["Stream", "Pack", "Epoch", "Quote", "Holders", "Erased"]),
  );
  expect(shared.map((s) => s.encodeType)).toEqual(shared.map((s) => inContracts.get(s.name)));
});

test("a purpose hashes as ethers does, and every part of it counts", () => {
  const types = {
    Purpose: [
      { name: "text", type: "string" },
      { name: "language", type: "string" },
      { name: "version", type: "uint32" },
    ],
  };
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string(), fc.nat(0xffffffff), (text, language, version) => {
      const purpose = { text, language, version };
      expect(core.purposeHash(purpose)).toBe(TypedDataEncoder.hashStruct("Purpose", types, purpose));
    }),
  );
  const purpose = { text: "Research", language: "en", version: 1 };
  for (const change of [{ text: "Research " }, { language: "ja" }, { version: 2 }])
    expect(core.purposeHash({ ...purpose, ...change })).not.toBe(core.purposeHash(purpose));
  expectRefusal("malformed", () => core.purposeHash({ ...purpose, version: 2 ** 32 }));
});

const domain: core.Domain = { name: "DataAnchor", chainId: 31337, verifyingContract: `0x${"a1".repeat(20)}` };

describe.each(structs.map((s) => [s.name, s] as const))("%s", (_, struct) => {
  const types = core.typedDataTypes(struct);
  const hash = core.hashStruct as (type: unknown, value: unknown) => core.Hex;

  test("hashes as ethers does, with and without a domain", () => {
    fc.assert(
      fc.property(valueOf(struct), fc.maxSafeNat(), hex(20), (value, chainId, verifyingContract) => {
        expect(hash(struct, value)).toBe(TypedDataEncoder.hashStruct(struct.name, types, value));
        const at = { ...domain, chainId, verifyingContract };
        expect(core.toHex(core.typedDataDigest(at, struct, value as never))).toBe(
          TypedDataEncoder.hash({ ...at, version: "1" }, types, value),
        );
      }),
      { numRuns: 50 },
    );
  });

  test("refuses a field that is missing, too large or of another type", () => {
    const [value] = fc.sample(valueOf(struct), 1) as [Record<string, unknown>];
    for (const [type, name] of struct.fields) {
      expectRefusal("malformed", () => hash(struct, { ...value, [name]: undefined }));
      const wrong = type.endsWith("[]")
        ? [["0x00"], [5]]
        : type === "bool"
          ? [0, 1, "true", null]
          : type.startsWith("uint")
            ? [-1, 0.5, "1", null, 1n << BigInt(type.slice(4)), 2 ** 53]
            : ["0x00", "", 5, null, `0x${"00".repeat(33)}`];
      for (const bad of wrong)
        if (!(type === "uint256" && bad === 2 ** 53) && !(type === "uint128" && bad === 2 ** 53))
          expectRefusal("malformed", () => hash(struct, { ...value, [name]: bad }));
    }
  });
});

test("what the escrow hashes is abi.encode as ethers has it", () => {
  const abi = AbiCoder.defaultAbiCoder();
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 1n << 255n }), fc.array(hex(32), { maxLength: 5 }), (x, masked) => {
      const delivery = { E: { x, v: 28 }, masked };
      expect(core.deliveryHash(delivery)).toBe(
        keccak256(abi.encode(["uint256", "uint8", "bytes32[]"], [x, 28, masked])),
      );
    }),
  );
  const node = { depth: 26, firstSlot: 29_000_000 - (29_000_000 % 64), x: 5n, v: 27 };
  expect(core.toHex(core.keyNodeLeaf(3, node))).toBe(
    keccak256(abi.encode(["uint16", "uint8", "uint32", "uint256", "uint8"], [3, 26, node.firstSlot, 5n, 27])),
  );
  const delivery = core.toHex(core.sha256(core.utf8("delivery")));
  expect(core.dealWord(2, 1_700_000_000, 77, delivery)).toBe(
    keccak256(abi.encode(["uint8", "uint64", "uint64", "bytes32"], [2, 1_700_000_000, 77, delivery])),
  );
});
