import { createHash, createPublicKey, verify as nodeVerify } from "node:crypto";
import { availableParallelism, cpus } from "node:os";
import {
  checkHeader,
  checkSignature,
  decodeCose,
  decodeMessage,
  encodeMessage,
  headerSlot,
  leafNode,
  openPack,
  type PackInput,
  packLeaf,
  packOf,
  verify,
} from "@msec/core";
import { anchorAll, committee, TestStream, windowBundle } from "../../packages/core/test/city.ts";

// How fast one core prepares, checks and opens packs. Run: node test/load/core.ts [packs]
// The baseline is a bare ES256 verification by Node in the same run: a pack can't be checked with less.

const PACKS = Number(process.argv[2] ?? 1000);
const SLOT = 29_000_000;
const READINGS = 100;
const stream = new TestStream();

const rows = (k: number) =>
  Array.from({ length: READINGS }, (_, i) => ({
    n: i % 2 ? "CO" : "T",
    u: i % 2 ? "mg/m3" : "Cel",
    v: ((k * READINGS + i) % 997) / 10,
    tMs: (SLOT + k) * 60_000 + i * 10,
  }));
const readings = Array.from({ length: PACKS }, (_, k) => rows(k));

/** Calls a second, the best of three runs over all packs. */
function rate(run: (k: number) => void): number {
  let best = 0;
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    for (let k = 0; k < PACKS; k++) run(k);
    best = Math.max(best, PACKS / ((performance.now() - start) / 1000));
  }
  return best;
}

for (let k = 0; k < PACKS; k++) stream.add(readings[k] as ReturnType<typeof rows>);
const messages = stream.packs.map((b) => encodeMessage(b.cose, b.content));
const leaves = stream.packs.map((_, k) => leafNode(stream.frontier, SLOT + k));
const key = createPublicKey({ key: Buffer.from(stream.key.spki), format: "der", type: "spki" });

const baseline = rate((k) => {
  const { toBeSigned, signature } = (stream.packs[k] as (typeof stream.packs)[0]).signed;
  if (!nodeVerify("sha256", toBeSigned, { key, dsaEncoding: "ieee-p1363" }, signature)) throw new Error("baseline");
});
const hashing = rate((k) =>
  createHash("sha256")
    .update(messages[k] as Uint8Array)
    .digest(),
);

const override: Partial<PackInput> = { seq: 1, previous: `0x${"00".repeat(32)}` };
const prepare = rate((k) => void stream.prepare(readings[k] as ReturnType<typeof rows>, override));
const check = (k: number) => {
  const { cose, content } = decodeMessage(messages[k] as Uint8Array);
  const signed = decodeCose(cose);
  checkHeader(stream.preimage, signed.header, content.length);
  checkSignature(signed, stream.key.spki);
  return { signed, content };
};
const checked = rate((k) => void check(k));
const opened = rate((k) => {
  const { signed, content } = stream.packs[k] as (typeof stream.packs)[0];
  openPack(stream.preimage, signed.header, leaves[k] as Uint8Array, content);
});
const whole = rate((k) => {
  const { signed, content } = check(k);
  const leaf = leafNode(stream.frontier, headerSlot(stream.preimage, signed.header));
  openPack(stream.preimage, signed.header, leaf, content);
  packLeaf(packOf(stream.preimage, signed));
});
const anchored = anchorAll(stream, committee());
const bundle = windowBundle(stream, anchored, SLOT, SLOT + PACKS - 2);
let window = 0;
for (let round = 0; round < 3; round++) {
  const start = performance.now();
  verify(bundle);
  window = Math.max(window, (PACKS - 1) / ((performance.now() - start) / 1000));
}

const show = (what: string, packs: number) =>
  console.log(
    `${what.padEnd(44)}${Math.round(packs).toLocaleString("en").padStart(10)} packs/s${Math.round(packs * READINGS)
      .toLocaleString("en")
      .padStart(12)} readings/s   ${(packs / baseline).toFixed(2)} of the baseline`,
  );
console.log(
  `${cpus()[0]?.model ?? "unknown CPU"}, ${availableParallelism()} cores, Node ${process.version}; one core used`,
);
console.log(`${PACKS} packs of ${READINGS} readings, ${messages[0]?.length} bytes a message`);
show("baseline: ES256 verification alone", baseline);
show("SHA-256 of the message alone", hashing);
show("prepare (encode, salt, hash, encrypt)", prepare);
show("decode, check header and signature", checked);
show("open (decrypt, hash, decode, check records)", opened);
show("all of it, with the key's way down the tree", whole);
show("verify a window, bundle to report", window);
