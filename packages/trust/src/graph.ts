const SHARE = 65_535n;
const TRUST = 4_294_967_295n;
const ROUNDS = 20;

/**
 * The graph score, bit by bit as the Reputation contract computes it: t ← 0.85 · Cᵀt + 0.15 · p, twenty rounds from p.
 * `edges[i][j]` is what i thinks of j, good less bad evidence, never below zero; the first `founders` are p.
 */
export function graphScores(edges: bigint[][], founders: number): bigint[] {
  const n = edges.length;
  const preTrust = edges.map((_, i) => (i < founders ? TRUST / BigInt(founders) : 0n));
  const shares = edges.map((row, i) => {
    const others = row.map((edge, j) => (i === j ? 0n : edge));
    const sum = others.reduce((a, b) => a + b, 0n);
    return others.map((edge, j) => {
      if (sum !== 0n) return (edge * SHARE) / sum;
      return j < founders ? SHARE / BigInt(founders) : 0n;
    });
  });
  let trust = preTrust;
  for (let round = 0; round < ROUNDS; round++) {
    const before = trust;
    trust = Array.from({ length: n }, (_, j) => {
      const sum = shares.reduce((total, row, i) => total + (before[i] as bigint) * (row[j] as bigint), 0n);
      return (17n * sum) / (20n * SHARE) + (3n * (preTrust[j] as bigint)) / 20n;
    });
  }
  return trust;
}
