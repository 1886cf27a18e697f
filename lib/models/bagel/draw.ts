import type { Sequence } from '../../cache/pages.js';
import { type Guidance, planSteps, type Renorm, shiftedGrid } from '../../denoise/schedule.js';
import { HyperBagelError } from '../../errors.js';
import * as ops from '../../generated/ops.js';
import { throwIfAborted } from '../../io/abort.js';
import { Image, type ImageSource } from '../../io/image.js';
import { seedWords } from '../../speculative/state.js';
import { Activity } from '../../tensor/context.js';
import { checkSampling } from './answer.js';
import { latentGrid, latentWidth } from './config.js';
import { type Branches, DenoiseStep } from './denoise-step.js';
import { type Decoders, decode } from './generate.js';
import type { BagelModel } from './model.js';
import { checkNumber, checkText, chooseSeed } from './options.js';
import { prepareImage, settle } from './session.js';

/** Defaults of drawing and editing: those of the public application (bagel.md 3.11). `interval` is (low, high]. */
export const DRAW_DEFAULTS = {
  draw: { steps: 50, shift: 3, guidance: 4, imageGuidance: 1, interval: [0.4, 1], renorm: 'global', renormMin: 0 },
  edit: { steps: 50, shift: 3, guidance: 4, imageGuidance: 2, interval: [0, 1], renorm: 'text_channel', renormMin: 0 },
} as const;

export interface DrawOptions {
  /** Solver steps. Default 50. */
  steps?: number | undefined;
  /** Shift of the time grid. Default 3. */
  shift?: number | undefined;
  /** Pixels; default: the model's own size. Editing keeps the size of the (resized) picture. */
  size?: { width: number; height: number } | undefined;
  /** Default: a random one, reported in the result. */
  seed?: number | undefined;
  /** Text guidance scale. Default 4; 1 is none. */
  guidance?: number | undefined;
  /** Image guidance scale. Default 1 for drawing, 2 for editing; 1 is none. */
  imageGuidance?: number | undefined;
  /** Guided where low < t <= high. Default (0.4, 1] for drawing, (0, 1] for editing. */
  interval?: readonly [number, number] | undefined;
  /** Default global for drawing, text_channel for editing. */
  renorm?: Renorm | undefined;
  /** Least factor of the renorm; 1 turns it off. Default 0. */
  renormMin?: number | undefined;
  /** Writes a plan of the picture first and draws with it in the context. */
  think?: boolean | undefined;
  /** Initial noise [latent tokens, channels], row-major; for exact reproduction. Default: drawn from the seed. */
  noise?: Float32Array | undefined;
  signal?: AbortSignal | undefined;
  /** Called after each step. `preview` decodes the latents as they are then. */
  onStep?: ((step: DrawStep) => void) | undefined;
}

export interface DrawStep {
  step: number;
  steps: number;
  /** Network evaluations so far. */
  nfe: number;
  preview(): Promise<Image>;
}

export interface Drawing {
  image: Image;
  width: number;
  height: number;
  steps: number;
  /** Network evaluations. */
  nfe: number;
  seed: number;
  /** The plan, with `think`. */
  thought?: string;
  timings: { contextMs: number; denoiseMs: number; decodeMs: number };
}

/** The public model's instructions for its thinking modes, token for token (bagel.md 3.5). */
export const THINK_PROMPTS = {
  understanding:
    'You should first think about the reasoning process in the mind and then provide the user with the answer. \n' +
    'The reasoning process is enclosed within <think> </think> tags, i.e. <think> reasoning process here </think> answer here',
  generation:
    'You should first think about the planning process in the mind and then generate the image. \n' +
    'The planning process is enclosed within <think> </think> tags, i.e. <think> planning process here </think> image here',
};

/** Noise purpose of a picture's initial latents, as in csrc/core/noise.h. */
const PURPOSE_LATENT = 4;
/** Longest plan of a picture. */
const THOUGHT_TOKENS = 1024;

interface Settings {
  guidance: Guidance;
  plan: ReturnType<typeof planSteps>;
  seed: number;
}

/** Draws and edits; recorded denoise steps are kept by shape and lent to one picture at a time. */
export class Painter {
  readonly #idle = new Map<string, DenoiseStep[]>();

  constructor(
    private readonly model: BagelModel,
    private readonly decoders: Decoders,
  ) {}

  /** @throws HyperBagelError BAD_OPTION, CONTEXT_FULL, CANCELLED */
  async draw(prompt: string, options: DrawOptions): Promise<Drawing> {
    checkText('prompt', prompt);
    const settings = this.#check(options, 'draw');
    const { imageSize } = this.model.config;
    const size = options.size ?? { width: imageSize, height: imageSize };
    latentGrid(this.model.config, size);
    return this.#paint(size, 0, settings, options, (branches) =>
      this.#context(branches, [], prompt, options, settings),
    );
  }

  /** @throws HyperBagelError BAD_OPTION, BAD_IMAGE, IO, CONTEXT_FULL, CANCELLED */
  async edit(source: ImageSource, instruction: string, options: DrawOptions): Promise<Drawing> {
    checkText('instruction', instruction);
    const settings = this.#check(options, 'edit');
    const image = await prepareImage(this.model, source, options.signal);
    if (options.size && (options.size.width !== image.width || options.size.height !== image.height)) {
      throw new HyperBagelError('BAD_OPTION', `an edit keeps the picture's size, ${image.width}x${image.height}`, {
        operand: 'size',
        expected: `${image.width}x${image.height}`,
        got: `${options.size.width}x${options.size.height}`,
      });
    }
    return this.#paint(image, 1, settings, options, (branches) =>
      this.#context(branches, [image], instruction, options, settings),
    );
  }

  #check(options: DrawOptions, kind: keyof typeof DRAW_DEFAULTS): Settings {
    const defaults = DRAW_DEFAULTS[kind];
    const interval = options.interval ?? defaults.interval;
    const renorm = options.renorm ?? defaults.renorm;
    if (!['global', 'channel', 'text_channel'].includes(renorm)) {
      throw new HyperBagelError('BAD_OPTION', `renorm must be global, channel or text_channel, got ${renorm}`, {
        operand: 'renorm',
        expected: 'global, channel or text_channel',
        got: renorm,
      });
    }
    const guidance: Guidance = {
      text: checkNumber('guidance', options.guidance ?? defaults.guidance, 0, 1000),
      image: checkNumber('imageGuidance', options.imageGuidance ?? defaults.imageGuidance, 0, 1000),
      interval: [checkNumber('interval', interval[0], 0, 1), checkNumber('interval', interval[1], interval[0], 1)],
      renorm,
      renormMin: checkNumber('renormMin', options.renormMin ?? defaults.renormMin, 0, 1),
    };
    const plan = planSteps(shiftedGrid(options.steps ?? defaults.steps, options.shift ?? defaults.shift), guidance);
    return { guidance, plan, seed: chooseSeed(options.seed) };
  }

  /** Builds the three contexts (bagel.md 3.6); returns the plan when there is one. */
  async #context(
    branches: Branches,
    images: readonly Image[],
    text: string,
    options: DrawOptions,
    settings: Settings,
  ): Promise<string | undefined> {
    const { model } = this;
    const ids = model.frame(text);
    const system = options.think ? model.frame(THINK_PROMPTS.generation) : [];
    await settle(model, options.signal, () => {
      model.appendTokens(branches.full, system);
      for (const image of images) {
        model.appendLatents(branches.full, image);
        model.appendVision(branches.full, image);
      }
      copyInto(branches, 'noText', branches.full.fork());
      model.appendTokens(branches.full, ids);
      if (images.length === 0) {
        copyInto(branches, 'noImage', branches.full.fork());
      } else {
        model.appendTokens(branches.noImage, [...system, ...ids]);
      }
    });
    if (!options.think) return undefined;
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
      await settle(model, options.signal, () => model.appendTokens(branches.full, model.frame(thought)));
      return thought;
    } finally {
      thinking.release();
    }
  }

  async #noise(tokens: number, settings: Settings, given: Float32Array | undefined): Promise<Float32Array> {
    const channels = latentWidth(this.model.config);
    if (!given) {
      const { cx } = this.model;
      const seed = cx.tensor('i32', [1, 2], seedWords(settings.seed));
      const noise = ops.philoxNormal(cx, { seed, rowsCount: tokens, columns: channels, purpose: PURPOSE_LATENT });
      const data = await noise.data();
      seed.dispose();
      noise.dispose();
      return data;
    }
    const bad = (expected: string, got: string) =>
      new HyperBagelError('BAD_OPTION', `noise must be ${expected}, got ${got}`, { operand: 'noise', expected, got });
    if (!(given instanceof Float32Array)) throw bad('a Float32Array', typeof given);
    if (given.length !== tokens * channels) throw bad(`[${tokens}, ${channels}]`, `${given.length} values`);
    if (!given.every(Number.isFinite)) throw bad('finite', 'NaN or infinity');
    return given;
  }

  async #paint(
    size: { width: number; height: number },
    pictures: number,
    settings: Settings,
    options: DrawOptions,
    build: (branches: Branches) => Promise<string | undefined>,
  ): Promise<Drawing> {
    const { model } = this;
    const { guidance, plan, seed } = settings;
    const grid = latentGrid(model.config, size);
    const tokens = grid.rows * grid.columns;
    const noise = await this.#noise(tokens, settings, options.noise);
    throwIfAborted(options.signal);
    const branches: Branches = { full: model.sequence(), noText: model.sequence(), noImage: model.sequence() };
    const activity = new Activity();
    const abort = () => activity.cancel();
    options.signal?.addEventListener('abort', abort, { once: true });
    let denoiser: DenoiseStep | undefined;
    try {
      const start = performance.now();
      const thought = await build(branches);
      const contextEnd = performance.now();
      // without picture and plan the context without image is the full one: no evaluation of its own
      const sharedImage = pictures === 0 && !options.think;
      denoiser = this.#take({ ...grid, renorm: guidance.renorm, sharedImage });
      let nfe = 0;
      let latents = noise;
      for await (const done of denoiser.run(branches, noise, plan, guidance.renormMin, activity)) {
        nfe += denoiser.evaluations(plan[done.step - 1] as (typeof plan)[number]);
        latents = done.latents;
        options.onStep?.({
          step: done.step,
          steps: plan.length,
          nfe,
          preview: () => this.#decode(done.latents, grid, undefined),
        });
      }
      throwIfAborted(options.signal);
      const denoiseEnd = performance.now();
      const image = await this.#decode(latents, grid, options.signal);
      const end = performance.now();
      return {
        image,
        width: image.width,
        height: image.height,
        steps: plan.length,
        nfe,
        seed,
        ...(thought === undefined ? {} : { thought }),
        timings: { contextMs: contextEnd - start, denoiseMs: denoiseEnd - contextEnd, decodeMs: end - denoiseEnd },
      };
    } finally {
      options.signal?.removeEventListener('abort', abort);
      if (denoiser) this.#give(denoiser);
      for (const sequence of new Set(Object.values(branches) as Sequence[])) sequence.release();
    }
  }

  async #decode(
    latents: Float32Array,
    grid: { rows: number; columns: number },
    signal: AbortSignal | undefined,
  ): Promise<Image> {
    const { cx, config } = this.model;
    let data: Promise<Uint8Array> | undefined;
    let shape: readonly number[] = [];
    await settle(this.model, signal, () => {
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

  #take(shape: ConstructorParameters<typeof DenoiseStep>[1]): DenoiseStep {
    return this.#idle.get(JSON.stringify(shape))?.pop() ?? new DenoiseStep(this.model, shape);
  }

  #give(step: DenoiseStep): void {
    const key = JSON.stringify(step.shape);
    const idle = this.#idle.get(key) ?? [];
    idle.push(step);
    this.#idle.set(key, idle);
  }
}

function copyInto(branches: Branches, name: keyof Branches, sequence: Sequence): void {
  branches[name].release();
  branches[name] = sequence;
}
