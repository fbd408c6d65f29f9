import fc from "fast-check";
import { beforeAll, expect, test, vi } from "vitest";
import * as node from "../src/native/node.ts";

type Web = typeof import("../src/native/web.ts");
let plain: Web;
let compiled: Web;

beforeAll(async () => {
  vi.stubGlobal("WebAssembly", undefined);
  plain = await import("../src/native/web.ts?plain" as "../src/native/web.ts");
  await new Promise((resolve) => setTimeout(resolve, 50));
  vi.unstubAllGlobals();
  compiled = await import("../src/native/web.ts?compiled" as "../src/native/web.ts");
  await vi.waitFor(() => expect(compiled.keccakIsCompiled()).toBe(true), { timeout: 30_000 });
});

test("Keccak-256 is the same in Node, in WebAssembly, and where a page may not compile any", () => {
  expect(plain.keccakIsCompiled()).toBe(false);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (data) => {
      const expected = node.keccak256(data);
      expect(plain.keccak256(data)).toEqual(expected);
      expect(compiled.keccak256(data)).toEqual(expected);
    }),
  );
});
