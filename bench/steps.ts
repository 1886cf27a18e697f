// Whole steps of the bundled model, as its engines run them: the loop over a recorded program, its ring and its waits included.
import { Bagel } from '../lib/models/bagel/bagel.js';
import { latentGrid, latentWidth } from '../lib/models/bagel/config.js';
import type { BagelModel } from '../lib/models/bagel/model.js';
import type { ProfileEvent } from '../lib/profile/events.js';
import { byteRate, flopRate, type MachineRoofline } from '../lib/profile/roofline.js';
import { BatchDecoder } from '../lib/speculative/decode.js';
import { Activity, type ContextOptions } from '../lib/tensor/context.js';
import { type Cost, type Floor, floorOf, median, outsideOps } from './arithmetic.js';
import { type DenoiseCase, denoiseRunner, filled, type Runner } from './denoise.js';
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

/** Tokens in the context before a decode step, steps per sample. */
const CONTEXT = 64;
const DECODE_STEPS = 32;
const DENOISE_STEPS = 8;
export const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
/** Profiles of a step; their median counts. */
const ROUNDS = 5;

/** `size` sequences that decode together, one row each. */
export function decodeRunner(model: BagelModel, size: number, context = CONTEXT): Runner {
  const decoder = new BatchDecoder(model, size);
  const sequences = Array.from({ length: size }, () => filled(model, context));
  for (const sequence of sequences) model.reserve(sequence, DECODE_STEPS + 8);
  return {
    steps: DECODE_STEPS,
    about: `${size === 1 ? '1 row' : `${size} rows of ${size} sequences`}, ${context} to ${context + DECODE_STEPS} tokens before it`,
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

export function decodePicture(model: BagelModel): Runner {
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

/** First steps of 50 of a picture of the model's own size. */
const denoise = (model: BagelModel, c: Partial<DenoiseCase>): Promise<Runner> =>
  denoiseRunner(model, { kind: 'draw', steps: 50, run: DENOISE_STEPS, guided: true, ...c });

export async function runnerOf(model: BagelModel, name: StepName): Promise<Runner> {
  switch (name) {
    case 'decode_step':
      return decodeRunner(model, 1);
    case 'decode_step_16':
      return decodeRunner(model, 16);
    case 'denoise_step':
      return denoise(model, {});
    case 'denoise_step_apart':
      return denoise(model, { separate: true });
    case 'denoise_step_unguided':
      return denoise(model, { guided: false });
    case 'denoise_step_watched':
      return denoise(model, { watched: true });
    case 'edit_step':
      return denoise(model, { kind: 'edit' });
    case 'edit_step_apart':
      return denoise(model, { kind: 'edit', separate: true });
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
export async function profileOf(model: BagelModel, runner: Runner): Promise<ProfileEvent[]> {
  model.cx.profileStart();
  await runner.run();
  return model.cx.profileStop();
}

/** Share of the executor's time outside ops: the median of a few profiles. */
export async function outsideShare(model: BagelModel, name: StepName): Promise<number> {
  const runner = await runnerOf(model, name);
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
  const runner = await runnerOf(model, name);
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
