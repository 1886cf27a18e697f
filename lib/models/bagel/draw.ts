import { HyperBagelError } from '../../errors.js';
import { throwIfAborted } from '../../io/abort.js';
import { Image } from '../../io/image.js';
import { Activity } from '../../tensor/context.js';
import { checkSampling } from './answer.js';
import { type Branches, scratchPagesFor } from './branch-state.js';
import { latentGrid, latentWidth } from './config.js';
import { type ContextBuilder, type ContextTokens, releaseBranches } from './contexts.js';
import { type DenoiseShape, DenoiseStep, type Evaluated, stepBranches } from './denoise-step.js';
import { metadataOf, metadataText } from './draw-metadata.js';
import type { Drawing, DrawOptions, DrawSettings } from './draw-options.js';
import { type Decoders, decode } from './generate.js';
import type { BagelModel } from './model.js';
import { fitRgbMap, plainPictures, type RgbMap, type RgbProjection, tokenProjection } from './preview.js';
import { settle } from './session.js';

/** Longest plan of a picture. */
const THOUGHT_TOKENS = 1024;
/** Recorded denoise steps that are kept for pictures to come: so many, and so many bytes unless it is the last one alone. */
const IDLE_STEPS = 8;
const IDLE_BYTES = 256e6;

/** A picture to make: checked options, size, and where its contexts come from. */
export interface PictureJob {
  text: string;
  size: { width: number; height: number };
  /** Pictures in the context. */
  contexts: ContextBuilder;
  /** There is no picture in the context: without a plan, the context without image is the full one. */
  fromText: boolean;
  options: DrawOptions;
  settings: DrawSettings;
}

/** A job whose contexts are in the cache. */
export interface Prepared {
  job: PictureJob;
  grid: { rows: number; columns: number };
  branches: Branches;
  scratch: number[];
  tokens: ContextTokens;
  thought: string | undefined;
  contextMs: number;
  nfe: number;
}

/** Draws and edits; recorded denoise steps are kept by shape and lent to one batch at a time. */
export class Painter {
  readonly #idle: { key: string; step: DenoiseStep }[] = [];
  #projection: Promise<RgbProjection> | undefined;

  constructor(
    private readonly model: BagelModel,
    private readonly decoders: Decoders,
    /** Of latents to colours; without one it is fitted when the first preview is asked for. */
    private readonly rgb?: RgbMap | undefined,
    /** Identifies the model in metadata. */
    private readonly hash?: string | undefined,
  ) {}

  /**
   * What pictures must agree in to be denoised in one forward: schedule, guidance, weights, and what is watched. Sizes, seeds, texts
   * and initial noise are their own.
   */
  static batchKey({ settings, options, fromText }: PictureJob): string {
    const { plan, guidance, student } = settings;
    const { onStep, previews = false, separateBranches = false, think = false } = options;
    const shared = fromText && !think;
    return JSON.stringify([
      plan,
      guidance.renorm,
      guidance.renormMin,
      student?.name,
      shared,
      separateBranches,
      onStep !== undefined,
      previews,
    ]);
  }

  /** @throws HyperBagelError BAD_OPTION, CONTEXT_FULL, CANCELLED */
  async paint(job: PictureJob): Promise<Drawing> {
    const { signal } = job.options;
    const prepared = await this.prepare(job);
    for await (const { drawing } of this.finish([prepared], signal)) return drawing;
    throw new HyperBagelError('INTERNAL', 'nothing was drawn');
  }

  /**
   * Builds a picture's contexts, with its plan when it is to think. Give the result to `finish`, or to `drop`.
   *
   * @throws HyperBagelError BAD_OPTION, CONTEXT_FULL, CANCELLED; nothing is held then
   */
  async prepare(job: PictureJob): Promise<Prepared> {
    const { model } = this;
    const { options, settings } = job;
    const grid = latentGrid(model.config, job.size);
    const latents = grid.rows * grid.columns;
    checkNoise(options.noise, latents, latentWidth(model.config));
    const branchLists = settings.plan.map((row) => stepBranches(row, branchShape(job)));
    const needs = {
      noText: branchLists.some((list) => list.includes('noText')),
      noImage: branchLists.some((list) => list.includes('noImage')),
    };
    const start = performance.now();
    const { branches, tokens } = await job.contexts.build(job.text, {
      think: options.think,
      needs,
      signal: options.signal,
    });
    try {
      const thought = options.think ? await this.#think(branches, job, tokens) : undefined;
      const most = Math.max(...branchLists.map((list) => list.length));
      const scratch = model.pool.take(most * scratchPagesFor(latents));
      return { job, grid, branches, scratch, tokens, thought, contextMs: performance.now() - start, nfe: 0 };
    } catch (error) {
      releaseBranches(branches);
      throw error;
    }
  }

  drop({ branches, scratch }: Prepared): void {
    this.model.pool.release(scratch);
    releaseBranches(branches);
  }

  /** Writes the plan of a picture and puts it into the full context. */
  async #think(branches: Branches, { options, settings }: PictureJob, tokens: ContextTokens): Promise<string> {
    const { model } = this;
    const thinking = branches.full.fork();
    try {
      const sampling = checkSampling({ seed: settings.seed });
      const maxTokens = Math.min(THOUGHT_TOKENS, Math.floor(model.config.llm.maxPositions / 2));
      const init = { sequence: thinking, sampling, options: { maxTokens, signal: options.signal } };
      const generation = decode(model, this.decoders, init);
      let next = await generation.next();
      while (!next.done) next = await generation.next();
      const thought = next.value.text;
      // the public code decodes the plan and encodes it again, so that it enters the context as any text does
      const ids = model.frame(thought);
      await settle(model, 'context', options.signal, () => model.appendTokens(branches.full, ids));
      tokens.computed += ids.length;
      return thought;
    } finally {
      thinking.release();
    }
  }

  /**
   * Denoises prepared pictures of one batch key together and decodes them one by one. Releases them, whatever happens.
   *
   * @throws HyperBagelError CANCELLED
   */
  async *finish(
    batch: readonly Prepared[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<{ index: number; drawing: Drawing }, void, undefined> {
    const activity = new Activity('drawing');
    const abort = () => activity.cancel();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const start = performance.now();
      const latents = await this.#denoise(batch, activity, signal);
      const denoiseMs = performance.now() - start;
      for (const [index, prepared] of batch.entries()) {
        const { job, grid, thought, tokens, contextMs, nfe } = prepared;
        const { settings } = job;
        const decodeStart = performance.now();
        const own = latents[index] as Float32Array;
        const metadata = metadataOf(this.model, this.hash, settings, {
          kind: job.fromText ? 'draw' : 'edit',
          givenNoise: job.options.noise !== undefined,
          shape: branchShape(job),
        });
        const image = (await this.#decode(own, grid, signal)).withText(metadataText(metadata));
        const drawing: Drawing = {
          image,
          width: image.width,
          height: image.height,
          steps: settings.grid.length - 1,
          nfe,
          seed: settings.seed,
          ...(thought === undefined ? {} : { thought }),
          latents: own,
          metadata,
          context: tokens,
          timings: { contextMs, denoiseMs, decodeMs: performance.now() - decodeStart },
        };
        yield { index, drawing };
      }
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** The final latents of each picture. Its contexts are released. */
  async #denoise(
    batch: readonly Prepared[],
    activity: Activity,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[]> {
    const { settings } = (batch[0] as Prepared).job;
    const { plan, guidance } = settings;
    let denoiser: DenoiseStep | undefined;
    let run: ReturnType<DenoiseStep['run']> | undefined;
    try {
      throwIfAborted(signal);
      denoiser = await this.#take(shapeOf(batch));
      run = denoiser.run({
        contexts: batch.map(({ branches }) => branches),
        scratch: batch.map(({ scratch }) => scratch),
        seeds: batch.map(({ job }) => job.settings.seed),
        noise: batch.map(({ job }) => job.options.noise),
        plan,
        renormMin: guidance.renormMin,
        activity,
      });
      for (let next = await run.next(); ; next = await run.next()) {
        if (next.done) {
          throwIfAborted(signal);
          return next.value;
        }
        const row = plan[next.value.row] as (typeof plan)[number];
        for (const [j, prepared] of batch.entries()) {
          prepared.nfe += denoiser.evaluations(row);
          if (row.ends) this.#report(prepared, next.value, j, row.step);
        }
      }
    } finally {
      await run?.return(undefined as never);
      if (denoiser) this.#give(denoiser);
      for (const prepared of batch) this.drop(prepared);
    }
  }

  #report({ job, grid, nfe }: Prepared, evaluated: Evaluated, picture: number, step: number): void {
    const { onStep } = job.options;
    if (!onStep) return;
    const times = job.settings.grid;
    const denoised = evaluated.denoised?.[picture] as Float32Array;
    const rgb = evaluated.rgb?.[picture];
    const { patch } = this.model.config.latent;
    onStep({
      step: step + 1,
      steps: times.length - 1,
      nfe,
      time: times[step + 1] as number,
      ...(rgb ? { thumbnail: Image.fromRaw(rgb, grid.columns * patch, grid.rows * patch) } : {}),
      preview: () => this.#decode(denoised, grid, undefined),
    });
  }

  async #decode(
    latents: Float32Array,
    grid: { rows: number; columns: number },
    signal: AbortSignal | undefined,
  ): Promise<Image> {
    const { cx, config } = this.model;
    let data: Promise<Uint8Array> | undefined;
    let shape: readonly number[] = [];
    await settle(this.model, 'picture', signal, () => {
      cx.scope(() => {
        const tokens = cx.tensor('f32', [grid.rows * grid.columns, latentWidth(config)], latents);
        const pixels = this.model.decodeLatents(tokens, grid);
        shape = pixels.shape;
        data = pixels.data();
        data.catch(() => {}); // a cancelled decode is reported by settle
      });
    });
    const [height = 0, width = 0] = shape;
    return Image.fromRaw((await data) as Uint8Array, width, height);
  }

  async #take({ shape, weights }: ReturnType<typeof shapeOf>): Promise<DenoiseStep> {
    const projection = shape.watch.rgb ? await this.#fit() : undefined;
    const key = JSON.stringify(shape);
    const at = this.#idle.findIndex((idle) => idle.key === key);
    const [idle] = at < 0 ? [] : this.#idle.splice(at, 1);
    return idle?.step ?? new DenoiseStep(this.model, shape, { ...(weights ? { weights } : {}), projection });
  }

  /** The projection of previews. */
  async #fit(): Promise<RgbProjection> {
    const { model } = this;
    this.#projection ??= (async () =>
      tokenProjection(model, this.rgb ?? (await fitRgbMap(model, plainPictures(model)))))();
    try {
      return await this.#projection;
    } catch (error) {
      this.#projection = undefined; // the next one tries again
      throw error;
    }
  }

  #give(step: DenoiseStep): void {
    this.#idle.push({ key: JSON.stringify(step.shape), step });
    const bytes = () => this.#idle.reduce((sum, idle) => sum + idle.step.bytes, 0);
    while (this.#idle.length > IDLE_STEPS || (this.#idle.length > 1 && bytes() > IDLE_BYTES)) {
      this.#idle.shift()?.step.dispose();
    }
  }
}

/** What decides the contexts in which a step evaluates the model. */
function branchShape({ fromText, options, settings }: PictureJob): Pick<DenoiseShape, 'sharedImage' | 'student'> {
  return { sharedImage: fromText && !options.think, student: settings.student?.name };
}

function shapeOf(batch: readonly Prepared[]): { shape: DenoiseShape; weights: DrawWeights } {
  const { job } = batch[0] as Prepared;
  const { settings, options } = job;
  const { plan, guidance, student } = settings;
  const watched = options.onStep !== undefined;
  return {
    weights: student?.weights,
    shape: {
      pictures: batch.map(({ grid }) => grid),
      renorm: guidance.renorm,
      ...branchShape(job),
      memory: plan.some(({ w }) => w !== 0),
      stochastic: plan.some(({ r }) => r !== 0),
      separate: options.separateBranches ?? false,
      watch: { denoised: watched, rgb: watched && (options.previews ?? false) },
    },
  };
}

type DrawWeights = NonNullable<DrawSettings['student']>['weights'] | undefined;

/** @throws HyperBagelError BAD_OPTION */
function checkNoise(given: Float32Array | undefined, tokens: number, channels: number): void {
  if (given === undefined) return;
  const bad = (expected: string, got: string) =>
    new HyperBagelError('BAD_OPTION', `noise must be ${expected}, got ${got}`, { operand: 'noise', expected, got });
  if (!(given instanceof Float32Array)) throw bad('a Float32Array', typeof given);
  if (given.length !== tokens * channels) throw bad(`[${tokens}, ${channels}]`, `${given.length} values`);
  if (!given.every(Number.isFinite)) throw bad('finite', 'NaN or infinity');
}
