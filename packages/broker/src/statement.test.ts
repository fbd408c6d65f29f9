import { generateKeyPairSync, sign } from "node:crypto";
import { addressOfKey, cborDecode, cborEncode, type Hex, keyHash } from "@msec/core";
import { lowS } from "@msec/secure-element";
import { expect, test } from "vitest";
import { ConnectError, deviceCredentials, operatorCredentials, STATEMENT_MS, StatementReader } from "./statement.ts";

const URL = "mqtt://127.0.0.1:1883";
const NOW = 1_700_000_000_000;
const key = new Uint8Array(32).fill(3);
const operator = addressOfKey(key);

function softDevice(deviceId: Hex = `0x${"11".repeat(32)}`) {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  return {
    deviceId,
    spki: () => Promise.resolve(spki),
    sign: (message: Uint8Array) =>
      Promise.resolve(lowS(new Uint8Array(sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" })))),
  };
}

const reader = () => new StatementReader(URL, NOW - 10 * STATEMENT_MS);
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof ConnectError) return error.code;
    throw error;
  }
  return "none";
};

test("a device and an operator show who they are", async () => {
  const device = softDevice();
  const { username, password } = await deviceCredentials(device, URL, NOW);
  const shown = reader().read(username, password, NOW);
  expect(shown).toMatchObject({
    identity: { kind: "device", id: device.deviceId },
    keyHash: keyHash(await device.spki()),
  });
  const own = operatorCredentials(key, operator, URL, NOW);
  expect(reader().read(own.username, own.password, NOW).identity).toEqual({ kind: "operator", id: operator });
});

test("a statement is good once, and only near its time", async () => {
  const { username, password } = await deviceCredentials(softDevice(), URL, NOW);
  const at = reader();
  const shown = at.read(username, password, NOW);
  at.use(shown, NOW);
  expect(codeOf(() => at.use(at.read(username, password, NOW + STATEMENT_MS), NOW + STATEMENT_MS))).toBe("replayed");
  expect(codeOf(() => at.read(username, password, NOW + STATEMENT_MS + 1))).toBe("stale");
  expect(codeOf(() => at.read(username, password, NOW - STATEMENT_MS - 1))).toBe("stale");
  expect(codeOf(() => new StatementReader(URL, NOW + 1).read(username, password, NOW + 2))).toBe("stale");
});

test("a used statement is remembered for as long as it would be good, however many follow", async () => {
  const device = softDevice();
  const ahead = await deviceCredentials(device, URL, NOW + STATEMENT_MS);
  const at = reader();
  at.use(at.read(ahead.username, ahead.password, NOW), NOW);
  for (let i = 1; i <= 20; i++) {
    const nowMs = NOW + (i * STATEMENT_MS) / 10;
    const next = await deviceCredentials(device, URL, nowMs);
    at.use(at.read(next.username, next.password, nowMs), nowMs);
    expect(codeOf(() => at.use(at.read(ahead.username, ahead.password, nowMs), nowMs))).toBe("replayed");
  }
});

test("another broker, name, key, time or nonce is refused", async () => {
  const device = softDevice();
  const { username, password } = await deviceCredentials(device, URL, NOW);
  const read = (name: string | undefined, word: string | undefined) => codeOf(() => reader().read(name, word, NOW));
  expect(codeOf(() => new StatementReader("mqtt://127.0.0.1:1884", NOW - 1).read(username, password, NOW))).toBe(
    "signature",
  );
  expect(read(`0x${"22".repeat(32)}`, password)).toBe("signature");
  expect(read(operator, password)).toBe("signature");
  const own = operatorCredentials(key, operator, URL, NOW);
  expect(read(`0x${"22".repeat(20)}`, own.password)).toBe("signature");
  expect(read(username, own.password)).toBe("signature");
  const parts = cborDecode(new Uint8Array(Buffer.from(password, "base64url"))) as unknown[];
  const bent = (at: number, value: unknown) => {
    const next = [...parts];
    next[at] = value;
    return Buffer.from(cborEncode(next)).toString("base64url");
  };
  expect(read(username, bent(1, NOW + 1))).toBe("signature");
  expect(read(username, bent(2, new Uint8Array(16)))).toBe("signature");
  expect(read(username, bent(3, await softDevice().spki()))).toBe("signature");
  expect(read(username, bent(3, new Uint8Array(91)))).toBe("signature");
  expect(read(username, bent(4, new Uint8Array(64)))).toBe("signature");
});

test("what is no statement is refused as such", () => {
  const read = (name: string | undefined, word: string | undefined) => codeOf(() => reader().read(name, word, NOW));
  for (const word of [undefined, "", "secret", "!", "A".repeat(5000)]) expect(read(operator, word)).toBe("malformed");
  for (const name of [undefined, "", "admin", operator.toUpperCase()]) expect(read(name, "x")).toBe("malformed");
});
