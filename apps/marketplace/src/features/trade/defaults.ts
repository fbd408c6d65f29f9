// What offers have that say nothing else; the same as those of `msec`.

/** Of the price, to whoever delivers. */
export const FEE_PER_MILLE = 50;
/** Smallest units that the deliverer stakes for a deal. */
export const BOND = 10_000_000n;
/** Within which keys must come. */
export const DELIVER_SECONDS = 120;
/** In which the buyer can complain. */
export const COMPLAIN_SECONDS = 40;
