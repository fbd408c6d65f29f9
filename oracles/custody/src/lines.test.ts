import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, ErasureKeys, type EmbeddedPostgres, FileRoot, Frontiers, startPostgres } from "@msec/companion-db";
import {
  addressOfKey,
  consentDomain,
  cover,
  derive,
  encodeNodes,
  fromHex,
  type Hex,
  HOLDERS,
  keyHash,
  ProtocolError,
  registryDomain,
  rootNode,
  sha256,
  signTyped,
  THING_DESCRIPTION,
  thingDescription,
  thingText,
  toBase64,
  utf8,
} from "@msec/core";
import sodium from "libsodium-wrappers";
import type pg from "pg";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Built, TestStream } from "../../../packages/core/test/city.ts";
import { type Context } from "./context.ts";
import { takeDescription } from "./descriptions.ts";
import { Lines } from "./lines.ts";
import { Store } from "./store.ts";
import { learnStream, type Registration, registerStream, type SeedDelivery, takeSeed } from "./streams.ts";

// Lines, registration and seeds, on a real database.

const OWNER = new Uint8Array(32).fill(1);
const DOMAIN = consentDomain(20260, `0x${"a1".repeat(20)}`);
const REGISTRY = registryDomain(20260, `0x${"d1".repeat(20)}`);
const members = [11, 12, 13, 14].map((n) => addressOfKey(new Uint8Array(32).fill(n))).sort();

let folder: string;
let server: EmbeddedPostgres;
let db: pg.Pool;
let store: Store;
let lines: Lines;
let stream: TestStream;
let ctx: Context;
let runs = 0;

beforeAll(async () => {
  await sodium.ready;
  folder = mkdtempSync(join(tmpdir(), "msec-lines-"));
  server = await startPostgres(folder);
  db = connect(await server.database("lines"));
  store = await Store.open(db, () => undefined);
});
afterAll(async () => {
  await store?.close();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  const { rows } = await db.query("select tablename from pg_tables where schemaname = 'public'");
  for (const { tablename } of rows) await db.query(`truncate ${tablename as string}`);
  stream = new TestStream(0, 60).fill(28_000_000, 6);
  lines = new Lines(store);
  const at = join(folder, `keys-${runs++}`);
  ctx = {
    config: {
      chain: {
        chainId: DOMAIN.chainId,
        addresses: { ConsentRegistry: DOMAIN.verifyingContract, DeviceRegistry: REGISTRY.verifyingContract },
      },
      committee: members.map((address, i) => ({ address, organisation: `0x0${i}`, url: `http://127.0.0.1:${i + 1}` })),
    },
    log: pino({ level: "silent" }),
    store,
    lines,
    frontiers: await Frontiers.open(db, await ErasureKeys.open(`${at}.keys`, new FileRoot(`${at}.root`))),
    devices: {
      owner: async () => addressOfKey(OWNER),
      device: async () => ({ owner: addressOfKey(OWNER), ownerEpoch: 1 }),
      keyHash: async (_: Hex, keyEpoch: number) => (keyEpoch === 1 ? keyHash(stream.key.spki) : `0x${"00".repeat(32)}`),
    },
    peers: { all: [] },
    address: members[0],
    sealing: sodium.crypto_box_keypair(),
  } as unknown as Context;
});

const rowsOf = (built: readonly Built[], of = stream) =>
  built.map(({ signed, cose, content }, i) => ({
    headerDigest: signed.headerDigest,
    streamId: of.id,
    keyEpoch: 1,
    seq: signed.header.seq,
    slot: 28_000_000 + i,
    readings: signed.header.count,
    cose,
    content,
    contentDigest: signed.header.contentDigest,
    receivedAt: 1000 + i,
    epoch: null,
  }));

function registration(change: Partial<Registration["holders"]> = {}, signer = OWNER): Registration {
  const holders = { streamId: stream.id, version: 1, holders: members, ...change };
  return {
    preimage: stream.preimage,
    keys: [{ keyEpoch: 1, spki: toBase64(stream.key.spki) }],
    holders,
    holdersSignature: signTyped(signer, DOMAIN, HOLDERS, holders),
  };
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(ProtocolError);
  return (error as ProtocolError).code;
}

describe("a line", () => {
  test("grows, is cut, and moves past what was anchored", async () => {
    const line = await registerStream(ctx, registration());
    expect(lines.tip(line)).toBeUndefined();
    const pending = stream.packs.map(({ signed }) => lines.create(line, signed, 1));
    for (const p of pending) lines.append(line, p);
    expect(lines.pendingCount).toBe(6);
    expect(lines.tip(line)).toBe(stream.packs[5]?.signed);

    expect(lines.cut(line, 4)).toEqual(stream.packs.slice(4).map((p) => p.signed.headerDigest));
    expect(lines.pendingByDigest.has(stream.packs[4]?.signed.headerDigest as Hex)).toBe(false);
    expect(lines.tip(line)?.header.seq).toBe(4);

    const anchored = new Set(stream.packs.slice(0, 2).map((p) => p.signed.headerDigest));
    expect(lines.advance(line, anchored).map((p) => p.pack.seq)).toEqual([1, 2]);
    expect(line.head?.header.seq).toBe(2);
    expect(line.pending.map((p) => p.pack.seq)).toEqual([3, 4]);
    expect(lines.advance(line, new Set())).toEqual([]);
    expect(line.head?.header.seq).toBe(2);
    lines.cut(line, 0);
    expect(lines.tip(line)?.header.seq).toBe(2);
    expect(lines.pendingCount).toBe(0);
  });

  test("is rebuilt from the database: head, what waits in its order, openings, equivocations", async () => {
    const sealed = new TestStream(1, 60).fill(28_000_000, 4);
    await store.putStream(sealed.id, {
      preimage: sealed.preimage,
      holders: { version: 3, holders: members.slice(0, 2), signature: "0x" },
    });
    await store.putKey(sealed.id, 1, sealed.key.spki);
    const digests = sealed.packs.map((p) => p.signed.headerDigest);
    await store.putPacks(rowsOf([...sealed.packs].reverse(), sealed), [
      { headerDigest: digests[2] as Hex, signer: members[0] as Hex, signature: "0x5a" },
    ]);
    await db.query("update packs set epoch = 1 where seq <= 2");
    await store.putEquivocation(sealed.id, 1, 9, Uint8Array.of(1), Uint8Array.of(2));

    await lines.load();
    const line = lines.byId.get(sealed.id);
    expect(line?.head?.header.seq).toBe(2);
    expect(line?.pending.map((p) => p.signed.headerDigest)).toEqual(digests.slice(2));
    expect([...(line?.pending[0]?.opened ?? [])]).toEqual([[members[0], "0x5a"]]);
    expect(line?.pending[1]?.opened.size).toBe(0);
    expect(line?.holders.version).toBe(3);
    expect(line?.keys.get(1)).toEqual(sealed.key.spki);
    expect(line?.equivocal.has("1/9")).toBe(true);
    expect(lines.pendingCount).toBe(2);
    expect(lines.pendingByDigest.get(digests[3] as Hex)).toBe(line?.pending[1]);
  });

  test("opened a second time forgets what was only in memory, and counts nothing twice", async () => {
    const line = await registerStream(ctx, registration());
    await store.putPacks(rowsOf(stream.packs.slice(0, 2)), []);
    for (const { signed } of stream.packs) lines.append(line, lines.create(line, signed, 1));
    const again = await lines.open(stream.preimage, line.holders);
    expect(again.pending.map((p) => p.pack.seq)).toEqual([1, 2]);
    expect(lines.pendingCount).toBe(2);
    expect(lines.byId.get(stream.id)).toBe(again);
  });
});

describe("the database", () => {
  test("is refused to a second process of the same operator", async () => {
    const other = connect(await server.database("lines"));
    await expect(Store.open(other, () => undefined)).rejects.toThrow("another custody process has this database open");
    await other.end();
  });

  test("lets the next process in when it is closed, and tells its own when it is lost", async () => {
    const at = await server.database("locked");
    const first = await Store.open(connect(at), () => undefined);
    await first.close();
    const pool = connect(at);
    let lost: Error | undefined;
    const second = await Store.open(pool, (error) => (lost = error));
    const killer = connect(await server.database("lines"));
    await killer.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'locked'");
    await expect.poll(() => lost?.message).toMatch(/terminat/);
    await killer.end();
    await second.close();
  });

  test("confirms an epoch whole or not at all", async () => {
    await store.putPacks(rowsOf(stream.packs.slice(0, 2)), []);
    const digests = stream.packs.slice(0, 3).map((p) => p.signed.headerDigest);
    const epoch = { number: 1 } as never;
    const row = { epoch, hash: digests[0] as Hex, signatures: [], proposer: members[0] as Hex, tx: "0x" as Hex };
    await expect(store.confirm({ ...row, headerDigests: digests })).rejects.toThrow(/has 3 packs, 2 of them are held/);
    expect(await store.lastEpoch()).toBeUndefined();
    expect(await store.head(stream.id)).toBeUndefined();
    await store.confirm({ ...row, headerDigests: digests.slice(0, 2) });
    await store.confirm({ ...row, headerDigests: digests.slice(0, 2) });
    expect((await store.lastEpoch())?.headerDigests).toEqual(digests.slice(0, 2));
    expect((await store.head(stream.id))?.seq).toBe(2);
    await store.dropPacks(digests);
    expect((await store.packs(digests)).length).toBe(2);
    expect(await store.dropped(digests)).toEqual([]);
  });

  test("a pack taken off its line is kept aside: a signed epoch may still bring it onto the chain", async () => {
    await store.putPacks(rowsOf(stream.packs.slice(0, 2)), []);
    const [first, second] = stream.packs.map((p) => p.signed.headerDigest) as [Hex, Hex];
    await store.dropPacks([second]);
    expect((await store.packs([first, second])).map((r) => r.headerDigest)).toEqual([first]);
    const { cose, content } = stream.packs[1] as Built;
    expect(await store.dropped([first, second])).toEqual([{ headerDigest: second, cose, content }]);
    // What is erased goes there too.
    await store.dropContents(stream.id, 28_000_000, 28_000_009);
    expect((await store.dropped([second]))[0]?.content).toBeNull();
  });

  test("an erasure takes contents and leaves headers", async () => {
    await store.putPacks(rowsOf(stream.packs), []);
    const erasure = { streamId: stream.id, number: 1, fromSlot: 28_000_001, toSlot: 28_000_002, requestedAt: 5 };
    await store.putErasure(erasure);
    await store.putErasure(erasure);
    expect(await store.erasures(stream.id)).toEqual([{ ...erasure, doneAt: null, receipted: false }]);
    const gone = await store.contentsIn(stream.id, 28_000_001, 28_000_002);
    expect(gone.sort()).toEqual([1, 2].map((i) => stream.packs[i]?.signed.header.contentDigest).sort());
    expect(await store.dropContents(stream.id, 28_000_001, 28_000_002)).toBe(2);
    expect(await store.contentsIn(stream.id, 28_000_001, 28_000_002)).toEqual([]);
    await store.finishErasure(stream.id, 1, 77);
    const rows = await store.packsAfter(stream.id, 0, 10);
    expect(rows.map((r) => r.content === null)).toEqual([false, true, true, false, false, false]);
    expect(rows.every((r, i) => r.headerDigest === stream.packs[i]?.signed.headerDigest)).toBe(true);
    expect((await store.erasures())[0]?.doneAt).toBe(77);
  });
});

describe("registering a stream", () => {
  test("takes it with its key and holders, and lasts over a restart", async () => {
    const line = await registerStream(ctx, registration());
    expect(line.id).toBe(stream.id);
    const restarted = new Lines(store);
    await restarted.load();
    expect(restarted.byId.get(stream.id)?.holders.holders).toEqual(members);
    expect(restarted.byId.get(stream.id)?.keys.get(1)).toEqual(stream.key.spki);
  });

  test("is for the device's owner alone to allow", async () => {
    expect(await refusal(registerStream(ctx, registration({}, new Uint8Array(32).fill(2))))).toBe("bad-signature");
    const forged = { ...registration(), holders: { ...registration().holders, version: 2 } };
    expect(await refusal(registerStream(ctx, forged))).toBe("bad-signature");
    expect(lines.byId.size).toBe(0);
    expect(await store.streams()).toEqual([]);
  });

  test("is for the stream that was signed for", async () => {
    const other: Hex = `0x${"99".repeat(32)}`;
    expect(await refusal(registerStream(ctx, registration({ streamId: other })))).toBe("wrong-stream");
  });

  test("needs holders of this city: all of them for an open stream, at least two for a sealed one", async () => {
    const stranger = addressOfKey(new Uint8Array(32).fill(99));
    expect(await refusal(registerStream(ctx, registration({ holders: [...members.slice(1), stranger] })))).toBe(
      "committee",
    );
    expect(await refusal(registerStream(ctx, registration({ holders: members.slice(1) })))).toBe("committee");
    stream = new TestStream(1, 60);
    expect(await refusal(registerStream(ctx, registration({ holders: members.slice(0, 1) })))).toBe("committee");
    expect((await registerStream(ctx, registration({ holders: members.slice(0, 2) }))).holders.version).toBe(1);
  });

  test("needs holders of different operators: one named twice is one", async () => {
    stream = new TestStream(1, 60);
    const twice = [members[0], members[0]] as Hex[];
    expect(await refusal(registerStream(ctx, registration({ holders: twice })))).toBe("committee");
    stream = new TestStream(0, 60);
    const three = [...members.slice(0, 3), members[0]] as Hex[];
    expect(await refusal(registerStream(ctx, registration({ holders: three })))).toBe("committee");
  });

  test("takes a later version of the holders, never a lower one", async () => {
    await registerStream(ctx, registration({ version: 3 }));
    expect(await refusal(registerStream(ctx, registration({ version: 2 })))).toBe("order");
    expect((await registerStream(ctx, registration({ version: 4 }))).holders.version).toBe(4);
    expect(lines.byId.size).toBe(1);
  });

  test("refuses a key that the registry does not name, and keeps nothing of the attempt", async () => {
    const other = { ...registration(), keys: [{ keyEpoch: 2, spki: toBase64(stream.key.spki) }] };
    expect(await refusal(registerStream(ctx, other))).toBe("unknown-key");
    const foreign = { ...registration(), keys: [{ keyEpoch: 1, spki: toBase64(new TestStream().key.spki) }] };
    expect(await refusal(registerStream(ctx, foreign))).toBe("unknown-key");
    expect(await store.streams()).toEqual([]);
    expect(await store.keys(stream.id)).toEqual([]);
  });

  test("is learnt from another operator, whose word is checked like anybody's", async () => {
    const answer = { given: registration({}, new Uint8Array(32).fill(2)) };
    const peers = {
      all: [
        { address: members[1], url: "http://a" },
        { address: members[2], url: "http://b" },
      ],
      get: async (peer: { url: string }) => (peer.url === "http://a" ? answer.given : undefined),
    };
    ctx = { ...ctx, peers } as unknown as Context;
    expect(await learnStream(ctx, stream.id)).toBeUndefined();
    answer.given = registration();
    expect((await learnStream(ctx, stream.id))?.id).toBe(stream.id);
  });
});

describe("taking an owner's description of a stream", () => {
  beforeEach(async () => void (await registerStream(ctx, registration())));

  const describedAt = (version: number, latitude: number, signer = OWNER) => {
    const document = thingText(stream.id, { title: "park", place: { latitude, longitude: -3.8 } });
    const signed = thingDescription(stream.id, { version, document });
    return { version, document, signature: signTyped(signer, REGISTRY, THING_DESCRIPTION, signed) };
  };
  const take = (given: ReturnType<typeof describedAt>) =>
    takeDescription(ctx, lines.byId.get(stream.id) as NonNullable<ReturnType<typeof lines.byId.get>>, given);

  test("the highest version stands, and the same may come again", async () => {
    await take(describedAt(2, 43.4));
    await take(describedAt(2, 43.4));
    expect(await refusal(take(describedAt(2, 44)))).toBe("order");
    expect(await refusal(take(describedAt(1, 44)))).toBe("order");
    await take(describedAt(3, 44));
    expect(await store.thing(stream.id)).toEqual(describedAt(3, 44));
    expect(await store.reach()).toEqual([{ streamId: stream.id, thing: 3, firstSlot: null, anchoredAt: null }]);
  });

  test("of anyone but the device's owner now it is refused", async () => {
    expect(await refusal(take(describedAt(1, 43.4, new Uint8Array(32).fill(2))))).toBe("bad-signature");
    ctx.devices.device = async () => ({ owner: addressOfKey(OWNER), ownerEpoch: 2 }) as never;
    expect(await refusal(take(describedAt(1, 43.4)))).toBe("wrong-stream");
    expect(await store.thing(stream.id)).toBeUndefined();
  });

  test("what is no description is refused, whoever signed it", async () => {
    const { version, document } = describedAt(1, 43.4);
    const nowhere = document.replace("43.4", "91");
    const signed = thingDescription(stream.id, { version, document: nowhere });
    const signature = signTyped(OWNER, REGISTRY, THING_DESCRIPTION, signed);
    expect(await refusal(take({ version, document: nowhere, signature }))).toBe("malformed");
    expect(await refusal(take({ ...describedAt(1, 43.4), signature: "0x00" }))).not.toBe("nothing");
  });
});

describe("taking a seed", () => {
  beforeEach(async () => void (await registerStream(ctx, registration())));

  function delivery(
    change: { nodes?: Uint8Array; for?: Hex; publicKey?: Uint8Array; key?: TestStream } = {},
  ): SeedDelivery {
    const nodes = change.nodes ?? encodeNodes([rootNode(stream.seed)]);
    const sealed = sodium.crypto_box_seal(nodes, change.publicKey ?? ctx.sealing.publicKey);
    const message = Buffer.concat([
      utf8("msec.seed"),
      fromHex(stream.id),
      fromHex(change.for ?? ctx.address),
      sha256(sealed),
    ]);
    const { key } = change.key ?? stream;
    return { sealed: toBase64(sealed), keyEpoch: 1, signature: toBase64(key.sign(message)) };
  }

  test("keeps the frontier that the device sealed, once", async () => {
    expect(await takeSeed(ctx, stream.id, delivery())).toBe(true);
    expect(await ctx.frontiers.get(stream.id)).toEqual([rootNode(stream.seed)]);
    const other = encodeNodes([rootNode(new Uint8Array(32))]);
    expect(await takeSeed(ctx, stream.id, delivery({ nodes: other }))).toBe(false);
    expect(await ctx.frontiers.get(stream.id)).toEqual([rootNode(stream.seed)]);
  });

  test.each([
    ["for an unknown stream", "wrong-stream", () => takeSeed(ctx, `0x${"99".repeat(32)}`, delivery())],
    ["under a key epoch without a key", "unknown-key", () => takeSeed(ctx, stream.id, { ...delivery(), keyEpoch: 2 })],
    ["signed by another device", "bad-signature", () => takeSeed(ctx, stream.id, delivery({ key: new TestStream() }))],
    [
      "signed for another operator",
      "bad-signature",
      () => takeSeed(ctx, stream.id, delivery({ for: members[1] as Hex })),
    ],
    [
      "sealed to another operator",
      "unopenable",
      () => takeSeed(ctx, stream.id, delivery({ publicKey: sodium.crypto_box_keypair().publicKey })),
    ],
    ["that holds no key", "key-tree", () => takeSeed(ctx, stream.id, delivery({ nodes: new Uint8Array() }))],
    ["that is no list of nodes", "key-tree", () => takeSeed(ctx, stream.id, delivery({ nodes: new Uint8Array(36) }))],
    [
      "whose signature is cut short",
      "bad-signature",
      () => takeSeed(ctx, stream.id, { ...delivery(), signature: toBase64(new Uint8Array(63)) }),
    ],
    [
      "whose box was changed after it was signed",
      "bad-signature",
      () => takeSeed(ctx, stream.id, { ...delivery(), sealed: delivery().sealed }),
    ],
  ])("refuses a seed %s", async (_, code, attempt) => {
    expect(await refusal(attempt())).toBe(code);
    expect(await ctx.frontiers.get(stream.id)).toBeUndefined();
  });

  test("brings nothing back that was erased before it came", async () => {
    await store.putErasure({ streamId: stream.id, number: 1, fromSlot: 5, toSlot: 2 ** 40, requestedAt: 1 });
    expect(await takeSeed(ctx, stream.id, delivery())).toBe(true);
    const left = (await ctx.frontiers.get(stream.id)) ?? [];
    expect(left).toEqual(derive([rootNode(stream.seed)], cover(0, 4)));
  });

  test("refuses a sealed stream's seed where its owner did not choose this operator", async () => {
    stream = new TestStream(1, 60);
    await registerStream(ctx, registration({ holders: members.slice(1, 3) }));
    expect(await refusal(takeSeed(ctx, stream.id, delivery()))).toBe("committee");
  });
});
