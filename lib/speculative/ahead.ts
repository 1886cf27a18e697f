/** Steps that are always queued ahead of the host's reading. */
const LEAST = 4;
/** Work that is queued ahead when steps are short: longer than it takes to wake the JavaScript thread. */
const MILLISECONDS = 4;
const MOST = 32;

/**
 * How many steps to keep queued: four, or as many as fill `MILLISECONDS`. A step of the bundled model takes a tenth of a
 * millisecond, and where all processors compute the host is told about ended steps every two: with four the executor would run dry.
 *
 * @param elapsedMs since the first step was queued
 * @param steps that have ended since
 */
export function stepsAhead(elapsedMs: number, steps: number): number {
  if (steps < LEAST) return LEAST;
  return Math.min(MOST, Math.max(LEAST, Math.ceil((MILLISECONDS * steps) / elapsedMs)));
}
