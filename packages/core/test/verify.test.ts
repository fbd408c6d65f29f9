import { describe, expect, test } from "vitest";
import {
  anchorDomain,
  type Bundle,
  type BundlePack,
  cborDecode,
  cborEncode,
  configDigest,
  decodeBundle,
  decodeCose,
  encodeBundle,
  encodeCose,
  encodeHeader,
  encodeRecord,
  EPOCH,
  epochHash,
  FLAG,
  fromBase64,
  HEAD,
  type Header,
  type Hex,
  readingLeaf,
  type ReadingBundle,
  type ReadingReport,
  sha256,
  signTyped,
  slotTimes,
  toBase64,
  toHex,
  utf8,
  verify,
  verifyHeader,
  type VerifyOptions,
  type WindowBundle,
  type WindowReport,
  ZERO32,
} from "../src/index.ts";
import { anchorAll, type Built, CHAIN, committee, deviceKey, headEvidence, readingBundle, TestStream, windowBundle } from "./city.ts"; // prettier-ignore
import { aDeal } from "./deal.ts";
import { expectRefusal } from "./expect.ts";

const SLOT = 29_000_000;
const co = (slot: number, v = 1, ms = 0) => ({ n: "CO", u: "mg/m3", v, tMs: slot * 60_000 + ms });
const domain = anchorDomain(CHAIN.chainId, CHAIN.anchor);

const prove = (bundle: WindowBundle, options?: VerifyOptions) =>
  verify(decodeBundle(encodeBundle(bundle)), options) as WindowReport;
const proveReading = (bundle: ReadingBundle, options?: VerifyOptions) =>
  verify(decodeBundle(encodeBundle(bundle)), options) as ReadingReport;

/** A stream of ten packs, one a slot, anchored; the window is the second to the eighth. */
function city(change: (stream: TestStream) => void = (s) => void s.fill(SLOT, 10)) {
  const who = committee();
  const stream = new TestStream();
  change(stream);
  const anchored = anchorAll(stream, who);
  const window = (from: number, to: number, ...holes: [number, number][]) =>
    windowBundle(stream, anchored, from, to, holes);
  return { who, stream, anchored, window };
}

/** The bundle with its packs edited. */
const withPacks = (bundle: WindowBundle, edit: (packs: BundlePack[]) => BundlePack[]): WindowBundle => ({
  ...bundle,
  packs: edit([...bundle.packs]),
});
const without = (bundle: WindowBundle, i: number) => withPacks(bundle, (packs) => packs.filter((_, k) => k !== i));

/** A COSE whose header was changed under its old signature. */
function forged(cose: string, change: (h: Header) => Partial<Header>): string {
  const bytes = fromBase64(cose);
  const { header } = decodeCose(bytes);
  const [p, , , s] = cborDecode(bytes) as [Uint8Array, unknown, Uint8Array, Uint8Array];
  return toBase64(encodeCose(p, encodeHeader({ ...header, ...change(header) }), s));
}

describe("a window", () => {
  test("between two neighbours is proved complete", () => {
    const { window, anchored, who, stream } = city((s) => void s.fill(SLOT, 8, [3]));
    const report = prove(window(SLOT + 1, SLOT + 5));
    expect(report).toMatchObject({
      kind: "window",
      packs: 4,
      readings: 4,
      records: 4,
      emptySlots: 1,
      gaps: 0,
      erased: 0,
      recorded: 0,
      lateUnknown: 4,
      committee: configDigest(who.config),
      committeePinned: false,
      streamId: stream.id,
      epoch: { number: 1, hash: epochHash(anchored.epoch) },
    });
    expect(report.rows.map((r) => r.v)).toEqual([1.1, 1.2, 1.4, 1.5]);
    expect(report.signers.length).toBe(3);
    expect(report.claims).toMatchObject({ ...CHAIN, epochs: [{ number: 1, hash: epochHash(anchored.epoch) }] });
  });

  test("from the very first pack", () => {
    const { window } = city();
    expect(prove(window(SLOT, SLOT + 2))).toMatchObject({ packs: 3, emptySlots: 0 });
    expect(prove(window(SLOT - 5, SLOT + 2))).toMatchObject({ packs: 3, emptySlots: 5 });
  });

  test("without packs, before the first, in between, and after the end", () => {
    const { window } = city((s) => {
      s.fill(SLOT, 2).fill(SLOT + 8, 2);
    });
    expect(prove(window(SLOT - 5, SLOT - 3))).toMatchObject({ packs: 0, emptySlots: 3 });
    expect(prove(window(SLOT + 3, SLOT + 6))).toMatchObject({ packs: 0, emptySlots: 4, rows: [] });
    const ended = city((s) => {
      s.fill(SLOT, 2).add([co(SLOT + 2)], { flags: FLAG.end });
    });
    expect(prove(ended.window(SLOT + 5, SLOT + 9))).toMatchObject({ packs: 0, emptySlots: 5 });
  }); // prettier-ignore

  test("with several packs a slot, times meeting", () => {
    const { window } = city((s) => {
      s.fill(SLOT, 1);
      s.add([co(SLOT + 1, 5, 0), co(SLOT + 1, 6, 900)]);
      s.add([co(SLOT + 1, 7, 900)]);
      s.fill(SLOT + 3, 1);
    });
    expect(prove(window(SLOT + 1, SLOT + 2))).toMatchObject({ packs: 2, readings: 3, emptySlots: 1 });
  });

  test("of a sealed stream counts readings and what a deal counts apart", () => {
    const who = committee();
    const stream = new TestStream(1);
    for (let i = 0; i < 5; i++) stream.add(i === 2 ? [] : [co(SLOT + i)], { slot: SLOT + i });
    const bundle = windowBundle(stream, anchorAll(stream, who), SLOT + 1, SLOT + 3);
    expect(prove(bundle)).toMatchObject({ packs: 3, readings: 2, records: 12, emptySlots: 0 });
    expect(prove({ ...bundle, deal: aDeal(bundle, 3, 12) })).toMatchObject({ packs: 3 });
    expectRefusal("deal", () => prove({ ...bundle, deal: aDeal(bundle, 3, 2) }));
  });

  test("is shown as late, recorded or unknown", () => {
    const { who, stream } = city((s) => {
      s.fill(SLOT, 1);
      s.add([co(SLOT + 1)]);
      s.add([co(SLOT + 2)], { flags: FLAG.recorded });
      s.add([co(SLOT + 3)]);
      s.fill(SLOT + 5, 1);
    });
    const late = anchorAll(stream, who, stream.packs, { closedAt: (SLOT + 3) * 60_000 + 3_600_000 });
    const bundle = windowBundle(stream, late, SLOT + 1, SLOT + 3);
    expect(prove(bundle)).toMatchObject({ late: 0, lateUnknown: 2, recorded: 1 });
    const all = withPacks(bundle, (packs) =>
      packs.map((p, i) => ({ ...p, anchoring: late.anchoring(stream.packs[i + 1] as Built) })),
    );
    expect(prove(all)).toMatchObject({ late: 2 - 1, lateUnknown: 0, recorded: 1 }); // the last is exactly on time
  });
});

describe("left out", () => {
  const { window, stream, anchored } = city();
  const bundle = window(SLOT + 1, SLOT + 7);

  test.each([
    ["at its start", 0],
    ["in its middle", 3],
    ["at its end", 6],
  ])("one pack %s", (_, i) => {
    expect(prove(bundle).packs).toBe(7);
    expectRefusal("completeness", () => prove(without(bundle, i)), /a header is missing before/);
  });

  test("the first ones, with the start moved along", () => {
    const later = window(SLOT + 3, SLOT + 7);
    expectRefusal("completeness", () => prove({ ...bundle, packs: later.packs, start: later.start }), /missing at the start/);
  }); // prettier-ignore

  test("the last ones, with the end moved along", () => {
    const shorter = window(SLOT + 1, SLOT + 5);
    expectRefusal("completeness", () => prove({ ...bundle, packs: shorter.packs, end: shorter.end, anchoring: shorter.anchoring }), /inside the window/); // prettier-ignore
  });

  test("the header before the window, or a false one", () => {
    expectRefusal("completeness", () => prove({ ...bundle, start: null }));
    const other = toBase64((stream.packs[1] as Built).cose);
    expectRefusal("completeness", () => prove({ ...bundle, start: other }));
    const [first] = new TestStream().fill(SLOT, 1).packs as [Built];
    expectRefusal("wrong-stream", () => prove({ ...bundle, start: toBase64(first.cose) }));
  });

  test("packs swapped, given twice, or of outside the window", () => {
    expectRefusal("completeness", () => prove(withPacks(bundle, (p) => [p[1], p[0], ...p.slice(2)] as BundlePack[])));
    expectRefusal("completeness", () => prove(withPacks(bundle, (p) => [p[0], ...p] as BundlePack[])));
    const wider = window(SLOT + 1, SLOT + 8);
    expectRefusal("completeness", () => prove({ ...wider, window: bundle.window, nodes: bundle.nodes }), /outside the window/); // prettier-ignore
  });

  test("a content", () => {
    expectRefusal("completeness", () => prove(withPacks(bundle, (p) => p.map((x, i) => (i === 2 ? { ...x, content: null } : x)))), /content of seq 4 is missing/); // prettier-ignore
  });

  test("the window's own keys, or some of another cover", () => {
    expectRefusal("key-tree", () => prove({ ...bundle, nodes: bundle.nodes.slice(1) }));
    expectRefusal("key-tree", () => prove({ ...bundle, nodes: [...bundle.nodes].reverse() }));
    expectRefusal("key-tree", () => prove({ ...bundle, nodes: window(SLOT + 1, SLOT + 6).nodes }));
    const wrong = bundle.nodes.map((n, i) => (i === 0 ? { ...n, key: ZERO32 } : n));
    expectRefusal("key-commitment", () => prove({ ...bundle, nodes: wrong }));
  });

  test("the end was anchored after the epoch that the window is judged by", () => {
    const second = anchorAll(stream, city().who, stream.packs.slice(8), {}, anchored.epoch);
    const late = { ...bundle, anchoring: second.anchoring(stream.packs[8] as Built) };
    expectRefusal("completeness", () => prove(late), /anchored after/);
    expect(prove({ ...late, window: { ...bundle.window, asOfEpoch: 2 } }).epoch.number).toBe(2);
  });
});

describe("altered", () => {
  const { window, stream, who, anchored } = city();
  const bundle = window(SLOT + 1, SLOT + 7);
  const packs = (edit: (p: BundlePack, i: number) => BundlePack) => withPacks(bundle, (all) => all.map(edit));

  test("one bit of any content", () => {
    bundle.packs.forEach((pack, i) => {
      const content = fromBase64(pack.content);
      content[(i * 17) % content.length] = (content[(i * 17) % content.length] as number) ^ 1;
      expectRefusal("content-digest", () =>
        prove(packs((p, k) => (k === i ? { ...p, content: toBase64(content) } : p))),
      );
    });
  });

  test("one character of a content or a header, anywhere", () => {
    const swap = (s: string, at: number) => s.slice(0, at) + (s[at] === "A" ? "B" : "A") + s.slice(at + 1);
    const pack = bundle.packs[3] as BundlePack;
    for (let at = 0; at < (pack.content as string).length - 2; at += 5)
      expect(() => prove(packs((p, k) => (k === 3 ? { ...p, content: swap(p.content as string, at) } : p)))).toThrow();
    const end = Math.floor(((pack.cose.length - 88) * 3) / 4); // the signatures inside the chain are not used
    for (let at = 0; at < (end / 3) * 4 - 4; at += 7)
      expect(() => prove(packs((p, k) => (k === 3 ? { ...p, cose: swap(p.cose, at) } : p))), `at ${at}`).toThrow();
  });

  test("any field of a header in the chain, or of the last one", () => {
    const other = toHex(sha256(utf8("other")));
    const changes: ((h: Header) => Partial<Header>)[] = [
      () => ({ previous: other }),
      () => ({ root: other }),
      () => ({ keyCommitment: other }),
      () => ({ contentDigest: other }),
      () => ({ attestation: other }),
      () => ({ streamId: other }),
      () => ({ beacon: { number: 1, digest: other } }),
      (h) => ({ seq: h.seq + 1 }),
      (h) => ({ seq: h.seq + 1, flags: FLAG.break }),
      (h) => ({ count: h.count + 1 }),
      (h) => ({ toMs: h.toMs + 1 }),
      (h) => ({ fromMs: h.fromMs - 1 }),
      () => ({ flags: FLAG.recorded }),
      () => ({ flags: FLAG.end }),
      () => ({ keyEpoch: 2 }),
      () => ({ bootEpoch: 2 }),
    ];
    for (const change of changes) {
      expect(() => prove(packs((p, k) => (k === 3 ? { ...p, cose: forged(p.cose, change) } : p)))).toThrow();
      const successor = bundle.end as { kind: "successor"; cose: string };
      const cose = forged(successor.cose, change);
      expect(() => prove({ ...bundle, end: { ...successor, cose } })).toThrow();
    }
  });

  test("the preimage of the stream", () => {
    for (const change of [{ name: "park-2" }, { ownerEpoch: 2 }, { deviceId: ZERO32 }, { salt: ZERO32 }])
      expectRefusal("wrong-stream", () => prove({ ...bundle, stream: { ...bundle.stream, ...change } }));
  });

  test("the device's key", () => {
    expectRefusal("unknown-key", () => prove({ ...bundle, keys: [] }));
    expectRefusal("unknown-key", () => prove({ ...bundle, keys: [{ keyEpoch: 1, spki: toBase64(deviceKey().spki) }] }));
    const cose = fromBase64((bundle.end as { cose: string }).cose);
    cose[cose.length - 1] = (cose[cose.length - 1] as number) ^ 1;
    expectRefusal("bad-signature", () => prove({ ...bundle, end: { kind: "successor", cose: toBase64(cose) } }));
  });

  test("the epoch, its path, its chain", () => {
    const with_ = (change: Partial<typeof bundle.anchoring>) => ({ ...bundle, anchoring: { ...bundle.anchoring, ...change } });
    const { epoch, path } = bundle.anchoring;
    for (const change of [{ root: ZERO32 }, { closedAt: epoch.closedAt + 1 }, { readings: 5 }, { number: 2 }, { manifest: ZERO32 }])
      expectRefusal("committee", () => prove(with_({ epoch: { ...epoch, ...change } })));
    expectRefusal("inclusion", () => prove(with_({ path: path.slice(1) })));
    expectRefusal("inclusion", () => prove(with_({ path: [...path].reverse() })));
    expectRefusal("inclusion", () => prove(with_({ path: anchored.anchoring(stream.packs[0] as Built).path })));
    expectRefusal("committee", () => prove({ ...bundle, chain: { ...CHAIN, chainId: 1 } }));
    expectRefusal("committee", () => prove({ ...bundle, chain: { ...CHAIN, anchor: `0x${"a2".repeat(20)}` } }));
  }); // prettier-ignore

  describe("the committee's signatures", () => {
    const sign = (...keys: Uint8Array[]) => keys.map((k) => signTyped(k, domain, EPOCH, anchored.epoch));
    const [a, b, c, d] = who.keys as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    const judge = (signatures: Hex[]) => prove({ ...bundle, anchoring: { ...bundle.anchoring, signatures } });

    test("two of four are not enough, three of four are", () => {
      expect(judge(sign(b, c, d)).signers.length).toBe(3);
      expectRefusal("committee", () => judge(sign(a, b)), /3 signatures are needed, 2 given/);
    });
    test("nobody else's counts", () => {
      const stranger = new Uint8Array(32).fill(9);
      expectRefusal("committee", () => judge(sign(a, b, stranger)), /not of the committee|ascending/);
    });
    test("one signer counts once, and order is kept", () => {
      expectRefusal("committee", () => judge(sign(a, b, b)), /ascending/);
      expectRefusal("committee", () => judge(sign(c, b, a)), /ascending/);
      expectRefusal("committee", () => judge(sign(a, b, c, d)), /3 signatures are needed, 4 given/);
    });
    test("the reader's pin", () => {
      const pin = configDigest(who.config);
      const other = configDigest(committee().config);
      expect(prove(bundle, { committee: pin }).committeePinned).toBe(true);
      expect(prove(bundle, { committee: pin.toUpperCase().replace("0X", "0x") as Hex }).committeePinned).toBe(true);
      expect(prove(bundle, { committee: [other, pin] }).committeePinned).toBe(true);
      expectRefusal("committee", () => prove(bundle, { committee: other }), /pinned/);
      expectRefusal("committee", () => prove(bundle, { committee: [] }), /pinned/);
    });
    test("a committee of the seller's own making is known by its digest", () => {
      const mine = committee();
      const own = windowBundle(stream, anchorAll(stream, mine), SLOT + 1, SLOT + 7);
      expect(prove(own).committee).not.toBe(configDigest(who.config));
      expectRefusal("committee", () => prove(own, { committee: configDigest(who.config) }));
    });
  });

  test("a pack said to be anchored after its successor", () => {
    const second = anchorAll(stream, who, stream.packs, {}, anchored.epoch);
    const pack = stream.packs[1] as Built;
    expectRefusal("epoch", () => prove(packs((p, i) => (i === 0 ? { ...p, anchoring: second.anchoring(pack) } : p))), /after its successor/); // prettier-ignore
  });

  test("two epochs under one number", () => {
    const twin = anchorAll(stream, who, stream.packs, { closedAt: anchored.epoch.closedAt + 5 });
    expectRefusal("epoch", () => prove(packs((p, i) => (i === 0 ? { ...p, anchoring: twin.anchoring(stream.packs[1] as Built) } : p)))); // prettier-ignore
    expectRefusal("inclusion", () => prove(packs((p, i) => (i === 0 ? { ...p, anchoring: twin.anchoring(stream.packs[2] as Built) } : p)))); // prettier-ignore
  });
});

describe("a line that is none", () => {
  /** Adds a pack with a header of the test's making, signed by the device. */
  function addRaw(stream: TestStream, slot: number, change: Partial<Header>): Built {
    const unsigned = stream.prepare([co(slot)]);
    const h = encodeHeader({ ...unsigned.header, ...change });
    const tbs = cborEncode(["Signature1", unsigned.protectedHeader, new Uint8Array(), h]);
    const cose = encodeCose(unsigned.protectedHeader, h, stream.key.sign(tbs));
    const built = { cose, content: unsigned.content, signed: decodeCose(cose) };
    stream.packs.push(built);
    return built;
  }
  const lineWith = (change: (s: TestStream) => Partial<Header>, slot = SLOT + 3) =>
    city((s) => {
      s.fill(SLOT, 3);
      addRaw(s, slot, change(s));
      s.fill(SLOT + 5, 3);
    });

  test("a header after `end`", () => {
    const { window } = city((s) => {
      s.fill(SLOT, 3).add([co(SLOT + 3)], { flags: FLAG.end });
      s.fill(SLOT + 5, 2);
    });
    expectRefusal("after-end", () => prove(window(SLOT + 1, SLOT + 4)));
    expectRefusal("after-end", () => prove(window(SLOT + 1, SLOT + 6)));
  });

  test("a second branch", () => {
    const { window } = lineWith((s) => ({ previous: (s.packs[0] as Built).signed.headerDigest }));
    expectRefusal("completeness", () => prove(window(SLOT + 1, SLOT + 4)), /missing before/);
  });

  test("a seq that jumps without `break`, or falls", () => {
    expectRefusal("order", () => prove(lineWith(() => ({ seq: 9 })).window(SLOT + 1, SLOT + 4)), /under `break`/);
    expectRefusal("order", () => prove(lineWith(() => ({ seq: 3 })).window(SLOT + 1, SLOT + 4)));
    expectRefusal("order", () => prove(lineWith(() => ({ seq: 2, flags: FLAG.break })).window(SLOT + 1, SLOT + 4)));
  });

  test("a pack across two slots", () => {
    const toMs = slotTimes(SLOT + 4, 60).fromMs;
    expectRefusal("slot", () => prove(lineWith(() => ({ toMs })).window(SLOT + 1, SLOT + 4)), /lies in one slot/);
  });

  test("a time that runs back", () => {
    const { window } = city((s) => {
      s.fill(SLOT, 2);
      s.add([co(SLOT + 2, 1, 500)]);
      s.add([co(SLOT + 2, 1, 400)]);
      s.fill(SLOT + 4, 1);
    });
    expectRefusal("order", () => prove(window(SLOT + 1, SLOT + 3)));
  });

  test("a time in the future of its epoch", () => {
    const { who, stream } = city();
    const toMs = (stream.packs[9] as Built).signed.header.toMs;
    const bundleAt = (closedAt: number) => windowBundle(stream, anchorAll(stream, who, stream.packs, { closedAt }), SLOT + 1, SLOT + 8);
    expect(prove(bundleAt(toMs - 120_000)).packs).toBe(8);
    expectRefusal("time", () => prove(bundleAt(toMs - 120_001)));
  }); // prettier-ignore

  test("a beacon from after its own epoch", () => {
    const beacon = { number: 1, digest: toHex(sha256(utf8("epoch"))) };
    const { window, stream, who } = city((s) => {
      s.fill(SLOT, 3).add([co(SLOT + 3)], { beacon });
    });
    expectRefusal("time", () => prove(window(SLOT + 1, SLOT + 2)), /beacon/);
    const later = anchorAll(stream, who, stream.packs, { number: 2 });
    expect(prove(windowBundle(stream, later, SLOT + 1, SLOT + 2)).packs).toBe(2);
  });

  test("gaps, breaks and empty slots are shown", () => {
    const { window } = city((s) => {
      s.fill(SLOT, 3);
      s.add([co(SLOT + 5)], { seq: 1003, flags: FLAG.break });
      s.fill(SLOT + 6, 2);
      s.add([co(SLOT + 8)], { flags: FLAG.break });
      s.add([co(SLOT + 12)], { seq: 3000, flags: FLAG.break });
    });
    expect(prove(window(SLOT + 1, SLOT + 7))).toMatchObject({
      packs: 5,
      emptySlots: 2,
      gaps: 1,
      breaks: [{ seq: 1003, after: 3 }, { seq: 1006, after: 1005 }], // the second is of the header after the window
    }); // prettier-ignore
    // a gap between the last pack and the header after the window may hide packs of the window
    expect(prove(window(SLOT + 8, SLOT + 9))).toMatchObject({
      packs: 1,
      gaps: 1,
      breaks: [{ seq: 1006, after: 1005 }, { seq: 3000, after: 1006 }],
    }); // prettier-ignore
  });

  test("a new key goes on with the line", () => {
    const stream = new TestStream().fill(SLOT, 3);
    const first = { keyEpoch: 1, spki: toBase64(stream.key.spki) };
    const rotated = new TestStream();
    Object.assign(stream, { key: rotated.key });
    stream.add([co(SLOT + 3)], { keyEpoch: 2, bootEpoch: 1 });
    stream.add([co(SLOT + 4)], { keyEpoch: 2 });
    const bundle = windowBundle(stream, anchorAll(stream, committee()), SLOT + 1, SLOT + 3);
    const second = { keyEpoch: 2, spki: toBase64(rotated.key.spki) };
    const report = prove({ ...bundle, keys: [first, second] });
    expect(report).toMatchObject({ packs: 3, claims: { deviceKey: { keyEpoch: 2 } } });
    expectRefusal("unknown-key", () => prove({ ...bundle, keys: [first] }));
    expectRefusal("unknown-key", () => prove({ ...bundle, keys: [{ ...first, keyEpoch: 2 }] }));
  });
});

describe("holes", () => {
  const { window } = city();

  test("are shown with the packs that they hide", () => {
    const report = prove(window(SLOT + 1, SLOT + 7, [SLOT + 2, SLOT + 3], [SLOT + 6, SLOT + 6]));
    expect(report).toMatchObject({ packs: 4, readings: 4, erased: 3, emptySlots: 0 });
    expect(report.holes).toEqual([[SLOT + 2, SLOT + 3], [SLOT + 6, SLOT + 6]]); // prettier-ignore
    expect(report.rows.map((r) => r.v)).toEqual([1.1, 1.4, 1.5, 1.7]);
    expect(prove(window(SLOT + 1, SLOT + 3, [SLOT + 1, SLOT + 3]))).toMatchObject({
      packs: 0,
      erased: 3,
      emptySlots: 0,
    });
  });

  test("take the contents and keys along, not the headers", () => {
    const bundle = window(SLOT + 1, SLOT + 7, [SLOT + 2, SLOT + 3]);
    const full = window(SLOT + 1, SLOT + 7);
    expectRefusal("erased", () => prove({ ...bundle, packs: full.packs }));
    expectRefusal("key-tree", () => prove({ ...bundle, nodes: full.nodes }));
    expectRefusal("completeness", () => prove(without(bundle, 1)), /missing before/);
    expectRefusal("completeness", () => prove({ ...full, packs: bundle.packs }), /content of seq 3 is missing/);
    for (const holes of [[[SLOT + 3, SLOT + 2]], [[SLOT, SLOT + 2]], [[SLOT + 2, SLOT + 9]]] as [number, number][][])
      expectRefusal("key-tree", () => prove({ ...bundle, window: { ...bundle.window, holes } }));
  });
});

describe("the end of a stream", () => {
  const { who, stream, anchored } = city();
  const last = stream.packs[9] as Built;
  const bundle: WindowBundle = {
    ...windowBundle(stream, anchored, SLOT + 1, SLOT + 9),
    end: headEvidence(stream, who, anchored),
  };
  type HeadEnd = Extract<WindowBundle["end"], { kind: "head" }>;
  const end = bundle.end as HeadEnd;

  test("a head speaks up to its own slot", () => {
    expect(prove(bundle)).toMatchObject({ packs: 9, claims: { epochs: [{ number: 1 }] } });
    const beyond = { ...windowBundle(stream, anchored, SLOT + 1, SLOT + 10), end };
    expectRefusal("completeness", () => prove(beyond), /does not reach/);
  });

  test("a stale head says nothing", () => {
    const later = anchorAll(stream, who, stream.packs.slice(9), {}, anchored.epoch);
    const judged = { ...bundle, window: { ...bundle.window, asOfEpoch: 2 } };
    expectRefusal("completeness", () => prove(judged), /stale/);
    const fresh = headEvidence(stream, who, later) as HeadEnd;
    expectRefusal("completeness", () => prove({ ...judged, end: { ...fresh, head: end.head, signatures: end.signatures } }), /stale/); // prettier-ignore
    expectRefusal("completeness", () => prove({ ...judged, end: { ...fresh, epoch: end.epoch, epochSignatures: end.epochSignatures } }), /stale/); // prettier-ignore
    expect(prove({ ...judged, end: fresh }).claims.epochs.map((e) => e.number)).toEqual([1, 2]);
  });

  test("a head that is not the last header given", () => {
    const cut = windowBundle(stream, anchored, SLOT + 1, SLOT + 8);
    const shorter = { ...cut, end, anchoring: anchored.anchoring(stream.packs[8] as Built) };
    expectRefusal("completeness", () => prove(shorter), /missing at the end/);
    const of = headEvidence(stream, who, anchored, stream.packs[8]);
    expectRefusal("completeness", () => prove({ ...bundle, end: of }), /missing at the end/);
  });

  test("a head needs its own q signatures", () => {
    const sign = (...keys: Uint8Array[]) => keys.map((k) => signTyped(k, domain, HEAD, end.head));
    const [a, b, c] = who.keys as [Uint8Array, Uint8Array, Uint8Array];
    expectRefusal("committee", () => prove({ ...bundle, end: { ...end, signatures: sign(a, b) } }));
    expectRefusal("committee", () => prove({ ...bundle, end: { ...end, signatures: sign(a, a, b) } }));
    expectRefusal("committee", () => prove({ ...bundle, end: { ...end, signatures: sign(c, b, a) } }));
    expectRefusal("committee", () => prove({ ...bundle, end: { ...end, epochSignatures: sign(a, b, c) } }));
    expectRefusal("committee", () => prove({ ...bundle, end: { ...end, config: committee().config } }));
    const others = committee();
    const foreign = headEvidence(stream, others, anchorAll(stream, others));
    expectRefusal(
      "committee",
      () => prove({ ...bundle, end: foreign }, { committee: configDigest(who.config) }),
      /pinned/,
    );
  });

  test("`end` in the last header", () => {
    const ended = city((s) => {
      s.fill(SLOT, 3).add([co(SLOT + 3)], { flags: FLAG.end });
    });
    expect(prove(ended.window(SLOT + 1, SLOT + 3))).toMatchObject({ packs: 3 });
    expect(prove(ended.window(SLOT + 1, SLOT + 90))).toMatchObject({ packs: 3, emptySlots: 87 });
    const open = windowBundle(stream, anchored, SLOT + 1, SLOT + 9);
    expect(open.end).toEqual({ kind: "ended" });
    expectRefusal("completeness", () => prove(open), /does not end the stream/);
    expectRefusal("malformed", () => prove({ ...open, end: { kind: "trust me" } as never }));
    expectRefusal("completeness", () => prove({ ...open, packs: [], start: null }), /without packs/);
  });

  test("no evidence but of the anchored header", () => {
    expectRefusal("inclusion", () => prove({ ...bundle, anchoring: anchored.anchoring(stream.packs[8] as Built) }));
    expect(last.signed.header.seq).toBe(10);
  });
});

describe("a data set", () => {
  const dataset = (end: boolean) => {
    const who = committee();
    const stream = new TestStream(2);
    stream.add([co(SLOT + 9), co(SLOT)]);
    stream.add([co(SLOT - 500)], end ? { flags: FLAG.end } : {});
    const anchored = anchorAll(stream, who);
    return { who, stream, anchored, bundle: windowBundle(stream, anchored, 0, 0) };
  };

  test("is proved once it has ended, times and order free", () => {
    const { bundle } = dataset(true);
    expect(prove(bundle)).toMatchObject({ packs: 2, readings: 3, emptySlots: 0 });
    expect(prove({ ...bundle, deal: aDeal(bundle, 2, 3) }).packs).toBe(2);
    expectRefusal("completeness", () => prove(without(bundle, 0)));
  });

  test("before `end` no evidence completes it", () => {
    const { bundle, stream, who, anchored } = dataset(false);
    expectRefusal("completeness", () => prove(bundle));
    expectRefusal(
      "completeness",
      () => prove({ ...bundle, end: headEvidence(stream, who, anchored) }),
      /only after `end`/,
    );
  });

  test("has no other slot", () => {
    const { bundle } = dataset(true);
    const nodes = bundle.nodes.map((n) => ({ ...n, depth: 31 }));
    expectRefusal("slot", () => prove({ ...bundle, nodes, window: { ...bundle.window, toSlot: 1 } }));
    expectRefusal("completeness", () => prove({ ...bundle, start: (bundle.packs[0] as BundlePack).cose }));
  });
});

describe("the deal of a bundle", () => {
  const { window } = city();
  const bundle = window(SLOT + 1, SLOT + 7, [SLOT + 3, SLOT + 3]);
  const deal = aDeal(bundle, 6, 6);

  test("is about this window, with this many packs and readings", () => {
    expect(prove({ ...bundle, deal }).packs).toBe(6);
    for (const change of [
      { streamId: ZERO32 },
      { fromSlot: SLOT },
      { toSlot: SLOT + 8 },
      { asOfEpoch: 2 },
      { packs: 7 },
      { packs: 5 },
      { readings: 7 },
      { holesHash: ZERO32 },
      { nodes: 1 },
      { endMs: deal.endMs + 1 },
      { anchor: deal.escrow },
    ])
      expectRefusal("deal", () => prove({ ...bundle, deal: { ...deal, ...change } }));
  });
});

describe("one disclosed reading", () => {
  const { who, stream, anchored } = city((s) => {
    for (let i = 0; i < 4; i++) s.add(Array.from({ length: 13 }, (_, k) => co(SLOT + i, i + k / 10, k)));
  });
  const built = stream.packs[2] as Built;
  const bundle = readingBundle(stream, anchored, built, 5);

  test("is proved without the others", () => {
    expect(proveReading(bundle)).toMatchObject({ kind: "reading", index: 5, of: 13, row: co(SLOT + 2, 2.5, 5) });
    for (let i = 0; i < 13; i++) expect(proveReading(readingBundle(stream, anchored, built, i)).row.v).toBe(2 + i / 10);
    expect(proveReading(bundle, { committee: configDigest(who.config) }).committeePinned).toBe(true);
    expect(Object.keys(bundle)).not.toContain("nodes");
  });

  test("a changed value, time, index, path or salt", () => {
    const changed = (r: Parameters<typeof encodeRecord>[0]) => toBase64(encodeRecord(r));
    for (const other of [co(SLOT + 2, 2.6, 5), co(SLOT + 2, 2.5, 6), { ...co(SLOT + 2, 2.5, 5), n: "T", u: "Cel" }])
      expectRefusal("root", () => proveReading({ ...bundle, record: changed(other) }));
    for (const index of [4, 6, 0, 12]) expectRefusal("root", () => proveReading({ ...bundle, index }));
    for (const index of [-1, 13, 5.5, 2 ** 40]) expectRefusal("inclusion", () => proveReading({ ...bundle, index }));
    expectRefusal("root", () => proveReading({ ...bundle, salt: ZERO32 }));
    expectRefusal("root", () => proveReading({ ...bundle, path: bundle.path.slice(1) }));
    expectRefusal("root", () => proveReading({ ...bundle, path: [...bundle.path].reverse() }));
    expectRefusal("root", () => proveReading({ ...bundle, path: [...bundle.path, ZERO32] }));
    expectRefusal("malformed", () => proveReading({ ...bundle, salt: "0x00" }));
    expectRefusal("root", () => proveReading({ ...bundle, record: "AA==" }));
  });

  test("another header, another key, another epoch", () => {
    const other = stream.packs[1] as Built;
    expectRefusal("root", () => proveReading({ ...bundle, cose: toBase64(other.cose) }));
    const forgedHeader = forged(bundle.cose, (h) => ({ seq: h.seq + 1 }));
    expectRefusal("bad-signature", () => proveReading({ ...bundle, cose: forgedHeader }));
    expectRefusal("unknown-key", () => proveReading({ ...bundle, keys: [] }));
    expectRefusal("inclusion", () => proveReading({ ...bundle, anchoring: anchored.anchoring(other) }));
    expectRefusal("committee", () => proveReading(bundle, { committee: ZERO32 }));
    const signatures = bundle.anchoring.signatures.slice(0, 2);
    expectRefusal("committee", () => proveReading({ ...bundle, anchoring: { ...bundle.anchoring, signatures } }));
    expectRefusal("wrong-stream", () => proveReading({ ...bundle, stream: { ...bundle.stream, name: "x" } }));
  });

  test("a record that the device signed, but that is none of its stream or of its pack's times", () => {
    const disclosed = (reading: Parameters<typeof encodeRecord>[0]) => {
      const s = new TestStream();
      const bytes = encodeRecord(reading);
      const salt = sha256(utf8("salt"));
      const unsigned = s.prepare([co(SLOT)]);
      const h = encodeHeader({ ...unsigned.header, root: toHex(readingLeaf(salt, 0, bytes)) });
      const tbs = cborEncode(["Signature1", unsigned.protectedHeader, new Uint8Array(), h]);
      const cose = encodeCose(unsigned.protectedHeader, h, s.key.sign(tbs));
      const raw = { cose, content: unsigned.content, signed: decodeCose(cose) };
      s.packs.push(raw);
      return proveReading({
        format: "msec.reading/1",
        chain: CHAIN,
        stream: s.preimage,
        keys: [{ keyEpoch: 1, spki: toBase64(s.key.spki) }],
        cose: toBase64(cose),
        record: toBase64(bytes),
        salt: toHex(salt),
        index: 0,
        path: [],
        anchoring: anchorAll(s, who).anchoring(raw),
      });
    };
    expect(disclosed(co(SLOT)).row).toEqual(co(SLOT));
    expectRefusal("records", () => disclosed({ ...co(SLOT), n: "NO2" }));
    expectRefusal("records", () => disclosed({ ...co(SLOT), u: "kg" }));
    expectRefusal("slot", () => disclosed(co(SLOT, 1, 1)));
    expectRefusal("slot", () => disclosed(co(SLOT - 1)));
  });

  test("padding of a sealed stream is no reading", () => {
    const sealed = new TestStream(1);
    sealed.add([co(SLOT)], { slot: SLOT });
    const at = anchorAll(sealed, who);
    const ofSealed = (i: number) => readingBundle(sealed, at, sealed.packs[0] as Built, i);
    expect(proveReading(ofSealed(0)).row).toEqual(co(SLOT));
    expectRefusal("malformed", () => proveReading(ofSealed(1)));
  });
});

test("what has no shape is refused, not crashed on", () => {
  for (const bundle of [{}, { format: "msec.window/1" }, { format: "msec.reading/1" }, { format: "msec.window/1", window: {} }])
    expectRefusal("malformed", () => verify(bundle as Bundle));
  expectRefusal("malformed", () => verify(null as unknown as Bundle));
}); // prettier-ignore

describe("a header without its key", () => {
  const header = () => {
    const { stream, anchored } = city();
    return readingBundle(stream, anchored, stream.packs[3] as Built, 0);
  };

  test("is proved up to its epoch", () => {
    const bundle = header();
    const report = verifyHeader(bundle);
    expect(report).toMatchObject({
      kind: "header",
      seq: 4,
      slot: SLOT + 3,
      epoch: { number: bundle.anchoring.epoch.number },
    });
    expect(report.signers).toHaveLength(3);
    expect(verifyHeader(bundle, { committee: report.committee }).committeePinned).toBe(true);
  });

  test("with anything of it changed it is refused", () => {
    const bundle = header();
    const other = header();
    const { anchoring } = bundle;
    expectRefusal("inclusion", () =>
      verifyHeader({ ...bundle, anchoring: { ...anchoring, path: [...anchoring.path, ZERO32] } }),
    );
    expectRefusal("unknown-key", () => verifyHeader({ ...bundle, keys: [] }));
    expectRefusal("committee", () => verifyHeader(bundle, { committee: ZERO32 }));
    expectRefusal("committee", () =>
      verifyHeader({ ...bundle, anchoring: { ...anchoring, config: other.anchoring.config } }),
    );
    expectRefusal("committee", () =>
      verifyHeader({ ...bundle, anchoring: { ...anchoring, signatures: anchoring.signatures.slice(1) } }),
    );
    expectRefusal("malformed", () => verifyHeader({ ...bundle, anchoring: undefined as never }));
  });
});
