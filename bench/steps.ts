// Whole steps of the bundled model, as its engines run them: the loop over a recorded program, its ring and its waits included.
import type { Sequence } from '../lib/cache/pages.js';
import { shiftedGrid } from '../lib/denoise/grid.js';
import { planSteps } from '../lib/denoise/schedule.js';
import { Bagel } from '../lib/models/bagel/bagel.js';
import { scratchPagesFor } from '../lib/models/bagel/branch-state.js';
import { latentGrid, latentWidth } from '../lib/models/bagel/config.js';
import { DenoiseStep } from '../lib/models/bagel/denoise-step.js';
import type { BagelModel } from '../lib/models/bagel/model.js';
import type { ProfileEvent } from '../lib/profile/events.js';
import { byteRate, flopRate, type MachineRoofline } from '../lib/profile/roofline.js';
import { BatchDecoder } from '../lib/speculative/decode.js';
import { Activity, type ContextOptions } from '../lib/tensor/context.js';
import { type Cost, type Floor, floorOf, median, outsideOps } from './arithmetic.js';
import { type Limits, time } from './harness.js';
import type { StepName } from './rows.js';

export interface StepResult {
  /** Seconds per step, one per sample. */
  samples: number[];
  /** Of one step, by the contracts of its ops. */
  cost: Cost;
  floor: Floor;
  /** Ops of one step. */
  ops: number;
  /** Share of the executor's time outside ops. */
  outside: number;
  /** What the step works on. */
  about: string;
}

/** Tokens in the context before the step, steps per sample, guidance as `draw` has it by default. */
const CONTEXT = 64;
const DECODE_STEPS = 32;
const DENOISE_STEPS = 8;
const GUIDANCE = { text: 4, image: 1, interval: [0.4, 1], renorm: 'global', renormMin: 0 } as const;
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
/** Profiles of a step; their median counts. */
const ROUNDS = 5;

/** Something that runs `steps` steps per call of `run`. */
interface Runner {
  steps: number;
  about: string;
  run(): Promise<void>;
  dispose(): void;
}

/** A context of `length` tokens. The ids are arbitrary, their number counts. */
function filled(model: BagelModel, length: number): Sequence {
  const sequence = model.sequence();
  const { vocab } = model.config.llm;
  model.appendTokens(
    sequence,
    Array.from({ length }, (_, i) => (i * 37) % vocab),
  );
  return sequence;
}

/** `size` sequences that decode together, one row each. */
function decodeRunner(model: BagelModel, size: number): Runner {
  const decoder = new BatchDecoder(model, size);
  const sequences = Array.from({ length: size }, () => filled(model, CONTEXT));
  for (const sequence of sequences) model.reserve(sequence, DECODE_STEPS + 8);
  return {
    steps: DECODE_STEPS,
    about: `${size === 1 ? '1 row' : `${size} rows of ${size} sequences`}, ${CONTEXT} to ${CONTEXT + DECODE_STEPS} tokens before it`,
    async run() {
      const items = sequences.map((sequence) => ({
        sequence,
        first: 1,
        limit: DECODE_STEPS,
        stop: [],
        sampling: GREEDY,
      }));
      const options = { activity: new Activity(), times: { draftMs: 0, verifyMs: 0 } };
      let seen = 0;
      for await (const _ of decoder.run(() => items.pop(), options)) seen++;
      if (seen !== DECODE_STEPS) throw new Error(`${seen} of ${DECODE_STEPS} decode steps ran`);
    },
    dispose() {
      decoder.dispose();
      for (const sequence of sequences) sequence.release();
    },
  };
}

/** Steps of a drawing of the model's own size, all of them guided by text. */
function denoiseRunner(model: BagelModel): Runner {
  const { imageSize } = model.config;
  const grid = latentGrid(model.config, { width: imageSize, height: imageSize });
  const step = new DenoiseStep(model, {
    pictures: [grid],
    renorm: GUIDANCE.renorm,
    sharedImage: true,
    memory: false,
    stochastic: false,
    separate: false,
    watch: {},
    student: undefined,
  });
  const full = filled(model, CONTEXT);
  const branches = { full, noText: model.sequence() };
  const n = grid.rows * grid.columns;
  const scratch = model.pool.take(2 * scratchPagesFor(n));
  const noise = Float32Array.from({ length: n * latentWidth(model.config) }, (_, i) => Math.sin(i));
  const plan = planSteps(shiftedGrid(50, 3), GUIDANCE).slice(0, DENOISE_STEPS);
  return {
    steps: DENOISE_STEPS,
    about: `${imageSize} x ${imageSize}: ${2 * (n + 2)} rows (2 branches), ${CONTEXT} tokens before them`,
    async run() {
      let seen = 0;
      const job = { contexts: [branches], scratch: [scratch], seeds: [0], noise: [noise], plan };
      for await (const _ of step.run({ ...job, renormMin: GUIDANCE.renormMin, activity: new Activity() })) seen++;
      if (seen !== plan.length) throw new Error(`${seen} of ${plan.length} denoise steps ran`);
    },
    dispose() {
      step.dispose();
      model.pool.release(scratch);
      for (const sequence of Object.values(branches)) sequence.release();
    },
  };
}

function decodePicture(model: BagelModel): Runner {
  const { cx, config } = model;
  const { imageSize } = config;
  const grid = latentGrid(config, { width: imageSize, height: imageSize });
  const values = Float32Array.from({ length: grid.rows * grid.columns * latentWidth(config) }, (_, i) => Math.sin(i));
  const tokens = cx.tensor('f32', [grid.rows * grid.columns, latentWidth(config)], values);
  return {
    steps: 1,
    about: `${imageSize} x ${imageSize} pixels`,
    async run() {
      cx.scope(() => {
        model.decodeLatents(tokens, grid);
      });
      await cx.sync();
    },
    dispose: () => tokens.dispose(),
  };
}

function runnerOf(model: BagelModel, name: StepName): Runner {
  switch (name) {
    case 'decode_step':
      return decodeRunner(model, 1);
    case 'decode_step_16':
      return decodeRunner(model, 16);
    case 'denoise_step':
      return denoiseRunner(model);
    case 'vae_decode':
      return decodePicture(model);
  }
}

const opsOf = (events: readonly ProfileEvent[]) => events.filter((e) => e.op !== '');

/** The least time of all ops of a step; matrix products in bf16 run at the rate of dot products. */
function floorOfEvents(events: readonly ProfileEvent[], steps: number, bf16: boolean, roofline: MachineRoofline) {
  let [arithmetic, flops, bytes] = [0, 0, 0];
  for (const e of opsOf(events)) {
    arithmetic += e.flops / flopRate(roofline, bf16 && e.op === 'linear');
    flops += e.flops;
    bytes += e.bytes;
  }
  const cost: Cost = { flops: flops / steps, bytes: bytes / steps };
  const movement = cost.bytes / byteRate(roofline, cost.bytes);
  return { cost, floor: floorOf({ arithmetic: arithmetic / steps, movement }) };
}

/** The executor's events of one call of the runner. */
async function profileOf(model: BagelModel, runner: Runner): Promise<ProfileEvent[]> {
  model.cx.profileStart();
  await runner.run();
  return model.cx.profileStop();
}

/** Share of the executor's time outside ops: the median of a few profiles. */
export async function outsideShare(model: BagelModel, name: StepName): Promise<number> {
  const runner = runnerOf(model, name);
  try {
    // the first profile makes the descriptions that later ones share
    await profileOf(model, runner);
    const shares: number[] = [];
    for (let round = 0; round < ROUNDS; round++) shares.push(outsideOps(await profileOf(model, runner)));
    return median(shares);
  } finally {
    runner.dispose();
  }
}

export async function measureStep(
  model: BagelModel,
  name: StepName,
  roofline: MachineRoofline,
  limits: Limits,
): Promise<StepResult> {
  const runner = runnerOf(model, name);
  try {
    await runner.run();
    const samples = await time(name, () => runner.run(), limits);
    const events = await profileOf(model, runner);
    return {
      samples: samples.map((s) => s / runner.steps),
      ...floorOfEvents(events, runner.steps, model.dtype === 'bf16', roofline),
      ops: opsOf(events).length / runner.steps,
      outside: await outsideShare(model, name),
      about: runner.about,
    };
  } finally {
    runner.dispose();
  }
}

/** Runs `work` with the bundled model in a context of its own. */
export async function withModel<R>(
  options: ContextOptions,
  dtype: 'f32' | 'bf16',
  work: (model: BagelModel) => Promise<R>,
): Promise<R> {
  const bagel = await Bagel.load(undefined, { ...options, dtype, cacheTokens: 8192 });
  try {
    return await work(bagel.model);
  } finally {
    await bagel.dispose();
  }
}
