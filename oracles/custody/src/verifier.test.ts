import { afterAll, expect, test } from "vitest";
import { encodeMessage, leafNode, slotOf } from "@msec/core";
import { TestStream } from "../../../packages/core/test/city.ts";
import { demandNone, Verifier } from "./verifier.ts";

const T = 1_760_000_000_000;
const stream = new TestStream();
for (let k = 0; k < 5; k++) stream.add([{ n: "T", u: "Cel", v: k, tMs: T + k }]);
const leaf = leafNode(stream.frontier, slotOf(T, stream.preimage.slotSeconds));
const other = new TestStream();

function claimOf(k: number, change: { spki?: Uint8Array; leaf?: Uint8Array | undefined; damage?: boolean } = {}) {
  const { cose, content } = stream.packs[k] as (typeof stream.packs)[0];
  const sent = content.slice();
  if (change.damage) sent[20] = (sent[20] as number) ^ 1;
  const claim = { message: encodeMessage(cose, sent), spki: stream.key.spki, leaf, ...change };
  return { claim, streamId: stream.id, stream: stream.preimage };
}

const lost: Error[] = [];
const verifier = new Verifier(2, (error) => lost.push(error));
afterAll(() => verifier.stop());

test("verdicts come in the order of the claims, whatever thread gave them", async () => {
  const verdicts = await verifier.judge([
    claimOf(0),
    claimOf(1, { damage: true }),
    claimOf(2, { spki: other.key.spki }),
    claimOf(3, { leaf: new Uint8Array(32) }),
    claimOf(4, { leaf: undefined, damage: true }),
  ]);
  expect(verdicts.map((v) => [v?.signature?.code, v?.opening?.code])).toEqual([
    [undefined, undefined],
    [undefined, "content-digest"],
    ["unknown-key", undefined],
    [undefined, "key-commitment"],
    [undefined, undefined],
  ]);
  expect(() => demandNone(verdicts[1]?.opening)).toThrow("the content is not what the header names");
});

test("what is no pack gets no verdict and does no harm to the others", async () => {
  const junk = claimOf(0);
  const verdicts = await verifier.judge([{ ...junk, claim: { ...junk.claim, message: Uint8Array.of(1) } }, claimOf(1)]);
  expect(verdicts[0]).toBeUndefined();
  expect(verdicts[1]).toEqual({ signature: undefined, opening: undefined });
  expect(lost).toEqual([]);
});

test("without a thread there is no verdict", async () => {
  const none = new Verifier(0, () => undefined);
  expect(await none.judge([claimOf(0)])).toEqual([undefined]);
  const stopped = new Verifier(1, () => undefined);
  const asked = stopped.judge([claimOf(0)]);
  await stopped.stop();
  expect((await asked).length).toBe(1);
  expect(await stopped.judge([claimOf(0)])).toEqual([undefined]);
});
