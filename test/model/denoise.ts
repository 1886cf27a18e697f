import type { Renorm } from '../../lib/denoise/guidance.js';
import type { StepPlan } from '../../lib/denoise/schedule.js';
import { type Branches, scratchPagesFor } from '../../lib/models/bagel/branch-state.js';
import { DenoiseStep } from '../../lib/models/bagel/denoise-step.js';
import type { BagelModel } from '../../lib/models/bagel/model.js';
import { Activity } from '../../lib/tensor/context.js';

export interface TrajectoryOptions {
  renorm?: Renorm;
  renormMin?: number;
  sharedImage?: boolean;
  separate?: boolean;
  /** false: op by op. */
  recorded?: boolean;
  noise?: Float32Array;
  seed?: number;
}

/** The latents of one picture after every evaluation of a plan. */
export async function trajectory(
  model: BagelModel,
  grid: { rows: number; columns: number },
  branches: Branches,
  plan: readonly StepPlan[],
  options: TrajectoryOptions = {},
): Promise<Float32Array[]> {
  const { renorm = 'global', sharedImage = false, separate = false, recorded = true } = options;
  const step = new DenoiseStep(
    model,
    {
      pictures: [grid],
      renorm,
      sharedImage,
      separate,
      memory: plan.some(({ w }) => w !== 0),
      stochastic: plan.some(({ r }) => r !== 0),
      watch: { latents: true },
      student: undefined,
    },
    { recorded },
  );
  const scratch = model.pool.take(3 * scratchPagesFor(grid.rows * grid.columns));
  const seen: Float32Array[] = [];
  try {
    const run = step.run({
      contexts: [branches],
      scratch: [scratch],
      seeds: [options.seed ?? 0],
      noise: [options.noise],
      plan,
      renormMin: options.renormMin ?? 0,
      activity: new Activity(),
    });
    for await (const { latents } of run) seen.push(latents?.[0] as Float32Array);
  } finally {
    step.dispose();
    model.pool.release(scratch);
  }
  return seen;
}

/** One Euler row of length 1: x' = x - v. */
export const unitStep = (time: number, text = 1, image = 1): StepPlan => ({
  time,
  p: 1,
  q: -1,
  w: 0,
  r: 0,
  step: 0,
  ends: true,
  text,
  image,
});
