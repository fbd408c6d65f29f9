import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  cborDecode,
  cborEncode,
  checkFollows,
  checkHeader,
  checkSignature,
  concat,
  contentCid,
  decodeCose,
  decodeHeader,
  decodeMessage,
  encodeCose,
  encodeHeader,
  encodeMessage,
  encodePlaintext,
  encodeProtected,
  encodeRecord,
  FLAG,
  fromHex,
  type Header,
  headerSlot,
  isEquivocation,
  keccak256,
  keyCommitment,
  leafNode,
  MAX_CONTENT,
  openPack,
  packAad,
  type PackInput,
  packKey,
  packLeaf,
  packOf,
  readingLeaf,
  readingSalt,
  readingTree,
  sealContent,
  sha256,
  sigStructure,
  type SenmlRecord,
  slotTimes,
  toBigInt,
  toHex,
  uint,
  utf8,
  ZERO32,
} from "../src/index.ts";
import { header, mutated, record } from "./arbitraries.ts";
import { type Built, deviceKey, TestStream } from "./city.ts";
import { expectRefusal, neverCrashes } from "./expect.ts";

const SLOT = 29_000_000;
const at = (slot: number, ms = 0) => slot * 60_000 + ms;
const co = (tMs: number, v = 1.5): SenmlRecord => ({ n: "CO", u: "mg/m3", v, tMs });
const open = (stream: TestStream, { signed, content }: Pick<Built, "signed" | "content">) =>
  openPack(
    stream.preimage,
    signed.header,
    leafNode(stream.frontier, headerSlot(stream.preimage, signed.header)),
    content,
  );

test("a pack comes back with its readings, under a signature that holds", () => {
  const stream = new TestStream();
  const readings = [co(at(SLOT, 0)), { n: "T", u: "Cel", v: -3, tMs: at(SLOT, 7) }, co(at(SLOT, 59_999), 0.1)];
  const built = stream.add(readings);
  const { cose, content } = decodeMessage(encodeMessage(built.cose, built.content));
  const signed = decodeCose(cose);
  checkSignature(signed, stream.key.spki);
  checkHeader(stream.preimage, signed.header, content.length);
  const opened = open(stream, { signed, content });
  expect(opened.readings).toEqual(readings);
  expect(signed.header).toMatchObject({ seq: 1, count: 3, fromMs: at(SLOT), toMs: at(SLOT, 59_999), previous: ZERO32 });
  expect(signed.cose).toEqual(cose);
});

test("the pieces are what the protocol says, spelled out", () => {
  const stream = new TestStream();
  const built = stream.add([co(at(SLOT)), co(at(SLOT, 1), 2)]);
  const { header: h } = built.signed;
  const { packSalt, records } = open(stream, built);
  const T1 = keccak256(utf8("msec.salt"));
  const T2 = keccak256(utf8("msec.reading"));
  const leaves = records.map((r, i) =>
    keccak256(concat(T2, keccak256(concat(T1, packSalt, uint(i, 4))), uint(i, 4), r)),
  );
  expect(leaves).toEqual(records.map((r, i) => readingLeaf(readingSalt(packSalt, i), i, r)));
  const [a, b] = leaves.map(toHex).sort();
  expect(h.root).toBe(toHex(keccak256(concat(fromHex(a as string), fromHex(b as string)))));
  const aad = concat(fromHex(h.streamId), uint(1, 4), uint(1, 8));
  const key = keccak256(concat(Uint8Array.of(2), leafNode(stream.frontier, SLOT), aad));
  expect(h.keyCommitment).toBe(toHex(keccak256(concat(Uint8Array.of(3), key))));
  expect(h.contentDigest).toBe(`0x${createHash("sha256").update(built.content).digest("hex")}`);
});

describe("COSE_Sign1 (RFC 9052)", () => {
  test("its Sig_structure, section 4.4", () => {
    // appendix C.2.1: the ToBeSigned of the example with alg ES256 and the payload "This is the content."
    const structure = sigStructure(fromHex("0xa10126"), utf8("This is the content."));
    expect(toHex(structure)).toBe("0x846a5369676e61747572653143a101264054546869732069732074686520636f6e74656e742e");
  });

  test("is four items with the key's hash in the protected header", () => {
    const stream = new TestStream();
    const { cose, signed } = stream.add([co(at(SLOT))]);
    const items = cborDecode(cose) as [Uint8Array, Map<unknown, unknown>, Uint8Array, Uint8Array];
    expect(cborDecode(items[0])).toEqual(new Map<number, unknown>([[1, -7], [4, sha256(stream.key.spki)]])); // prettier-ignore
    expect(items[1].size).toBe(0);
    expect(decodeHeader(items[2])).toEqual(signed.header);
    expect(items[3].length).toBe(64);
    const tbs = cborEncode(["Signature1", items[0], new Uint8Array(), items[2]]);
    expect(signed.headerDigest).toBe(toHex(sha256(tbs)));
  });

  test("refuses every other form", () => {
    const stream = new TestStream();
    const { cose, signed } = stream.add([co(at(SLOT))]);
    const [p, , h, s] = cborDecode(cose) as [Uint8Array, unknown, Uint8Array, Uint8Array];
    const kid = fromHex(signed.keyHash);
    const map = (...rows: [number, unknown][]) => cborEncode(new Map(rows));
    const malformed = [
      [p, new Map([[4, kid]]), h, s],
      [p, new Map(), h],
      [p, new Map(), h, s, s],
      [p, [], h, s],
      [p, new Map(), null, s],
      [map([1, -7]), new Map(), h, s],
      [map([1, -8], [4, kid]), new Map(), h, s],
      [map([1, -7], [4, kid.subarray(1)]), new Map(), h, s],
      [map([1, -7], [3, 0], [4, kid]), new Map(), h, s],
      [new Uint8Array(), new Map(), h, s],
      [p, new Map(), new Uint8Array(), s],
    ];
    for (const items of malformed) expectRefusal("malformed", () => decodeCose(cborEncode(items)));
    expectRefusal("malformed", () => decodeCose(concat(Uint8Array.of(0xd2), cose))); // tagged
    expectRefusal("malformed", () => decodeCose(concat(cose, Uint8Array.of(0))));
    expectRefusal("malformed", () => decodeCose(concat(Uint8Array.of(0x9f), cose.subarray(1), Uint8Array.of(0xff))));
    expectRefusal("bad-signature", () => decodeCose(cborEncode([p, new Map(), h, s.subarray(1)])));
    expectRefusal("bad-signature", () => encodeCose(p, h, s.subarray(1)));
    expectRefusal("oversize", () => decodeCose(new Uint8Array(1025)));
  });

  test("a signature by another key, over another header, or with a high s", () => {
    const stream = new TestStream();
    const { signed, cose } = stream.add([co(at(SLOT))]);
    expectRefusal("unknown-key", () => checkSignature(signed, deviceKey().spki));
    const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const high = concat(signed.signature.subarray(0, 32), uint(n - toBigInt(signed.signature.subarray(32)), 32));
    expectRefusal("bad-signature", () => checkSignature({ ...signed, signature: high }, stream.key.spki));
    const [p, , h] = cborDecode(cose) as Uint8Array[];
    expectRefusal("bad-signature", () =>
      checkSignature(decodeCose(encodeCose(p as Uint8Array, h as Uint8Array, high)), stream.key.spki),
    );
    for (let i = 0; i < signed.toBeSigned.length; i += 13) {
      const changed = Uint8Array.from(signed.toBeSigned);
      changed[i] = (changed[i] as number) ^ 1;
      expectRefusal("bad-signature", () => checkSignature({ ...signed, toBeSigned: changed }, stream.key.spki));
    }
  });
});

test("every header comes back", () => {
  fc.assert(fc.property(header, (h) => void expect(decodeHeader(encodeHeader(h))).toEqual(h)));
});

test("a change of any one field of a header changes its digest and breaks its signature", () => {
  const stream = new TestStream();
  const { signed, cose } = stream.add([co(at(SLOT))]);
  const other = toHex(sha256(utf8("other")));
  const changes: Partial<Header>[] = [
    { streamId: other },
    { keyEpoch: 2 },
    { bootEpoch: 2 },
    { seq: 2 },
    { flags: 1 },
    { previous: other },
    { fromMs: signed.header.fromMs - 1 },
    { toMs: signed.header.toMs + 1 },
    { count: 2 },
    { root: other },
    { keyCommitment: other },
    { contentDigest: other },
    { attestation: other },
    { beacon: { number: 1, digest: other } },
  ];
  expect(changes.length).toBe(Object.keys(signed.header).length);
  const [p, , , s] = cborDecode(cose) as [Uint8Array, unknown, Uint8Array, Uint8Array];
  for (const change of changes) {
    const forged = decodeCose(encodeCose(p, encodeHeader({ ...signed.header, ...change }), s));
    expect(forged.headerDigest).not.toBe(signed.headerDigest);
    expectRefusal("bad-signature", () => checkSignature(forged, stream.key.spki));
  }
});

test("headers of another shape are refused", () => {
  const stream = new TestStream();
  const { signed } = stream.add([co(at(SLOT))]);
  const fields = cborDecode(encodeHeader(signed.header)) as unknown[];
  const set = (i: number, value: unknown) => cborEncode(fields.map((f, k) => (k === i ? value : f)));
  for (const [
    i,
    value,
  ] of [
    [0, 2], [1, new Uint8Array(31)], [1, "x"], [2, -1], [2, 2 ** 32], [3, 0.5], [4, 2n ** 60n], [4, null], [5, 256],
    [6, new Uint8Array(33)], [9, 2 ** 32], [14, []], [14, [0]], [14, [0, new Uint8Array(31)]], [14, [-1, new Uint8Array(32)]],
    [14, [0, new Uint8Array(32), 0]], [14, 0],
  ] as [number, unknown][]) // prettier-ignore
    expectRefusal("malformed", () => decodeHeader(set(i, value)));
  expectRefusal("malformed", () => decodeHeader(cborEncode(fields.slice(1))));
  expectRefusal("malformed", () => decodeHeader(cborEncode([...fields, 0])));
});

test("garbage and damaged messages end in a refusal", () => {
  const stream = new TestStream();
  const built = [1, 2, 3].map((i) => stream.add([co(at(SLOT, i)), co(at(SLOT, i), i / 7)]));
  const read = (message: Uint8Array) => {
    const { cose, content } = decodeMessage(message);
    const signed = decodeCose(cose);
    checkHeader(stream.preimage, signed.header, content.length);
    checkSignature(signed, stream.key.spki);
    return open(stream, { signed, content });
  };
  const message = fc.constantFrom(...built.map((b) => encodeMessage(b.cose, b.content)));
  fc.assert(
    fc.property(mutated(message), (bytes) => neverCrashes(() => read(bytes))),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(mutated(fc.constantFrom(...built.map((b) => b.cose))), (b) => neverCrashes(() => decodeCose(b))), { numRuns: 2000 }); // prettier-ignore
  fc.assert(
    fc.property(mutated(header.map(encodeHeader)), (b) => neverCrashes(() => decodeHeader(b))),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (b) => {
    neverCrashes(() => decodeMessage(b));
    neverCrashes(() => decodeCose(b));
    neverCrashes(() => decodeHeader(b));
  })); // prettier-ignore
});

test("every set of records comes back through a pack", () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), (rows) => {
      const stream = new TestStream(2);
      const quantities = new Map(rows.map((r) => [r.n, { name: r.n, unit: r.u ?? "", text: "" }]));
      const readings = rows.filter((r) => quantities.get(r.n)?.unit === (r.u ?? ""));
      Object.assign(stream.preimage.schema, { quantities: [...quantities.values()] });
      expect(open(stream, stream.add(readings)).readings).toEqual(readings);
    }),
    { numRuns: 60 },
  );
});

/** A pack with contents that preparePack would not make, rightly encrypted and committed to. */
function forge(stream: TestStream, plaintext: Uint8Array, change: Partial<Header> = {}, records?: Uint8Array[]) {
  const base = stream.prepare(stream.preimage.mode === 1 ? [] : [co(at(SLOT))], { slot: SLOT });
  const aad = packAad(base.header.streamId, 1, base.header.seq);
  const key = packKey(leafNode(stream.frontier, SLOT), aad);
  const content = sealContent(key, new Uint8Array(12), aad, plaintext);
  const root = toHex(readingTree(new Uint8Array(32), records ?? [encodeRecord(co(at(SLOT)))]).root);
  const h = { ...base.header, root, contentDigest: toHex(sha256(content)), ...change };
  const leaf = leafNode(stream.frontier, SLOT);
  return () => openPack(stream.preimage, h, leaf, content);
}

describe("contents", () => {
  const stream = new TestStream();
  const good = encodeRecord(co(at(SLOT)));
  const salt = new Uint8Array(32);

  test("one that is right opens", () => {
    expect(forge(stream, cborEncode([salt, [good]]))().readings).toEqual([co(at(SLOT))]);
  });

  test("each thing that can be wrong has its reason", () => {
    const built = stream.add([co(at(SLOT))]);
    const leaf = leafNode(stream.frontier, SLOT);
    const { header: h } = built.signed;
    const opening = (change: Partial<Header>, key = leaf, content = built.content) =>
      openPack(stream.preimage, { ...h, ...change }, key, content);
    expect(opening({}).readings.length).toBe(1);
    for (let i = 0; i < built.content.length; i += 7) {
      const content = Uint8Array.from(built.content);
      content[i] = (content[i] as number) ^ 0x10;
      expectRefusal("content-digest", () => opening({}, leaf, content));
      expectRefusal("unopenable", () => opening({ contentDigest: toHex(sha256(content)) }, leaf, content));
    }
    expectRefusal("key-commitment", () => opening({}, leafNode(stream.frontier, SLOT + 1)));
    for (const change of [{ keyEpoch: 2 }, { seq: 9 }, { streamId: ZERO32 }])
      expectRefusal("key-commitment", () => opening(change));
    expectRefusal("root", () => opening({ root: ZERO32 }));
    expectRefusal("records", () => opening({ count: 2 }));
    const short = built.content.subarray(0, 27);
    expectRefusal("unopenable", () => opening({ contentDigest: toHex(sha256(short)) }, leaf, short));
  });

  test("a key that opens but is not committed to is refused before opening", () => {
    const f = forge(stream, cborEncode([salt, [good]]), { keyCommitment: toHex(keyCommitment(salt)) });
    expectRefusal("key-commitment", f);
  });

  test("plaintexts of another form", () => {
    const outside = (tMs: number) => encodeRecord(co(tMs));
    const named = (r: SenmlRecord) => encodeRecord(r);
    const f = (records: unknown, change: Partial<Header> = {}) => {
      const list = records as Uint8Array[];
      return forge(stream, cborEncode([salt, records]), change, Array.isArray(list) && list.length > 0 && list.every((r) => r instanceof Uint8Array) ? list : [good]); // prettier-ignore
    };
    expectRefusal("malformed", forge(stream, cborEncode([salt])));
    expectRefusal("malformed", forge(stream, cborEncode([salt.subarray(1), [good]])));
    expectRefusal("malformed", forge(stream, cborEncode("x")));
    expectRefusal("malformed", forge(stream, new Uint8Array()));
    expectRefusal("malformed", forge(stream, concat(cborEncode([salt, [good]]), new Uint8Array(1))));
    expectRefusal("malformed", f([5]));
    expectRefusal("malformed", f("x"));
    expectRefusal("records", f([]));
    expectRefusal("records", f([good, good]));
    expectRefusal("malformed", f([new Uint8Array()]));
    expectRefusal("malformed", f([concat(good, good)]));
    // an over-long float, an indefinite length and a key twice inside a record that the root commits to
    expectRefusal("malformed", f([fromHex("0xa30062434f02fb3ff8000000000000061a67b8e000")]));
    expectRefusal("malformed", f([fromHex("0xbf0062434f0201061a67b8e000ff")]));
    expectRefusal("malformed", f([fromHex("0xa40062434f02010201061a67b8e000")]));
    expectRefusal("slot", f([outside(at(SLOT) - 1)]));
    expectRefusal("slot", f([outside(at(SLOT) + 1)]));
    expectRefusal("records", f([named({ n: "XX", u: "mg/m3", v: 1, tMs: at(SLOT) })]), );
    expectRefusal("records", f([named({ n: "CO", u: "kg", v: 1, tMs: at(SLOT) })]));
    expectRefusal("records", f([named({ n: "CO", v: 1, tMs: at(SLOT) })]));
  }); // prettier-ignore

  test("at most 48 KiB", () => {
    const key = new Uint8Array(32);
    const aad = new Uint8Array(44);
    expect(sealContent(key, new Uint8Array(12), aad, new Uint8Array(MAX_CONTENT - 28)).length).toBe(MAX_CONTENT);
    expectRefusal("oversize", () => sealContent(key, new Uint8Array(12), aad, new Uint8Array(MAX_CONTENT - 27)));
    expectRefusal("malformed", () => sealContent(key, new Uint8Array(11), aad, salt));
    const { cose } = stream.packs[0] as Built;
    expectRefusal("oversize", () => decodeMessage(cborEncode([cose, new Uint8Array(MAX_CONTENT + 1)])));
    expectRefusal("oversize", () => decodeMessage(new Uint8Array(60_000)));
    const many = Array.from({ length: 3000 }, (_, i) => co(at(SLOT, i), i / 7));
    expectRefusal("oversize", () => stream.prepare(many));
    for (const size of [0, 27, MAX_CONTENT + 1])
      expectRefusal("oversize", () => checkHeader(stream.preimage, (stream.packs[0] as Built).signed.header, size));
  });
});

describe("sealed streams", () => {
  const rows = (n: number) => Array.from({ length: n }, (_, i) => co(at(SLOT, i * 100)));

  test("an empty slot, one row and two rows look the same", () => {
    const lengths = [0, 1, 2].map((n) => {
      const stream = new TestStream(1);
      const built = stream.add(rows(n), { slot: SLOT });
      expect(open(stream, built).readings).toEqual(rows(n));
      const { count, fromMs, toMs } = built.signed.header;
      expect({ count, fromMs, toMs }).toEqual({ count: 4, ...slotTimes(SLOT, 60) });
      return [built.content.length, built.cose.length];
    });
    expect(lengths).toEqual(Array(3).fill([428, lengths[0]?.[1]]));
  });

  test("a pack that stands out is refused", () => {
    const stream = new TestStream(1);
    const { signed } = stream.add(rows(1), { slot: SLOT });
    const check = (change: Partial<Header>, size = 428) =>
      checkHeader(stream.preimage, { ...signed.header, ...change }, size);
    check({});
    for (const change of [{ fromMs: at(SLOT) + 1 }, { toMs: at(SLOT + 1) - 2 }, { count: 3 }, { count: 5 }])
      expectRefusal("padding", () => check(change));
    for (const size of [427, 429]) expectRefusal("padding", () => check({}, size));
    expectRefusal("slot", () => stream.prepare([], { slot: undefined }));
    expectRefusal("padding", () => stream.prepare(rows(5), { slot: SLOT }), /larger padCount/);
    const long = [{ n: "CO", u: "mg/m3", vs: "x".repeat(400), tMs: at(SLOT) }];
    expectRefusal("padding", () => stream.prepare(long, { slot: SLOT }), /larger padBytes/);
    expectRefusal("slot", () => stream.prepare([co(at(SLOT + 1))], { slot: SLOT }));
  });

  test("padding that is not padding is refused", () => {
    const stream = new TestStream(1);
    const salt = new Uint8Array(32);
    const good = encodeRecord(co(at(SLOT)));
    const none = new Uint8Array();
    const right = [good, none, none, none];
    const plain = encodePlaintext(stream.preimage, salt, right);
    expect(forge(stream, plain, {}, right)().readings.length).toBe(1);
    const dirty = Uint8Array.from(plain);
    dirty[399] = 1;
    expectRefusal("padding", forge(stream, dirty, {}, right));
    expectRefusal("padding", forge(stream, plain.subarray(0, 399), {}, right));
    expectRefusal("padding", forge(stream, concat(plain, none.slice(), Uint8Array.of(0)), {}, right));
    const later = [none, good, none, none];
    expectRefusal("padding", forge(stream, encodePlaintext(stream.preimage, salt, later), {}, later));
    const few = [good, none];
    expectRefusal("records", forge(stream, encodePlaintext(stream.preimage, salt, few), {}, few));
  });
});

describe("the line of a stream", () => {
  const line = (mode = 0) => {
    const stream = new TestStream(mode);
    const slots = mode === 2 ? [0, 0] : [SLOT, SLOT + 1];
    slots.forEach((slot) => stream.add(mode === 1 ? [] : [co(at(SLOT, 5))].map((r) => ({ ...r, tMs: at(Math.max(slot, SLOT), 5) })), { slot })); // prettier-ignore
    return stream;
  };
  const next = (stream: TestStream, change: Partial<Header>, head = stream.packs[0]?.signed) =>
    checkFollows(stream.preimage, head, { ...(stream.packs[1] as Built).signed.header, ...change });

  test("what may follow, and what may not", () => {
    const stream = line();
    next(stream, {});
    expectRefusal("branch", () => next(stream, { previous: ZERO32 }));
    expectRefusal("branch", () => checkFollows(stream.preimage, undefined, (stream.packs[1] as Built).signed.header));
    expectRefusal("order", () => next(stream, { seq: 3 }));
    expectRefusal("order", () => next(stream, { seq: 1 }));
    next(stream, { seq: 1001, flags: FLAG.break });
    expectRefusal("order", () => next(stream, { seq: 1, flags: FLAG.break }));
    expectRefusal("order", () => next(stream, { keyEpoch: 0 }));
    next(stream, { keyEpoch: 2 });
    expectRefusal("order", () => next(stream, { bootEpoch: 0 }));
    next(stream, { bootEpoch: 0, keyEpoch: 2 });
    expectRefusal("order", () => next(stream, { fromMs: at(SLOT - 1), toMs: at(SLOT - 1) }), /slot/);
    expectRefusal("order", () => next(stream, { fromMs: at(SLOT, 4), toMs: at(SLOT, 9) }), /end of the one before/);
    next(stream, { fromMs: at(SLOT, 5), toMs: at(SLOT, 9) });
    const head = stream.packs[0]?.signed as Built["signed"];
    const ended = { ...head, header: { ...head.header, flags: FLAG.end } };
    expectRefusal("after-end", () => next(stream, {}, ended));
  });

  test("the first of a stream", () => {
    const stream = line();
    const first = (change: Partial<Header>) =>
      checkFollows(stream.preimage, undefined, { ...(stream.packs[0] as Built).signed.header, ...change });
    first({});
    expectRefusal("order", () => first({ seq: 2 }));
    first({ seq: 1001, flags: FLAG.break });
    expectRefusal("branch", () => first({ previous: toHex(sha256(utf8("x"))) }));
  });

  test("a sealed stream has one pack a slot, a data set any order", () => {
    const sealed = line(1);
    next(sealed, {});
    expectRefusal("order", () => next(sealed, { ...slotTimes(SLOT, 60) }), /one pack a slot/);
    const dataset = line(2);
    next(dataset, { fromMs: at(SLOT - 99), toMs: at(SLOT - 98) });
  });

  test("a header by itself", () => {
    const stream = line();
    const h = (stream.packs[0] as Built).signed.header;
    const check = (change: Partial<Header>) => checkHeader(stream.preimage, { ...h, ...change });
    check({});
    expectRefusal("wrong-stream", () => check({ streamId: ZERO32 }));
    expectRefusal("order", () => check({ seq: 0 }));
    expectRefusal("malformed", () => check({ count: 0 }));
    expectRefusal("malformed", () => check({ flags: 8 }));
    expectRefusal("time", () => check({ fromMs: h.toMs + 1 }));
    expectRefusal("slot", () => check({ toMs: at(SLOT + 1) }), /lies in one slot/);
    expectRefusal("malformed", () => check({ beacon: { number: 1, digest: ZERO32 } }));
    expectRefusal("malformed", () => check({ beacon: { number: 0, digest: h.root } }));
    check({ beacon: { number: 1, digest: h.root } });
  });
});

test("two headers under one seq are an equivocation, one header twice is not", () => {
  const stream = new TestStream();
  const [a, b] = [1, 2].map((v) => {
    stream.packs = [];
    return stream.add([co(at(SLOT), v)]).signed;
  }) as [Built["signed"], Built["signed"]];
  expect(isEquivocation(a, b)).toBe(true);
  expect(isEquivocation(a, a)).toBe(false);
  expect(isEquivocation(a, { ...b, header: { ...b.header, seq: 2 } })).toBe(false);
  expect(isEquivocation(a, { ...b, header: { ...b.header, keyEpoch: 2 } })).toBe(false);
});

test("what a device must not sign is not prepared", () => {
  const stream = new TestStream();
  const prepare = (readings: SenmlRecord[], change: Partial<PackInput> = {}) =>
    stream.prepare(readings, { slot: SLOT, ...change });
  prepare([co(at(SLOT))]);
  expectRefusal("malformed", () => prepare([]));
  expectRefusal("records", () => prepare([{ n: "XX", v: 1, tMs: at(SLOT) }]));
  expectRefusal("records", () => prepare([{ n: "CO", v: 1, tMs: at(SLOT) }]));
  expectRefusal("slot", () => prepare([co(at(SLOT)), co(at(SLOT + 1))]));
  expectRefusal("order", () => prepare([co(at(SLOT))], { seq: 0 }));
  expectRefusal("malformed", () => prepare([co(at(SLOT))], { packSalt: new Uint8Array(31) }));
  expectRefusal("malformed", () => prepare([co(at(SLOT))], { nonce: new Uint8Array(11) }));
  expectRefusal("malformed", () => prepare([co(at(SLOT))], { flags: 8 }));
  expect(encodeProtected(toHex(new Uint8Array(32))).length).toBe(1 + 2 + 1 + 34);
});

test("a leaf and a CID name what the header names", () => {
  const stream = new TestStream();
  const { signed } = stream.add([co(at(SLOT))]);
  const pack = packOf(stream.preimage, signed);
  expect(pack).toMatchObject({ seq: 1, slot: SLOT, headerDigest: signed.headerDigest, count: 1 });
  const leaf = packLeaf(pack);
  for (const key of Object.keys(pack) as (keyof typeof pack)[]) {
    const value = pack[key];
    expect(packLeaf({ ...pack, [key]: typeof value === "number" ? value + 1 : toHex(sha256(utf8(value))) })).not.toBe(
      leaf,
    );
  }
  // the CID of "hello world" as a raw block, as Kubo prints it
  expect(contentCid(toHex(sha256(utf8("hello world"))))).toBe(
    "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
  );
});
