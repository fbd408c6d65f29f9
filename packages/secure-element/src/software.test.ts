import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { P256_SPKI_PREFIX, deviceIdOfSoftware, toHex, ZERO32 } from "@msec/core";
import { verify, createPublicKey } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SoftwareElement } from "./software.ts";
import { WrapKey } from "./wrap.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "msec-element-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const wrapPath = () => join(dir, "wrap.key");
const path = () => join(dir, "element.json");
const create = async () => SoftwareElement.openOrCreate(path(), await WrapKey.openOrCreate(wrapPath()));
const open = async () => SoftwareElement.open(path(), await WrapKey.open(wrapPath()));

const fits = (spki: Uint8Array, message: Uint8Array, signature: Uint8Array) =>
  verify(
    "sha256",
    message,
    {
      key: createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }),
      dsaEncoding: "ieee-p1363",
    },
    signature,
  );

test("signs ES256 with s in the lower half, with the same key after a restart", async () => {
  const made = await create();
  const again = await open();
  const spki = await again.spki();
  expect(toHex(spki)).toBe(toHex(await made.spki()));
  expect(toHex(spki).startsWith(toHex(P256_SPKI_PREFIX))).toBe(true);
  expect(again.deviceId).toBe(deviceIdOfSoftware(spki));
  const half = "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8";
  for (let i = 0; i < 40; i++) {
    const message = Uint8Array.of(i);
    const signature = await again.sign(message);
    expect(fits(spki, message, signature)).toBe(true);
    expect(toHex(signature.subarray(32)).slice(2) <= half).toBe(true);
  }
});

test("has no evidence to refer to", async () => {
  expect(await (await create()).attestation()).toBe(ZERO32);
});

test("counts its starts durably, once a process", async () => {
  await create();
  const first = await open();
  expect(await first.bootEpoch()).toBe(1);
  expect(await first.bootEpoch()).toBe(1);
  expect(await (await open()).bootEpoch()).toBe(2);
});

test("the file is 0600 and holds no key in clear", async () => {
  const element = await create();
  expect((await stat(path())).mode & 0o777).toBe(0o600);
  expect((await stat(wrapPath())).mode & 0o777).toBe(0o600);
  const text = await readFile(path(), "utf8");
  const { wrapped } = (JSON.parse(text) as { keys: { wrapped: string }[] }).keys[0]!;
  // Every PKCS#8 of a P-256 key holds the OID of the curve; under the wrap it can't be seen.
  const curve = Buffer.from("2a8648ce3d030107", "hex");
  expect(Buffer.from(await element.spki()).includes(curve)).toBe(true);
  expect(Buffer.from(wrapped, "base64").includes(curve)).toBe(false);
  expect((await readdir(dir)).sort()).toEqual(["element.json", "wrap.key"]);
});

test("refuses a wrapping key that others may read, another one, and a missing one", async () => {
  await create();
  await chmod(wrapPath(), 0o644);
  await expect(open()).rejects.toMatchObject({ code: "key-exposed" });
  await writeFile(wrapPath(), new Uint8Array(32));
  await chmod(wrapPath(), 0o600);
  await expect(open()).rejects.toMatchObject({ code: "key-damaged" });
  await rm(wrapPath());
  await expect(open()).rejects.toMatchObject({ code: "key-missing" });
});

test("a damaged or missing key file is refused, never replaced", async () => {
  await create();
  await writeFile(path(), "{");
  await expect(create()).rejects.toMatchObject({ code: "key-damaged" });
  await rm(path());
  await expect(open()).rejects.toMatchObject({ code: "key-missing" });
});

test("a prepared key signs its enrolment, then takes over; the device stays the same", async () => {
  const element = await create();
  await expect(element.rotate()).rejects.toMatchObject({ code: "key-missing" });
  const next = await element.prepareRotation();
  expect((await (await open()).prepareRotation()).spki).toEqual(next.spki);
  expect(fits(next.spki, Uint8Array.of(7), await next.sign(Uint8Array.of(7)))).toBe(true);
  expect(element.keyEpoch).toBe(1);
  await element.sign(Uint8Array.of(7), 1);
  await element.rotate();
  await expect(element.sign(Uint8Array.of(7), 1)).rejects.toMatchObject({ code: "key-rotated" });
  const after = await open();
  expect(after.keyEpoch).toBe(2);
  expect(after.deviceId).toBe(element.deviceId);
  expect(await after.spki()).toEqual(next.spki);
  expect((await after.keys()).map((key) => key.keyEpoch)).toEqual([1, 2]);
  expect(fits(next.spki, Uint8Array.of(8), await after.sign(Uint8Array.of(8)))).toBe(true);
});
