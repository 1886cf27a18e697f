import { HyperBagelError } from '../errors.js';

/** Most solver steps of a schedule. */
export const MAX_STEPS = 1000;

function bad(operand: string, expected: string, got: string): HyperBagelError {
  return new HyperBagelError('BAD_OPTION', `${operand} must be ${expected}, got ${got}`, { operand, expected, got });
}

/** t -> s t / (1 + (s - 1) t): moves times towards the noise. shift(1) changes nothing; shift(a) after shift(b) is shift(a b). */
export function shift(time: number, by: number): number {
  return (by * time) / (1 + (by - 1) * time);
}

function checkSteps(steps: number): void {
  if (Number.isInteger(steps) && steps >= 1 && steps <= MAX_STEPS) return;
  throw bad('steps', `an integer from 1 to ${MAX_STEPS}`, `${steps}`);
}

/**
 * A time grid of `steps + 1` points from 1 (noise) to exactly 0 (data): t = shift s / (1 + (shift - 1) s), s uniform
 * (few-step-denoising: 2.3), with the roundings of the public code's f32 arithmetic (bagel.md 4.2, item 13).
 *
 * @throws HyperBagelError BAD_OPTION
 */
export function shiftedGrid(steps: number, by: number): Float32Array {
  checkSteps(steps);
  if (!(by > 0 && by <= 1000)) throw bad('shift', 'above 0 and at most 1000', `${by}`);
  const f32 = Math.fround;
  const step = f32(-1 / steps);
  const uniform = (i: number) => f32(2 * i < steps ? 1 + step * i : -step * (steps - i));
  const grid = Float32Array.from({ length: steps + 1 }, (_, i) => {
    const s = uniform(i);
    return f32(by * s) / f32(1 + f32((by - 1) * s));
  });
  grid[steps] = 0;
  return grid;
}

/**
 * The grid of BAGEL's own parameters: `numTimesteps` points, hence one evaluation less. `numTimesteps = 1`, with which the public
 * code returns the noise, is refused.
 *
 * @throws HyperBagelError BAD_OPTION
 */
export function bagelGrid(numTimesteps: number, timestepShift: number): Float32Array {
  if (!Number.isInteger(numTimesteps) || numTimesteps < 2 || numTimesteps > MAX_STEPS + 1) {
    throw bad('num_timesteps', `an integer from 2 to ${MAX_STEPS + 1}`, `${numTimesteps}`);
  }
  return shiftedGrid(numTimesteps - 1, timestepShift);
}

/**
 * Checks a grid of explicit times and rounds it to f32: from 1, falling at every point (after rounding too), to exactly 0.
 *
 * @throws HyperBagelError BAD_OPTION
 */
export function checkGrid(times: ArrayLike<number>): Float32Array {
  const count = times?.length;
  if (!Number.isInteger(count) || typeof times !== 'object') throw bad('grid', 'a list of times', typeof times);
  if (count < 2 || count > MAX_STEPS + 1) throw bad('grid', `2 to ${MAX_STEPS + 1} times`, `${count}`);
  const grid = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const time = times[i] as number;
    if (typeof time !== 'number' || !Number.isFinite(time)) throw bad('grid', 'finite numbers', String(time));
    grid[i] = time;
    const before = grid[i - 1];
    if (i === 0 && time !== 1) throw bad('grid', 'a list that begins with 1', `${time}`);
    if (before !== undefined && !((grid[i] as number) < before)) {
      throw bad('grid', 'falling', `${time} after ${times[i - 1]}`);
    }
  }
  // f32 of a tiny time may be 0, and -0 equals 0: both are the end that is meant only when the list says 0
  if (times[count - 1] !== 0) throw bad('grid', 'a list that ends with exactly 0', `${times[count - 1]}`);
  grid[count - 1] = 0;
  return grid;
}

/**
 * Every k-th point of a grid, for a model that is only valid on this grid.
 *
 * @throws HyperBagelError BAD_OPTION when `steps` does not divide the grid's number of steps
 */
export function everyOther(grid: Float32Array, steps: number): Float32Array {
  const all = grid.length - 1;
  if (!Number.isInteger(steps) || steps < 1 || all % steps !== 0) {
    throw bad('steps', `a divisor of ${all}, the steps of the grid`, `${steps}`);
  }
  return grid.filter((_, i) => i % (all / steps) === 0);
}

/** Whether every time of a grid is one of another's. */
export function isSubgrid(grid: Float32Array, of: Float32Array): boolean {
  return grid.every((time) => of.includes(time));
}
