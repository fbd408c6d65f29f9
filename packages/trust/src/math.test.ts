import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { vectors } from "../vectors/make.ts";
import { boundOf, decayFactor, lowerOf, meanOf, ONE, toShare } from "./math.ts";

test("the vectors are what this code makes", () => {
  const file = new URL("../vectors/trust.json", import.meta.url);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(vectors);
});

test("decay is 2^(-elapsed/90 d), to what a double shows", () => {
  for (const days of [0, 1, 30, 89.999, 90, 365, 900]) {
    const factor = Number(decayFactor(BigInt(Math.round(days * 86_400_000)))) / 2 ** 64;
    expect(factor / 2 ** (-days / 90)).toBeCloseTo(1, 12);
  }
});

test("the lower bound is that of the beta distribution, to what a double shows", () => {
  for (const [r, s] of [
    [0, 0],
    [1, 0],
    [4, 0],
    [20, 1],
    [3, 3],
    [200, 10],
  ] as const) {
    const [a, b] = [r + 0.6, s + 1.4];
    const deviation = Math.sqrt((a * b) / ((a + b) ** 2 * (a + b + 1)));
    const expected = Math.max(0, a / (a + b) - 1.28 * deviation);
    expect(toShare(lowerOf(BigInt(r) * ONE, BigInt(s) * ONE))).toBeCloseTo(expected, 4);
    expect(toShare(meanOf(BigInt(r) * ONE, BigInt(s) * ONE))).toBeCloseTo(a / (a + b), 4);
  }
});

test("what colluding organisations can buy is as published in docs/contracts.md", () => {
  const page = readFileSync(new URL("../../../docs/contracts.md", import.meta.url), "utf8");
  const row = /\| lower bound \|(.*)\|/.exec(page)?.[1]?.split("|").map(Number);
  const organisations = [0, 1, 2, 3, 5, 10, 20, 64];
  expect(row).toEqual(organisations.map((k) => Math.ceil(toShare(boundOf(BigInt(k))) * 1000) / 1000));
});
