import { type Hex, OFFER, ProtocolError, REQUEST, type StructType, type Fields } from "@msec/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TestStream } from "../../core/test/city.ts";
import { type BookOrder, listedFrom, orderFromJson, orderHash, orderToJson } from "./book.ts";
import { NO_PERMIT } from "./permit.ts";

const { preimage: stream } = new TestStream();
const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b): Hex => `0x${Buffer.from(b).toString("hex")}`);

function anyOf<F extends Fields>(type: StructType<F>) {
  const field = (kind: string) => {
    if (kind === "address") return hex(20);
    if (kind === "bytes32") return hex(32);
    const bits = Number(kind.slice(4));
    return bits > 64
      ? fc.bigInt(0n, (1n << BigInt(bits)) - 1n)
      : fc.integer({ min: 0, max: Math.min(2 ** bits - 1, Number.MAX_SAFE_INTEGER) });
  };
  return fc.record(Object.fromEntries(type.fields.map(([kind, name]) => [name, field(kind)])));
}

const node = fc.record({
  depth: fc.integer({ min: 0, max: 32 }),
  firstSlot: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  x: fc.bigInt(1n, (1n << 256n) - 1n),
  v: fc.constantFrom(27, 28),
});
const permit = fc.oneof(
  fc.constant(NO_PERMIT),
  fc.record({
    value: fc.bigInt(0n, (1n << 128n) - 1n),
    deadline: fc.bigInt(1n, 1n << 40n),
    v: fc.constantFrom(27, 28),
    r: hex(32),
    s: hex(32),
  }),
);
const order = fc.oneof(
  fc.record({ offer: anyOf(OFFER), signature: hex(65) }).map((signed) => ({ kind: "offer", stream, signed })),
  fc
    .record({ request: anyOf(REQUEST), nodes: fc.array(node, { maxLength: 48 }), signature: hex(65), permit })
    .map(({ permit: given, ...signed }) => ({ kind: "request", stream, signed, permit: given })),
) as unknown as fc.Arbitrary<BookOrder>;

const overTheWire = (value: object): unknown => JSON.parse(JSON.stringify(value));

describe("an order on its way to a market", () => {
  test("comes out as it went in", () => {
    fc.assert(
      fc.property(order, (given) => {
        const back = orderFromJson(overTheWire(orderToJson(given)));
        expect(back).toEqual(given);
        expect(orderHash(back)).toBe(orderHash(given));
        const known = { hash: orderHash(given), state: "open", filled: 3, dealId: null, receivedAtMs: 17 };
        expect(listedFrom({ ...orderToJson(given), ...known })).toEqual({ ...known, order: given });
      }),
    );
  });

  test("is refused where a field is missing, of another kind, negative, or too large", () => {
    fc.assert(
      fc.property(
        order,
        fc.nat(),
        fc.constantFrom(undefined, null, -1, "-1", 1.5, "0x", "ABC", {}, [], `0x${"F".repeat(64)}`),
        (given, at, nonsense) => {
          const json = overTheWire(orderToJson(given)) as { order: Record<string, unknown> };
          const names = Object.keys(json.order);
          json.order[names[at % names.length] as string] = nonsense;
          expect(() => orderFromJson(json)).toThrow(ProtocolError);
        },
      ),
    );
  });

  test.each([
    ["nothing", undefined],
    ["a list", []],
    ["another kind", { kind: "wish" }],
    ["no signature", { kind: "offer", stream, order: {}, signature: "0x" }],
    ["too many nodes", { kind: "request", stream, order: {}, signature: "0x00", nodes: Array(65).fill({}) }],
  ])("is refused where it is %s", (_, given) => {
    expect(() => orderFromJson(given)).toThrow(ProtocolError);
  });

  test("takes no permit for none", () => {
    fc.assert(
      fc.property(order, (given) => {
        if (given.kind !== "request") return;
        const json = { ...orderToJson({ ...given, permit: NO_PERMIT }) } as { permit: unknown };
        expect(json.permit).toBeNull();
      }),
    );
  });
});
