import { PAGE_SLOTS, pagesFor, type Sequence } from '../../cache/pages.js';
import { MAX_STEPS, type Renorm, SCHEDULE_COLUMNS, type StepPlan, scheduleTable } from '../../denoise/schedule.js';
import * as ops from '../../generated/ops.js';
import { stepsAhead } from '../../speculative/ahead.js';
import type { Activity } from '../../tensor/context.js';
import type { Program } from '../../tensor/program.js';
import type { Tensor } from '../../tensor/tensor.js';
import { latentWidth } from './config.js';
import type { BagelModel } from './model.js';

/** Contexts that a drawing is denoised in. `noImage` may be the full one. */
export interface Branches {
  full: Sequence;
  noText: Sequence;
  noImage: Sequence;
}

/** Which branches a step evaluates. */
type Mode = 'plain' | 'text' | 'text+image';

/** What decides the shape of the recorded programs. */
export interface DenoiseShape {
  rows: number;
  columns: number;
  renorm: Renorm;
  /** The context without image is the full one: its velocity needs no evaluation of its own. */
  sharedImage: boolean;
}

/**
 * One denoise step as recorded programs, one per set of branches: embed the latents at the schedule's time, run the decoder
 * layers in every branch's context, guide and update. The caches of the contexts are read and never written: the noisy rows' keys
 * and values go to scratch pages behind them.
 */
export class DenoiseStep {
  readonly #model: BagelModel;
  readonly shape: DenoiseShape;
  readonly #latents: number;
  readonly x: Tensor<'f32'>;
  readonly #schedule: Tensor<'f32'>;
  readonly #step: Tensor<'i32'>;
  readonly #positionIds: Tensor<'i32'>;
  readonly #zeros: Tensor<'i32'>;
  readonly #channel: number;
  readonly #programs = new Map<Mode, BranchProgram>();

  constructor(model: BagelModel, shape: DenoiseShape) {
    const { cx, config } = model;
    this.#model = model;
    this.shape = shape;
    this.#latents = shape.rows * shape.columns;
    this.x = cx.zeros('f32', [this.#latents, latentWidth(config)]);
    this.#schedule = cx.zeros('f32', [MAX_STEPS, SCHEDULE_COLUMNS]);
    this.#step = cx.zeros('i32', [1]);
    this.#positionIds = model.latentIds(shape);
    this.#zeros = cx.zeros('i32', [this.#latents]);
    this.#channel = cx.openChannel();
  }

  /** Evaluations of the network in a step. */
  evaluations(step: StepPlan): number {
    const mode = this.#mode(step);
    return mode === 'plain' ? 1 : mode === 'text' ? 2 : 3;
  }

  #mode({ text, image }: StepPlan): Mode {
    if (text <= 1) return 'plain';
    return image > 1 && !this.shape.sharedImage ? 'text+image' : 'text';
  }

  /**
   * Runs the steps from `noise` [tokens, channels]; yields the latents after each. Leaving the loop early cancels the activity.
   *
   * @throws HyperBagelError CONTEXT_FULL before any work; the first failure of the activity; CANCELLED
   */
  async *run(
    branches: Branches,
    noise: Float32Array,
    steps: readonly StepPlan[],
    renormMin: number,
    activity: Activity,
  ): AsyncGenerator<{ step: number; latents: Float32Array }, void, undefined> {
    const { cx, pool } = this.#model;
    const modes = steps.map((step) => this.#mode(step));
    const scratchPages = pagesFor(this.#latents + 2);
    const scratch: number[] = [];
    let ticket = 0;
    let done = false;
    try {
      scratch.push(...pool.take(3 * scratchPages));
      for (const mode of new Set(modes)) this.#program(mode).start(branches, scratch, scratchPages);
      this.x.write(noise);
      this.#schedule.write(scheduleTable(steps, renormMin));
      this.#step.clear();
      let queued = 0;
      let seen = 0;
      const start = performance.now();
      const queue = () =>
        cx.within(activity, () => {
          for (; queued < steps.length && queued - seen < stepsAhead(performance.now() - start, seen); queued++) {
            ticket = this.#program(modes[queued] as Mode).program.run();
          }
        });
      queue();
      let step = 0;
      while (seen < steps.length) {
        const records = await cx.receive(this.#channel, ticket);
        if (records.length === 0) {
          await cx.sync(activity);
          return;
        }
        seen += records.length;
        queue(); // the device goes on while the consumer looks
        for (const record of records) yield { step: ++step, latents: new Float32Array(record) };
      }
      done = true;
    } finally {
      if (!done) activity.cancel();
      await cx.drain(this.#channel, ticket);
      pool.release(scratch);
    }
  }

  #program(mode: Mode): BranchProgram {
    let program = this.#programs.get(mode);
    if (!program) {
      program = this.#record(mode);
      this.#programs.set(mode, program);
    }
    return program;
  }

  #record(mode: Mode): BranchProgram {
    const model = this.#model;
    const { cx, config, weights } = model;
    const n = this.#latents;
    const names: (keyof Branches)[] =
      mode === 'plain' ? ['full'] : mode === 'text' ? ['full', 'noText'] : ['full', 'noText', 'noImage'];
    const count = names.length;
    const state = new BranchState(model, names, n);
    const program = cx.record(() => {
      const tokens = model.latentTokens(this.x, this.#schedule, this.#step, this.#positionIds, this.#zeros);
      // the same noisy tokens in every branch; frame tokens first, since they belong to the other expert
      const latents = count === 1 ? tokens : ops.embedding(cx, { table: tokens, ids: state.copies });
      const x = ops.concatRows(cx, { a: model.embed(state.markers), b: latents });
      const h = model.layers(x, state).rows(2 * count, (2 + n) * count);
      const normed = ops.rmsNorm(cx, { x: h, weight: weights.norm.gen, eps: config.llm.eps }).out;
      const { weight, bias } = weights.llm2vae;
      const v = ops.linear(cx, { x: normed, weight, bias, dtype: 'f32' });
      const branch = (i: number) => v.rows(i * n, (i + 1) * n);
      const { velocity } = ops.guidedUpdate(cx, {
        x: this.x,
        v: branch(0),
        vText: count > 1 ? branch(1) : undefined,
        vImage: count > 2 ? branch(2) : count > 1 && this.shape.sharedImage ? branch(0) : undefined,
        schedule: this.#schedule,
        step: this.#step,
        renorm: this.shape.renorm,
      });
      ops.increment(cx, { x: this.#step });
      ops.emit(cx, { payload: this.x, channel: this.#channel });
      return { v, velocity };
    });
    return new BranchProgram(program, state);
  }

  dispose(): void {
    for (const program of this.#programs.values()) program.dispose();
    for (const tensor of [this.x, this.#schedule, this.#step, this.#positionIds, this.#zeros]) tensor.dispose();
    this.#model.cx.closeChannel(this.#channel);
  }
}

/** Row state of the noisy rows in every branch: 2 frame rows per branch, then n latent rows per branch. */
class BranchState {
  readonly positions: Tensor<'i32'>;
  readonly seq: Tensor<'i32'>;
  readonly slots: Tensor<'i32'>;
  readonly visible: Tensor<'i32'>;
  readonly own: Tensor<'i32'>;
  readonly pageTable: Tensor<'i32'>;
  readonly split: Tensor<'i32'>;
  readonly markers: Tensor<'i32'>;
  readonly copies: Tensor<'i32'>;

  constructor(
    private readonly model: BagelModel,
    private readonly names: readonly (keyof Branches)[],
    private readonly latents: number,
  ) {
    const { cx, special } = model;
    const count = names.length;
    const rows = count * (latents + 2);
    this.positions = cx.zeros('i32', [rows]);
    this.seq = cx.tensor(
      'i32',
      [rows],
      this.#perRow((b) => b),
    );
    this.slots = cx.zeros('i32', [rows]);
    this.visible = cx.zeros('i32', [rows]);
    this.own = cx.zeros('i32', [rows, 2]);
    this.pageTable = cx.zeros('i32', [count, model.tablePages]);
    this.split = cx.tensor('i32', [1], [2 * count]);
    this.markers = cx.tensor(
      'i32',
      [2 * count],
      names.flatMap(() => [special.visionStart, special.visionEnd]),
    );
    this.copies = cx.tensor(
      'i32',
      [count * latents],
      Int32Array.from({ length: count * latents }, (_, i) => i % latents),
    );
  }

  /** A value per row, from its branch and its place in the segment (0 start, 1 .. n latents, n + 1 end). */
  #perRow(value: (branch: number, place: number) => number): Int32Array {
    const n = this.latents;
    const count = this.names.length;
    const rows: number[] = [];
    for (let b = 0; b < count; b++) rows.push(value(b, 0), value(b, n + 1));
    for (let b = 0; b < count; b++) for (let i = 1; i <= n; i++) rows.push(value(b, i));
    return Int32Array.from(rows);
  }

  write(branches: Branches, scratch: readonly number[], scratchPages: number): void {
    const sequences = this.names.map((name) => branches[name]);
    const starts = sequences.map((s) => pagesFor(s.length) * PAGE_SLOTS);
    const of = <T>(list: readonly T[], b: number) => list[b] as T;
    this.positions.write(this.#perRow((b) => of(sequences, b).position));
    this.slots.write(this.#perRow((b, place) => of(starts, b) + place));
    this.visible.write(this.#perRow((b) => of(sequences, b).length));
    const first = this.#perRow((b) => of(starts, b));
    this.own.write(Int32Array.from([...first].flatMap((slot) => [slot, slot + this.latents + 2])));
    const table = new Int32Array(sequences.length * this.model.tablePages);
    sequences.forEach((s, b) => {
      const used = pagesFor(s.length);
      const at = b * this.model.tablePages;
      table.set(s.pages.slice(0, used), at);
      table.set(scratch.slice(b * scratchPages, (b + 1) * scratchPages), at + used);
    });
    this.pageTable.write(table);
  }

  dispose(): void {
    const { positions, seq, slots, visible, own, pageTable, split, markers, copies } = this;
    for (const t of [positions, seq, slots, visible, own, pageTable, split, markers, copies]) t.dispose();
  }
}

class BranchProgram {
  constructor(
    readonly program: Program<{ v: Tensor<'f32'>; velocity: Tensor<'f32'> }>,
    private readonly state: BranchState,
  ) {}

  start(branches: Branches, scratch: readonly number[], scratchPages: number): void {
    this.state.write(branches, scratch, scratchPages);
  }

  dispose(): void {
    this.program.dispose();
    this.state.dispose();
  }
}
