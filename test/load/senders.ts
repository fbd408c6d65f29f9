import { deviceCredentials, packsTopic, readTopic, rightsOf } from "@msec/broker";
import { faults, type Hex } from "@msec/core";
import { es256 } from "@msec/secure-element";
import mqtt, { type MqttClient } from "mqtt";
import type { Device } from "./fleet.ts";
import { type PackFile, type Prepared, READINGS } from "./packs.ts";

const TICK_MS = 10;
/** Silence after which a device sends again what too few receipted, doubled each time: as the device firmware does. */
const RESEND_MS = 5_000;
const MAX_RESEND_MS = 60_000;

export interface Sent {
  /** Time of the first publishing of every pack that is not seen anchored yet, by headerDigest. Monotonic milliseconds. */
  at: Map<Hex, number>;
  packs: number;
  resent: number;
  refused: string[];
}

/**
 * The devices as the broker sees them: a connection each, QoS 1, at most `window` packs without the receipts of f + 1
 * operators. Receipts are counted, their signatures are not checked here.
 */
export class Senders {
  readonly sent: Sent = { at: new Map(), packs: 0, resent: 0, refused: [] };
  readonly #lines: Line[];
  #timer: NodeJS.Timeout | undefined;

  private constructor(lines: Line[]) {
    this.#lines = lines;
  }

  static async connect(
    url: string,
    devices: readonly Device[],
    files: readonly PackFile[],
    operators: number,
    window: number,
  ): Promise<Senders> {
    const lines = await Promise.all(
      devices.map(async ({ key, spki, streamId, preimage: { deviceId } }, n) => {
        const self = {
          deviceId,
          spki: () => Promise.resolve(spki),
          sign: (message: Uint8Array) => Promise.resolve(es256(key, message)),
        };
        const credentials = await deviceCredentials(self, url);
        const client = await mqtt.connectAsync(url, {
          clientId: deviceId,
          ...credentials,
          clean: true,
          protocolVersion: 4,
          reconnectPeriod: 0,
        });
        await client.subscribeAsync(rightsOf({ kind: "device", id: deviceId }).subscribe, { qos: 0 });
        return new Line(client, packsTopic(deviceId, streamId), files[n] as PackFile, faults(operators) + 1, window);
      }),
    );
    const senders = new Senders(lines);
    for (const line of lines) line.attach(senders.sent);
    return senders;
  }

  /** Sends until `until` says stop or the packs run out: as fast as receipts allow, or at a rate of readings a second. */
  async run(until: () => boolean, rate?: number): Promise<void> {
    const lines = this.#lines;
    for (const line of lines) line.begin(rate === undefined);
    const started = performance.now();
    let last = started;
    await new Promise<void>((resolve) => {
      this.#timer = setInterval(() => {
        const now = performance.now();
        if (rate !== undefined) {
          const due = Math.floor(((now - started) / 1000) * (rate / READINGS));
          for (let n = Math.floor(((last - started) / 1000) * (rate / READINGS)); n < due; n++)
            (lines[n % lines.length] as Line).offer();
        }
        last = now;
        for (const line of lines) line.resend(now);
        if (until() || lines.every((line) => line.empty)) {
          clearInterval(this.#timer);
          for (const line of lines) line.end();
          resolve();
        }
      }, TICK_MS);
    });
  }

  /** Keeps asking for receipts while the pipeline drains. */
  resend(): void {
    for (const line of this.#lines) line.resend(performance.now());
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#lines.map((line) => line.close()));
  }
}

class Line {
  readonly #client: MqttClient;
  readonly #topic: string;
  readonly #file: PackFile;
  readonly #quorum: number;
  readonly #window: number;
  readonly #receipts = new Map<string, number>();
  #sent: Sent | undefined;
  #inFlight: (Prepared & { seq: number })[] = [];
  #seq = 0;
  #credit = 0;
  #running = false;
  #movedAt = 0;
  #waitMs = RESEND_MS;
  empty = false;

  constructor(client: MqttClient, topic: string, file: PackFile, quorum: number, window: number) {
    this.#client = client;
    this.#topic = topic;
    this.#file = file;
    this.#quorum = quorum;
    this.#window = window;
  }

  attach(sent: Sent): void {
    this.#sent = sent;
    this.#client.on("message", (topic, payload) => {
      const said = readTopic(topic);
      if (said?.kind === "refused") return void sent.refused.push(payload.toString());
      if (said?.kind !== "receipts") return;
      const { receipt } = JSON.parse(payload.toString()) as { receipt: { seq: number } };
      this.#receipts.set(said.operator, receipt.seq);
      this.#receipted();
    });
  }

  #receipted(): void {
    const seqs = [...this.#receipts.values()].sort((a, b) => b - a);
    const held = seqs[this.#quorum - 1] ?? 0;
    const before = this.#inFlight.length;
    while (this.#inFlight[0] && this.#inFlight[0].seq <= held) this.#inFlight.shift();
    if (this.#inFlight.length !== before) {
      this.#movedAt = performance.now();
      this.#waitMs = RESEND_MS;
    }
    this.#pump();
  }

  begin(unlimited: boolean): void {
    this.#running = true;
    this.empty = false;
    this.#credit = unlimited ? Infinity : 0;
    this.#pump();
  }

  offer(): void {
    this.#credit++;
    this.#pump();
  }

  end(): void {
    this.#running = false;
  }

  #pump(): void {
    while (this.#running && this.#credit > 0 && this.#inFlight.length < this.#window) {
      const pack = this.#file.next();
      if (pack === undefined) {
        this.empty = true;
        return;
      }
      this.#credit--;
      this.#inFlight.push({ ...pack, seq: ++this.#seq });
      this.#movedAt = performance.now();
      const sent = this.#sent as Sent;
      sent.at.set(pack.headerDigest, this.#movedAt);
      sent.packs++;
      this.#client.publish(this.#topic, pack.message, { qos: 1 });
    }
  }

  resend(now: number): void {
    if (this.#inFlight.length === 0 || now - this.#movedAt < this.#waitMs) return;
    this.#movedAt = now;
    this.#waitMs = Math.min(2 * this.#waitMs, MAX_RESEND_MS);
    for (const { message } of this.#inFlight) this.#client.publish(this.#topic, message, { qos: 1 });
    (this.#sent as Sent).resent += this.#inFlight.length;
  }

  async close(): Promise<void> {
    this.#running = false;
    await this.#client.endAsync(true);
    this.#file.close();
  }
}
