// Files are tested at the same time, each with a city of its own: each worker takes its ports from a place of its own, unless
// whoever started it has named one.
process.env.MSEC_PORTS_FROM ??= String(20_000 + 3_000 * (Number(process.env.VITEST_POOL_ID ?? 0) % 4));
