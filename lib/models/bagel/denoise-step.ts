import { type Branch, branchesFor, type Renorm, type Scales } from '../../denoise/guidance.js';
import { SCHEDULE_COLUMNS, type StepPlan, scheduleTable } from '../../denoise/schedule.js';
import { HyperBagelError } from '../../errors.js';
import * as ops from '../../generated/ops.js';
import { stepsAhead } from '../../speculative/ahead.js';
import { seedWords } from '../../speculative/state.js';
import type { Activity } from '../../tensor/context.js';
import type { Tensor } from '../../tensor/tensor.js';
import { type Branches, BranchState } from './branch-state.js';
import { latentWidth } from './config.js';
import { Evaluation } from './evaluation.js';
import type { BagelModel } from './model.js';
import { previewPixels, type RgbProjection } from './preview.js';
import type { BagelWeights } from './weights.js';

/** What an evaluation sends to the host besides its number. Nothing is the cheapest. */
export interface Watch {
  /** The latents after the update. */
  latents?: boolean | undefined;
  /** The clean latents that the velocity points to. */
  denoised?: boolean | undefined;
  /** The same as a small picture. */
  rgb?: boolean | undefined;
}

/** What decides the recorded programs. */
export interface DenoiseShape {
  /** Latent tokens of each picture. All of them share the schedule; sizes and seeds are their own. */
  pictures: readonly { rows: number; columns: number }[];
  renorm: Renorm;
  /** The context without image is the full one: its velocity needs no evaluation of its own. */
  sharedImage: boolean;
  /** The solver uses the velocity of the row before. */
  memory: boolean;
  /** The solver adds noise. */
  stochastic: boolean;
  /** Every branch in a forward of its own. Same bits, more calls: for measurements, and to save memory. */
  separate: boolean;
  watch: Watch;
  /** The weights are those of this student. */
  student: string | undefined;
}

/** What a run works on. */
export interface DenoiseJob {
  /** Contexts of each picture. */
  contexts: readonly Branches[];
  /** Scratch pages of each picture: `scratchPagesFor` its latents, for each branch that a step needs. */
  scratch: readonly (readonly number[])[];
  /** Seed of each picture's noise. */
  seeds: readonly number[];
  /** Initial noise [tokens, channels] where it is given; else it comes from the seed. */
  noise: readonly (Float32Array | undefined)[];
  plan: readonly StepPlan[];
  renormMin: number;
  activity: Activity;
}

/** One evaluation that has run; what was watched, per picture. */
export interface Evaluated {
  /** Row of the plan. */
  row: number;
  latents?: Float32Array[];
  denoised?: Float32Array[];
  /** [rows * patch, columns * patch, 3] */
  rgb?: Uint8Array[];
}

/** Noise purposes, as in csrc/core/noise.h. */
const PURPOSE_LATENT = 4;
const PURPOSE_SOLVER = 5;
/** Rows of the schedule on the device: a multiple of this. */
const SCHEDULE_BLOCK = 64;

/** Contexts in which a step evaluates the model. */
export function stepBranches(scales: Scales, shape: Pick<DenoiseShape, 'sharedImage' | 'student'>): Branch[] {
  const branches = branchesFor(scales, shape.student !== undefined);
  return shape.sharedImage ? branches.filter((name) => name !== 'noImage') : branches;
}

/**
 * One evaluation of a batch of pictures as recorded programs, one per set of branches: embed the latents at the schedule's time,
 * run the decoder layers in every branch's context, guide, update by the schedule's coefficients. What changes from row to row is
 * data on the device, so a run is a queue of replays without a word from the host. The caches of the contexts are read and never
 * written: the noisy rows' keys and values go to scratch pages behind them.
 */
export class DenoiseStep {
  readonly #model: BagelModel;
  readonly #weights: BagelWeights;
  readonly shape: DenoiseShape;
  /** Rows where each picture starts, then their number. */
  readonly #starts: number[];
  readonly #x: Tensor<'f32'>;
  readonly #previous: Tensor<'f32'> | undefined;
  #schedule: Tensor<'f32'>;
  readonly #step: Tensor<'i32'>;
  readonly #first: Tensor<'i32'>;
  readonly #noiseRow: Tensor<'f32'>;
  readonly #positionIds: Tensor<'i32'>;
  readonly #zeros: Tensor<'i32'>;
  readonly #images: Tensor<'i32'>;
  readonly #seeds: Tensor<'i32'>;
  readonly #channel: number;
  readonly #programs = new Map<string, Evaluation>();

  /**
   * @param projection of previews; wanted with `watch.rgb`
   * @param recorded false: every evaluation runs op by op, for comparison
   */
  constructor(
    model: BagelModel,
    shape: DenoiseShape,
    private readonly options: {
      weights?: BagelWeights;
      projection?: RgbProjection | undefined;
      recorded?: boolean;
    } = {},
  ) {
    const { cx, config } = model;
    this.#model = model;
    this.#weights = options.weights ?? model.weights;
    this.shape = shape;
    this.#starts = [0];
    for (const { rows, columns } of shape.pictures) this.#starts.push((this.#starts.at(-1) as number) + rows * columns);
    const total = this.#starts.at(-1) as number;
    const width = latentWidth(config);
    this.#x = cx.zeros('f32', [total, width]);
    this.#previous = shape.memory ? cx.zeros('f32', [total, width]) : undefined;
    this.#schedule = cx.zeros('f32', [SCHEDULE_BLOCK, SCHEDULE_COLUMNS]);
    this.#step = cx.zeros('i32', [1]);
    this.#first = cx.zeros('i32', [1]);
    // a row that makes x the noise: x' = 0 x + 0 v + 1 z
    this.#noiseRow = cx.tensor('f32', [1, SCHEDULE_COLUMNS], [1, 0, 0, 0, 1, 1, 1, 0]);
    this.#positionIds = model.latentIds(shape.pictures);
    this.#zeros = cx.zeros('i32', [total]);
    this.#images = cx.tensor('i32', [this.#starts.length], this.#starts);
    this.#seeds = cx.zeros('i32', [shape.pictures.length, 2]);
    this.#channel = cx.openChannel();
  }

  /** What the intermediates of its programs take. */
  get bytes(): number {
    return [...this.#programs.values()].reduce((sum, program) => sum + program.bytes, 0);
  }

  /** Evaluations of the network in a step, per picture. */
  evaluations(scales: Scales): number {
    return stepBranches(scales, this.shape).length;
  }

  /**
   * Runs the rows of a plan; yields after each. Leaving the loop early cancels the activity.
   *
   * @returns the final latents of each picture
   * @throws the first failure of the activity; CANCELLED
   */
  async *run(job: DenoiseJob): AsyncGenerator<Evaluated, Float32Array[], undefined> {
    const { cx } = this.#model;
    const { plan, activity } = job;
    const modes = plan.map((row) => stepBranches(row, this.shape));
    let ticket = 0;
    let done = false;
    try {
      this.#reserve(plan.length);
      for (const mode of new Map(modes.map((mode) => [mode.join(), mode])).values()) {
        this.#program(mode).start(job.contexts, job.scratch);
      }
      cx.within(activity, () => this.#begin(job));
      let queued = 0;
      let seen = 0;
      const start = performance.now();
      const queue = () =>
        cx.within(activity, () => {
          for (; queued < plan.length && queued - seen < stepsAhead(performance.now() - start, seen); queued++) {
            ticket = this.#program(modes[queued] as Branch[]).run() || ticket;
          }
        });
      queue();
      const records: ArrayBuffer[] = [];
      const perStep = this.#recordsPerStep();
      while (seen < plan.length) {
        const fresh = await cx.receive(this.#channel, ticket);
        if (fresh.length === 0) {
          await cx.sync(activity); // throws what stopped the work; ops outside a program have no ticket to wait for
          fresh.push(...(await cx.receive(this.#channel, ticket)));
          if (fresh.length === 0) throw new HyperBagelError('INTERNAL', 'a denoise step has left no trace');
        }
        records.push(...fresh);
        const evaluated = Math.floor(records.length / perStep);
        const before = seen;
        seen += evaluated;
        queue(); // the device goes on while the consumer looks
        for (let i = 0; i < evaluated; i++) yield this.#evaluated(before + i, records.splice(0, perStep));
      }
      const data = this.#x.data();
      data.catch(() => {}); // a failure is told by what comes first
      await cx.sync(activity);
      const latents = this.#split(await data);
      done = true; // every record has been received
      return latents;
    } finally {
      if (!done) {
        activity.cancel();
        await cx.drain(this.#channel, ticket);
      }
    }
  }

  /** Room for the rows of a plan. Programs hold the schedule that they were recorded with. */
  #reserve(rows: number): void {
    if (rows <= (this.#schedule.shape[0] as number)) return;
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
    this.#schedule.dispose();
    const size = Math.ceil(rows / SCHEDULE_BLOCK) * SCHEDULE_BLOCK;
    this.#schedule = this.#model.cx.zeros('f32', [size, SCHEDULE_COLUMNS]);
  }

  /** Puts a job's schedule and initial noise in place. */
  #begin({ plan, renormMin, seeds, noise }: DenoiseJob): void {
    const { cx } = this.#model;
    this.#schedule.write(scheduleTable(plan, renormMin, this.#schedule.shape[0]));
    this.#step.clear();
    this.#previous?.clear();
    this.#x.clear();
    this.#seeds.write(Int32Array.from(seeds.flatMap(seedWords)));
    cx.scope(() => {
      const z = this.#noise(PURPOSE_LATENT, undefined);
      ops.guidedUpdate(cx, {
        x: this.#x,
        v: z,
        noise: z,
        schedule: this.#noiseRow,
        step: this.#first,
        renorm: 'global',
      });
      noise.forEach((given, j) => {
        if (given) this.#x.rows(this.#starts[j] as number, this.#starts[j + 1] as number).write(given);
      });
    });
  }

  #noise(purpose: number, position: Tensor<'i32'> | undefined): Tensor<'f32'> {
    const [rowsCount = 0, columns = 0] = this.#x.shape;
    return ops.philoxNormal(this.#model.cx, {
      seed: this.#seeds,
      position,
      images: this.#images,
      rowsCount,
      columns,
      purpose,
    });
  }

  #program(branches: readonly Branch[]): Evaluation {
    const key = branches.join();
    let program = this.#programs.get(key);
    if (!program) {
      program = this.#record(branches);
      this.#programs.set(key, program);
    }
    return program;
  }

  #record(branches: readonly Branch[]): Evaluation {
    const latents = this.shape.pictures.map(({ rows, columns }) => rows * columns);
    const groups = this.shape.separate ? branches.map((name) => [name]) : [branches];
    const states = groups.map((names) => new BranchState(this.#model, names, latents));
    const { cx } = this.#model;
    const name = `evaluation ${branches.join('+')}`;
    const evaluate = () => this.#evaluate(states);
    if (this.options.recorded === false) return new Evaluation(states, () => cx.range(name, () => cx.scope(evaluate)));
    return new Evaluation(states, cx.record(evaluate, name));
  }

  /** The ops of one evaluation: recorded once, or run as they are. */
  #evaluate(states: readonly BranchState[]): void {
    const { cx } = this.#model;
    const { shape } = this;
    const model = this.#model;
    const tokens = model.latentTokens(
      this.#x,
      this.#schedule,
      this.#step,
      this.#positionIds,
      this.#zeros,
      this.#weights,
    );
    const velocities = new Map<Branch, Tensor<'f32'>>();
    for (const state of states) {
      const v = this.#velocities(tokens, state);
      const n = this.#x.shape[0] as number;
      for (const [i, name] of state.names.entries()) {
        velocities.set(name, state.names.length === 1 ? v : v.rows(i * n, (i + 1) * n));
      }
    }
    const full = velocities.get('full') as Tensor<'f32'>;
    const noText = velocities.get('noText');
    const { denoised } = ops.guidedUpdate(cx, {
      x: this.#x,
      v: full,
      vText: noText,
      vImage: velocities.get('noImage') ?? (noText && shape.sharedImage ? full : undefined),
      previous: this.#previous,
      noise: shape.stochastic ? this.#noise(PURPOSE_SOLVER, this.#step) : undefined,
      schedule: this.#schedule,
      step: this.#step,
      images: this.#images,
      renorm: shape.renorm,
      denoise: shape.watch.denoised || shape.watch.rgb ? 1 : 0,
    });
    ops.increment(cx, { x: this.#step });
    const emit = (payload: Tensor) => ops.emit(cx, { payload, channel: this.#channel });
    emit(this.#step);
    if (shape.watch.latents) emit(this.#x);
    if (shape.watch.denoised) emit(denoised as Tensor);
    if (shape.watch.rgb) {
      shape.pictures.forEach((grid, j) => {
        const rows = (denoised as Tensor<'f32'>).rows(this.#starts[j] as number, this.#starts[j + 1] as number);
        emit(previewPixels(model, this.options.projection as RgbProjection, rows, grid));
      });
    }
  }

  /** Velocities [branches * tokens, channels] of the noisy tokens in the contexts of a state. */
  #velocities(tokens: Tensor<'f32' | 'bf16'>, state: BranchState): Tensor<'f32'> {
    const model = this.#model;
    const { cx, config } = model;
    // the same noisy tokens in every branch; frame tokens first, since they belong to the other expert
    const latents = state.names.length === 1 ? tokens : ops.embedding(cx, { table: tokens, ids: state.copies });
    const x = ops.concatRows(cx, { a: model.embed(state.markers), b: latents });
    const rows = x.shape[0] as number;
    const h = model.layers(x, state, undefined, this.#weights).rows(state.frameRows, rows);
    const normed = ops.rmsNorm(cx, { x: h, weight: this.#weights.norm.gen, eps: config.llm.eps }).out;
    const { weight, bias } = this.#weights.llm2vae;
    return ops.linear(cx, { x: normed, weight, bias, dtype: 'f32' });
  }

  #recordsPerStep(): number {
    const { latents, denoised, rgb } = this.shape.watch;
    return 1 + (latents ? 1 : 0) + (denoised ? 1 : 0) + (rgb ? this.shape.pictures.length : 0);
  }

  #evaluated(row: number, records: ArrayBuffer[]): Evaluated {
    const { latents, denoised, rgb } = this.shape.watch;
    const [, ...rest] = records;
    const next = () => this.#split(new Float32Array(rest.shift() as ArrayBuffer));
    return {
      row,
      ...(latents ? { latents: next() } : {}),
      ...(denoised ? { denoised: next() } : {}),
      ...(rgb ? { rgb: rest.map((record) => new Uint8Array(record)) } : {}),
    };
  }

  /** The pictures' shares of latents. */
  #split(values: Float32Array): Float32Array[] {
    const width = latentWidth(this.#model.config);
    return this.shape.pictures.map((_, j) =>
      values.slice((this.#starts[j] as number) * width, (this.#starts[j + 1] as number) * width),
    );
  }

  dispose(): void {
    for (const program of this.#programs.values()) program.dispose();
    const { cx } = this.#model;
    for (const tensor of [this.#x, this.#schedule, this.#step, this.#first, this.#noiseRow, this.#positionIds]) {
      tensor.dispose();
    }
    for (const tensor of [this.#zeros, this.#images, this.#seeds, this.#previous]) tensor?.dispose();
    cx.closeChannel(this.#channel);
  }
}
