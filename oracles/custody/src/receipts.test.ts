import { contractsAt } from "@msec/chain";
import {
  addressOfKey,
  BACKUP_MS,
  consentDomain,
  ERASED,
  type Erased,
  hashStruct,
  type Hex,
  HOLDERS,
  recoverTyped,
  streamId,
  streamOf,
  ZERO32,
} from "@msec/core";
import { pino } from "pino";
import { beforeEach, describe, expect, test } from "vitest";
import { TestStream } from "../../../packages/core/test/city.ts";
import { type Context } from "./context.ts";
import { Receipts } from "./receipts.ts";
import { type Erasure } from "./store.ts";

// Receipts of erasures against a registry that only remembers.

const CONSENT: Hex = `0x${"c0".repeat(20)}`;
const domain = consentDomain(20260, CONSENT);
const key = new Uint8Array(32).fill(11);
const me = addressOfKey(key);
const other = addressOfKey(new Uint8Array(32).fill(12));
const { interface: abi } = contractsAt({ ConsentRegistry: CONSENT }, null as never).ConsentRegistry;
const stream = new TestStream(0, 60).preimage;
const id = streamId(stream);
const SIGNATURE: Hex = `0x${"5a".repeat(65)}`;

let erasures: Erasure[];
let holders: Hex[];
let recorded: Hex;
let received: bigint;
let sent: { name: string; args: unknown[] }[];
let refuse: Error | undefined;
let receipts: Receipts;

const erasure = (change: Partial<Erasure> = {}): Erasure => ({
  streamId: id,
  number: 1,
  fromSlot: 5,
  toSlot: 9,
  requestedAt: 1_000,
  doneAt: 2_000,
  receipted: false,
  ...change,
});
const list = () => ({ streamId: id, version: 1, holders });

beforeEach(() => {
  erasures = [erasure()];
  holders = [other, me];
  recorded = hashStruct(HOLDERS, list());
  received = 0n;
  sent = [];
  refuse = undefined;
  receipts = new Receipts({
    config: { chain: { chainId: 20260, addresses: { ConsentRegistry: CONSENT } } },
    log: pino({ level: "silent" }),
    store: {
      erasures: async () => erasures,
      putReceipted: async (_: Hex, number: number) => {
        for (const e of erasures) if (e.number === number) e.receipted = true;
      },
    },
    lines: {
      byId: {
        get: (given: Hex) =>
          given === id ? { id, stream, holders: { version: 1, holders, signature: SIGNATURE } } : undefined,
      },
    },
    contracts: {
      ConsentRegistry: { interface: abi, holdersHash: async () => recorded, receiptsOf: async () => ({ received }) },
    },
    reporter: {
      transact: async ({ to, data }: { to: Hex; data: Hex }) => {
        if (refuse) throw refuse;
        const call = abi.parseTransaction({ data });
        expect(to).toBe(CONSENT);
        sent.push({ name: call?.name as string, args: [...(call?.args ?? [])] });
      },
    },
    key,
    address: me,
  } as unknown as Context);
});

describe("a receipt", () => {
  test("names what was destroyed and when, signed by the holder, and is sent once", async () => {
    await receipts.tick();
    await receipts.tick();
    expect(sent.map((s) => s.name)).toEqual(["submitErased"]);
    const [given, , signature] = sent[0]?.args as [Record<string, bigint>, unknown, Hex];
    const erased: Erased = {
      streamId: id,
      number: 1,
      fromSlot: 5,
      toSlot: 9,
      keysDestroyedAt: 2_000,
      backupsExpireAt: 2_000 + BACKUP_MS,
    };
    expect(ERASED.fields.map(([, name]) => String(given[name]))).toEqual(Object.values(erased).map(String));
    expect(recoverTyped(domain, ERASED, erased, signature)).toBe(me);
  });

  test("is not sent for what is not destroyed yet, by no holder, or for an unknown stream", async () => {
    erasures = [erasure({ doneAt: null }), erasure({ streamId: ZERO32, number: 2 })];
    await receipts.tick();
    erasures = [erasure()];
    holders = [other];
    await receipts.tick();
    expect(sent).toEqual([]);
    expect(erasures[0]?.receipted).toBe(false);
  });

  test("that the chain has already is not sent again, such as after a crash before it was noted", async () => {
    received = 0b10n;
    await receipts.tick();
    expect(sent).toEqual([]);
    expect(erasures[0]?.receipted).toBe(true);
  });

  test("of another holder is not taken for its own", async () => {
    received = 0b01n;
    await receipts.tick();
    expect(sent).toHaveLength(1);
  });

  test("comes after the holders, where the chain does not know them yet", async () => {
    recorded = ZERO32;
    await receipts.tick();
    expect(sent.map((s) => s.name)).toEqual(["setHolders", "submitErased"]);
    expect(sent[0]?.args[3]).toBe(SIGNATURE);
    const struct = sent[0]?.args[0] as Record<string, unknown>;
    expect(struct.nameHash).toBe(streamOf(stream).nameHash);
  });

  test("is not sent under other holders than the owner named here", async () => {
    recorded = hashStruct(HOLDERS, { ...list(), holders: [other] });
    await receipts.tick();
    expect(sent).toEqual([]);
    expect(erasures[0]?.receipted).toBe(false);
  });

  test("that the chain does not take is tried again, and keeps none behind it waiting", async () => {
    refuse = new Error("no block");
    erasures = [erasure(), erasure({ number: 2 })];
    await receipts.tick();
    expect(erasures.map((e) => e.receipted)).toEqual([false, false]);
    refuse = undefined;
    await receipts.tick();
    expect(erasures.map((e) => e.receipted)).toEqual([true, true]);
  });
});
