/** Steps that are always queued ahead of the host's reading. */
const LEAST = 4;
/** Work that is queued ahead when steps are short: longer than it takes to wake the JavaScript thread. */
const MILLISECONDS = 2;
const MOST = 16;

/**
 * How many steps to keep queued: four, or as many as fill two milliseconds. A step of the bundled model takes a sixth of a
 * millisecond, waking the JavaScript thread sometimes half of one, so with four the executor would run dry now and then.
 *
 * @param elapsedMs since the first step was queued
 * @param steps that have ended since
 */
export function stepsAhead(elapsedMs: number, steps: number): number {
  if (steps < LEAST) return LEAST;
  return Math.min(MOST, Math.max(LEAST, Math.ceil((MILLISECONDS * steps) / elapsedMs)));
}
