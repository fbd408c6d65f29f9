import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import {
  boundOf,
  decayDown,
  decayFactor,
  decayUp,
  graphScores,
  lowerOf,
  meanOf,
  objectiveOf,
  weightOf,
} from "../src/index.ts";

// Makes trust.json, which the contract's tests and this package's read. Run: node packages/trust/vectors/make.ts

let drawn = 0;
/** The next number of a fixed sequence, below `limit`. */
function draw(limit: number): bigint {
  const digest = createHash("sha256").update(`trust ${drawn++}`).digest();
  return BigInt(Math.floor((digest.readUIntBE(0, 6) / 2 ** 48) * limit));
}

const EDGES = 2 ** 24;
const HALF = 7_776_000_000;
const elapsed = [0n, 1n, 1000n, BigInt(HALF) - 1n, BigInt(HALF), 63n * BigInt(HALF), 64n * BigInt(HALF)];
for (let i = 0; i < 25; i++) elapsed.push(draw(20 * HALF));
const amounts: [bigint, bigint][] = [
  [0n, 0n],
  [0n, 16_777_215n],
  [16_777_215n, 0n],
  [16_777_215n, 16_777_215n],
  [1n, 0n],
];
for (let i = 0; i < 27; i++) amounts.push([draw(i % 2 ? EDGES : 300_000), draw(i % 3 ? EDGES : 300_000)]);
const fees = Array.from({ length: 16 }, (_, i): [bigint, bigint] => [draw(10 ** (3 + (i % 6))), draw(2 ** 32)]);

/** A network in which about half know one another. */
function network(n: number, founders: number) {
  const edges = Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (_, j) => (i === j || draw(2) === 0n ? 0n : draw(65_537))),
  );
  return { founders, edges: edges.flat(), scores: graphScores(edges, founders) };
}

const text = (values: bigint[]) => values.map(String);
export const vectors = {
  about: "Arithmetic of the Reputation contract: whole numbers as decimal text, in the contract's fixed points",
  decay: {
    elapsedMs: text(elapsed),
    factor: text(elapsed.map(decayFactor)),
    down: text(elapsed.map((ms) => decayDown(16_777_215n, decayFactor(ms)))),
    up: text(elapsed.map((ms) => decayUp(16_777_215n, decayFactor(ms)))),
  },
  score: {
    inFavour: text(amounts.map(([a]) => a)),
    against: text(amounts.map(([, b]) => b)),
    mean: text(amounts.map(([a, b]) => meanOf(a, b))),
    lower: text(amounts.map(([a, b]) => lowerOf(a, b))),
  },
  weight: {
    fee: text(fees.map(([fee]) => fee)),
    standing: text(fees.map(([, standing]) => standing)),
    weight: text(fees.map(([fee, standing]) => weightOf(fee, standing))),
  },
  objective: {
    faults: text([0n, 1n, 65_536n, 524_288n, 1n << 40n, (1n << 64n) - 1n]),
    score: text([0n, 1n, 65_536n, 524_288n, 1n << 40n, (1n << 64n) - 1n].map(objectiveOf)),
  },
  bound: { score: text(Array.from({ length: 65 }, (_, k) => boundOf(BigInt(k)))) },
  graph: [network(5, 1), network(17, 3), network(3, 3)].map(({ founders, edges, scores }) => ({
    founders,
    size: scores.length,
    edges: text(edges),
    scores: text(scores),
  })),
};

if (import.meta.main) writeFileSync(new URL("trust.json", import.meta.url), `${JSON.stringify(vectors, null, 1)}\n`);
