// The arithmetic of the Reputation contract, bit by bit. Amounts of evidence are Q8.16 (65,536 is one), scores Q0.32.
// Every rounding is to the provider's disadvantage.

export const ONE = 1n << 16n;
/** The largest amount of evidence that is kept. */
export const MAX_EVIDENCE = (1n << 24n) - 1n;
/** Most evidence, at any moment, of one organisation about another, and of all citizens together about one. */
export const PAIR_CAP = ONE;
/** Most evidence, at any moment, of one citizen's account about one provider. */
export const ACCOUNT_CAP = ONE / 16n;
/** Base units of the token that one unit of evidence costs a rater of full standing. */
export const FEE_UNIT = 1_000_000n;
export const HALF_LIFE_MS = 90n * 86_400_000n;
/** Two units of evidence at a base rate of 0.3. */
export const PRIOR_FOR = 39_321n;
export const PRIOR_AGAINST = 91_751n;
/** Faults (Q16) at which the objective score is one half. */
export const FAULTS_HALF = 8n * ONE;

/** What one fact of each kind counts, Q16; a deal lost to a proof counts {@link PROOF}. */
export const FACT_WEIGHTS = {
  gaps: ONE / 16n,
  late: ONE / 256n,
  equivocations: 8n * ONE,
  attestations: 4n * ONE,
  intrusions: 2n * ONE,
  disputes: 4n * ONE,
  probes: ONE / 2n,
} as const;
export const PROOF = 8n * ONE;

/** 2^64 · ln(2)^n / n!, n from 16 down to 0. */
const SERIES = [
  2503n,
  57_783n,
  1_250_454n,
  25_256_339n,
  473_683_537n,
  8_200_570_677n,
  130_140_149_132n,
  1_877_525_477_726n,
  24_378_270_262_728n,
  281_363_276_907_910n,
  2_841_449_829_983_172n,
  24_596_073_471_909_060n,
  177_423_166_116_318_949n,
  1_023_870_087_579_328_454n,
  4_431_396_893_595_737_425n,
  12_786_308_645_202_655_660n,
  1n << 64n,
];

/** 2^(−elapsed/half-life) as Q0.64, by Horner's rule over the series of exp(−y ln 2). */
export function decayFactor(elapsedMs: bigint): bigint {
  const halvings = elapsedMs / HALF_LIFE_MS;
  if (halvings > 63n) return 0n;
  const y = (elapsedMs % HALF_LIFE_MS << 64n) / HALF_LIFE_MS;
  return SERIES.reduce((sum, coefficient) => coefficient - ((sum * y) >> 64n)) >> halvings;
}

export const decayDown = (amount: bigint, factor: bigint): bigint => (amount * factor) >> 64n;
export const decayUp = (amount: bigint, factor: bigint): bigint => (amount * factor + (1n << 64n) - 1n) >> 64n;

/** Expectation of the posterior. */
export function meanOf(inFavour: bigint, against: bigint): bigint {
  return ((inFavour + PRIOR_FOR) << 32n) / (inFavour + against + PRIOR_FOR + PRIOR_AGAINST);
}

/** Expectation less 1.28 standard deviations of the posterior, never below 0: what gates should ask. */
export function lowerOf(inFavour: bigint, against: bigint): bigint {
  const a = inFavour + PRIOR_FOR;
  const b = against + PRIOR_AGAINST;
  const n = a + b;
  const root = sqrt(((a * b) << 122n) / (625n * (n + ONE)) + 1n) + 1n;
  const scaled = a << 48n;
  return root >= scaled ? 0n : (scaled - root) / (n << 16n);
}

/** Evidence that a fee buys, by the rater's own lower bound of conduct. */
export function weightOf(fee: bigint, standing: bigint): bigint {
  return (fee * ((1n << 30n) + (3n * standing) / 4n)) / (FEE_UNIT << 16n);
}

/** Score of an amount of faults. */
export function objectiveOf(faults: bigint): bigint {
  return (FAULTS_HALF * 0xffffffffn) / (FAULTS_HALF + faults);
}

/**
 * The highest lower bound that ratings of this many colluding organisations and of any number of citizens' accounts can
 * make of a provider whom nobody else rates, whatever they pay and in whatever order.
 */
export function boundOf(organisations: bigint): bigint {
  const evidence = ((organisations < 256n ? organisations : 256n) + 1n) * PAIR_CAP;
  return lowerOf(evidence < MAX_EVIDENCE ? evidence : MAX_EVIDENCE, 0n);
}

/** A Q0.32 score as a number in [0, 1). */
export const toShare = (score: bigint): number => Number(score) / 2 ** 32;

/** The integer part of a square root, by Newton's method from above. */
function sqrt(value: bigint): bigint {
  if (value < 2n) return value;
  let x = 1n << BigInt((value.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (x + value / x) >> 1n;
    if (next >= x) return x;
    x = next;
  }
}
