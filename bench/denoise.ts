// Denoising runs of the bundled model: what a step costs beside its forward, and what few unguided evaluations save.
import type { Sequence } from '../lib/cache/pages.js';
import { shiftedGrid } from '../lib/denoise/grid.js';
import type { Guidance } from '../lib/denoise/guidance.js';
import { planSteps } from '../lib/denoise/schedule.js';
import type { Solver } from '../lib/denoise/solver.js';
import { scratchPagesFor } from '../lib/models/bagel/branch-state.js';
import { latentGrid } from '../lib/models/bagel/config.js';
import { DenoiseStep } from '../lib/models/bagel/denoise-step.js';
import { DRAW_DEFAULTS } from '../lib/models/bagel/draw-options.js';
import type { BagelModel } from '../lib/models/bagel/model.js';
import { fitRgbMap, plainPictures, tokenProjection } from '../lib/models/bagel/preview.js';
import { Activity } from '../lib/tensor/context.js';
import { median, outsideForward } from './arithmetic.js';
import { interleave } from './harness.js';

/** Something that runs `steps` steps per call of `run`. */
export interface Runner {
  steps: number;
  about: string;
  run(): Promise<void>;
  dispose(): void;
}

/** A run of a picture of the model's own size. */
export interface DenoiseCase {
  kind: 'draw' | 'edit';
  /** Of a grid with shift 3; the run takes the first `run` of them, all without it. */
  steps: number;
  run?: number;
  guided: boolean;
  /** Default: that of drawing or editing. */
  interval?: readonly [number, number];
  /** Every branch in a forward of its own. */
  separate?: boolean;
  /** Fresh noise, thumbnails and clean latents in every step. */
  watched?: boolean;
}

/** Tokens of a prompt, of an instruction, and of a picture as latents and as patches, with frames. */
const PROMPT = 64;
const INSTRUCTION = 32;

/** A context of `length` tokens. The ids are arbitrary, their number counts. */
export function filled(model: BagelModel, length: number): Sequence {
  const sequence = model.sequence();
  const { vocab } = model.config.llm;
  model.appendTokens(
    sequence,
    Array.from({ length }, (_, i) => (i * 37) % vocab),
  );
  return sequence;
}

export async function denoiseRunner(model: BagelModel, c: DenoiseCase): Promise<Runner & { evaluations: number }> {
  const { config } = model;
  const { imageSize } = config;
  const grid = latentGrid(config, { width: imageSize, height: imageSize });
  const n = grid.rows * grid.columns;
  const defaults = DRAW_DEFAULTS[c.kind];
  const guidance: Guidance = {
    text: c.guided ? defaults.guidance : 1,
    image: c.guided ? defaults.imageGuidance : 1,
    interval: c.interval ?? defaults.interval,
    renorm: defaults.renorm,
    renormMin: 0,
  };
  const solver: Solver = c.watched ? { kind: 'tcd', gamma: 0.5 } : { kind: 'euler' };
  const plan = planSteps(shiftedGrid(c.steps, 3), guidance, solver).slice(0, c.run ?? c.steps);
  const step = new DenoiseStep(
    model,
    {
      pictures: [grid],
      renorm: guidance.renorm,
      sharedImage: c.kind === 'draw',
      memory: false,
      stochastic: c.watched ?? false,
      separate: c.separate ?? false,
      watch: c.watched ? { rgb: true, denoised: true } : {},
      student: undefined,
    },
    c.watched ? { projection: tokenProjection(model, await fitRgbMap(model, plainPictures(model))) } : {},
  );
  const picture = c.kind === 'edit' ? 2 * (n + 2) : 0;
  const text = c.kind === 'edit' ? INSTRUCTION : PROMPT;
  const branches = {
    full: filled(model, picture + text),
    noText: filled(model, picture),
    noImage: filled(model, text),
  };
  const scratch = model.pool.take(3 * scratchPagesFor(n));
  // noise that is given costs the device nothing, so it is left to the device
  const job = { contexts: [branches], scratch: [scratch], seeds: [1], noise: [undefined], plan, renormMin: 0 };
  const evaluations = plan.reduce((sum, row) => sum + step.evaluations(row), 0);
  return {
    steps: plan.length,
    evaluations,
    about: `${imageSize} x ${imageSize}: ${n + 2} rows a branch, ${evaluations} evaluations in ${plan.length} steps, ${picture + text} tokens before them`,
    async run() {
      let seen = 0;
      for await (const _ of step.run({ ...job, activity: new Activity() })) seen++;
      if (seen !== plan.length) throw new Error(`${seen} of ${plan.length} denoise steps ran`);
    },
    dispose() {
      step.dispose();
      model.pool.release(scratch);
      for (const sequence of Object.values(branches)) sequence.release();
    },
  };
}

/** Share of a step's op time that is not its forward: noise, guided update, thumbnails, what goes to the host. Median of `rounds`. */
export async function outsideForwardShare(model: BagelModel, c: DenoiseCase, rounds: number): Promise<number> {
  const runner = await denoiseRunner(model, c);
  try {
    await runner.run();
    const shares: number[] = [];
    for (let round = 0; round < rounds; round++) {
      model.cx.profileStart();
      await runner.run();
      shares.push(outsideForward(model.cx.profileStop()));
    }
    return median(shares);
  } finally {
    runner.dispose();
  }
}

export interface Saving {
  /** Time of the many guided evaluations over that of the few. */
  times: number;
  /** The same of the numbers of evaluations. */
  evaluations: number;
  /** Seconds of each. */
  many: number;
  few: number;
}

/** Runs of a case and of six unguided evaluations in turns: the ratio of the medians. */
export async function saving(model: BagelModel, c: DenoiseCase, rounds: number): Promise<Saving> {
  const many = await denoiseRunner(model, c);
  const few = await denoiseRunner(model, { kind: c.kind, steps: 6, guided: false });
  try {
    const { a, b } = await interleave(rounds, many.run, few.run);
    return {
      times: median(a) / median(b),
      evaluations: many.evaluations / few.evaluations,
      many: median(a),
      few: median(b),
    };
  } finally {
    many.dispose();
    few.dispose();
  }
}
