import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";

// A running process's clock set wrong, without touching its program. Go asks the kernel's vDSO for the time and no library, so
// libfaketime does not reach it; the page with the vDSO, however, is the process's own, and whoever may debug it may write there.

const SYMBOL = "__vdso_clock_gettime";
const DYNSYM = 11;

/** Why no clock can be set wrong here; undefined where it can. */
export const missingSkew = (): string | undefined =>
  process.platform !== "linux" || process.arch !== "x64"
    ? "a process's clock can be set wrong on Linux for x86-64 only"
    : process.getuid?.() !== 0
      ? "setting a process's clock wrong takes root"
      : undefined;

/**
 * From now on a process takes the time of day to be `seconds` later (or earlier), its monotonic clock as before. Once only; ends
 * with the process.
 */
export function skewClock(pid: number, seconds: number): void {
  const range = /^([0-9a-f]+)-([0-9a-f]+) .*\[vdso\]$/m.exec(readFileSync(`/proc/${pid}/maps`, "utf8"));
  if (!range) throw new Error(`process ${pid} has no vDSO`);
  const [from, to] = [parseInt(range[1] as string, 16), parseInt(range[2] as string, 16)];
  const mem = openSync(`/proc/${pid}/mem`, "r+");
  process.kill(pid, "SIGSTOP");
  try {
    const elf = Buffer.alloc(to - from);
    readSync(mem, elf, 0, elf.length, from);
    writeSync(mem, laterBy(seconds), 0, undefined, from + symbolAt(elf, SYMBOL));
  } finally {
    process.kill(pid, "SIGCONT");
    closeSync(mem);
  }
}

/** clock_gettime(clock, time): asks the kernel, and adds `seconds` where the clock is CLOCK_REALTIME. */
function laterBy(seconds: number): Buffer {
  const code = Buffer.from([
    ...[0xb8, 0xe4, 0, 0, 0], // mov eax, 228
    ...[0x0f, 0x05], // syscall
    ...[0x85, 0xff], // test edi, edi
    ...[0x75, 0x07], // jne over the next
    ...[0x48, 0x81, 0x06, 0, 0, 0, 0], // add qword [rsi], seconds
    0xc3, // ret
  ]);
  code.writeInt32LE(seconds, 14);
  return code;
}

/** Where a dynamic symbol of a 64-bit ELF image is. */
function symbolAt(elf: Buffer, name: string): number {
  const sections = Number(elf.readBigUInt64LE(0x28));
  const [size, count] = [elf.readUInt16LE(0x3a), elf.readUInt16LE(0x3c)];
  const section = (i: number) => {
    const at = sections + i * size;
    return {
      type: elf.readUInt32LE(at + 4),
      offset: Number(elf.readBigUInt64LE(at + 24)),
      length: Number(elf.readBigUInt64LE(at + 32)),
      link: elf.readUInt32LE(at + 40),
    };
  };
  for (let i = 0; i < count; i++) {
    const symbols = section(i);
    if (symbols.type !== DYNSYM) continue;
    const texts = section(symbols.link).offset;
    for (let at = symbols.offset; at < symbols.offset + symbols.length; at += 24) {
      const start = texts + elf.readUInt32LE(at);
      if (elf.toString("latin1", start, elf.indexOf(0, start)) === name) return Number(elf.readBigUInt64LE(at + 8));
    }
  }
  throw new Error(`the vDSO has no ${name}`);
}
