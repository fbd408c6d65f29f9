import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { p256 } from "@noble/curves/nist.js";
import {
  addressOfKey,
  anchorDomain,
  buildEpoch,
  type BundlePack,
  type Config,
  configDigest,
  cover,
  deviceIdOfSoftware,
  derive,
  encodeCose,
  type EndEvidence,
  EPOCH,
  epochHash,
  HEAD,
  type Head,
  openPack,
  type ReadingBundle,
  readingSalt,
  readingTree,
  epochTree,
  type Epoch,
  type Hex,
  type Header,
  keyHash,
  leafNode,
  type PackInput,
  packOf,
  preparePack,
  rootNode,
  type SenmlRecord,
  type SignedHeader,
  signTyped,
  slotOf,
  type StreamPreimage,
  toBase64,
  toHex,
  type TreeNode,
  decodeCose,
  ZERO32,
  type WindowBundle,
  type Anchoring,
  quorum,
  type SlotRange,
  sha256,
  spkiOfPoint,
  streamId,
  utf8,
} from "../src/index.ts";

const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** Where a test takes its random bytes from. */
export type Random = (length: number) => Uint8Array;

/** Bytes that are the same in every run: S(label ‖ counter), cut to length. */
export function fixedRandom(label: string): Random {
  let counter = 0;
  return (length) => sha256(utf8(`${label} ${counter++}`)).slice(0, length);
}

/** A P-256 signing key whose signatures are the same in every run (RFC 6979), low s. */
export function fixedDeviceKey(secret: Uint8Array) {
  return {
    spki: spkiOfPoint(p256.getPublicKey(secret, false)),
    sign: (message: Uint8Array): Uint8Array => p256.sign(message, secret, { prehash: true, lowS: true }),
  };
}

/** A P-256 signing key in software, low s. */
export function deviceKey() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  return {
    spki,
    sign(message: Uint8Array): Uint8Array {
      const raw = sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" });
      const s = BigInt(toHex(raw.subarray(32)));
      if (s > N / 2n) raw.set(Buffer.from((N - s).toString(16).padStart(64, "0"), "hex"), 32);
      return new Uint8Array(raw);
    },
  };
}

export const CHAIN = { chainId: 31337, anchor: `0x${"a1".repeat(20)}` as Hex };

/** A committee of four with keys in memory. */
export function committee(n = 4, random: Random = (length) => new Uint8Array(randomBytes(length))) {
  const keys = Array.from({ length: n }, () => random(32)).sort((a, b) => (addressOfKey(a) < addressOfKey(b) ? -1 : 1));
  const config: Config = {
    q: quorum(n),
    members: keys.map(addressOfKey),
    organisations: keys.map((_, i) => `0x${(i + 1).toString(16).padStart(64, "0")}` as Hex),
    fromEpoch: 1,
  };
  return { keys, config };
}

export interface Built {
  cose: Uint8Array;
  content: Uint8Array;
  signed: SignedHeader;
}

/** One device, one stream, and everything that happens to its packs: enough of a city to test the protocol with. */
export class TestStream {
  readonly key: ReturnType<typeof fixedDeviceKey>;
  readonly seed: Uint8Array;
  readonly preimage: StreamPreimage;
  readonly random: Random;
  packs: Built[] = [];
  /** With `random` given, everything is the same in every run. */
  constructor(mode = 0, slotSeconds = 60, random?: Random) {
    this.random = random ?? ((length) => new Uint8Array(randomBytes(length)));
    this.key = random ? fixedDeviceKey(random(32)) : deviceKey();
    this.seed = this.random(32);
    const sealed = mode === 1;
    this.preimage = {
      deviceId: deviceIdOfSoftware(this.key.spki),
      ownerEpoch: 1,
      name: "park-1",
      schema: {
        quantities: [
          { name: "CO", unit: "mg/m3", text: "CO(GT)" },
          { name: "T", unit: "Cel", text: "T" },
        ],
        retainDays: 0,
        padCount: sealed ? 4 : 0,
        padBytes: sealed ? 400 : 0,
      },
      slotSeconds: mode === 2 ? 0 : slotSeconds,
      mode,
      salt: toHex(this.random(32)),
    };
  }
  get id(): Hex {
    return streamId(this.preimage);
  }
  get frontier(): TreeNode[] {
    return [rootNode(this.seed)];
  }

  prepare(readings: SenmlRecord[], override: Partial<PackInput> = {}) {
    const last = this.packs[this.packs.length - 1]?.signed;
    const slot = override.slot ?? slotOf(readings[0]?.tMs ?? 0, this.preimage.slotSeconds);
    return preparePack({
      stream: this.preimage,
      leaf: leafNode(this.frontier, slot),
      keyEpoch: 1,
      bootEpoch: 1,
      seq: (last?.header.seq ?? 0) + 1,
      flags: 0,
      previous: last?.headerDigest ?? ZERO32,
      readings,
      slot,
      packSalt: this.random(32),
      nonce: this.random(12),
      keyHash: keyHash(this.key.spki),
      ...override,
    });
  }
  add(readings: SenmlRecord[], override: Partial<PackInput> = {}): Built {
    const unsigned = this.prepare(readings, override);
    const cose = encodeCose(unsigned.protectedHeader, unsigned.headerBytes, this.key.sign(unsigned.toBeSigned));
    const built = { cose, content: unsigned.content, signed: decodeCose(cose) };
    this.packs.push(built);
    return built;
  }
  /** One pack a slot from `firstSlot`, one reading each. */
  fill(firstSlot: number, count: number, skip: number[] = []): this {
    for (let i = 0; i < count; i++) {
      if (skip.includes(i)) continue;
      const tMs = (firstSlot + i) * this.preimage.slotSeconds * 1000 + 500;
      this.add([{ n: "CO", u: "mg/m3", v: 1 + i / 10, tMs }], { slot: firstSlot + i });
    }
    return this;
  }
}

/** Anchors packs in one epoch with q signatures. */
export function anchorAll(
  stream: TestStream,
  who: ReturnType<typeof committee>,
  built = stream.packs,
  fields: Partial<Epoch> = {},
  previous?: Epoch,
  chain = CHAIN,
) {
  const tree = epochTree(built.map((b) => packOf(stream.preimage, b.signed)));
  const epoch = {
    ...buildEpoch(tree, {
      number: (previous?.number ?? 0) + 1,
      prev: previous ? epochHash(previous) : ZERO32,
      closedAt: Math.max(...built.map((b) => b.signed.header.toMs)) + 1000,
      stateBlock: 5,
      configDigest: configDigest(who.config),
    }),
    ...fields,
  };
  const domain = anchorDomain(chain.chainId, chain.anchor);
  const signatures = who.keys.slice(0, who.config.q).map((k) => signTyped(k, domain, EPOCH, epoch));
  return {
    epoch,
    signatures,
    tree,
    anchoring(b: Built): Anchoring {
      const i = tree.packs.findIndex((p) => p.headerDigest === b.signed.headerDigest);
      return { epoch, path: tree.tree.proof(i).map(toHex), signatures, config: who.config };
    },
  };
}

/** The bundle of a window whose end is shown by a successor. */
export function windowBundle(
  stream: TestStream,
  anchored: ReturnType<typeof anchorAll>,
  fromSlot: number,
  toSlot: number,
  holes: SlotRange[] = [],
): WindowBundle {
  const slot = (h: Header) => slotOf(h.fromMs, stream.preimage.slotSeconds);
  const inside = stream.packs.filter((b) => slot(b.signed.header) >= fromSlot && slot(b.signed.header) <= toSlot);
  const before = stream.packs.filter((b) => slot(b.signed.header) < fromSlot).pop();
  const after = stream.packs.find((b) => slot(b.signed.header) > toSlot);
  const last = after ?? inside[inside.length - 1] ?? before;
  if (!last) throw new Error("no pack");
  const erased = (h: Header) => holes.some(([a, b]) => slot(h) >= a && slot(h) <= b);
  return {
    format: "msec.window/1",
    chain: CHAIN,
    stream: stream.preimage,
    keys: [{ keyEpoch: 1, spki: toBase64(stream.key.spki) }],
    window: { fromSlot, toSlot, holes, asOfEpoch: anchored.epoch.number },
    nodes: derive(stream.frontier, cover(fromSlot, toSlot, holes)).map((n) => ({
      depth: n.depth,
      firstSlot: n.firstSlot,
      key: toHex(n.key),
    })),
    start: before ? toBase64(before.cose) : null,
    packs: inside.map(
      (b): BundlePack => ({ cose: toBase64(b.cose), content: erased(b.signed.header) ? null : toBase64(b.content) }),
    ),
    end: after ? { kind: "successor", cose: toBase64(after.cose) } : { kind: "ended" },
    anchoring: anchored.anchoring(last),
  };
}

/** The bundle of one reading of a pack. */
export function readingBundle(
  stream: TestStream,
  anchored: ReturnType<typeof anchorAll>,
  built: Built,
  index: number,
): ReadingBundle {
  const { header } = built.signed;
  const slot = slotOf(header.fromMs, stream.preimage.slotSeconds);
  const { packSalt, records } = openPack(stream.preimage, header, leafNode(stream.frontier, slot), built.content);
  return {
    format: "msec.reading/1",
    chain: CHAIN,
    stream: stream.preimage,
    keys: [{ keyEpoch: 1, spki: toBase64(stream.key.spki) }],
    cose: toBase64(built.cose),
    record: toBase64(records[index] as Uint8Array),
    salt: toHex(readingSalt(packSalt, index)),
    index,
    path: readingTree(packSalt, records).proof(index).map(toHex),
    anchoring: anchored.anchoring(built),
  };
}

/** The evidence that the stream's head was its last pack at an epoch. */
export function headEvidence(
  stream: TestStream,
  who: ReturnType<typeof committee>,
  anchored: ReturnType<typeof anchorAll>,
  built = stream.packs[stream.packs.length - 1] as Built,
): EndEvidence {
  const { header, headerDigest } = built.signed;
  const { streamId, keyEpoch, seq } = header;
  const head: Head = { streamId, epoch: anchored.epoch.number, keyEpoch, seq, headerDigest };
  const domain = anchorDomain(CHAIN.chainId, CHAIN.anchor);
  return {
    kind: "head",
    head,
    epoch: anchored.epoch,
    epochSignatures: anchored.signatures,
    signatures: who.keys.slice(0, who.config.q).map((k) => signTyped(k, domain, HEAD, head)),
    config: who.config,
  };
}
