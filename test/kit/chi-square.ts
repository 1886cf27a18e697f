// Pearson's test of counts against a law, with fixed seeds: a test that passes once passes always.

export interface ChiSquare {
  value: number;
  freedom: number;
}

/** How often a right law may be called wrong, in standard deviations: one time in 30000, and in a million. */
export const ONE_IN_30000 = 4;
export const ONE_IN_A_MILLION = 4.76;

/** The value that draws from the law stay below but for the given rarity (Wilson and Hilferty). */
export function critical(freedom: number, deviations = ONE_IN_30000): number {
  const spread = 2 / (9 * freedom);
  return freedom * (1 - spread + deviations * Math.sqrt(spread)) ** 3;
}

/**
 * Chi-square of counts against probabilities. Cells that expect fewer than `pool` are put together; a count where the probability
 * is 0 is infinitely bad.
 */
export function chiSquare(counts: readonly number[], probabilities: readonly number[], pool = 0): ChiSquare {
  const n = counts.reduce((a, b) => a + b, 0);
  let value = 0;
  let cells = 0;
  const rare = { expected: 0, count: 0 };
  const add = (expected: number, count: number) => {
    value += (count - expected) ** 2 / expected;
    cells++;
  };
  probabilities.forEach((p, i) => {
    const count = counts[i] as number;
    if (p === 0) {
      if (count !== 0) value = Number.POSITIVE_INFINITY;
    } else if (n * p < pool) {
      rare.expected += n * p;
      rare.count += count;
    } else {
      add(n * p, count);
    }
  });
  if (rare.expected > 0) add(rare.expected, rare.count);
  return { value, freedom: cells - 1 };
}
