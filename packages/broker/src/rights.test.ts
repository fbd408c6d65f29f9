import type { Hex } from "@msec/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Identity, identityOf, mayPublish, maySubscribe, rightsOf } from "./rights.ts";
import { beaconTopic, packsTopic, readTopic, receiptsTopic, refusedTopic } from "./topics.ts";

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b): Hex => `0x${Buffer.from(b).toString("hex")}`);
const own: Hex = `0x${"11".repeat(32)}`;
const other: Hex = `0x${"22".repeat(32)}`;
const stream: Hex = `0x${"33".repeat(32)}`;
const operator: Hex = `0x${"44".repeat(20)}`;
const foreign: Hex = `0x${"55".repeat(20)}`;
const device = rightsOf({ kind: "device", id: own });
const member = rightsOf({ kind: "operator", id: operator });

test("a device publishes its packs and nothing else", () => {
  expect(mayPublish(device, packsTopic(own, stream))).toBe(true);
  for (const topic of [
    packsTopic(other, stream),
    receiptsTopic(own, stream, operator),
    refusedTopic(own, stream, operator),
    beaconTopic(operator),
    "$CONTROL/dynamic-security/v1",
    `msec/v1/${own}/packs`,
    `${packsTopic(own, stream)}/more`,
    "",
  ])
    expect(mayPublish(device, topic), topic).toBe(false);
});

test("a device reads what is said to it and what is for all, and no wider filter", () => {
  for (const filter of [receiptsTopic(own, stream, operator), `msec/v1/${own}/+/refused/+`, "msec/v1/beacon/+"])
    expect(maySubscribe(device, filter), filter).toBe(true);
  for (const filter of [
    packsTopic(own, stream),
    receiptsTopic(other, stream, operator),
    "msec/v1/+/+/receipts/+",
    `msec/v1/${own}/+/+/+`,
    `msec/v1/${own}/#`,
    `msec/v1/${own}/+/receipts/#`,
    "#",
    "+/+/+/+",
    "$SYS/#",
    `$share/all/msec/v1/${other}/+/packs`,
  ])
    expect(maySubscribe(device, filter), filter).toBe(false);
});

test("an operator reads packs and speaks under its own name", () => {
  expect(maySubscribe(member, "msec/v1/+/+/packs")).toBe(true);
  expect(mayPublish(member, receiptsTopic(own, stream, operator))).toBe(true);
  expect(mayPublish(member, refusedTopic(own, stream, operator))).toBe(true);
  expect(mayPublish(member, beaconTopic(operator))).toBe(true);
  for (const topic of [receiptsTopic(own, stream, foreign), beaconTopic(foreign), packsTopic(own, stream)])
    expect(mayPublish(member, topic), topic).toBe(false);
  expect(maySubscribe(member, "msec/v1/#")).toBe(false);
});

test("no right of one device is another's", () => {
  fc.assert(
    fc.property(hex(32), hex(32), hex(32), hex(20), (a, b, id, by) => {
      fc.pre(a !== b);
      const rights = rightsOf({ kind: "device", id: a });
      expect(mayPublish(rights, packsTopic(a, id))).toBe(true);
      expect(mayPublish(rights, packsTopic(b, id))).toBe(false);
      expect(maySubscribe(rights, receiptsTopic(b, id, by))).toBe(false);
    }),
  );
});

test("a filter is allowed only if every topic that it matches is", () => {
  const level = fc.constantFrom(
    "msec",
    "v1",
    own,
    other,
    stream,
    "packs",
    "receipts",
    "beacon",
    operator,
    "+",
    "#",
    "x",
  );
  const matches = (filter: string[], topic: string[]): boolean => {
    const [f, ...rest] = filter;
    if (f === "#") return true;
    if (f === undefined || topic.length === 0) return f === undefined && topic.length === 0;
    return (f === "+" || f === topic[0]) && matches(rest, topic.slice(1));
  };
  fc.assert(
    fc.property(fc.array(level, { maxLength: 6 }), fc.array(level, { maxLength: 6 }), (filter, levels) => {
      const topic = levels.filter((l) => l !== "+" && l !== "#");
      if (!maySubscribe(device, filter.join("/")) || !matches(filter, topic)) return;
      expect(device.subscribe.some((f) => matches(f.split("/"), topic))).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test("topics are read as they are written", () => {
  expect(readTopic(packsTopic(own, stream))).toEqual({ kind: "packs", deviceId: own, streamId: stream });
  expect(readTopic(receiptsTopic(own, stream, operator))).toMatchObject({ kind: "receipts", operator });
  expect(readTopic(refusedTopic(own, stream, operator))).toMatchObject({ kind: "refused", streamId: stream });
  expect(readTopic(beaconTopic(operator))).toEqual({ kind: "beacon", operator });
  for (const topic of ["msec/v1/x", "msec/v2/a/b/packs", `${packsTopic(own, stream)}/x`, "msec/v1/beacon/a/b", "x"])
    expect(readTopic(topic), topic).toBeUndefined();
});

test("a name is an identity in one spelling only", () => {
  expect(identityOf(own)).toEqual({ kind: "device", id: own } satisfies Identity);
  expect(identityOf(operator)?.kind).toBe("operator");
  for (const name of [
    "",
    own.slice(2),
    own.toUpperCase(),
    `0x${"AB".repeat(32)}`,
    `${own}/+`,
    "+",
    "#",
    `${operator}\n`,
  ])
    expect(identityOf(name), name).toBeUndefined();
});
