import { type Server } from "node:http";
import {
  batchContext,
  batchNode,
  buyerNodes,
  cover,
  type Deal,
  type DealContext,
  dealId,
  decodeCose,
  derive,
  type Hex,
  holesHash,
  type KeyNode,
  ProtocolError,
  rootNode,
  slotsOfBits,
  type SlotRange,
  subscriptionId,
  subscriptionKey,
  type SubscriptionTerms,
  toBase64,
  toHex,
  unmask,
} from "@msec/core";
import { Reply, serve } from "@msec/service";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { TestStream } from "../../../packages/core/test/city.ts";
import { aDeal } from "../../../packages/core/test/deal.ts";
import { Custody } from "./custody.ts";
import { type BatchDelivery, prepareBatch, prepareDelivery } from "./prepare.ts";

const TOKEN = "5ec2e7";
const SECRET = new Uint8Array(32).fill(5);
const FROM = 28_000_000;
const TO = FROM + 9;

/** What the operator's custody oracle answers; tests change it. */
interface Answers {
  stream: TestStream;
  newestEpoch: number;
  truncated: boolean;
  /** Epoch of each pack, by its place. */
  epochs: number[];
  contents: (string | null)[];
  /** Slots whose keys are gone. */
  gone: SlotRange[];
  /** Whether it shows where packs are anchored. */
  anchored: boolean;
  down: boolean;
}
let answers: Answers;
let server: Server;
let custody: Custody;
const asked: string[] = [];

beforeAll(async () => {
  server = await serve(
    {
      "GET /streams/:": ({ params }) => {
        if (answers.down) throw new Error("down");
        asked.push(params[0] as string);
        return { preimage: answers.stream.preimage };
      },
      "GET /streams/:/window": ({ query }) => {
        const [from, to] = [Number(query.get("from")), Number(query.get("to"))];
        const all = answers.stream.packs
          .map(({ cose, signed }, i) => ({
            headerDigest: signed.headerDigest,
            cose: toBase64(cose),
            slot: Math.floor(signed.header.fromMs / 60_000),
            epoch: answers.epochs[i] as number,
            erased: answers.contents[i] === null,
          }))
          .filter(({ epoch }) => epoch <= answers.newestEpoch);
        const packs = all.filter((pack) => pack.slot >= from && pack.slot <= to);
        const after = all.find((pack) => pack.slot > to) ?? null;
        return { packs, after, newestEpoch: answers.newestEpoch, truncated: answers.truncated };
      },
      "POST /packs": ({ body }) =>
        (body as { headerDigests: Hex[] }).headerDigests.map((headerDigest) => ({
          headerDigest,
          content: answers.contents[answers.stream.packs.findIndex((p) => p.signed.headerDigest === headerDigest)],
          anchoring: answers.anchored ? { epoch: { number: 3 }, path: [headerDigest] } : null,
        })),
      "POST /keys": ({ body, headers }) => {
        if (headers.authorization !== `Bearer ${TOKEN}`) return new Reply(400, { code: "bad-signature" });
        const { fromSlot, toSlot, holes } = body as { fromSlot: number; toSlot: number; holes: SlotRange[] };
        const frontier = derive([rootNode(answers.stream.seed)], cover(0, 0xffffffff, answers.gone));
        return derive(frontier, cover(fromSlot, toSlot, holes)).map((node) => ({ ...node, key: toHex(node.key) }));
      },
    },
    "127.0.0.1",
    0,
    () => undefined,
  );
  custody = new Custody(`http://127.0.0.1:${(server.address() as { port: number }).port}`, TOKEN);
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

let deal: Deal;
let nodes: KeyNode[];
let context: DealContext;

/** A deal about the window FROM to TO, with holes where slots were erased before. */
function sell(holes: SlotRange[], change: Partial<Deal> = {}): void {
  const places = cover(FROM, TO, holes);
  nodes = buyerNodes(SECRET, places);
  const sold = answers.stream.packs.filter(({ signed }, i) => {
    const slot = Math.floor(signed.header.fromMs / 60_000);
    return (
      slot >= FROM &&
      slot <= TO &&
      (answers.epochs[i] as number) <= 5 &&
      !holes.some(([a, b]) => slot >= a && slot <= b)
    );
  });
  const { escrow, ...base } = aDeal({
    chain: { chainId: 20260, anchor: `0x${"a1".repeat(20)}` },
    stream: answers.stream.preimage,
    window: { fromSlot: FROM, toSlot: TO, holes, asOfEpoch: 5 },
    nodes: [],
    packs: [],
  } as never);
  deal = {
    ...base,
    packs: sold.length,
    readings: sold.reduce((sum, { signed }) => sum + signed.header.count, 0),
    holesHash: holesHash(holes),
    nodes: nodes.length,
    ...change,
  };
  context = { chainId: 20260, escrow, dealId: dealId(deal) };
}

beforeEach(() => {
  const stream = new TestStream(0, 60);
  stream.fill(FROM - 1, 12);
  answers = {
    stream,
    newestEpoch: 5,
    truncated: false,
    epochs: stream.packs.map(() => 3),
    contents: stream.packs.map((p) => toBase64(p.content)),
    gone: [],
    anchored: true,
    down: false,
  };
  sell([]);
});

const prepare = (erasures: SlotRange[] = []) => prepareDelivery(custody, context, deal, nodes, erasures);
async function failure(erasures: SlotRange[] = []): Promise<Error> {
  return prepare(erasures).then(
    () => new Error("it was delivered"),
    (error: Error) => error,
  );
}
async function declines(code: string, message: RegExp, erasures: SlotRange[] = []): Promise<void> {
  const error = await failure(erasures);
  expect(error).toBeInstanceOf(ProtocolError);
  expect((error as ProtocolError).code).toBe(code);
  expect(error.message).toMatch(message);
}

describe("a delivery", () => {
  test("holds the keys that open the window, for the buyer alone", async () => {
    const delivery = await prepare();
    const keys = unmask(context, SECRET, nodes, delivery);
    expect(keys).toEqual(derive([rootNode(answers.stream.seed)], cover(FROM, TO)));
    const other = unmask(context, new Uint8Array(32).fill(6), nodes, delivery);
    expect(other[0]?.key).not.toEqual(keys[0]?.key);
    expect(JSON.stringify(delivery.masked)).not.toContain(toHex(keys[0]?.key as Uint8Array).slice(2));
  });

  test("is masked anew each time, so the keys of one tell nothing of another", async () => {
    const [a, b] = [await prepare(), await prepare()];
    expect(a.E).not.toEqual(b.E);
    expect(a.masked[0]).not.toBe(b.masked[0]);
  });

  test("leaves out holes: their keys are not in it, their packs not counted", async () => {
    const holes: SlotRange[] = [[FROM + 3, FROM + 4]];
    answers.gone = holes;
    answers.contents = answers.contents.map((c, i) => (i === 4 || i === 5 ? null : c));
    sell(holes);
    expect(deal.packs).toBe(8);
    const delivery = await prepare([[FROM + 3, FROM + 3], [FROM + 4, FROM + 4]]); // prettier-ignore
    expect(unmask(context, SECRET, nodes, delivery)).toEqual(
      derive([rootNode(answers.stream.seed)], cover(FROM, TO, holes)),
    );
  });

  test("counts only packs anchored up to the deal's epoch", async () => {
    answers.epochs = answers.epochs.map((e, i) => (i >= 8 ? 6 : e));
    answers.newestEpoch = 6;
    sell([]);
    expect(deal.packs).toBe(7);
    expect((await prepare()).masked).toHaveLength(nodes.length);
  });
});

describe("a deal is declined", () => {
  test("when its packs or readings are not as many as the window holds", async () => {
    sell([], { packs: 9 });
    await declines("deal", /holds 10 packs and 10 readings/);
    sell([], { readings: 11 });
    await declines("deal", /holds 10 packs and 10 readings/);
  });

  test("when its nodes are not the canonical cover", async () => {
    const [first, ...rest] = nodes as [KeyNode, ...KeyNode[]];
    for (const changed of [
      rest,
      [...nodes, first],
      [...nodes].reverse(),
      [{ ...first, depth: first.depth + 1 }, ...rest],
    ]) {
      nodes = changed;
      await declines("deal", /canonical cover/);
    }
  });

  test("when its holes are not the erased ranges, whether it hides one or invents one", async () => {
    await declines("deal", /holes are not the erased ranges/, [[FROM, FROM]]);
    sell([[FROM, FROM]]);
    await declines("deal", /holes are not the erased ranges/);
  });

  test("when a buyer's point is not on the curve, or is none", async () => {
    const good = nodes;
    for (const point of [{ x: 5n }, { x: 0n }, { x: 2n ** 256n - 1n }, { v: 29 }]) {
      nodes = good.map((node, i) => (i === 1 ? { ...node, ...point } : node));
      await declines("deal", /point/);
    }
  });

  test("when a content is gone, or is not the one that the device signed", async () => {
    answers.contents[3] = null;
    await declines("erased", /a content of the window is gone/);
    answers.contents[3] = answers.contents[4] as string;
    await declines("content-digest", /not what the header names/);
  });

  test("when a pack does not open under the key of its slot", async () => {
    const cheat = new TestStream(0, 60);
    Object.assign(cheat, { seed: answers.stream.seed, preimage: answers.stream.preimage, key: answers.stream.key });
    cheat.add([{ n: "CO", u: "mg/m3", v: 1, tMs: FROM * 60_000 }], { leaf: new Uint8Array(32), slot: FROM });
    answers = { ...answers, stream: cheat, epochs: [3], contents: cheat.packs.map((p) => toBase64(p.content)) };
    sell([]);
    expect(decodeCose(cheat.packs[0]?.cose as Uint8Array).header.count).toBe(1);
    await declines("key-commitment", /not what the header commits to/);
  });

  test("when keys of the window are not held any more", async () => {
    answers.gone = [[FROM + 5, FROM + 5]];
    await declines("erased", /keys of the window are not held any more/);
  });
});

describe("it is tried again", () => {
  const isTransient = async () => expect(await failure()).not.toBeInstanceOf(ProtocolError);

  test("when the custody oracle is behind the deal's epoch", async () => {
    answers.newestEpoch = 4;
    expect((await failure()).message).toBe("the custody oracle has not confirmed epoch 5 yet");
    await isTransient();
    answers.newestEpoch = 5;
    await expect(prepare()).resolves.toBeDefined();
  });

  test("when the custody oracle fails, is away, or does not know the token", async () => {
    answers.down = true;
    await isTransient();
    answers.down = false;
    const away = new Custody("http://127.0.0.1:1", TOKEN);
    await expect(prepareDelivery(away, context, deal, nodes, [])).rejects.not.toBeInstanceOf(ProtocolError);
    const stranger = new Custody(`http://127.0.0.1:${(server.address() as { port: number }).port}`, "guess");
    await expect(prepareDelivery(stranger, context, deal, nodes, [])).rejects.not.toBeInstanceOf(ProtocolError);
  });

  test("when the window is larger than what is served at once", async () => {
    answers.truncated = true;
    expect((await failure()).message).toMatch(/larger than the operator serves at once/);
    await isTransient();
  });
});

describe("a batch of a subscription", () => {
  /** Slots FROM to FROM + 3. */
  const NUMBER = FROM / 4;
  const word = (byte: string): Hex => `0x${byte.repeat(32)}`;
  const account = (byte: string): Hex => `0x${byte.repeat(20)}`;
  const key = subscriptionKey(SECRET);
  const terms: SubscriptionTerms = {
    ...{ streamId: word("51"), seller: account("5e"), deliverer: account("d1"), fallbackDeliverer: account("d2") },
    ...{ token: account("70"), slotPrice: 10n, feePerMille: 50, bond: 5n, depth: 30, slotSeconds: 60 },
    ...{ deliverSeconds: 60, complainSeconds: 60, silenceSeconds: 3600, licence: word("00"), anchor: account("a1") },
    ...{ buyer: account("b1"), keyX: key.x, keyV: key.v, fromBatch: NUMBER, purpose: word("00"), erasures: 0 },
    nonce: word("0e"),
  };
  const at = batchContext(20260, account("c0"), subscriptionId(terms), NUMBER);
  const batch = (late = false, number = NUMBER) => prepareBatch(custody, at, terms, number, late);

  test("holds the batch's node for the buyer, the slots with data, and its last pack with its path", async () => {
    const made = (await batch()) as BatchDelivery;
    const node = batchNode(terms, NUMBER);
    const opened = unmask(at, SECRET, [node], { E: made.E, masked: [made.masked] });
    expect(opened).toEqual(derive([rootNode(answers.stream.seed)], [node]));
    expect(slotsOfBits(terms, NUMBER, made.slots)).toEqual([FROM, FROM + 1, FROM + 2, FROM + 3]);
    expect(made.last.pack.slot).toBe(FROM + 3);
    expect(made.last.proof).toEqual([made.last.pack.headerDigest]);
  });

  test("claims no slot that is empty", async () => {
    const stream = new TestStream(0, 60);
    stream.fill(FROM + 1, 1);
    stream.fill(FROM + 7, 1);
    const contents = stream.packs.map((p) => toBase64(p.content));
    answers = { ...answers, stream, contents, epochs: stream.packs.map(() => 3) };
    const made = (await batch()) as BatchDelivery;
    expect(slotsOfBits(terms, NUMBER, made.slots)).toEqual([FROM + 1]);
  });

  test("waits for the stream to go on, for so long", async () => {
    answers.epochs = answers.epochs.map((e, i) => (i >= 4 ? 9 : e));
    expect(await batch()).toBe("early");
    expect(slotsOfBits(terms, NUMBER, ((await batch(true)) as BatchDelivery).slots)).toHaveLength(3);
  });

  test("is empty for good once the stream has gone on past it, and not before", async () => {
    const before = FROM / 4 - 1;
    answers.epochs = answers.epochs.map((e, i) => (i === 0 ? 9 : e));
    expect(await batch(true, before)).toBe("empty");
    expect(await batch(true, before + 9)).toBe("early");
  });

  test("is not delivered where a slot of it is erased, a content gone, or a pack does not open", async () => {
    answers.gone = [[FROM + 2, FROM + 2]];
    await expect(batch()).rejects.toBeInstanceOf(ProtocolError);
    answers.gone = [];
    answers.contents[2] = null;
    await expect(batch()).rejects.toBeInstanceOf(ProtocolError);
    answers.contents[2] = answers.contents[3] as string;
    await expect(batch()).rejects.toBeInstanceOf(ProtocolError);
  });

  test("is tried again where the custody oracle is down or does not show where its last pack is anchored", async () => {
    answers.anchored = false;
    await expect(batch()).rejects.toThrow(/does not show where/);
    await expect(batch()).rejects.not.toBeInstanceOf(ProtocolError);
    answers.anchored = true;
    answers.down = true;
    await expect(batch()).rejects.not.toBeInstanceOf(ProtocolError);
  });
});
