import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import {
  encodeCose,
  encodeMessage,
  fromHex,
  type Hex,
  keyHash,
  leafNode,
  preparePack,
  rootNode,
  slotOf,
  toHex,
  ZERO32,
} from "@msec/core";
import { es256 } from "@msec/secure-element";
import type { Device } from "./fleet.ts";

// Packs are signed, hashed and encrypted before the clock starts, by threads, into one file a device: a ten-minute run
// does not fit into memory. A record is uint32 length of the message ‖ headerDigest ‖ message.

export const READINGS = 100;
/** Time that one pack covers: short, so that the packs of a long run lie in the present. */
const PACK_MS = 10;

/** Where a device's line of packs has got to. */
export interface Progress {
  seq: number;
  previous: Hex;
  nextMs: number;
}

export const start = (): Progress => ({ seq: 0, previous: ZERO32, nextMs: Date.now() });

interface Job {
  n: number;
  folder: string;
  device: Device;
  from: Progress;
  count: number;
}

const fileOf = (folder: string, n: number) => join(folder, `${n}.packs`);

/** One pack a call, every device in turn, so that all of them have the same present. */
function prepare(jobs: readonly Job[]): Progress[] {
  const lines = jobs.map((job) => ({ ...job, ...job.from, fd: openSync(fileOf(job.folder, job.n), "a") }));
  const most = Math.max(...jobs.map((job) => job.count));
  for (let k = 0; k < most; k++)
    for (const line of lines) {
      if (k >= line.count) continue;
      const { preimage, seed, key, spki } = line.device;
      const slotEnd = (slotOf(line.nextMs, preimage.slotSeconds) + 1) * preimage.slotSeconds * 1000;
      const fromMs = line.nextMs + PACK_MS > slotEnd ? slotEnd : line.nextMs;
      const pack = preparePack({
        stream: preimage,
        leaf: leafNode([rootNode(seed)], slotOf(fromMs, preimage.slotSeconds)),
        keyEpoch: 1,
        bootEpoch: 0,
        seq: line.seq + 1,
        flags: 0,
        previous: line.previous,
        readings: Array.from({ length: READINGS }, (_, i) => ({
          n: i % 2 ? "CO" : "T",
          u: i % 2 ? "mg/m3" : "Cel",
          v: Math.round(Math.random() * 1000) / 10,
          tMs: fromMs + Math.floor((i * PACK_MS) / READINGS),
        })),
        packSalt: new Uint8Array(randomBytes(32)),
        nonce: new Uint8Array(randomBytes(12)),
        keyHash: keyHash(spki),
      });
      const cose = encodeCose(pack.protectedHeader, pack.headerBytes, es256(key, pack.toBeSigned));
      const message = encodeMessage(cose, pack.content);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(message.length);
      writeSync(line.fd, Buffer.concat([length, fromHex(pack.headerDigest), message]));
      Object.assign(line, { seq: line.seq + 1, previous: pack.headerDigest, nextMs: fromMs + PACK_MS });
    }
  for (const { fd } of lines) closeSync(fd);
  return lines.map(({ seq, previous, nextMs }) => ({ seq, previous, nextMs }));
}

/** Prepares `count` more packs for every device, on `threads` threads. */
export async function prepareAll(
  folder: string,
  devices: readonly Device[],
  from: readonly Progress[],
  count: number,
  threads: number,
  signal: AbortSignal,
): Promise<Progress[]> {
  const jobs = devices.map((device, n): Job => ({ n, folder, device, from: from[n] as Progress, count }));
  const out: Progress[] = [];
  await Promise.all(
    Array.from({ length: threads }, (_, t) => {
      const mine = jobs.filter(({ n }) => n % threads === t);
      if (mine.length === 0) return undefined;
      return new Promise<void>((resolve, reject) => {
        const worker = new Worker(fileURLToPath(import.meta.url));
        signal.addEventListener("abort", () => void worker.terminate(), { once: true });
        worker.once("message", (done: Progress[]) => {
          done.forEach((progress, i) => (out[(mine[i] as Job).n] = progress));
          resolve();
        });
        worker.once("error", reject);
        worker.once("exit", () => reject(new Error("preparing packs was interrupted")));
        worker.postMessage(mine);
      });
    }),
  );
  return out;
}

if (!isMainThread)
  parentPort?.once("message", (jobs: Job[]) => {
    parentPort?.postMessage(prepare(jobs));
    parentPort?.close();
  });

export interface Prepared {
  headerDigest: Hex;
  message: Buffer;
}

const CHUNK = 256 * 1024;

/** Reads a device's packs back, in order. */
export class PackFile {
  readonly #fd: number;
  #held: Buffer = Buffer.alloc(0);

  constructor(folder: string, n: number) {
    this.#fd = openSync(fileOf(folder, n), "r");
  }

  /** The next pack, undefined at the end of what was prepared. */
  next(): Prepared | undefined {
    if (!this.#has(36)) return undefined;
    const length = this.#held.readUInt32BE(0);
    if (!this.#has(36 + length)) return undefined;
    const record = this.#held.subarray(0, 36 + length);
    this.#held = this.#held.subarray(36 + length);
    return { headerDigest: toHex(record.subarray(4, 36)), message: record.subarray(36) };
  }

  #has(bytes: number): boolean {
    if (this.#held.length >= bytes) return true;
    const chunk = Buffer.alloc(CHUNK);
    const read = readSync(this.#fd, chunk, 0, CHUNK, null);
    this.#held = Buffer.concat([this.#held, chunk.subarray(0, read)]);
    return this.#held.length >= bytes;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
