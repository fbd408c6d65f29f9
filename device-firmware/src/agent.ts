import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { packsTopic, readTopic, rightsOf } from "@msec/broker";
import { encodeMessage, type Hex, MODE } from "@msec/core";
import { serve, serviceOf, TpmElement, writeFileAtomic } from "@msec/secure-element";
import { type Logger, pino } from "pino";
import { brokerAccess } from "./access.ts";
import { Answers } from "./answers.ts";
import { BeaconWatch } from "./beacon.ts";
import type { Config } from "./config.ts";
import { makeDriver } from "./drivers/index.ts";
import { errorFields } from "./errors.ts";
import { Handover } from "./handover.ts";
import { type Identity, KeyFile, openIdentity, openStreams, paths } from "./identity.ts";
import { Link } from "./link.ts";
import { Operators } from "./operators.ts";
import { Outbox } from "./outbox.ts";
import { Sender } from "./sender.ts";
import { enough, StreamAgent, type StreamStatus } from "./stream.ts";

const HANDOVER_MAX_MS = 60_000;
const TICK_MS = 500;

export interface RunOptions {
  /** End once every driver has ended and f + 1 organisations hold everything. */
  untilDone?: boolean;
  signal?: AbortSignal;
  log?: Logger;
  /** Called once f + 1 organisations have receipted a pack that this run signed; resolves when that is kept. */
  healthy?: () => Promise<void>;
}

export interface AgentStatus {
  name: string;
  deviceId: Hex;
  secureElement: "software" | "tpm";
  atMs: number;
  connected: boolean;
  beacon: number;
  streams: StreamStatus[];
}

/**
 * Runs the agent until `signal`, or with `untilDone` until there is nothing left to do. Resolves to whether every
 * stream's source was read to its end or is still being read; a driver that stopped with an error makes it false.
 */
export async function runAgent(config: Config, options: RunOptions = {}): Promise<boolean> {
  const identity = await openIdentity(config);
  try {
    return await runWith(identity, config, options);
  } finally {
    await identity.element.close();
  }
}

async function runWith({ element, wrap }: Identity, config: Config, options: RunOptions): Promise<boolean> {
  const log = options.log ?? pino({ level: config.log.level, base: { device: config.name } });
  const at = paths(config);
  const known = await openStreams(config);
  const outbox = new Outbox(at.outbox, config.outbox.maxBytes);
  const stop = new AbortController();
  const abort = () => stop.abort();
  options.signal?.addEventListener("abort", abort);
  if (options.signal?.aborted) abort();
  let link: Link | undefined;
  let service: { close(): Promise<void> } | undefined;
  try {
    if (element instanceof TpmElement)
      service = await serve(serviceOf(element), at.service, () => {
        log.info("the key was rotated: the agent ends, to be started anew");
        stop.abort();
      });
    const outboxLost = await countStart(at.generation, outbox);
    const operators = new Operators(config);
    const answers = new Answers(config);
    const beacon = new BeaconWatch(enough(operators.members.length));
    const streams = await Promise.all(
      known.map(async ({ config: streamConfig, streamId, preimage }) => {
        const streamLog = log.child({ stream: streamConfig.name });
        const keyFile = new KeyFile(join(at.streams, `${streamId}.keys`), streamId, wrap);
        const sender = new Sender(config.mqtt.window, config.mqtt.resendSeconds * 1000);
        const agent = new StreamAgent({
          config: streamConfig,
          streamId,
          preimage,
          driver: makeDriver(streamConfig.driver),
          element,
          wrap,
          keyFile,
          keys: await keyFile.read(),
          outbox,
          operators,
          beacon: () => beacon.newest,
          outboxLost,
          pollMs: config.pollSeconds * 1000,
          settleMs: config.settleSeconds === undefined ? Infinity : config.settleSeconds * 1000,
          log: streamLog,
          onChange: (change) => {
            if (change === "reset") sender.reset();
            pump();
          },
        });
        const holders =
          preimage.mode === MODE.sealed ? (streamConfig.holders ?? []) : operators.members.map((m) => m.address);
        const handover = new Handover({
          stream: { streamId, preimage, holders },
          holdersPath: join(at.streams, `${streamId}.holders.json`),
          element,
          operators,
          outbox,
          keys: agent.keys,
          log: streamLog,
        });
        return { streamId, agent, sender, handover, holders, log: streamLog };
      }),
    );

    const pump = () => {
      if (!link?.connected) return;
      for (const { streamId, agent, sender, handover } of streams) {
        if (!handover.ready) continue;
        sender.receipted(agent.receiptedThrough, performance.now());
        const read = (seq: number, limit: number) => outbox.packsAfter(streamId, seq, limit);
        for (const pack of sender.next(read, performance.now()))
          link.publish(packsTopic(element.deviceId, streamId), encodeMessage(pack.cose, pack.content));
      }
    };

    const message = (name: string, payload: Uint8Array) => {
      const topic = readTopic(name);
      try {
        if (topic?.kind === "beacon") {
          const { operator: from, number, digest } = answers.beacon(topic.operator, payload);
          beacon.note(from, number, digest);
          return;
        }
        const stream = streams.find(({ streamId }) => streamId === topic?.streamId);
        if (!stream || payload.length === 0) return;
        if (topic?.kind === "receipts") {
          const { operator: from, receipt } = answers.receipt(payload);
          if (receipt.streamId === stream.streamId) stream.agent.receipted(from, receipt);
        } else if (topic?.kind === "refused") {
          const { operator: from, headerDigest, reason, message: why } = answers.refused(payload);
          stream.agent.refused(from, headerDigest, reason, why);
        }
      } catch (error) {
        log.warn({ topic: name, ...errorFields(error) }, "message ignored");
      }
    };
    const { subscribe: topics } = rightsOf({ kind: "device", id: element.deviceId });
    const events = {
      message,
      connected: () => {
        for (const { sender } of streams) sender.reset();
        pump();
      },
    };
    link = new Link(config.mqtt, await brokerAccess(config.mqtt, element, log), topics, events, log);
    link.start();
    log.info({ deviceId: element.deviceId, secureElement: element.kind, streams: streams.length }, "started");

    const status = (): AgentStatus => ({
      name: config.name,
      deviceId: element.deviceId,
      secureElement: element.kind,
      atMs: Date.now(),
      connected: link?.connected ?? false,
      beacon: beacon.newest.number,
      streams: streams.map(({ agent }) => agent.status),
    });
    const report = async () => {
      const now = status();
      log.info(now, "status");
      await writeFileAtomic(at.status, `${JSON.stringify(now, undefined, 2)}\n`, 0o644);
      for (const { agent, holders } of streams) await agent.forgetKeys(holders);
    };

    const crash = (error: unknown) => {
      log.fatal({ ...errorFields(error), err: error }, "the agent can't go on");
      stop.abort();
      throw error;
    };
    const before = streams.map(({ streamId }) => outbox.line(streamId)?.seq ?? 0);
    let told = options.healthy === undefined;
    const proveHealthy = async () => {
      if (told || !streams.some(({ agent }, i) => agent.receiptedThrough > (before[i] as number))) return;
      told = true;
      await options.healthy?.();
      if (element instanceof TpmElement) await element.confirmVersion();
      log.info("this release is confirmed");
    };
    const jobs = [
      ...streams.map(({ agent }) => agent.run(stop.signal)),
      ...streams.map((stream) => handOver(stream, pump, stop.signal)),
      every(TICK_MS, stop.signal, async () => {
        for (const { agent } of streams) agent.dropReceipted();
        await proveHealthy();
        pump();
        const over = streams.every(({ agent }) => agent.finished !== "no" && agent.status.packs === 0);
        if (options.untilDone && over) stop.abort();
      }),
      every(config.statusSeconds * 1000, stop.signal, () =>
        report().catch((error: unknown) => log.error(errorFields(error), "can't write the status")),
      ),
    ].map((job) => job.catch(crash));
    const results = await Promise.allSettled(jobs);
    await report().catch((error: unknown) => log.error(errorFields(error), "can't write the status"));
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
    log.info("stopped");
    return streams.every(({ agent }) => agent.finished !== "failed");
  } finally {
    options.signal?.removeEventListener("abort", abort);
    stop.abort();
    await link?.stop();
    await service?.close();
    outbox.close();
  }
}

/**
 * Counts this start in the outbox and, after that, in a file beside it. An outbox that has counted fewer than the file
 * is not the one that was used last.
 */
async function countStart(path: string, outbox: Outbox): Promise<boolean> {
  const text = await readFile(path, "utf8").catch(() => "0");
  const seen = Number.parseInt(text, 10) || 0;
  const lost = outbox.generation < seen;
  const next = Math.max(seen, outbox.generation) + 1;
  outbox.generation = next;
  await writeFileAtomic(path, `${next}\n`);
  return lost;
}

async function handOver(
  stream: { handover: Handover; log: Logger },
  done: () => void,
  signal: AbortSignal,
): Promise<void> {
  for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, HANDOVER_MAX_MS)) {
    let complete = false;
    try {
      complete = await stream.handover.round();
    } catch (error) {
      stream.log.error(errorFields(error), "hand-over waits");
    }
    done();
    await pause(complete ? HANDOVER_MAX_MS : wait, signal);
  }
}

async function every(ms: number, signal: AbortSignal, work: () => void | Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await work();
    await pause(ms, signal);
  }
}

/** Sleeps, but not beyond `signal`. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
