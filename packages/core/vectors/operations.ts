import { p256 } from "@noble/curves/nist.js";
import {
  addressOfKey,
  anchorDomain,
  buildEpoch,
  buyerNodes,
  cborDecode,
  cborEncode,
  checkHeader,
  checkSeals,
  checkSignature,
  type Config,
  CONFIG,
  configDigest,
  contentCid,
  contentOpens,
  cover,
  DEAL,
  DEAL_KEYS,
  dealSecret,
  decodeCose,
  decodeMessage,
  decodeRecord,
  decodeSealedHeader,
  deliver,
  deliveryHash,
  derive,
  deviceIdOfEk,
  deviceIdOfSoftware,
  type Domain,
  encodeCose,
  encodeProtected,
  sigStructure,
  encodeMessage,
  encodeRecord,
  encodeSchema,
  AGREEMENT,
  batchId,
  checkSharedPoint,
  type CompactPoint,
  ENROL,
  FACTS,
  EPOCH,
  epochHash,
  epochSlot,
  epochTree,
  type Fields,
  fromHex,
  hashStruct,
  HEAD,
  headerSlot,
  type Hex,
  HOLDERS,
  ROTATION,
  TRANSFER,
  ENDORSEMENT,
  QUOTE,
  BINDING,
  GRANT,
  REVOCATION,
  REVOCATION_OF_ALL,
  ERASURE_REQUEST,
  SUBJECT_ERASURE,
  ERASED,
  purposeHash,
  keyAlgOf,
  verifySignature,
  holesHash,
  keccak256,
  keyCommitment,
  keyHash,
  keyNodeLeaf,
  keysTree,
  leafNode,
  merkleTree,
  type NodePlace,
  OFFER,
  OPENED,
  openPack,
  PACK,
  type Pack,
  packAad,
  packKey,
  packLeaf,
  packOf,
  parseNumber,
  preparePack,
  proveSharedPoint,
  ProtocolError,
  puncture,
  readingSalt,
  readingTree,
  RECEIPT,
  REFUSED,
  REQUEST,
  rootNode,
  type SenmlRecord,
  sha256,
  signTyped,
  slotOf,
  type SlotRange,
  spkiOfPoint,
  type SharedPoint,
  STREAM,
  streamId,
  streamOf,
  type StreamPreimage,
  type StructType,
  subscriptionKey,
  SUBSCRIPTION_KEYS,
  SUBSCRIPTION_OFFER,
  SUBSCRIPTION_TERMS,
  THING_DESCRIPTION,
  toHex,
  trieValue,
  typedDataDigest,
  unmask,
  validatorSet,
  valueText,
  verify,
  wrongKeyWitness,
} from "../src/index.ts";

// What each kind of vector computes: from the `in` of a case to its `out`. The same code makes the files and checks
// them, in Node and in a browser. In the files bytes are hex, integers over 2^53 decimal text.

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a case is JSON; every operation says what it reads
type Json = any;

const structs = Object.fromEntries(
  [
    ...[STREAM, PACK, EPOCH, CONFIG, HOLDERS, OPENED, REFUSED, RECEIPT, HEAD, DEAL_KEYS, DEAL, OFFER, REQUEST, ENROL],
    ...[ROTATION, TRANSFER, ENDORSEMENT, QUOTE, THING_DESCRIPTION],
    ...[BINDING, GRANT, REVOCATION, REVOCATION_OF_ALL, ERASURE_REQUEST, SUBJECT_ERASURE, ERASED, FACTS, AGREEMENT],
    ...[SUBSCRIPTION_OFFER, SUBSCRIPTION_TERMS, SUBSCRIPTION_KEYS],
  ].map((s) => [s.name, s]),
) as unknown as Record<string, StructType<Fields>>;

/** Fields of uint128 and uint256 are decimal text in JSON. */
function structValue(struct: StructType<Fields>, value: Record<string, unknown>): never {
  const wide = new Set(struct.fields.filter(([type]) => /^uint(128|256)$/.test(type)).map(([, name]) => name));
  return Object.fromEntries(
    Object.entries(value).map(([name, v]) => [name, wide.has(name) ? BigInt(v as string) : v]),
  ) as never;
}

const pointOf = ({ x, v }: Json): CompactPoint => ({ x: BigInt(x), v });
const wide = (value: bigint) => `0x${value.toString(16).padStart(64, "0")}`;
const numbersJson = (value: Record<string, bigint | number>): Json =>
  Object.fromEntries(Object.entries(value).map(([k, v]) => [k, typeof v === "bigint" ? wide(v) : v]));
const pointJson = (point: CompactPoint): Json => numbersJson({ x: point.x, v: point.v });

/** A reading in JSON: `v` is decimal text, `vd` hex. */
function readingOf({ n, u, v, vs, vb, vd, tMs }: Json): SenmlRecord {
  const record: SenmlRecord = { n, tMs };
  if (u !== undefined) record.u = u;
  if (v !== undefined) record.v = parseNumber(v) as number;
  if (vs !== undefined) record.vs = vs;
  if (vb !== undefined) record.vb = vb;
  if (vd !== undefined) record.vd = fromHex(vd);
  return record;
}

function readingJson({ n, u, v, vs, vb, vd, tMs }: SenmlRecord): Json {
  return {
    n,
    ...(u === undefined ? {} : { u }),
    ...(v === undefined ? {} : { v: valueText({ n, v, tMs }) }),
    ...(vs === undefined ? {} : { vs }),
    ...(vb === undefined ? {} : { vb }),
    ...(vd === undefined ? {} : { vd: toHex(vd) }),
    tMs,
  };
}

const nodeJson = ({ depth, firstSlot, key }: NodePlace & { key: Uint8Array }) => ({
  depth,
  firstSlot,
  key: toHex(key),
});
const place = ({ depth, firstSlot }: NodePlace) => [depth, firstSlot];

/** RFC 6902, as far as the vectors use it: replace, remove and add. */
function patched(document: Json, patch: { op: string; path: string; value?: Json }[]): Json {
  const copy = structuredClone(document);
  for (const { op, path, value } of patch) {
    const keys = path.split("/").slice(1);
    const last = keys.pop() as string;
    let at = copy;
    for (const key of keys) at = at[key];
    if (Array.isArray(at) && op !== "replace")
      at.splice(Number(last), op === "remove" ? 1 : 0, ...(op === "add" ? [value] : []));
    else if (op === "remove") delete at[last];
    else at[last] = value;
  }
  return copy;
}

function pack(input: Json) {
  const stream = structuredClone(input.stream) as StreamPreimage;
  const secret = fromHex(input.deviceSecret);
  const spki = spkiOfPoint(p256.getPublicKey(secret, false));
  const leaf = leafNode([rootNode(fromHex(input.seed))], input.slot);
  const readings = (input.readings as Json[]).map(readingOf);
  const unsigned = preparePack({
    stream,
    leaf,
    keyEpoch: input.keyEpoch,
    bootEpoch: input.bootEpoch,
    seq: input.seq,
    flags: input.flags,
    previous: input.previous,
    readings,
    slot: input.slot,
    attestation: input.attestation,
    beacon: input.beacon,
    packSalt: fromHex(input.packSalt),
    nonce: fromHex(input.nonce),
    keyHash: keyHash(spki),
  });
  const signature = p256.sign(unsigned.toBeSigned, secret, { prehash: true, lowS: true });
  const cose = encodeCose(unsigned.protectedHeader, unsigned.headerBytes, signature);
  const signed = decodeCose(cose);
  const opened = openPack(stream, signed.header, leaf, unsigned.content);
  const tree = readingTree(opened.packSalt, opened.records);
  const aad = packAad(unsigned.header.streamId, input.keyEpoch, input.seq);
  return {
    spki: toHex(spki),
    streamId: unsigned.header.streamId,
    leafNode: toHex(leaf),
    aad: toHex(aad),
    packKey: toHex(packKey(leaf, aad)),
    records: opened.records.map(toHex),
    salts: opened.records.map((_, i) => toHex(readingSalt(opened.packSalt, i))),
    paths: opened.records.map((_, i) => tree.proof(i).map(toHex)),
    content: toHex(unsigned.content),
    cid: contentCid(unsigned.header.contentDigest),
    header: toHex(unsigned.headerBytes),
    fields: unsigned.header,
    protectedHeader: toHex(unsigned.protectedHeader),
    toBeSigned: toHex(unsigned.toBeSigned),
    headerDigest: unsigned.headerDigest,
    cose: toHex(cose),
    message: toHex(encodeMessage(cose, unsigned.content)),
    pack: packOf(stream, signed),
    packLeaf: packLeaf(packOf(stream, signed)),
  };
}

export const operations: Record<string, (input: Json) => Json> = {
  hash: ({ bytes }) => ({ keccak256: toHex(keccak256(fromHex(bytes))), sha256: toHex(sha256(fromHex(bytes))) }),
  purpose: (x: Json) => purposeHash(x),
  toBeSigned: ({ header, spki }) => {
    const key = fromHex(spki);
    const protectedHeader = encodeProtected(keyHash(key), keyAlgOf(key));
    const structure = sigStructure(protectedHeader, fromHex(header));
    return {
      protectedHeader: toHex(protectedHeader),
      toBeSigned: toHex(structure),
      headerDigest: toHex(sha256(structure)),
    };
  },
  signedHeader: ({ cose, spki }) => {
    const signed = decodeCose(fromHex(cose));
    checkSignature(signed, fromHex(spki));
    return { keyAlg: signed.keyAlg, keyHash: signed.keyHash, headerDigest: signed.headerDigest, header: signed.header };
  },
  signature: ({ spki, message, signature }) => ({
    keyAlg: keyAlgOf(fromHex(spki)),
    keyHash: keyHash(fromHex(spki)),
    valid: verifySignature(fromHex(spki), fromHex(message), fromHex(signature)),
  }),
  deviceIds: ({ spki, ekPublicArea }) => ({
    keyHash: keyHash(fromHex(spki)),
    software: deviceIdOfSoftware(fromHex(spki)),
    tpm: deviceIdOfEk(fromHex(ekPublicArea)),
  }),
  struct: ({ type, value, domain }) => {
    const struct = structs[type] as StructType<Fields>;
    const v = structValue(struct, value);
    return {
      encodeType: struct.encodeType,
      typeHash: toHex(struct.typeHash),
      hashStruct: hashStruct(struct, v),
      digest: toHex(typedDataDigest(domain as Domain, struct, v)),
    };
  },
  sign: ({ type, value, domain, secret }) => {
    const struct = structs[type] as StructType<Fields>;
    const v = structValue(struct, value);
    return {
      signer: addressOfKey(fromHex(secret)),
      hashStruct: hashStruct(struct, v),
      digest: toHex(typedDataDigest(domain, struct, v)),
      signature: signTyped(fromHex(secret), domain, struct, v),
    };
  },
  stream: ({ preimage }) => {
    const p = structuredClone(preimage) as StreamPreimage;
    return { schema: toHex(encodeSchema(p.schema)), struct: streamOf(p), streamId: streamId(p) };
  },
  slot: ({ timeMs, slotSeconds }) => ({ slot: slotOf(timeMs, slotSeconds) }),
  encodeRecord: ({ reading }) => {
    const bytes = encodeRecord(readingOf(reading));
    return { record: toHex(bytes), read: readingJson(decodeRecord(bytes)) };
  },
  decodeRecord: ({ record }) => ({ read: readingJson(decodeRecord(fromHex(record))) }),
  decodeCbor: ({ bytes }) => ({ again: toHex(cborEncode(cborDecode(fromHex(bytes)))) }),
  merkle: ({ leaves }) => {
    const tree = merkleTree((leaves as Hex[]).map((l) => fromHex(l)));
    return { root: toHex(tree.root), proofs: (leaves as Hex[]).map((_, i) => tree.proof(i).map(toHex)) };
  },
  packKey: ({ seed, slot, streamId, keyEpoch, seq }) => {
    const leaf = leafNode([rootNode(fromHex(seed))], slot);
    const aad = packAad(streamId, keyEpoch, seq);
    const key = packKey(leaf, aad);
    return { leaf: toHex(leaf), aad: toHex(aad), packKey: toHex(key), keyCommitment: toHex(keyCommitment(key)) };
  },
  nodes: ({ seed, places }) => ({
    keys: derive(
      [rootNode(fromHex(seed))],
      (places as [number, number][]).map(([depth, firstSlot]) => ({ depth, firstSlot })),
    ).map((n) => toHex(n.key)),
  }),
  cover: ({ fromSlot, toSlot, holes }) => ({
    places: cover(fromSlot, toSlot, holes as SlotRange[]).map(place),
    holesHash: holesHash(holes as SlotRange[]),
  }),
  puncture: ({ seed, ranges }) => {
    let frontier = [rootNode(fromHex(seed))];
    for (const [from, to] of ranges as SlotRange[]) frontier = puncture(frontier, from, to);
    return { frontier: frontier.map(nodeJson) };
  },
  opens: ({ packKey, streamId, keyEpoch, seq, content }) => ({
    opens: contentOpens(fromHex(packKey), packAad(streamId, keyEpoch, seq), fromHex(content)),
  }),
  pack,
  openMessage: ({ stream, message, leaf, spki }) => {
    const preimage = structuredClone(stream) as StreamPreimage;
    const { cose, content } = decodeMessage(fromHex(message));
    const signed = decodeCose(cose);
    checkHeader(preimage, signed.header, content.length);
    checkSignature(signed, fromHex(spki));
    const opened = openPack(preimage, signed.header, fromHex(leaf), content);
    return { slot: headerSlot(preimage, signed.header), readings: opened.readings.map(readingJson) };
  },
  epoch: ({ packs, number, prev, closedAt, stateBlock, config, chainId, anchor, secrets }) => {
    const tree = epochTree(packs as Pack[]);
    const fields = { number, prev, closedAt, stateBlock, configDigest: configDigest(config as Config) };
    const epoch = buildEpoch(tree, fields);
    return {
      leaves: tree.leaves,
      paths: tree.leaves.map((_, i) => tree.tree.proof(i).map(toHex)),
      epoch,
      epochHash: epochHash(epoch),
      signatures: (secrets as Hex[]).map((s) => signTyped(fromHex(s), anchorDomain(chainId, anchor), EPOCH, epoch)),
    };
  },
  delivery: ({ context, signature, seed, fromSlot, toSlot, holes, e, claim }) => {
    const places = cover(fromSlot, toSlot, holes);
    const keys = derive([rootNode(fromHex(seed))], places);
    const secret = dealSecret(signature);
    const nodes = buyerNodes(secret, places);
    const tree = keysTree(nodes);
    const delivery = deliver(context, fromHex(e), nodes, keys);
    const point = ({ x, y }: { x: bigint; y: bigint }) => ({ x: String(x), y: String(y) });
    const { b, B, S } = wrongKeyWitness(secret, claim, delivery);
    return {
      secret: toHex(secret),
      nodes: nodes.map((n, i) => ({
        depth: n.depth,
        firstSlot: n.firstSlot,
        x: String(n.x),
        v: n.v,
        leaf: toHex(keyNodeLeaf(i, n)),
      })),
      keysRoot: toHex(tree.root),
      E: { x: String(delivery.E.x), v: delivery.E.v },
      masked: delivery.masked,
      deliveryHash: deliveryHash(delivery),
      unmasked: unmask(context, secret, nodes, delivery).map((n) => toHex(n.key)),
      witness: { i: claim, path: tree.proof(claim).map(toHex), b: String(b), B: point(B), S: point(S) },
    };
  },
  sharedPoint: ({ secret, E, subscriptionId, number }) => {
    const context = batchId(subscriptionId, number);
    const B = subscriptionKey(fromHex(secret));
    const proof = proveSharedPoint(fromHex(secret), pointOf(E), context);
    return { batchId: context, B: pointJson(B), proof: numbersJson({ ...proof }) };
  },
  sharedPointHolds: ({ context, B, E, proof }) => ({
    holds: checkSharedPoint(
      Object.fromEntries(
        Object.entries(proof as Record<string, string | number>).map(([k, v]) => [k, k === "v" ? v : BigInt(v)]),
      ) as unknown as SharedPoint,
      context,
      pointOf(B),
      pointOf(E),
    ),
  }),
  sealedHeader: ({ header, validators }) => {
    const { number, timestamp, hash, sealHash, stateRoot, round, vote, ...sealed } = decodeSealedHeader(
      fromHex(header),
    );
    const { proposer, parentHash, validators: listed } = sealed;
    const seals = sealed.seals.map(toHex);
    const read = { number, timestamp, parentHash, proposer, stateRoot, listed, vote, round, seals, hash, sealHash };
    return { ...read, signers: checkSeals(decodeSealedHeader(fromHex(header)), validatorSet(validators)) };
  },
  trieValue: ({ root, key, nodes }) =>
    toHex(
      trieValue(
        fromHex(root),
        fromHex(key),
        nodes.map((n: Hex) => fromHex(n)),
      ),
    ),
  epochSlot: ({ number }) => epochSlot(number),
  verify: ({ bundle, patch, committee, validators }) => {
    const report = verify(patched(bundle, patch ?? []), {
      ...(committee === undefined ? {} : { committee }),
      ...(validators === undefined ? {} : { validators }),
    });
    if (report.kind === "reading") return { ...report, row: readingJson(report.row) };
    return { ...report, rows: report.rows.map(readingJson) };
  },
};

export interface Case {
  what: string;
  operation: string;
  in: Json;
  out: Json;
}

export interface VectorFile {
  about: string;
  /** Values that cases share: an `in` names them as {"shared": name} at its top level. */
  shared?: Record<string, Json>;
  cases: Case[];
}

/** Runs a case's operation; a refusal is an outcome like any other. */
export function outcome(file: Pick<VectorFile, "shared">, operation: string, input: Json): Json {
  const resolved = Object.fromEntries(
    Object.entries(input as Record<string, Json>).map(([key, value]) => [
      key,
      typeof value === "object" && value !== null && "shared" in value ? file.shared?.[value.shared] : value,
    ]),
  );
  try {
    const run = operations[operation];
    if (run === undefined) throw new Error(`no operation ${operation}`);
    return run(resolved);
  } catch (error) {
    if (error instanceof ProtocolError) return { refused: error.code };
    throw error;
  }
}

/** The cases of a file whose outcome is another one than the file says. */
export function mismatches(file: VectorFile): string[] {
  return file.cases.filter((c) => canonical(outcome(file, c.operation, c.in)) !== canonical(c.out)).map((c) => c.what);
}

const canonical = (value: Json): string =>
  JSON.stringify(value, (_, v) =>
    typeof v === "object" && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );
