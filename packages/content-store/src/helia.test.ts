import { randomBytes } from "node:crypto";
import { sha256, toHex, type Hex } from "@msec/core";
import { expect, test } from "vitest";
import { heliaStore } from "./helia.ts";

test("what one operator's database holds, another fetches by bitswap, until it is erased", async () => {
  const held = new Map<Hex, Uint8Array>();
  const bytes = new Uint8Array(randomBytes(5000));
  const digest = toHex(sha256(bytes));
  held.set(digest, bytes);
  const options = { host: "127.0.0.1", port: 0 };
  const a = await heliaStore(async (d) => held.get(d), options);
  const b = await heliaStore(async () => undefined, options);
  try {
    await b.dial(a.addresses()[0] as string);
    expect(await b.fetch(digest, 5000)).toEqual(bytes);
    held.delete(digest);
    expect(await b.fetch(digest, 500)).toBeUndefined();
  } finally {
    await a.stop();
    await b.stop();
  }
});
