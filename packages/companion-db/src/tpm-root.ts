import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import {
  ALG,
  HANDLES,
  NV,
  type NvIndex,
  type NvPublic,
  parseTpmAddress,
  RH,
  SE,
  SESSION,
  SRK,
  Tpm,
  TpmError,
} from "@msec/secure-element/tpm";
import { type RootKey, type RootStore, writeWhole } from "./root.ts";

type Session = Awaited<ReturnType<Tpm["startSession"]>>;

const KEY = 32;
/** generation ‖ root in force ‖ next root or zeros: one NV_Write. */
const SIZE = 8 + KEY + KEY;
const UNINITIALIZED = 0x14a;
/** Owner-defined indexes (TCG Registry of Reserved TPM 2.0 Handles, 2.2.2), looked through for two that are free. */
const FIRST = 0x01804d00;
/** What a session decrypts and encrypts is said from the TPM's side. */
const CRYPT = { sent: SESSION.decrypt, received: SESSION.encrypt };
const REST_MS = 10 * 60 * 1000;

/** What finds the root in the TPM: its indexes, and the value that opens them. Worth nothing without the TPM. */
interface Place {
  format: "msec.erasure.root.tpm/1";
  root: number;
  counter: number;
  /** Authorization value of both indexes, base64. */
  auth: string;
}

interface Held {
  generation: bigint;
  current: Uint8Array;
  next: Uint8Array | undefined;
}

/** An open TPM with a session under which values cross the bus encrypted. */
interface Open {
  tpm: Tpm;
  /** The session for the next command; what that sends or gets back crosses the bus encrypted where it says so. */
  by(crypt?: "sent" | "received"): Session;
}

/**
 * The root key in a TPM's NV memory, beside an NV counter. What was overwritten there is gone, and the counter, which even a
 * new index under its handle continues, is the root's generation: a file that was sealed under an earlier one is known as an
 * old copy. Replacing the root takes two writes and one increment. The TPM is held for moments only.
 */
export class TpmRoot implements RootStore {
  readonly restMs: number;
  readonly where: string;
  readonly #address: string;
  readonly #path: string;

  /** `address` as Tpm.open takes it; `path` is the file that says where in the TPM the root is. */
  constructor(address: string, path: string) {
    // An emulator's memory does not wear out.
    this.restMs = parseTpmAddress(address).kind === "device" ? REST_MS : 0;
    this.#address = address;
    this.where = `the TPM at ${address}`;
    this.#path = path;
  }

  get exists(): boolean {
    return existsSync(this.#path);
  }

  read(fresh: boolean): Promise<{ current: RootKey; next: RootKey | undefined }> {
    return this.#with(async (open) => {
      if (!this.exists) {
        if (!fresh)
          throw new Error(`${this.#path} is missing: without it the root key in the TPM cannot be read; restore it`);
        await this.#choose(open.tpm);
      }
      if (fresh) await this.#make(open);
      const { generation, current, next } = await this.#settled(open);
      return {
        current: { key: current, generation },
        next: next && { key: next, generation: generation + 1n },
      };
    });
  }

  stage(): Promise<RootKey> {
    return this.#with(async (open) => {
      const held = await this.#settled(open);
      const next = new Uint8Array(randomBytes(KEY));
      await this.#write(open, { ...held, next });
      return { key: next, generation: held.generation + 1n };
    });
  }

  adopt(): Promise<void> {
    return this.#with(async (open) => {
      const held = await this.#settled(open);
      if (!held.next) return;
      const counter = await this.#index(open.tpm, this.#place().counter);
      await open.tpm.nvIncrement(counter, counter, open.by());
      await this.#settled(open);
    });
  }

  drop(): Promise<void> {
    return this.#with(async (open) => this.#write(open, { ...(await this.#settled(open)), next: undefined }));
  }

  async destroy(): Promise<void> {
    await this.#with(async ({ tpm }) => {
      for (const index of [this.#place().root, this.#place().counter])
        if ((await tpm.handles(HANDLES.NV)).includes(index)) await tpm.nvUndefine(await tpm.nvReadPublic(index));
    });
    rmSync(this.#path);
  }

  /**
   * What the index holds. Where the counter is one ahead, the file was sealed under the next root before a crash: that one is
   * in force, and the old one is overwritten now.
   */
  async #settled(open: Open): Promise<Held> {
    const { root, counter } = this.#place();
    const held = decode(await open.tpm.nvRead(await this.#index(open.tpm, root), undefined, () => open.by("received")));
    const count = await this.#count(open, counter);
    if (held.generation === count) return held;
    if (held.next === undefined || held.generation + 1n !== count)
      throw new Error(
        `the TPM counts ${count} root keys and holds the one numbered ${held.generation}: its memory was written by another program or set back, and the erasure keys cannot be opened`,
      );
    const settled = { generation: count, current: held.next, next: undefined };
    await this.#write(open, settled);
    return settled;
  }

  async #count({ tpm, by }: Open, index: number): Promise<bigint> {
    const counter = await this.#index(tpm, index);
    return Buffer.from(await tpm.nvRead(counter, undefined, () => by("received"))).readBigUInt64BE();
  }

  async #write({ tpm, by }: Open, { generation, current, next }: Held): Promise<void> {
    const index = await this.#index(tpm, this.#place().root);
    const bytes = Buffer.alloc(SIZE);
    bytes.writeBigUInt64BE(generation);
    bytes.set(current, 8);
    bytes.set(next ?? new Uint8Array(KEY), 8 + KEY);
    await tpm.nvWrite(index, bytes, index, () => by("sent"));
  }

  async #choose(tpm: Tpm): Promise<void> {
    const taken = new Set(await tpm.handles(HANDLES.NV));
    let root = FIRST;
    while (taken.has(root) || taken.has(root + 1)) root += 2;
    const auth = Buffer.from(randomBytes(KEY)).toString("base64");
    const place: Place = { format: "msec.erasure.root.tpm/1", root, counter: root + 1, auth };
    writeWhole(this.#path, Buffer.from(`${JSON.stringify(place, undefined, 2)}\n`));
  }

  /** Defines and fills what a first start that was cut off left undone. */
  async #make(open: Open): Promise<void> {
    const { tpm, by } = open;
    const place = this.#place();
    const known = await tpm.handles(HANDLES.NV);
    const attributes = NV.AUTHREAD | NV.AUTHWRITE | NV.NO_DA;
    const area = { nameAlg: ALG.SHA256, policy: new Uint8Array() };
    const indexes: NvPublic[] = [
      { ...area, index: place.counter, attributes: attributes | NV.COUNTER, size: 8 },
      { ...area, index: place.root, attributes, size: SIZE },
    ];
    for (const wanted of indexes)
      if (!known.includes(wanted.index)) await tpm.nvDefine(wanted, this.#auth(), by("sent"));
    const generation = await this.#count(open, place.counter).catch(async (error: unknown) => {
      if (!isUninitialized(error)) throw error;
      const counter = await this.#index(tpm, place.counter);
      await tpm.nvIncrement(counter, counter, by());
      return this.#count(open, place.counter);
    });
    await tpm
      .nvRead(await this.#index(tpm, place.root), undefined, () => by("received"))
      .catch(async (error: unknown) => {
        if (!isUninitialized(error)) throw error;
        await this.#write(open, { generation, current: new Uint8Array(randomBytes(KEY)), next: undefined });
      });
  }

  async #index(tpm: Tpm, index: number): Promise<NvIndex> {
    try {
      return await tpm.nvReadPublic(index, this.#auth());
    } catch (error) {
      if (!(error instanceof TpmError) || error.code !== "handle") throw error;
      throw new Error(
        `the TPM at ${this.#address} does not hold the root key that ${this.#path} names: it is another TPM or was cleared; use the TPM that the erasure keys were made with`,
        { cause: error },
      );
    }
  }

  #auth(): Uint8Array {
    return new Uint8Array(Buffer.from(this.#place().auth, "base64"));
  }

  #place(): Place {
    const damaged = (cause?: unknown) =>
      new Error(`${this.#path} is damaged: restore it; it may be as old as you like`, { cause });
    let place: Place;
    try {
      place = JSON.parse(readFileSync(this.#path, "utf8")) as Place;
    } catch (error) {
      throw damaged(error);
    }
    if (place.format !== "msec.erasure.root.tpm/1" || !Number.isInteger(place.root) || !Number.isInteger(place.counter))
      throw damaged();
    return place;
  }

  async #with<T>(work: (open: Open) => Promise<T>): Promise<T> {
    const tpm = await Tpm.open(this.#address);
    try {
      await tpm.startup();
      const session = await salted(tpm).catch(async (error: unknown) => {
        if (!(error instanceof TpmError) || error.code !== "memory") throw error;
        // Only without a resource manager, and then nobody else is connected: a dead process left its keys.
        await tpm.flushAll();
        return salted(tpm);
      });
      try {
        const by = (crypt?: "sent" | "received") => {
          session.attributes = SESSION.continueSession | (crypt ? CRYPT[crypt] : 0);
          return session;
        };
        return await work({ tpm, by });
      } finally {
        await tpm.flush(session).catch(() => undefined);
      }
    } finally {
      await tpm.close();
    }
  }
}

async function salted(tpm: Tpm): Promise<Session> {
  const srk = await tpm.createPrimary(RH.OWNER, SRK);
  try {
    return await tpm.startSession(SE.HMAC, { salt: srk });
  } finally {
    await tpm.flush(srk).catch(() => undefined);
  }
}

function decode(bytes: Uint8Array): Held {
  const next = bytes.slice(8 + KEY);
  return {
    generation: Buffer.from(bytes).readBigUInt64BE(),
    current: bytes.slice(8, 8 + KEY),
    next: next.some((byte) => byte !== 0) ? next : undefined,
  };
}

const isUninitialized = (error: unknown) => error instanceof TpmError && error.rc === UNINITIALIZED;
