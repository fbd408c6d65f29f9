import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PrivacyManager } from "@msec/chain";
import { randomBytes } from "node:crypto";
import { PrivacyNetwork } from "../support/privacy.ts";
import { load, machine, usage } from "./machine.ts";

// How many payloads a second one privacy manager brings to another, at 1, 4, 16 and 32 at once: sealed, on the disk of
// both when it answers. Two processes and one PostgreSQL on this machine. Prints one JSON object.

const ROUNDS = 5;
const ROUND_MS = 2000;
const PAYLOAD = new Uint8Array(randomBytes(512));

const network = await PrivacyNetwork.create(mkdtempSync(join(tmpdir(), "msec-load-privacy-")), ["alpha", "beta"]);
try {
  await network.start();
  const sender = new PrivacyManager(network.managers[0]?.socket as string);
  const to = [network.keyOf("beta")];
  const cpuSeconds = () => network.managers.map(({ pid }) => usage(pid, false).cpuSeconds);
  const round = async (atOnce: number, ms: number) => {
    const end = performance.now() + ms;
    let sent = 0;
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (; performance.now() < end; sent++) await sender.send(PAYLOAD, { to });
      }),
    );
    return (sent * 1000) / ms;
  };
  await round(16, ROUND_MS);
  const rates: Record<string, { median: number; least: number; most: number }> = {};
  const before = cpuSeconds();
  let sends = 0;
  for (const atOnce of [1, 4, 16, 32]) {
    const all: number[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const rate = await round(atOnce, ROUND_MS);
      sends += (rate * ROUND_MS) / 1000;
      all.push(rate);
    }
    all.sort((a, b) => a - b);
    const [least, median, most] = [0, ROUNDS >> 1, ROUNDS - 1].map((i) => Math.round(all[i] as number)) as [
      number,
      number,
      number,
    ];
    rates[`${atOnce} at once`] = { median, least, most };
  }
  const [sending, receiving] = cpuSeconds().map((after, i) => ((after - (before[i] as number)) * 1000) / sends);
  const cpuMsPerSend = { sending: Number(sending?.toFixed(2)), receiving: Number(receiving?.toFixed(2)) };
  process.stdout.write(
    `${JSON.stringify({ machine: machine(), payloadBytes: PAYLOAD.length, sendsPerSecond: rates, cpuMsPerSend, load: load() }, null, 2)}\n`,
  );
} finally {
  await network.stop();
}
