import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeRecord, parseNumber, toHex } from "@msec/core";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const sources = new URL("../reference-c/", import.meta.url).pathname;
const vectors = new URL("../../packages/core/vectors/", import.meta.url);

interface Reading {
  n: string;
  u?: string;
  v?: string;
  vs?: string;
  vb?: boolean;
  vd?: string;
  tMs: number;
}
interface PackCase {
  what: string;
  operation: string;
  in: {
    stream: {
      schema: { quantities: { name: string; unit: string }[]; padCount: number; padBytes: number };
      slotSeconds: number;
      mode: number;
    };
    seed: string;
    keyEpoch: number;
    bootEpoch: number;
    seq: number;
    flags: number;
    previous: string;
    slot: number;
    readings: Reading[];
    packSalt: string;
    nonce: string;
    attestation?: string;
    beacon?: { number: number; digest: string };
  };
  out: Record<string, never> & { refused?: string; records: string[]; spki: string; streamId: string; cose: string };
}
interface RecordCase {
  what: string;
  operation: string;
  in: { reading: Reading };
  out: { record?: string; refused?: string };
}

const casesOf = <T>(file: string): T[] =>
  (JSON.parse(readFileSync(new URL(file, vectors), "utf8")) as { cases: T[] }).cases;

/** Debian's build-essential, pkg-config, libsodium-dev and libtss2-dev; undefined where they are there. */
const missing = ["cc --version", "make --version", "pkg-config --exists libsodium tss2-esys tss2-rc tss2-tctildr"].find(
  (command) => spawnSync("sh", ["-c", `${command} >/dev/null 2>&1`]).status !== 0,
);
if (missing) process.stdout.write(`reference-c is not tested here: "${missing.split(" -")[0]}" fails\n`);

describe.skipIf(missing !== undefined)("the C reference", () => {
  const build = mkdtempSync(join(tmpdir(), "msec-reference-c-"));
  beforeAll(() => {
    const sanitize = "-fsanitize=address,undefined -fno-sanitize-recover=all";
    const { status, stderr } = spawnSync("make", ["-C", sources, `BUILD=${build}`], {
      encoding: "utf8",
      env: { ...process.env, CFLAGS: `-O1 -g ${sanitize}`, LDFLAGS: sanitize },
    });
    expect(status, stderr).toBe(0);
  }, 240_000);
  afterAll(() => rmSync(build, { recursive: true, force: true }));

  const run = (lines: string[], args: string[] = ["--explain"]) => {
    const { status, stdout, stderr } = spawnSync(join(build, "msec-pack"), args, {
      input: lines.map((line) => `${line}\n`).join(""),
      encoding: "utf8",
      maxBuffer: 1 << 24,
    });
    const out = new Map<string, string[]>();
    for (const line of stdout.split("\n").filter(Boolean)) {
      const [word, value] = line.split(" ") as [string, string];
      out.set(word, [...(out.get(word) ?? []), `0x${value ?? ""}`]);
    }
    return { status, out, stderr };
  };

  const ZERO = `0x${"00".repeat(32)}`;
  const reading = (r: Reading): string => {
    const value = [
      ...(r.v === undefined ? [] : [`number ${r.v}`]),
      ...(r.vs === undefined ? [] : [`text ${r.vs}`]),
      ...(r.vb === undefined ? [] : [`bool ${r.vb}`]),
      ...(r.vd === undefined ? [] : [`bytes ${r.vd.slice(2)}`]),
    ].join(" ");
    return `reading ${r.tMs} ${r.n} ${r.u ?? "-"} ${value}`;
  };

  const packs = [...casesOf<PackCase>("pack.json"), ...casesOf<PackCase>("sealed-pack.json")].filter(
    ({ operation }) => operation === "pack",
  );
  const signed = packs.find(({ out }) => !out.refused)?.out as PackCase["out"];
  const lines = ({ in: i, out }: PackCase): string[] => [
    `stream ${out.streamId ?? ZERO}`,
    `mode ${i.stream.mode}`,
    `slot-seconds ${i.stream.slotSeconds}`,
    `pad-count ${i.stream.schema.padCount}`,
    `pad-bytes ${i.stream.schema.padBytes}`,
    ...i.stream.schema.quantities.map(({ name, unit }) => `quantity ${name} ${unit}`),
    `key-epoch ${i.keyEpoch}`,
    `boot-epoch ${i.bootEpoch}`,
    `seq ${i.seq}`,
    `flags ${i.flags}`,
    `previous ${i.previous}`,
    `slot ${i.slot}`,
    `node 0 0 ${i.seed}`,
    `salt ${i.packSalt}`,
    `nonce ${i.nonce}`,
    ...(i.attestation ? [`attestation ${i.attestation}`] : []),
    ...(i.beacon ? [`beacon ${i.beacon.number} ${i.beacon.digest}`] : []),
    ...i.readings.map(reading),
    `key-hash ${keyHashOf(out.refused ? signed : out)}`,
    `signature 0x${(out.refused ? signed : out).cose.slice(-128)}`,
  ];

  test.each(packs.filter(({ out }) => !out.refused))("builds the same pack, step by step: $what", (c) => {
    const { status, out, stderr } = run(lines(c));
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(out.get("record")).toEqual(c.out.records);
    for (const [word, name] of [
      ["leaf-node", "leafNode"],
      ["aad", "aad"],
      ["pack-key", "packKey"],
      ["content", "content"],
      ["header", "header"],
      ["protected-header", "protectedHeader"],
      ["to-be-signed", "toBeSigned"],
      ["header-digest", "headerDigest"],
      ["message", "message"],
    ] as const)
      expect(out.get(word), name).toEqual([c.out[name]]);
  });

  test.each(packs.filter(({ out }) => out.refused))("refuses with a sentence, and writes nothing: $what", (c) => {
    const { status, out, stderr } = run(lines(c));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^msec-pack: (line \d+: )?.{10,}\n$/);
    expect(out.size).toBe(0);
  });

  const records = casesOf<RecordCase>("record.json").filter(({ operation }) => operation === "encodeRecord");
  const base = lines(packs.find(({ out }) => !out.refused) as PackCase).filter(
    (line) => !/^(reading|quantity|mode|slot-)/.test(line),
  );
  test.each(records)("writes a record as the vectors have it: $what", ({ in: i, out: expected }) => {
    const unit = i.reading.u ?? "";
    const { status, out } = run([
      ...base,
      "mode 2",
      "slot-seconds 0",
      `quantity ${i.reading.n} ${unit}`,
      reading(i.reading),
    ]);
    expect(status).toBe(expected.refused ? 1 : 0);
    expect(out.get("record")).toEqual(expected.record ? [expected.record] : undefined);
  });

  test("writes 1,000 numbers as the TypeScript codec does: any double, any decimal", () => {
    const text = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
      fc.integer({ min: -2000, max: 2000 }).map((n) => String(2 ** Math.round(n / 2))),
      fc
        .tuple(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), fc.integer({ min: -60, max: 60 }))
        .map(([m, e]) => `${m}e${e}`),
      fc.float({ noNaN: true, noDefaultInfinity: true }).map(String),
    );
    const values = fc.sample(text, { numRuns: 1000, seed: 1 }).filter((v) => v !== "Infinity");
    const tMs = 1740000000001;
    const numbers = values.map((v) => reading({ n: "CO", v, tMs }));
    const { out } = run([...base, "mode 2", "slot-seconds 0", "quantity CO ", ...numbers]);
    const expected = values.map((v) => toHex(encodeRecord({ n: "CO", v: parseNumber(v) as number, tMs })));
    expect(out.get("record")).toEqual(expected);
  });

  test("a node that does not cover the slot, a short hash, a word that is none: refused by line", () => {
    const good = lines(packs[0] as PackCase);
    const replaced = (from: RegExp, to: string) => good.map((line) => (from.test(line) ? to : line));
    for (const [bad, why] of [
      [replaced(/^node/, `node 32 5 ${ZERO}`), /does not cover/],
      [replaced(/^previous/, "previous 0x00"), /line \d+: expected 32 bytes/],
      [replaced(/^seq/, "seq -1"), /line \d+: expected a whole number/],
      [replaced(/^flags/, "flags 8"), /line \d+: expected a whole number/],
      [[...good, "nonsense"], /no such word/],
      [good.filter((line) => !line.startsWith("signature")), /key-hash and signature/],
      [good.filter((line) => !line.startsWith("node")), /stream and node/],
    ] as const) {
      const { status, out, stderr } = run([...bad]);
      expect(stderr).toMatch(why);
      expect(status).toBe(1);
      expect(out.size).toBe(0);
    }
  });
});

/** From the protected header of a COSE_Sign1: {1: −7, 4: keyHash}. */
function keyHashOf({ cose }: { cose: string }): string {
  return `0x${/a201260458 ?20([0-9a-f]{64})/.exec(cose)?.[1]}`;
}
