/** Whether a series of measurements has become slower. */

/** The value that a share of all values is below. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
}

/**
 * Time of the last quarter over that of the first, of their fastest tenths: those had the machine for themselves, so that what else
 * runs on it hardly counts. The first values, a fiftieth of all, are left out: code is still being compiled then.
 */
export function drift(values: readonly number[]): number {
  const steady = values.slice(Math.ceil(values.length / 50));
  const quarter = Math.floor(steady.length / 4);
  return quantile(steady.slice(-quarter), 0.1) / quantile(steady.slice(0, quarter), 0.1);
}

/** A ratio above this is a drift. */
export const MOST_DRIFT = 1.12;
