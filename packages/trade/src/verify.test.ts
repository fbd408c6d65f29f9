import { ProtocolError, verify } from "@msec/core";
import { expect, test } from "vitest";
import { anchorAll, committee, TestStream, windowBundle } from "../../core/test/city.ts";
import { paced } from "./pace.ts";
import { verifyWindow } from "./verify.ts";

const SLOT = 29_000_000;
const stream = new TestStream().fill(SLOT, 60);
const bundle = windowBundle(stream, anchorAll(stream, committee()), SLOT, SLOT + 50);

test("a window is verified as core does it, refusals included", async () => {
  expect(await verifyWindow(bundle)).toEqual(verify(bundle));
  const cut = { ...bundle, packs: bundle.packs.filter((_, i) => i !== 20) };
  await expect(verifyWindow(cut)).rejects.toMatchObject({ code: "completeness" });
  const broken = { ...bundle, packs: [{}] } as unknown as typeof bundle;
  await expect(verifyWindow(broken)).rejects.toBeInstanceOf(ProtocolError);
});

test("work rests now and then, tells how far it is, and ends with all of it", async () => {
  function* slow(): Generator<number, string> {
    for (let i = 0; i < 6; i++) {
      yield i;
      for (const until = performance.now() + 15; performance.now() < until; );
    }
    return "done";
  }
  let others = 0;
  const timer = setInterval(() => others++);
  const told: number[] = [];
  expect(await paced(slow(), 6, (done) => told.push(done))).toBe("done");
  clearInterval(timer);
  expect(others).toBeGreaterThan(1);
  expect(told.length).toBeGreaterThan(2);
  expect(told).toEqual([...told].sort((a, b) => a - b));
  expect(told[told.length - 1]).toBe(6);
});
