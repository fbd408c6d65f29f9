import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeBundle, epochHash } from "@msec/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { anchorAll, committee, TestStream, windowBundle } from "../../../packages/core/test/city.ts";
import { certificateBy, validators } from "../../../packages/core/test/sealed.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "msec-main-"));
const at = (name: string) => join(folder, name);
let digest: string;
const four = validators(4);
const pins = four.map(({ address }) => address);

beforeAll(() => {
  const stream = new TestStream(0, 60).fill(28_000_000, 6);
  const who = committee();
  const anchored = anchorAll(stream, who);
  const bundle = windowBundle(stream, anchored, 28_000_000, 28_000_004);
  bundle.packs = bundle.packs.map((pack, i) => ({ ...pack, anchoring: anchored.anchoring(stream.packs[i] as never) }));
  digest = anchored.epoch.configDigest;
  writeFileSync(at("proof.json"), encodeBundle(bundle));
  const certificate = certificateBy(four, bundle.chain.anchor, new Map([[1, epochHash(anchored.epoch)]]));
  writeFileSync(at("sealed.json"), encodeBundle({ ...bundle, certificate }));
  writeFileSync(at("validators.json"), JSON.stringify(pins));
  bundle.packs.splice(2, 1);
  writeFileSync(at("cut.json"), encodeBundle(bundle));
  writeFileSync(at("garbage.json"), "{");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the command as a person does, in a folder without a city. */
function msec(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], {
      cwd: folder,
      env: { ...process.env, MSEC_DIR: at("no-city"), NO_COLOR: "1" },
    });
    let [out, err] = ["", ""];
    child.stdout.on("data", (part) => (out += String(part)));
    child.stderr.on("data", (part) => (err += String(part)));
    child.on("close", (code) => resolve({ code, out, err }));
  });
}
const json = (text: string) => JSON.parse(text) as Record<string, unknown>;

describe("help", () => {
  test("names every command; each explains itself", async () => {
    const [all, verify] = await Promise.all([msec("--help"), msec("verify", "--help")]);
    expect([all.code, verify.code]).toEqual([0, 0]);
    for (const name of [
      "up",
      "demo",
      "status",
      "devices",
      "streams",
      "offers",
      "dispute",
      "panel",
      "withdraw",
      "buy",
      "subscribe",
      "subscription",
      "verify",
      "contracts",
      "agreement",
      "erase",
      "export",
    ])
      expect(all.out).toMatch(new RegExp(`^ {2}${name}\\b`, "m"));
    expect(verify.out).toContain("--offline");
  });
});

describe("wrong use ends with 2 and a sentence", () => {
  test.each([
    [[], /Usage: msec/],
    [["verify", "proof.json"], /say what to verify against: --rpc URL/],
    [["verify", "proof.json", "--offline", "--committee", "0x12"], /--committee takes the digest/],
    [["verify", "sealed.json", "--offline", "--validators", "0x12"], /--validators takes addresses with commas/],
    [["verify", "sealed.json", "--offline", "--validators", "none.json"], /cannot read validators from none\.json/],
    [["verify", "sealed.json", "--offline", "--validators", "sealed.json"], /--validators takes addresses with commas/],
    [["verify", "missing.json", "--offline"], /cannot read missing\.json: ENOENT/],
    [["verify", "proof.json", "--rpc", "http://127.0.0.1:1"], /127\.0\.0\.1:1 does not answer/],
    [["contracts", "--rpc", "http://127.0.0.1:1"], /there is no .*manifest\.json: give --manifest FILE/],
    [
      ["contracts", "--rpc", "http://127.0.0.1:1", "--manifest", "garbage.json"],
      /cannot read the manifest garbage\.json/,
    ],
    [["contracts"], /required option '--rpc <URL>' not specified/],
    [["export", "proof.json"], /say what to export/],
    [["export", "proof.json", "--reading", "99", "--out", "x"], /--reading takes 1 to 5/],
    [["demo", "--out", "result", "--csv", "missing.csv"], /missing\.csv/],
    [["subscribe", "park-north/air"], /required option '--deposit <UNITS>' not specified/],
    [["subscribe", "park-north/air", "--deposit", "-5"], /--deposit takes a whole number of units above 0, not -5/],
    [["panel", "vote", "0x12", "--per-mille", "1001", "--as", "operator-1"], /--per-mille takes a whole number from 0/],
    [["panel", "vote", "0x12", "--per-mille", "5"], /required option '--as <MEMBER>' not specified/],
    [["subscription", "cancel"], /takes list, fetch, hold, resume, top-up, end, not cancel/],
    [["subscription", "top-up"], /--amount takes a whole number of units above 0, not nothing/],
  ])("%j", async (args, message) => {
    const { code, out, err } = await msec(...args);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/^\s+at /m);
    expect([code, out]).toEqual([2, ""]);
  });
});

describe("verify", () => {
  test("proves a good bundle, offline, and says on what that rests", async () => {
    const { code, out, err } = await msec("verify", "proof.json", "--offline");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^proved\n/);
    expect(out).toContain("complete from slot 28000000 to 28000004");
    expect(out).toContain("which nobody here vouches for");
  });

  test("with a pinned committee", async () => {
    const [right, wrong] = await Promise.all([
      msec("verify", "proof.json", "--offline", "--committee", digest.toUpperCase().replace("0X", "0x"), "--json"),
      msec("verify", "proof.json", "--offline", "--committee", `0x${"00".repeat(32)}`, "--json"),
    ]);
    expect(right.code).toBe(0);
    expect(json(right.out)).toMatchObject({ proved: true, committeePinned: true, packs: 5, readings: 5 });
    expect(wrong.code).toBe(1);
    expect(json(wrong.out)).toMatchObject({ proved: false, code: "committee" });
  });

  test("with the chain's own certificate, and says whether anybody vouches for those who sealed it", async () => {
    const offline = (name: string, ...more: string[]) => msec("verify", name, "--offline", ...more);
    const [unpinned, pinned, file, strangers, uncertified] = await Promise.all([
      offline("sealed.json"),
      offline("sealed.json", "--validators", [...pins].reverse().join().toUpperCase().replaceAll("0X", "0x"), "--json"),
      offline("sealed.json", "--validators", "validators.json"),
      offline("sealed.json", "--validators", pins.slice(1).join(), "--json"),
      offline("proof.json", "--validators", pins.join()),
    ]);
    expect(unpinned.out).toContain("4 of 4 validators have sealed the state that holds epoch 1, but the validators are not pinned"); // prettier-ignore
    expect(unpinned.code).toBe(0);
    expect(json(pinned.out)).toMatchObject({ proved: true, certified: { pinned: true, seals: 4, epochs: [1] } });
    expect(file.out).toContain("they are those that you pinned");
    expect(file.out).toContain("anyone may put a contract on this chain");
    expect([strangers.code, json(strangers.out).code]).toEqual([1, "validators"]);
    expect([uncertified.code, uncertified.out]).toEqual([1, "refused  the bundle holds no certificate of the chain: no block's seals (validators)\n"]); // prettier-ignore
  });

  test("refuses a bundle with a pack left out, and garbage, with 1, a reason and its code", async () => {
    const [cut, garbage] = await Promise.all(
      ["cut.json", "garbage.json"].map((name) => msec("verify", name, "--offline")),
    );
    for (const result of [cut, garbage]) {
      expect(result?.code).toBe(1);
      expect(result?.out).toMatch(/^refused {2}.+ \([a-z-]+\)\n$/);
      expect(result?.err).toBe("");
    }
    expect(garbage?.out).toContain("(malformed)");
  });
});

describe("export", () => {
  test("writes what was bought, and one reading that proves itself", async () => {
    const { code, out } = await msec(
      ...["export", "proof.json", "--csv", "x.csv", "--svg", "x.svg", "--reading", "2", "--out", "one.json", "--json"],
    );
    expect(code).toBe(0);
    expect(json(out)).toEqual({ written: ["x.csv", "x.svg", "one.json"] });
    expect(readFileSync(at("x.csv"), "utf8").split("\r\n")).toHaveLength(7);
    expect(readFileSync(at("x.svg"), "utf8")).toMatch(/^<svg /);
    const sealed = await msec("export", "sealed.json", "--reading", "2", "--out", "sealed-one.json");
    expect(sealed.code).toBe(0);
    const alone = await msec("verify", "sealed-one.json", "--offline", "--validators", pins.join(), "--json");
    expect(json(alone.out)).toMatchObject({ proved: true, kind: "reading", certified: { pinned: true } });
    const one = await msec("verify", "one.json", "--offline");
    expect(one.code).toBe(0);
    expect(one.out).toMatch(/reading\s+1 of 1 in its pack: CO = 1\.1 mg\/m3/);
    const nested = await msec("export", "one.json", "--csv", "y.csv");
    expect([nested.code, nested.err]).toEqual([2, "msec: only the bundle of a window can be exported from\n"]);
  });
});

describe("--json", () => {
  test.each([
    [["verify", "garbage.json", "--offline", "--json"], 1, { proved: false, code: "malformed" }],
    [["offers", "--json"], 1, { error: expect.stringContaining("no city is up in") as string }],
    [["bogus", "--json"], 2, { error: expect.stringContaining("unknown command") as string }],
  ])("%j is one JSON value on stdout", async (args, code, shape) => {
    const result = await msec(...args);
    expect(result.code).toBe(code);
    expect(json(result.out)).toMatchObject(shape);
  });
});

test("commands that need a city say that none is up, and how to start one", async () => {
  const { code, out, err } = await msec("status");
  expect([code, out]).toEqual([1, ""]);
  expect(err).toMatch(/^msec: no city is up in .*no-city: start one with npm start/);
});
