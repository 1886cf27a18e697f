import { HyperBagelError } from '../errors.js';

/** Most steps of a schedule: the device-side table has a fixed size. */
export const MAX_STEPS = 1000;

/**
 * A time grid of `steps + 1` points from 1 (noise) to exactly 0 (data): t = shift s / (1 + (shift - 1) s), s uniform
 * (few-step-denoising: 2.3), with the roundings of the public code's f32 arithmetic (bagel.md 4.2, item 13). BAGEL's
 * `num_timesteps = N` is `steps = N - 1`.
 *
 * @throws HyperBagelError BAD_OPTION
 */
export function shiftedGrid(steps: number, shift: number): Float32Array {
  if (!Number.isInteger(steps) || steps < 1 || steps > MAX_STEPS) {
    throw new HyperBagelError('BAD_OPTION', `steps must be an integer from 1 to ${MAX_STEPS}, got ${steps}`, {
      operand: 'steps',
      expected: `an integer from 1 to ${MAX_STEPS}`,
      got: `${steps}`,
    });
  }
  if (!(shift > 0 && shift <= 1000)) {
    throw new HyperBagelError('BAD_OPTION', `shift must be above 0 and at most 1000, got ${shift}`, {
      operand: 'shift',
    });
  }
  const f32 = Math.fround;
  const step = f32(-1 / steps);
  const uniform = (i: number) => f32(2 * i < steps ? 1 + step * i : -step * (steps - i));
  const grid = Float32Array.from({ length: steps + 1 }, (_, i) => {
    const s = uniform(i);
    return f32(shift * s) / f32(1 + f32((shift - 1) * s));
  });
  grid[steps] = 0;
  return grid;
}

export type Renorm = 'global' | 'channel' | 'text_channel';

/** Classifier-free guidance (bagel.md 3.8). */
export interface Guidance {
  text: number;
  image: number;
  /** Guided where `interval[0] < t <= interval[1]`, on the shifted time. */
  interval: readonly [number, number];
  renorm: Renorm;
  renormMin: number;
}

/** One row of the device-side schedule: columns as `ScheduleColumn` in csrc/ops/guided_update.h. */
export interface StepPlan {
  time: number;
  dt: number;
  /** Scales in force at this step: 1 outside the interval. */
  text: number;
  image: number;
}

export const SCHEDULE_COLUMNS = 8;

/** Euler steps over a grid, with the guidance in force at each. */
export function planSteps(grid: Float32Array, guidance: Guidance): StepPlan[] {
  // the public code compares in f32: a time that is 0.4 there is not above 0.4
  const [low, high] = guidance.interval.map(Math.fround) as [number, number];
  return Array.from({ length: grid.length - 1 }, (_, i) => {
    const time = grid[i] as number;
    const active = time > low && time <= high;
    return {
      time,
      dt: Math.fround(time - (grid[i + 1] as number)),
      text: active ? guidance.text : 1,
      image: active ? guidance.image : 1,
    };
  });
}

/** The device-side table: time, p, q, w, r, text scale, image scale, renorm minimum per step. x' = p x + q v + w v_prev + r z. */
export function scheduleTable(steps: readonly StepPlan[], renormMin: number): Float32Array {
  const table = new Float32Array(MAX_STEPS * SCHEDULE_COLUMNS);
  steps.forEach(({ time, dt, text, image }, i) => {
    table.set([time, 1, -dt, 0, 0, text, image, renormMin], i * SCHEDULE_COLUMNS);
  });
  return table;
}
