import { createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, loadavg, totalmem } from "node:os";

const MB = 1_000_000;
/** Clock ticks a second in /proc (USER_HZ), 100 on every Linux that Node runs on. */
const TICKS = 100;

export interface Usage {
  cpuSeconds: number;
  memoryMb: number;
}

function stat(pid: number): { parent: number; seconds: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    // proc(5): ppid is field 4; utime and stime are 14 and 15; the slice starts at field 3.
    const ticks = [11, 12].reduce((sum, i) => sum + Number(fields[i]), 0);
    return { parent: Number(fields[1]), seconds: ticks / TICKS };
  } catch {
    return undefined;
  }
}

/** Proportional share of a process's memory, where shared pages count once among those that share them. */
function memory(pid: number): number {
  for (const [file, line] of [
    ["smaps_rollup", /^Pss:\s+(\d+)/m],
    ["status", /^VmRSS:\s+(\d+)/m],
  ] as const) {
    try {
      const kilobytes = line.exec(readFileSync(`/proc/${pid}/${file}`, "utf8"))?.[1];
      if (kilobytes) return (Number(kilobytes) * 1024) / MB;
    } catch {
      // Not ours to read: the next file is.
    }
  }
  return 0;
}

/** Memory of a process that is in RAM, shared pages included (VmRSS). */
export function residentMb(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round((Number(kilobytes) * 1024) / MB);
}

/** What a process has used so far; with `children` also those that it started. Linux only; elsewhere zeros. */
export function usage(pid: number, children: boolean): Usage {
  const all = new Map<number, { parent: number; seconds: number }>();
  if (process.platform === "linux")
    for (const name of readdirSync("/proc")) {
      const found = /^\d+$/.test(name) ? stat(Number(name)) : undefined;
      if (found) all.set(Number(name), found);
    }
  const total: Usage = { cpuSeconds: 0, memoryMb: 0 };
  const add = (id: number) => {
    total.cpuSeconds += all.get(id)?.seconds ?? 0;
    total.memoryMb += memory(id);
    for (const [child, { parent }] of all) if (children && parent === id) add(child);
  };
  if (all.has(pid)) add(pid);
  return total;
}

export const machine = () => ({
  cores: availableParallelism(),
  model: cpus()[0]?.model ?? "unknown",
  memoryMb: Math.round(totalmem() / MB),
  freeMb: Math.round(freemem() / MB),
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
});

export const load = (): number[] => loadavg().map((x) => Number(x.toFixed(2)));

/** P-256 verifications a second on one thread of this machine now: no pack can be taken in for less. */
export function baseline(): number {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = createPublicKey(publicKey.export({ format: "pem", type: "spki" }));
  const message = randomBytes(300);
  const signature = sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" });
  const started = performance.now();
  let count = 0;
  for (; performance.now() - started < 1000; count++)
    if (!verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature)) throw new Error("baseline");
  return Math.round(count / ((performance.now() - started) / 1000));
}
