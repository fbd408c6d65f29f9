import { expect, test } from "vitest";
import { Buckets, isOwnOrigin } from "./limits.ts";

test("a burst is let through, then as many as come back with time, each address for itself", () => {
  let now = 0;
  const buckets = new Buckets({ burst: 3, perSecond: 2 }, () => now);
  const take = (who: string, times: number) => Array.from({ length: times }, () => buckets.take(who));
  expect(take("a", 4)).toEqual([true, true, true, false]);
  expect(take("b", 1)).toEqual([true]);
  now = 500;
  expect(take("a", 2)).toEqual([true, false]);
  now = 60_000;
  expect(take("a", 4)).toEqual([true, true, true, false]);
});

test("what changes something comes from this site's own pages", () => {
  const request = (method: string, origin?: string) =>
    new Request("http://localhost:3000/api/rpc", {
      method,
      headers: { host: "localhost:3000", ...(origin ? { origin } : {}) },
    });
  const local = { origins: [] };
  expect(isOwnOrigin(request("GET"), local)).toBe(true);
  expect(isOwnOrigin(request("POST", "http://localhost:3000"), local)).toBe(true);
  expect(isOwnOrigin(request("POST"), local)).toBe(false);
  expect(isOwnOrigin(request("POST", "null"), local)).toBe(false);
  expect(isOwnOrigin(request("POST", "http://localhost:3000.evil.example"), local)).toBe(false);
  const behind = { origins: ["https://data.example.org"] };
  expect(isOwnOrigin(request("POST", "https://data.example.org"), behind)).toBe(true);
  expect(isOwnOrigin(request("POST", "http://localhost:3000"), behind)).toBe(false);
});
