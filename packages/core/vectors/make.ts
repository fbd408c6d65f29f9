import { readFileSync, writeFileSync } from "node:fs";
import {
  addressOfKey,
  type Certificate,
  concat,
  configDigest,
  decodeSealedHeader,
  type DeviceCertificate,
  deviceSlots,
  encodeBundle,
  type EpochCertificate,
  epochHash,
  epochSlot,
  FLAG,
  fromBase64,
  fromHex,
  type Hex,
  packAad,
  rlpBytes,
  rlpDecode,
  rlpList,
  sealContent,
  sha256,
  signDigest,
  encodeCose,
  spkiOfPoint,
  subscriptionKey,
  toBase64,
  toHex,
  trieValue,
  uint,
  utf8,
  type WindowBundle,
  ZERO_ADDRESS,
  ZERO32,
} from "../src/index.ts";
import {
  anchorAll,
  type Built,
  CHAIN,
  committee,
  fixedRandom,
  headEvidence,
  readingBundle,
  TestStream,
  windowBundle,
} from "../test/city.ts";
import { aDeal } from "../test/deal.ts";
import { outcome, type VectorFile } from "./operations.ts";
import { signatureCases, signers } from "./signatures.ts";

// Makes the vector files. Everything is derived from labels, signatures are those of RFC 6979: every run writes the same
// bytes. Run: node packages/core/vectors/make.ts

type Json = unknown;
const bytes32 = (label: string): Hex => toHex(sha256(utf8(label)));
const account = (label: string): Hex => addressOfKey(sha256(utf8(label)));
const DOMAIN = { name: "DataAnchor", chainId: CHAIN.chainId, verifyingContract: CHAIN.anchor };
const ESCROW: Hex = `0x${"e5".repeat(20)}`;
const SLOT = 29_000_000;
const T0 = SLOT * 60_000;

/** A file: every case's outcome is computed here and written down. */
function file(
  about: string,
  cases: [what: string, operation: string, input: Record<string, Json>][],
  shared?: Record<string, Json>,
): VectorFile {
  const base = { about, ...(shared === undefined ? {} : { shared }) };
  return {
    ...base,
    cases: cases.map(([what, operation, input]) => ({
      what,
      operation,
      in: input,
      out: outcome(base as VectorFile, operation, input) as Json,
    })),
  };
}

const STREAM = {
  deviceId: bytes32("device"),
  ownerEpoch: 1,
  name: "parc de la Remonta 1 ☀",
  schema: {
    quantities: [
      { name: "CO", unit: "mg/m3", text: "CO(GT)" },
      { name: "T", unit: "Cel", text: "air temperature" },
      { name: "state", unit: "", text: "state" },
    ],
    retainDays: 365,
    padCount: 0,
    padBytes: 0,
  },
  slotSeconds: 60,
  mode: 0,
  salt: bytes32("salt"),
};
const SEALED = { ...STREAM, mode: 1, schema: { ...STREAM.schema, padCount: 4, padBytes: 400 } };
const DATASET = { ...STREAM, mode: 2, slotSeconds: 0 };

const VALUES: Record<string, Record<string, Json>> = {
  Stream: { deviceId: bytes32("d"), ownerEpoch: 1, nameHash: bytes32("n"), schemaHash: bytes32("s"), slotSeconds: 60, mode: 0, salt: bytes32("x") },
  Pack: { streamId: bytes32("s"), keyEpoch: 1, seq: 7, headerDigest: bytes32("h"), root: bytes32("r"), count: 100, fromMs: T0, toMs: T0 + 59_999, slot: SLOT, keyCommitment: bytes32("k"), contentDigest: bytes32("c") },
  Epoch: { number: 2, prev: bytes32("p"), root: bytes32("r"), packs: 3, readings: 300, fromMs: T0, toMs: T0 + 59_999, closedAt: T0 + 61_000, stateBlock: 12, manifest: bytes32("m"), configDigest: bytes32("c") },
  Config: { q: 3, members: [1, 2, 3, 4].map((i) => toHex(new Uint8Array(20).fill(i))), organisations: ["a", "b", "c", "d"].map(bytes32), fromEpoch: 1 },
  Holders: { streamId: bytes32("s"), version: 2, holders: [account("h1"), account("h2")] },
  Opened: { headerDigest: bytes32("h") },
  Refused: { headerDigest: bytes32("h"), reason: 18 },
  Receipt: { streamId: bytes32("s"), keyEpoch: 1, seq: 9_007_199_254_740_991, headerDigest: bytes32("h"), atMs: T0 },
  Head: { streamId: bytes32("s"), epoch: 2, keyEpoch: 1, seq: 7, headerDigest: bytes32("h") },
  DealKeys: { escrow: ESCROW, streamId: bytes32("s"), fromSlot: SLOT, toSlot: SLOT + 59, holesHash: bytes32("h"), asOfEpoch: 2, nonce: bytes32("n") },
  Deal: {
    anchor: CHAIN.anchor, streamId: bytes32("s"), buyer: account("b"), seller: account("s"), deliverer: account("d"), fallbackDeliverer: account("f"),
    token: account("t"), price: "340282366920938463463374607431768211455", fee: "1000000000000000000", bond: "0", asOfEpoch: 2, packs: 60, readings: 6000,
    endMs: T0 + 3_599_999, fromSlot: SLOT, toSlot: SLOT + 59, holesHash: bytes32("h"), nodes: 6, keysRoot: bytes32("k"), purpose: bytes32("p"),
    erasures: 0, deliverSeconds: 60, complainSeconds: 600, nonce: bytes32("n"),
  },
  Offer: {
    seller: account("s"), streamId: bytes32("s"), fromSlot: SLOT, toSlot: SLOT + 1_000_000, deliverer: account("d"), fallbackDeliverer: account("f"),
    token: account("t"), unitPrice: "1000", feePerMille: 50, bond: "50000", deliverSeconds: 600, complainSeconds: 1200, terms: bytes32("l"),
    amount: 9_007_199_254_740_991, salt: bytes32("a"), counter: 0, deadline: T0 + 86_400_000,
  },
  Request: {
    buyer: account("b"), anchor: CHAIN.anchor, streamId: bytes32("s"), fromSlot: SLOT, toSlot: SLOT + 59, holesHash: bytes32("h"), asOfEpoch: 2,
    packs: 60, readings: 6000, erasures: 0, nodes: 6, keysRoot: bytes32("k"), purpose: bytes32("p"), deliverer: account("d"),
    fallbackDeliverer: account("f"), token: account("t"), maxPrice: "340282366920938463463374607431768211455", minBond: "50000",
    maxDeliverSeconds: 600, minComplainSeconds: 1200, terms: bytes32("l"), nonce: bytes32("n"), counter: 3, deadline: T0 + 86_400_000,
  },
  Enrol: { deviceId: bytes32("d"), ekHash: bytes32("e"), akName: bytes32("a"), keyAlg: 1, keyHash: bytes32("k"), owner: account("o"), organisation: bytes32("g"), policyId: bytes32("p"), evidenceDigest: bytes32("v"), nonce: "115792089237316195423570985008687907853269984665640564039457584007913129639935", deadline: 1_800_000_000 },
  Rotation: { deviceId: bytes32("d"), keyEpoch: 2, akName: bytes32("a"), keyAlg: 2, keyHash: bytes32("k"), revokeOld: true, policyId: bytes32("p"), evidenceDigest: bytes32("v"), nonce: "1", deadline: T0 },
  Transfer: { deviceId: bytes32("d"), newOwner: account("o"), nonce: "2", deadline: T0 },
  Endorsement: { deviceId: bytes32("d"), ekHash: bytes32("e"), deadline: T0 },
  Quote: { deviceId: bytes32("d"), keyEpoch: 2, policyId: bytes32("p"), pcrDigest: bytes32("f"), resetCount: 7, restartCount: 1, safe: true, quotedAtMs: T0, validUntilMs: T0 + 86_400_000, evidenceDigest: bytes32("v"), deadline: T0 },
  ThingDescription: { streamId: bytes32("s"), version: 3, document: bytes32("d") },
  Binding: { streamId: bytes32("s"), subject: account("u"), deadline: T0 },
  Grant: { streamId: bytes32("s"), purpose: bytes32("p"), grantee: account("g"), fromMs: T0, untilMs: T0 + 86_400_000, epoch: 1, nonce: 2, deadline: T0 },
  Revocation: { streamId: bytes32("s"), purpose: bytes32("p"), grantee: account("g"), nonce: 3, deadline: T0 },
  RevocationOfAll: { streamId: bytes32("s"), epoch: 1, deadline: T0 },
  ErasureRequest: { streamId: bytes32("s"), fromSlot: SLOT, toSlot: SLOT + 59, nonce: "7", deadline: T0 },
  SubjectErasure: { subject: account("u"), deadline: T0 },
  Erased: { streamId: bytes32("s"), number: 1, fromSlot: SLOT, toSlot: SLOT + 59, keysDestroyedAt: T0, backupsExpireAt: T0 + 604_800_000 },
  Facts: { provider: bytes32("g"), number: 3, fromEpoch: 2, toEpoch: 86_401, gaps: 1, late: 2, equivocations: 3, attestations: 4, intrusions: 5, disputes: 6, probes: 7, configDigest: bytes32("c") },
  Agreement: { agreement: account("a"), version: 2, termsHash: bytes32("t"), parties: [1, 2].map((i) => toHex(new Uint8Array(20).fill(i))), auditors: [account("u")], endMs: T0 + 86_400_000, noticeMs: 604_800_000, deadline: T0, salt: bytes32("x") },
  SubscriptionOffer: {
    streamId: bytes32("s"), seller: account("s"), deliverer: account("d"), fallbackDeliverer: account("f"), token: account("t"), slotPrice: "1000",
    feePerMille: 50, bond: "50000", depth: 26, slotSeconds: 60, deliverSeconds: 600, complainSeconds: 86_400, silenceSeconds: 604_800, licence: bytes32("l"),
  },
  SubscriptionTerms: {
    streamId: bytes32("s"), seller: account("s"), deliverer: account("d"), fallbackDeliverer: account("f"), token: account("t"), slotPrice: "1000",
    feePerMille: 50, bond: "50000", depth: 26, slotSeconds: 60, deliverSeconds: 600, complainSeconds: 86_400, silenceSeconds: 604_800, licence: bytes32("l"),
    anchor: CHAIN.anchor, buyer: account("b"), keyX: "55066263022277343669578718895168534326250603453777594175500187360389116729240", keyV: 27,
    fromBatch: 453_125, purpose: bytes32("p"), erasures: 2, nonce: bytes32("n"),
  },
  SubscriptionKeys: { subscription: ESCROW, streamId: bytes32("s"), nonce: bytes32("n") },
}; // prettier-ignore
const IDENTITY = ["Enrol", "Rotation", "Transfer", "Endorsement", "Quote", "ThingDescription"];
const CONSENT = [
  "Holders",
  "Binding",
  "Grant",
  "Revocation",
  "RevocationOfAll",
  "ErasureRequest",
  "SubjectErasure",
  "Erased",
];
const CONTRACT: Record<string, string> = {
  ...Object.fromEntries(IDENTITY.map((type) => [type, "DeviceRegistry"])),
  Deal: "Escrow",
  DealKeys: "Escrow",
  ...Object.fromEntries(CONSENT.map((type) => [type, "ConsentRegistry"])),
  Offer: "Marketplace",
  Request: "Marketplace",
  Facts: "Reputation",
  Agreement: "AgreementDigests",
  SubscriptionOffer: "Subscription",
  SubscriptionTerms: "Subscription",
  SubscriptionKeys: "Subscription",
};
const domainOf = (type: string) => ({ ...DOMAIN, name: CONTRACT[type] ?? "DataAnchor" });

function hash(): VectorFile {
  const spki = toHex(spkiOfPoint(fromHex(`0x04${"11".repeat(64)}`)));
  return file("keccak-256 (not SHA3-256) and SHA-256; hashes of purposes; ids of devices and keys", [
    ...["", "00", "616263", "ff".repeat(136), "5a".repeat(200)].map((h): [string, string, Record<string, Json>] => [
      `${h.length / 2} bytes`,
      "hash",
      { bytes: `0x${h}` },
    ]),
    ["a purpose", "purpose", { text: "Air quality research", language: "en", version: 1 }],
    ["another version of it", "purpose", { text: "Air quality research", language: "en", version: 2 }],
    ["in Japanese", "purpose", { text: "大気質の研究", language: "ja", version: 1 }],
    ["ids", "deviceIds", { spki, ekPublicArea: "0x0001000b00030072" }],
  ]);
}

const struct = () =>
  file(
    "EIP-712: encodeType, typeHash, hashStruct, and the digest that is signed under a domain (version 1). uint128 and uint256 are decimal text",
    Object.entries(VALUES).map(([type, value]) => [type, "struct", { type, value, domain: domainOf(type) }]),
  );

const stream = () =>
  file("Streams: schema in CBOR, struct, id; slots of times", [
    ["open", "stream", { preimage: STREAM }],
    ["sealed", "stream", { preimage: SEALED }],
    ["data set", "stream", { preimage: DATASET }],
    ["a slot length that there is not", "stream", { preimage: { ...STREAM, slotSeconds: 61 } }],
    ["a data set with slots", "stream", { preimage: { ...DATASET, slotSeconds: 60 } }],
    ["padding without being sealed", "stream", { preimage: { ...SEALED, mode: 0 } }],
    ["a quantity twice", "stream", { preimage: { ...STREAM, schema: { ...STREAM.schema, quantities: [...STREAM.schema.quantities, ...STREAM.schema.quantities] } } }],
    ["last millisecond of a slot", "slot", { timeMs: T0 + 59_999, slotSeconds: 60 }],
    ["first millisecond of the next", "slot", { timeMs: T0 + 60_000, slotSeconds: 60 }],
    ["where a rounded quotient would be one too many", "slot", { timeMs: 100_000_001 * 86_400_000 - 1, slotSeconds: 86_400 }],
    ["any time of a data set", "slot", { timeMs: T0, slotSeconds: 0 }],
    ["beyond uint32", "slot", { timeMs: 2 ** 32 * 1000, slotSeconds: 1 }],
  ]); // prettier-ignore

function record(): VectorFile {
  const numbers = ["0", "-0", "1", "-1", "23", "24", "255", "256", "65535", "65536", "4294967295", "4294967296", "9007199254740991", "-9007199254740991", "9007199254740992", "9007199254740993", "0.5", "1.5", "0.1", "-4.1", "3.4028234663852886e38", "1e300", "5e-324", "0.000000059604644775390625", "0.10000000000000000001", "12345678901234567890", "-0.3000000000000000444", "1e400", "18446744073709551616"]; // prettier-ignore
  const at = { n: "CO", u: "mg/m3", tMs: T0 };
  const t = "061a" + (T0 / 1000).toString(16);
  return file("Records: SenML (RFC 8428) in deterministic CBOR. A number is decimal text; reading it gives an integer, a shortest float, or tag 4", [
    ...numbers.map((v): [string, string, Record<string, Json>] => [v, "encodeRecord", { reading: { ...at, v } }]),
    ["text", "encodeRecord", { reading: { n: "state", vs: "größer\ufeff", tMs: T0 } }],
    ["text with a byte order mark first", "encodeRecord", { reading: { n: "state", vs: "\ufeffx", tMs: T0 } }],
    ["true", "encodeRecord", { reading: { n: "state", vb: true, tMs: T0 } }],
    ["bytes", "encodeRecord", { reading: { n: "state", vd: "0x00ff", tMs: T0 } }],
    ["milliseconds", "encodeRecord", { reading: { ...at, v: "1", tMs: T0 + 1 } }],
    ["half a second", "encodeRecord", { reading: { ...at, v: "1", tMs: T0 + 500 } }],
    ["a relative time", "encodeRecord", { reading: { ...at, v: "1", tMs: 1000 } }],
    ["a name that is none", "encodeRecord", { reading: { ...at, n: "é", v: "1" } }],
    ["no value", "encodeRecord", { reading: at }],
    ["two values", "encodeRecord", { reading: { ...at, v: "1", vb: true } }],
    ["right", "decodeRecord", { record: `0xa30062434f0201${t}` }],
    ["an over-long float", "decodeRecord", { record: `0xa30062434f02fb3ff8000000000000${t}` }],
    ["a float for an integer", "decodeRecord", { record: `0xa30062434f02f93c00${t}` }],
    ["an over-long integer", "decodeRecord", { record: `0xa30062434f021801${t}` }],
    ["NaN", "decodeRecord", { record: `0xa30062434f02f97e00${t}` }],
    ["an indefinite length", "decodeRecord", { record: `0xbf0062434f0201${t}ff` }],
    ["a key twice", "decodeRecord", { record: `0xa40062434f02010201${t}` }],
    ["keys out of order", "decodeRecord", { record: `0xa302010062434f${t}` }],
    ["a byte after it", "decodeRecord", { record: `0xa30062434f0201${t}00` }],
    ["a base name", "decodeRecord", { record: `0xa40062434f0201${t}216161` }],
    ["tag 4 for 0.5", "decodeRecord", { record: `0xa30062434f02c4822005${t}` }],
    ["tag 4 whose mantissa ten divides", "decodeRecord", { record: `0xa30062434f02c482001bab54a98ceb1f0ad2${t}` }],
    ["an unknown label", "decodeRecord", { record: `0xa40062434f0201${t}0701` }],
  ]); // prettier-ignore
}

const cbor = () =>
  file("The deterministic form: what is taken comes out again as it came in, everything else is refused", [
    ...["00", "17", "1818", "1903e8", "1a000f4240", "1b000000e8d4a51000", "1bffffffffffffffff", "c249010000000000000000", "20", "3863", "3bffffffffffffffff", "c349010000000000000000", "f93e00", "f90001", "fa7f7fffff", "fb3ff199999999999a", "f4", "f5", "f6", "4401020304", "6449455446", "63efbbbf", "83010203", "a201020304", "a10a80", "c482331b8ac7230489e80001"].map(
      (b): [string, string, Record<string, Json>] => [`taken: ${b}`, "decodeCbor", { bytes: `0x${b}` }],
    ),
    ...["", "1817", "190017", "1a0000ffff", "1b00000000ffffffff", "5800", "f90000", "f98000", "f93c00", "f97e00", "f97c00", "fa3fc00000", "fb3ff8000000000000", "9f01ff", "5f4101ff", "a201020103", "a203040102", "f7", "e0", "f820", "1c", "c000", "c24101", "c2490001ffffffffffffffff", "61ff", "63eda080", "8201", "0000", "9bffffffffffffffff", "c4820105"].map(
      (b): [string, string, Record<string, Json>] => [`refused: ${b}`, "decodeCbor", { bytes: `0x${b}` }],
    ),
  ]); // prettier-ignore

const merkle = () =>
  file(
    "OpenZeppelin's array form: tree[2n−2−i] = leaf i, inner nodes keccak-256 of the sorted pair",
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17].map((n) => [
      `${n} leaves`,
      "merkle",
      { leaves: Array.from({ length: n }, (_, i) => bytes32(`leaf ${i}`)) },
    ]),
  );

const keytree = () =>
  file("Key tree: leaves of slots, keys of packs, commitments; nodes inside the tree as [depth, firstSlot]", [
    ...[0, 1, SLOT, 0x80000000, 0xffffffff].map((slot): [string, string, Record<string, Json>] => [
      `slot ${slot}`,
      "packKey",
      { seed: bytes32("seed"), slot, streamId: bytes32("stream"), keyEpoch: 1, seq: 7 },
    ]),
    ["nodes", "nodes", { seed: bytes32("seed"), places: [[0, 0], [1, 0], [1, 0x80000000], [26, SLOT - (SLOT % 64)], [32, SLOT]] }],
    ["a slot over uint32", "packKey", { seed: bytes32("seed"), slot: 2 ** 32, streamId: bytes32("stream"), keyEpoch: 1, seq: 7 }],
  ]); // prettier-ignore

const coverFile = () =>
  file("Covers as [depth, firstSlot], ascending, and the hash of the holes", [
    ["one slot", "cover", { fromSlot: SLOT, toSlot: SLOT, holes: [] }],
    ["an hour of minutes", "cover", { fromSlot: SLOT, toSlot: SLOT + 59, holes: [] }],
    ["a year of minutes", "cover", { fromSlot: SLOT, toSlot: SLOT + 525_599, holes: [] }],
    ["everything", "cover", { fromSlot: 0, toSlot: 0xffffffff, holes: [] }],
    ["all but the ends", "cover", { fromSlot: 1, toSlot: 0xfffffffe, holes: [] }],
    ["an hour with holes", "cover", { fromSlot: SLOT, toSlot: SLOT + 59, holes: [[SLOT + 5, SLOT + 5], [SLOT + 30, SLOT + 41]] }],
    ["holes at both ends", "cover", { fromSlot: SLOT, toSlot: SLOT + 9, holes: [[SLOT, SLOT + 1], [SLOT + 9, SLOT + 9]] }],
    ["nothing left", "cover", { fromSlot: SLOT, toSlot: SLOT + 9, holes: [[SLOT, SLOT + 9]] }],
    ["adjacent holes", "cover", { fromSlot: SLOT, toSlot: SLOT + 9, holes: [[SLOT + 1, SLOT + 2], [SLOT + 3, SLOT + 4]] }],
    ["a hole outside", "cover", { fromSlot: SLOT, toSlot: SLOT + 9, holes: [[SLOT + 9, SLOT + 10]] }],
    ["an end before the start", "cover", { fromSlot: 5, toSlot: 4, holes: [] }],
  ]); // prettier-ignore

const punctureFile = () =>
  file("Punctures, one after the other, of the whole tree of a seed: the frontier that is left", [
    ["one slot", "puncture", { seed: bytes32("seed"), ranges: [[SLOT, SLOT]] }],
    ["an hour, then a minute beside it", "puncture", { seed: bytes32("seed"), ranges: [[SLOT, SLOT + 59], [SLOT + 60, SLOT + 60]] }],
    ["twice the same", "puncture", { seed: bytes32("seed"), ranges: [[5, 9], [5, 9]] }],
    ["everything", "puncture", { seed: bytes32("seed"), ranges: [[0, 0xffffffff]] }],
  ]); // prettier-ignore

const PACK_INPUT = {
  stream: STREAM,
  seed: bytes32("seed"),
  deviceSecret: bytes32("device key"),
  keyEpoch: 1,
  bootEpoch: 3,
  seq: 1,
  flags: 0,
  previous: ZERO32,
  slot: SLOT,
  readings: [
    { n: "CO", u: "mg/m3", v: "2.6", tMs: T0 },
    { n: "T", u: "Cel", v: "-13.60", tMs: T0 + 1_500 },
    { n: "CO", u: "mg/m3", v: "0.10000000000000000001", tMs: T0 + 2_000 },
    { n: "state", vs: "ok", tMs: T0 + 59_999 },
    { n: "state", vb: false, tMs: T0 + 59_999 },
  ],
  packSalt: bytes32("pack salt"),
  nonce: toHex(sha256(utf8("nonce")).slice(0, 12)),
};

const out = (input: Record<string, Json>) => outcome({}, "pack", input) as Record<string, Hex>;

/** One header under a key of each kind. */
function header(): VectorFile {
  const { header: bytes } = out(PACK_INPUT);
  const [ec, rsa] = [signers.ES256(), signers.RS256()];
  const cases = [ec, rsa].map(({ spki, sign }) => {
    const input = { header: bytes as string, spki: toHex(spki) };
    const made = outcome({}, "toBeSigned", input) as Record<string, Hex>;
    const parts = [fromHex(made.protectedHeader as Hex), fromHex(bytes as Hex), sign(fromHex(made.toBeSigned as Hex))];
    return {
      ...input,
      signature: toHex(parts[2] as Uint8Array),
      cose: toHex(encodeCose(...(parts as [Uint8Array, Uint8Array, Uint8Array]))),
    };
  });
  const [a, b] = cases as [(typeof cases)[0], (typeof cases)[0]];
  return file("Signed headers (COSE_Sign1) of both kinds of key. The contracts are held to the same file", [
    ["ES256, what is signed", "toBeSigned", { header: a.header, spki: a.spki }],
    ["RS256, what is signed", "toBeSigned", { header: b.header, spki: b.spki }],
    ["ES256", "signedHeader", a],
    ["RS256", "signedHeader", b],
    ["ES256, read with the RSA key", "signedHeader", { ...a, spki: b.spki }],
    ["RS256, read with the P-256 key", "signedHeader", { ...b, spki: a.spki }],
    ["RS256, cut", "signedHeader", { ...b, cose: b.cose.slice(0, -2) }],
  ]); // prettier-ignore
}

function pack(): VectorFile {
  const first = out(PACK_INPUT);
  const message = first.message as string;
  const next = { ...PACK_INPUT, seq: 1001, flags: FLAG.break | FLAG.recorded, previous: first.headerDigest, slot: SLOT + 2, attestation: bytes32("evidence"), beacon: { number: 9, digest: bytes32("epoch 9") }, readings: [{ n: "CO", u: "mg/m3", v: "1", tMs: T0 + 120_000 }], nonce: toHex(sha256(utf8("nonce 2")).slice(0, 12)) }; // prettier-ignore
  const flip = (at: number) => `${message.slice(0, at)}${message[at] === "0" ? "1" : "0"}${message.slice(at + 1)}`;
  const read = { stream: STREAM, leaf: first.leafNode, spki: first.spki };
  return file("Packs of an open stream from their readings to the message on the wire and the leaf in an epoch. ECDSA nonces are RFC 6979's, s is low", [
    ["the first of a stream", "pack", PACK_INPUT],
    ["after a loss: break, recorded, attestation, beacon", "pack", next],
    ["of a data set", "pack", { ...PACK_INPUT, stream: DATASET, slot: 0, flags: FLAG.end }],
    ["across two slots", "pack", { ...PACK_INPUT, readings: [PACK_INPUT.readings[0], { ...PACK_INPUT.readings[0], tMs: T0 + 60_000 }] }],
    ["a name that is not in the schema", "pack", { ...PACK_INPUT, readings: [{ n: "NO2", v: "1", tMs: T0 }] }],
    ["without a reading", "pack", { ...PACK_INPUT, readings: [] }],
    ["read", "openMessage", { ...read, message }],
    ["read with the leaf of another slot", "openMessage", { ...read, message, leaf: bytes32("x") }],
    ["read with another device's key", "openMessage", { ...read, message, spki: toHex(spkiOfPoint(fromHex(`0x04${"11".repeat(64)}`))) }],
    ["read for another stream", "openMessage", { ...read, message, stream: { ...STREAM, name: "x" } }],
    ["the last byte of the content changed", "openMessage", { ...read, message: flip(message.length - 1) }],
    ["a byte of the signature changed", "openMessage", { ...read, message: flip((first.cose as string).length + 2) }],
    ["cut", "openMessage", { ...read, message: message.slice(0, -2) }],
    ["a byte after it", "openMessage", { ...read, message: `${message}00` }],
  ]); // prettier-ignore
}

function sealedPack(): VectorFile {
  const of = (readings: Json[]) => ({ ...PACK_INPUT, stream: SEALED, readings });
  const rows = PACK_INPUT.readings;
  return file("Packs of a sealed stream: an empty slot, one row and two rows have headers and contents of the same length", [
    ["no row", "pack", of([])],
    ["one row", "pack", of(rows.slice(0, 1))],
    ["two rows", "pack", of(rows.slice(0, 2))],
    ["more rows than padCount", "pack", of(rows)],
    ["more bytes than padBytes", "pack", of([{ n: "state", vs: "x".repeat(400), tMs: T0 }])],
    ["a row of another slot", "pack", of([{ ...rows[0], tMs: T0 + 60_000 }])],
  ]); // prettier-ignore
}

/** Everything about one stream of eight packs, two of them out of the ordinary, and its committee. */
function city() {
  const who = committee(4, fixedRandom("committee"));
  const s = new TestStream(0, 60, fixedRandom("stream"));
  const co = (slot: number, v: number, ms = 0) => ({ n: "CO", u: "mg/m3", v, tMs: slot * 60_000 + ms });
  s.fill(SLOT, 4);
  s.add([co(SLOT + 4, 7.25), { n: "T", u: "Cel", v: -3, tMs: (SLOT + 4) * 60_000 + 10 }, co(SLOT + 4, 7.5, 20)]);
  s.add([co(SLOT + 6, 8)], { seq: 1005, flags: FLAG.break });
  s.add([co(SLOT + 7, 9)], { flags: FLAG.recorded });
  s.fill(SLOT + 8, 1);
  return { who, stream: s, anchored: anchorAll(s, who) };
}

function epoch(): VectorFile {
  const { who, anchored } = city();
  const second = {
    packs: anchored.tree.packs.slice(0, 3),
    number: 2,
    prev: epochHash(anchored.epoch),
    closedAt: anchored.epoch.closedAt + 1000,
    stateBlock: 6,
  };
  const shared = { config: who.config, secrets: who.keys.slice(0, 3).map(toHex) };
  const common = { config: { shared: "config" }, secrets: { shared: "secrets" }, ...CHAIN };
  return file("Epochs: leaves in order, root, manifest, hash, and the signatures of three of four members in the order of their addresses", [
    ["the first", "epoch", { ...common, packs: anchored.tree.packs, number: 1, prev: ZERO32, closedAt: anchored.epoch.closedAt, stateBlock: 5 }],
    ["the next", "epoch", { ...common, ...second }],
    ["a pack twice", "epoch", { ...common, ...second, packs: [...second.packs, second.packs[0]] }],
    ["no pack", "epoch", { ...common, ...second, packs: [] }],
  ], shared); // prettier-ignore
}

const statements = () =>
  file(
    "What operators, holders and owners sign: EIP-712 under the domain of its contract; r ‖ s ‖ v, s low, RFC 6979",
    ["Receipt", "Head", "Refused", "Opened", "DealKeys", ...IDENTITY, ...CONSENT].map((type) => [
      type,
      "sign",
      { type, value: VALUES[type], domain: domainOf(type), secret: bytes32(`signer of ${type}`) },
    ]),
  );

/** Lengths around the cipher's blocks, a pack of 6.5 kB, and contents that no key opens. */
function cipher(): VectorFile {
  const of = { packKey: bytes32("key"), streamId: bytes32("stream"), keyEpoch: 3, seq: 9_007_199_254_740_991 };
  const content = (length: number) =>
    sealContent(
      sha256(utf8("key")),
      sha256(utf8("nonce")).slice(0, 12),
      packAad(of.streamId, of.keyEpoch, of.seq),
      Uint8Array.from({ length }, (_, i) => (i * 7 + length) % 256),
    );
  const turned = (bytes: Uint8Array, at: number) => {
    const other = bytes.slice();
    const place = at < 0 ? other.length + at : at;
    other[place] = (other[place] as number) ^ 0x80;
    return other;
  };
  const right = [0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 1000, 6500];
  const wrong: [string, Uint8Array][] = [
    ["nothing", new Uint8Array()],
    ["27 bytes", content(0).slice(0, 27)],
    ["another nonce", turned(content(65), 0)],
    ["another first byte", turned(content(65), 12)],
    ["another last byte", turned(content(65), -17)],
    ["the tag's first byte", turned(content(65), -16)],
    ["the tag's last byte", turned(content(65), -1)],
    ["one byte short", content(65).slice(0, -1)],
    ["one byte more", concat(content(65), new Uint8Array(1))],
    ["a pack of 6.5 kB with another tag", turned(content(6500), -3)],
  ];
  return file("Whether the content of a pack opens under its key: ChaCha20-Poly1305 (RFC 8439), judged by its tag", [
    ...right.map((length): [string, string, Record<string, Json>] => [
      `${length} bytes of plaintext`,
      "opens",
      { ...of, content: toHex(content(length)) },
    ]),
    ...wrong.map(([what, bytes]): [string, string, Record<string, Json>] => [
      what,
      "opens",
      { ...of, content: toHex(bytes) },
    ]),
    ["another key", "opens", { ...of, packKey: bytes32("other"), content: toHex(content(65)) }],
    ["another stream", "opens", { ...of, streamId: bytes32("other"), content: toHex(content(65)) }],
    ["another key epoch", "opens", { ...of, keyEpoch: 4, content: toHex(content(65)) }],
    ["another seq", "opens", { ...of, seq: 7, content: toHex(content(65)) }],
  ]);
}

function delivery(): VectorFile {
  const context = { chainId: CHAIN.chainId, escrow: ESCROW, dealId: bytes32("deal") };
  const signature = signDigest(sha256(utf8("wallet")), sha256(utf8("DealKeys")));
  const base = {
    context,
    signature,
    seed: bytes32("seed"),
    e: bytes32("e"),
    fromSlot: SLOT,
    toSlot: SLOT + 59,
    holes: [],
    claim: 2,
  };
  return file("Deliveries: the buyer's secret and points, keysRoot, the masked keys for a given e, and what a complaint about node `claim` shows. Coordinates and scalars are decimal text", [
    ["an hour", "delivery", base],
    ["with a hole", "delivery", { ...base, holes: [[SLOT + 7, SLOT + 8]], claim: 0 }],
    ["one slot: one node", "delivery", { ...base, toSlot: SLOT, claim: 0 }],
    ["too many nodes", "delivery", { ...base, toSlot: SLOT + 98, holes: Array.from({ length: 49 }, (_, i) => [SLOT + 2 * i + 1, SLOT + 2 * i + 1]) }],
  ]); // prettier-ignore
}

function subscription(): VectorFile {
  const E = (label: string) => {
    const { x, v } = subscriptionKey(sha256(utf8(label)));
    return { x: toHex(uint(x, 32)), v };
  };
  const base = { secret: bytes32("secret"), E: E("e"), subscriptionId: bytes32("subscription"), number: 7 };
  const made = (of: typeof base) =>
    outcome({ about: "" } as VectorFile, "sharedPoint", of) as {
      batchId: Hex;
      B: { x: Hex; v: number };
      proof: Record<string, Hex | number>;
    };
  const { batchId, B, proof } = made(base);
  const judged = { context: batchId, B, E: base.E, proof };
  const up = (value: Hex) => toHex(uint((BigInt(value) + 1n) % 2n ** 256n, 32));
  const changed = Object.keys(proof).map((name): [string, string, Record<string, Json>] => {
    const value = proof[name] as Hex | number;
    const other = typeof value === "number" ? 55 - value : up(value);
    return [`another ${name}`, "sharedPointHolds", { ...judged, proof: { ...proof, [name]: other } }];
  });
  return file("Subscriptions: a batch's id and the shared point that a complaint shows, with its proof of equal logarithms; and whether a proof holds. Numbers of 256 bits are hex", [
    ["made", "sharedPoint", base],
    ["of another batch", "sharedPoint", { ...base, number: 4_294_967_295 }],
    ["under another E", "sharedPoint", { ...base, E: E("other") }],
    ["of another secret", "sharedPoint", { ...base, secret: bytes32("other") }],
    ["right", "sharedPointHolds", judged],
    ["right, of another secret", "sharedPointHolds", { ...judged, ...(({ B: b, proof: p }) => ({ B: b, proof: p }))(made({ ...base, secret: bytes32("other") })) }],
    ["for another batch", "sharedPointHolds", { ...judged, context: bytes32("another") }],
    ["for another key", "sharedPointHolds", { ...judged, B: E("another") }],
    ["for another E", "sharedPointHolds", { ...judged, E: E("another") }],
    ...changed,
    ["c = n", "sharedPointHolds", { ...judged, proof: { ...proof, c: toHex(uint(CURVE_ORDER, 32)) } }],
    ["z zero", "sharedPointHolds", { ...judged, proof: { ...proof, z: toHex(uint(0, 32)) } }],
    ["c zero", "sharedPointHolds", { ...judged, proof: { ...proof, c: toHex(uint(0, 32)) } }],
  ]); // prettier-ignore
}
const CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** A bundle as it is saved: bigints are {"uint": text}. Without bigints in it, it is plain JSON. */
const plain = (bundle: Parameters<typeof encodeBundle>[0]) => JSON.parse(encodeBundle(bundle)) as Json;

const replace = (path: string, value: Json) => ({ op: "replace", path, value });
const remove = (path: string) => ({ op: "remove", path });

function window(): VectorFile {
  const { who, stream: s, anchored } = city();
  const bundle = windowBundle(s, anchored, SLOT + 1, SLOT + 7);
  const holed = windowBundle(s, anchored, SLOT + 1, SLOT + 7, [[SLOT + 2, SLOT + 3]]);
  const head = { ...windowBundle(s, anchored, SLOT + 2, SLOT + 8), end: headEvidence(s, who, anchored) };
  const empty = windowBundle(s, anchored, SLOT + 5, SLOT + 5);
  const content = bundle.packs[2]?.content as string;
  const cose = bundle.packs[2]?.cose as string;
  const changed = (text: string, at: number) =>
    `${text.slice(0, at)}${text[at] === "A" ? "B" : "A"}${text.slice(at + 1)}`;
  const signatures = anchored.signatures;
  const later = windowBundle(s, anchored, SLOT + 2, SLOT + 7);
  const of = { bundle: { shared: "window" } };
  const stale = head.end as { head: { epoch: number } };
  return file(
    "Windows: a bundle with a patch (RFC 6902), the reader's pin if any, and the report or the code of the refusal",
    [
      ["complete", "verify", of],
      ["complete, committee pinned", "verify", { ...of, committee: configDigest(who.config) }],
      ["with holes", "verify", { bundle: { shared: "holed" } }],
      ["ended by a head", "verify", { bundle: { shared: "head" } }],
      ["without packs", "verify", { bundle: { shared: "empty" } }],
      ["another committee pinned", "verify", { ...of, committee: bytes32("other") }],
      ["a pack left out at the start", "verify", { ...of, patch: [remove("/packs/0")] }],
      ["a pack left out at the start, with the start moved along", "verify", { ...of, patch: [remove("/packs/0"), replace("/start", later.start)] }],
      ["a pack left out in the middle", "verify", { ...of, patch: [remove("/packs/3")] }],
      ["a pack left out at the end", "verify", { ...of, patch: [remove("/packs/5")] }],
      ["a content left out", "verify", { ...of, patch: [replace("/packs/2/content", null)] }],
      ["a content changed", "verify", { ...of, patch: [replace("/packs/2/content", changed(content, 60))] }],
      ["a header changed", "verify", { ...of, patch: [replace("/packs/2/cose", changed(cose, 100))] }],
      ["no header before the window", "verify", { ...of, patch: [replace("/start", null)] }],
      ["a key changed", "verify", { ...of, patch: [replace("/nodes/0/key", ZERO32)] }],
      ["a key left out", "verify", { ...of, patch: [remove("/nodes/0")] }],
      ["a content given for a hole", "verify", { bundle: { shared: "holed" }, patch: [replace("/packs/1/content", content)] }],
      ["signed by two of four", "verify", { ...of, patch: [remove("/anchoring/signatures/0")] }],
      ["a signer twice", "verify", { ...of, patch: [replace("/anchoring/signatures/1", signatures[0])] }],
      ["signers out of order", "verify", { ...of, patch: [replace("/anchoring/signatures/0", signatures[1]), replace("/anchoring/signatures/1", signatures[0])] }],
      ["a signature of a stranger", "verify", { ...of, patch: [replace("/anchoring/signatures/2", signDigest(sha256(utf8("stranger")), sha256(utf8("x"))))] }],
      ["another epoch", "verify", { ...of, patch: [replace("/anchoring/epoch/readings", 99)] }],
      ["another path", "verify", { ...of, patch: [remove("/anchoring/path/0")] }],
      ["another chain", "verify", { ...of, patch: [replace("/chain/chainId", 1)] }],
      ["another device key", "verify", { ...of, patch: [replace("/keys/0/spki", toBase64(spkiOfPoint(fromHex(`0x04${"11".repeat(64)}`))))] }],
      ["another stream", "verify", { ...of, patch: [replace("/stream/ownerEpoch", 2)] }],
      ["judged by an earlier epoch", "verify", { ...of, patch: [replace("/window/asOfEpoch", 0)] }],
      ["a stale head", "verify", { bundle: { shared: "head" }, patch: [replace("/window/asOfEpoch", stale.head.epoch + 1)] }],
      ["a head of two of four", "verify", { bundle: { shared: "head" }, patch: [remove("/end/signatures/0")] }],
      ["a head that does not reach the window's end", "verify", { bundle: { shared: "head" }, patch: [replace("/window/toSlot", SLOT + 9), replace("/nodes", plainNodes(s, SLOT + 2, SLOT + 9))] }],
      ["an end that is none", "verify", { ...of, patch: [replace("/end", { kind: "ended" })] }],
    ],
    { window: plain(bundle), holed: plain(holed), head: plain(head), empty: plain(empty) },
  ); // prettier-ignore
}

const plainNodes = (s: TestStream, from: number, to: number) =>
  windowBundle(s, anchorAll(s, committee(4, fixedRandom("committee"))), from, to).nodes;

function reading(): VectorFile {
  const { stream: s, anchored } = city();
  const built = s.packs[4] as Built;
  const bundle = readingBundle(s, anchored, built, 1);
  const other = readingBundle(s, anchored, built, 2);
  const of = { bundle: { shared: "reading" } };
  return file(
    "One disclosed reading: a bundle with a patch (RFC 6902) and the report or the code of the refusal",
    [
      ["right", "verify", of],
      ["another value", "verify", { ...of, patch: [replace("/record", other.record)] }],
      ["another index", "verify", { ...of, patch: [replace("/index", 2)] }],
      ["an index outside the pack", "verify", { ...of, patch: [replace("/index", 3)] }],
      ["another salt", "verify", { ...of, patch: [replace("/salt", other.salt)] }],
      ["another path", "verify", { ...of, patch: [replace("/path", other.path)] }],
      ["another header", "verify", { ...of, patch: [replace("/cose", toBase64((s.packs[3] as Built).cose))] }],
    ],
    { reading: plain(bundle) },
  ); // prettier-ignore
}

/** What a real network of four validators said, then five, then four others; and one of a single validator. */
interface Recorded {
  four: { validators: [Hex[], Hex[], Hex[]]; lateRound: { header: string }; bundle: WindowBundle };
  one: { validators: Hex[]; anchor: Hex; hash: Hex; certificate: Certificate };
}

function certificate(): VectorFile {
  const { four, one } = JSON.parse(readFileSync(new URL("recorded/quorum.json", import.meta.url), "utf8")) as Recorded;
  const { bundle, validators } = four;
  const { epochs, changes } = bundle.certificate as Certificate;
  const [first, second, third] = epochs as [EpochCertificate, EpochCertificate, EpochCertificate];
  const hex = (text: string) => toHex(fromBase64(text));
  const header = (text: string, set: readonly Hex[]) => ({ header: hex(text), validators: set });
  const state = (epoch: EpochCertificate, key: Hex) => ({
    root: decodeSealedHeader(fromBase64(epoch.header)).stateRoot,
    key,
    nodes: epoch.account.map(hex),
  });
  const accountOf = (proof: { header: string; account: string[] }, address: Hex) => {
    const { stateRoot } = decodeSealedHeader(fromBase64(proof.header));
    return rlpList(rlpDecode(trieValue(fromHex(stateRoot), fromHex(address), proof.account.map(fromBase64))));
  };
  const storage = (epoch: EpochCertificate) => ({
    root: toHex(rlpBytes(accountOf(epoch, bundle.chain.anchor)[2])),
    key: epochSlot(epoch.number),
    nodes: epoch.storage.map(hex),
  });
  const reached = storage(third);
  const device = (bundle.certificate as Certificate).device as DeviceCertificate;
  const { key, state: deviceState } = deviceSlots(bundle.stream.deviceId, 1);
  const registered = (slot: Hex, nodes: string[]) => ({
    ...{ root: toHex(rlpBytes(accountOf(device, bundle.chain.registry as Hex)[2])), key: slot, nodes: nodes.map(hex) },
  });
  const only = (epoch: EpochCertificate) => ({ changes: [], epochs: [epoch] });
  const of = { bundle: { shared: "bundle" } };
  const [four0, five, four1] = validators;
  return file(
    "Blocks that prove themselves, as GoQuorum 24.4.1 wrote them: sealed headers, proofs of the state, and a window with the chain's certificate under the reader's pin",
    [
      ["a block of four validators", "sealedHeader", header(first.header, four0)],
      ["a block of five, with the first four pinned", "sealedHeader", header(second.header, four0)],
      ["a block of five", "sealedHeader", header(second.header, five)],
      ["a block of four others", "sealedHeader", header(third.header, four1)],
      ["a block that was agreed on in a later round", "sealedHeader", header(four.lateRound.header, four1)],
      ["a block of one validator", "sealedHeader", header((one.certificate.epochs[0] as EpochCertificate).header, one.validators)],
      ["a block with a vote for a validator", "sealedHeader", header(changes[0]?.[0] as string, four0)],
      ["a block with a vote against one", "sealedHeader", header(changes[1]?.[0] as string, five)],
      ["three seals where a network of six needs four", "sealedHeader", header(first.header, [...four0, ZERO_ADDRESS, `0x${"01".repeat(20)}`])],
      ["the slot of epoch 1", "epochSlot", { number: 1 }],
      ["the slot of a late epoch", "epochSlot", { number: 4_294_967_296 }],
      ["the anchor's account", "trieValue", state(third, bundle.chain.anchor)],
      ["another account", "trieValue", state(third, `0x${"a1".repeat(20)}`)],
      ["an epoch's word", "trieValue", reached],
      ["another key", "trieValue", { ...reached, key: epochSlot(99) }],
      ["another root", "trieValue", { ...reached, root: ZERO32 }],
      ["a node left out", "trieValue", { ...reached, nodes: reached.nodes.slice(0, -1) }],
      ["a node too many", "trieValue", { ...reached, nodes: [...reached.nodes, reached.nodes[0]] }],
      ["nodes in another order", "trieValue", { ...reached, nodes: [...reached.nodes].reverse() }],
      ["certified, nobody pinned", "verify", of],
      ["certified from the first validators on", "verify", { ...of, validators: four0 }],
      ["certified, with the first epoch older than the validators pinned", "verify", { ...of, validators: five }],
      ["certified by the last validators", "verify", { ...of, validators: four1, patch: [replace("/certificate", only(third))] }],
      ["one epoch certified, after both changes", "verify", { ...of, validators: four0, patch: [replace("/certificate/epochs", [third])] }],
      ["other validators pinned", "verify", { ...of, validators: one.validators }],
      ["one pinned validator left out", "verify", { ...of, validators: four0.slice(1) }],
      ["no certificate", "verify", { ...of, validators: four0, patch: [remove("/certificate")] }],
      ["a certificate of an epoch that proves nothing here", "verify", { ...of, patch: [replace("/certificate", only({ ...first, number: 7 }))] }],
      ["a certificate of another epoch only", "verify", { ...of, patch: [replace("/certificate", only(first))] }],
      ["a certificate twice", "verify", { ...of, patch: [replace("/certificate", { changes: [], epochs: [third, third] })] }],
      ["a change left out", "verify", { ...of, patch: [remove("/certificate/changes/0")] }],
      ["both changes left out", "verify", { ...of, patch: [replace("/certificate/changes", [])] }],
      ["changes in another order", "verify", { ...of, patch: [replace("/certificate/changes", [...changes].reverse())] }],
      ["a vote left out", "verify", { ...of, patch: [remove("/certificate/changes/0/0")] }],
      ["a vote left out in the middle", "verify", { ...of, patch: [remove("/certificate/changes/1/1")] }],
      ["a block too many in a change", "verify", { ...of, patch: [replace("/certificate/changes/0", [...(changes[0] as string[]), second.header])] }],
      ["a proof of another block", "verify", { ...of, patch: [replace("/certificate/epochs/2/header", second.header)] }],
      ["a proof of another epoch", "verify", { ...of, patch: [replace("/certificate/epochs/2/storage", second.storage)] }],
      ["the hash of a device's key", "trieValue", registered(key, device.key)],
      ["a device's state", "trieValue", registered(deviceState, device.state)],
      ["a device's key certified by the last validators", "verify", { ...of, validators: four1, patch: [replace("/certificate", { ...only(third), device })] }],
      ["no certificate of the device's key", "verify", { ...of, validators: four0, patch: [remove("/certificate/device")] }],
      ["a device's key by an older block than the validators pinned", "verify", { ...of, validators: four1, patch: [replace("/certificate", { ...only(third), device: { ...device, header: first.header } })] }],
      ["a device's key proved in another block", "verify", { ...of, patch: [replace("/certificate/device/header", second.header)] }],
      ["a device's state in place of its key", "verify", { ...of, patch: [replace("/certificate/device/key", device.state)] }],
      ["a device's key in place of its state", "verify", { ...of, patch: [replace("/certificate/device/state", device.key)] }],
      ["a device certified by a chain whose registry is not named", "verify", { ...of, patch: [remove("/chain/registry")] }],
      ["a device in another registry", "verify", { ...of, patch: [replace("/chain/registry", bundle.chain.anchor)] }],
    ],
    { bundle: plain(bundle) },
  ); // prettier-ignore
}

/** A bundle with its deal is in a file of its own: it has the one thing that JSON can't hold, integers over 2^53. */
export function savedDeal(): string {
  const { stream: s, anchored } = city();
  const bundle = windowBundle(s, anchored, SLOT + 1, SLOT + 4);
  return encodeBundle({ ...bundle, deal: aDeal(bundle, 4, 6) });
}

/** Every file of the folder by its name. */
export function makeVectors(): Record<string, string> {
  const files: Record<string, VectorFile> = {
    hash: hash(),
    struct: struct(),
    stream: stream(),
    record: record(),
    cbor: cbor(),
    merkle: merkle(),
    keytree: keytree(),
    cover: coverFile(),
    puncture: punctureFile(),
    pack: pack(),
    "sealed-pack": sealedPack(),
    cipher: cipher(),
    epoch: epoch(),
    header: header(),
    signature: file(
      "Signatures of device keys over a message: ES256 (r ‖ s, s low) and RS256 (PKCS#1 v1.5), whether each is the key's; keys in any other form are refused. The contracts are held to the same file",
      signatureCases(),
    ),
    statements: statements(),
    delivery: delivery(),
    subscription: subscription(),
    window: window(),
    reading: reading(),
    certificate: certificate(),
  };
  return {
    ...Object.fromEntries(
      Object.entries(files).map(([name, f]) => [`${name}.json`, `${JSON.stringify(f, null, 1)}\n`]),
    ),
    "deal.bundle.json": savedDeal(),
  };
}

if (process.argv[1] === import.meta.filename)
  for (const [name, text] of Object.entries(makeVectors())) writeFileSync(new URL(name, import.meta.url), text);
