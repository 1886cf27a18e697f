import type { Sequence } from '../../cache/pages.js';
import * as ops from '../../generated/ops.js';
import type { Activity } from '../../tensor/context.js';
import type { Program } from '../../tensor/program.js';
import type { Tensor } from '../../tensor/tensor.js';
import { stepsAhead } from './ahead.js';
import type { BagelModel } from './model.js';

/** How tokens are chosen. */
export interface Sampling {
  /** 0: the largest logit. */
  temperature: number;
  /** 0: all. */
  topK: number;
  /** 1: all. */
  topP: number;
  /** 0: all. */
  minP: number;
  seed: number;
}

/** What one step tells about one sequence: the ring's record of `decode_advance`. */
export interface DecodeEvent {
  token: number;
  /** Index of the token in the answer. */
  index: number;
  finished: 0 | 1 | 2;
  /** The sequence still ran in this step. */
  ran: boolean;
}

/** Room for stop tokens. */
const STOP_TOKENS = 8;

/** Low and high halves of a seed below 2^53. */
export const seedWords = (seed: number): [number, number] => [seed | 0, Math.floor(seed / 2 ** 32) | 0];

/**
 * One decode step of N sequences as a recorded program: embed, layers, head, sample, advance, emit. What changes from step to
 * step is data on the device, so steps replay without the host; once all sequences have finished, replays do nothing.
 */
export class DecodeStep {
  readonly #model: BagelModel;
  readonly #state: Record<
    | 'tokens'
    | 'positions'
    | 'slots'
    | 'visible'
    | 'output'
    | 'finished'
    | 'limit'
    | 'live'
    | 'stop'
    | 'seq'
    | 'topK'
    | 'seed'
    | 'pageTable',
    Tensor<'i32'>
  >;
  readonly #filters: Record<'temperature' | 'topP' | 'minP', Tensor<'f32'>>;
  readonly #channel: number;
  readonly program: Program<{ logits: Tensor; token: Tensor<'i32'> }>;
  readonly size: number;

  constructor(model: BagelModel, size = 1) {
    const { cx, config, weights } = model;
    this.#model = model;
    this.size = size;
    this.#channel = cx.openChannel();
    const ints = (...shape: number[]) => cx.zeros('i32', shape);
    const n = size;
    const state = {
      tokens: ints(n),
      positions: ints(n),
      slots: ints(n),
      visible: ints(n),
      output: ints(n),
      finished: ints(n),
      limit: ints(n),
      live: ints(1),
      stop: ints(STOP_TOKENS),
      seq: cx.tensor(
        'i32',
        [n],
        Int32Array.from({ length: n }, (_, i) => i),
      ),
      topK: ints(n),
      seed: ints(n, 2),
      pageTable: ints(n, model.tablePages),
    };
    const filters = { temperature: cx.zeros('f32', [n]), topP: cx.zeros('f32', [n]), minP: cx.zeros('f32', [n]) };
    this.#state = state;
    this.#filters = filters;
    this.program = cx.record(() => {
      const rows = state.live;
      const h = model.layers(model.embed(state.tokens, rows), { ...state, rows });
      const normed = ops.rmsNorm(cx, { x: h, weight: weights.norm.und, rows, eps: config.llm.eps }).out;
      const logits = ops.linear(cx, { x: normed, weight: weights.lmHead, rows, dtype: 'f32' });
      const token = ops.sample(cx, {
        logits,
        temperature: filters.temperature,
        topK: state.topK,
        topP: filters.topP,
        minP: filters.minP,
        seed: state.seed,
        position: state.output,
        rows,
      });
      const event = ops.decodeAdvance(cx, { token, ...state });
      ops.emit(cx, { payload: event, channel: this.#channel });
      return { logits, token };
    });
  }

  /**
   * Points row `row` at a sequence: feeds `first` next, and at most `limit` tokens are chosen. The sequence has room for them.
   */
  start(
    starts: readonly { sequence: Sequence; first: number; limit: number; sampling: Sampling }[],
    stop: readonly number[],
  ): void {
    const { tablePages } = this.#model;
    const pages = new Int32Array(this.size * tablePages);
    starts.forEach(({ sequence }, i) => {
      pages.set(sequence.pages, i * tablePages);
    });
    const each = (value: (s: (typeof starts)[number]) => number) => starts.map(value);
    const { tokens, positions, slots, visible, output, finished, limit, live, topK, seed, pageTable } = this.#state;
    tokens.write(each((s) => s.first));
    positions.write(each((s) => s.sequence.position));
    slots.write(each((s) => s.sequence.length));
    visible.write(each((s) => s.sequence.length + 1));
    output.clear();
    finished.clear();
    limit.write(each((s) => s.limit));
    live.write([this.size]);
    this.#state.stop.write(Array.from({ length: STOP_TOKENS }, (_, i) => stop[i] ?? -1));
    topK.write(each((s) => s.sampling.topK));
    seed.write(starts.flatMap((s) => seedWords(s.sampling.seed)));
    pageTable.write(pages);
    this.#filters.temperature.write(each((s) => s.sampling.temperature));
    this.#filters.topP.write(each((s) => s.sampling.topP));
    this.#filters.minP.write(each((s) => s.sampling.minP));
  }

  /**
   * Replays the step until every sequence has finished; yields what each step chose, N events at a time. Leaving the loop early
   * cancels the activity.
   *
   * @throws HyperBagelError the first failure of the activity; CANCELLED
   */
  async *run(activity: Activity): AsyncGenerator<DecodeEvent[], void, undefined> {
    const { cx } = this.#model;
    let queued = 0;
    let seen = 0;
    let ticket = 0;
    let done = false;
    try {
      const start = performance.now();
      const queue = () =>
        cx.within(activity, () => {
          for (; queued - seen < stepsAhead(performance.now() - start, seen); queued++) ticket = this.program.run();
        });
      queue();
      while (!done) {
        const records = await cx.receive(this.#channel, ticket);
        if (records.length === 0) {
          await cx.sync(activity);
          return;
        }
        // the device goes on while the consumer looks at what it has; a step too many after the end does nothing
        seen += records.length;
        queue();
        for (const record of records) {
          const words = new Int32Array(record);
          const events: DecodeEvent[] = Array.from({ length: this.size }, (_, i) => ({
            token: words[4 * i] as number,
            index: words[4 * i + 1] as number,
            finished: words[4 * i + 2] as 0 | 1 | 2,
            ran: words[4 * i + 3] === 1,
          }));
          if (!done && events.some((e) => e.ran)) yield events;
          done ||= events.every((e) => e.finished !== 0);
        }
      }
    } finally {
      if (!done) activity.cancel();
      await cx.drain(this.#channel, ticket);
    }
  }

  dispose(): void {
    this.program.dispose();
    for (const tensor of [...Object.values(this.#state), ...Object.values(this.#filters)]) tensor.dispose();
    this.#model.cx.closeChannel(this.#channel);
  }
}
