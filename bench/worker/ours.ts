// This build as an engine of a child process.
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { Context } from '../../lib/tensor/context.js';
import type { Program } from '../../lib/tensor/program.js';
import { numbersOf, resultRow } from '../../test/kit/run-case.js';
import { repeatsFor } from '../arithmetic.js';
import { MOST_OPS, MOST_RUNS, PreparedOp, profileOnce, RUN_SECONDS, WAIT_SECONDS } from '../op-row.js';
import { casesOf, isStep } from '../rows.js';
import { runnerOf } from '../steps.js';
import { type Engine, type Prepared, type Row, timeCalls } from './messages.js';

/** A row that is ready: `perCall` of it happen in one call of `work`. */
interface Ready {
  work(): Promise<void>;
  perCall: number;
  output(rows: readonly number[]): Promise<Float64Array[]>;
  dispose(): Promise<void>;
}

export class Ours implements Engine {
  readonly #slots = new Map<string, Ready>();
  readonly #models = new Map<string, Promise<Bagel>>();

  private constructor(private readonly cx: Context) {}

  static async open(threads: number, isa: string | undefined): Promise<Ours> {
    return new Ours(await Context.create({ device: 'cpu', threads, isa }));
  }

  describe(): string {
    return 'hyper-bagel';
  }

  get isa(): string {
    return this.cx.isa;
  }

  async prepare(slot: string, row: Row): Promise<Prepared> {
    const { ready, about } = row.kind === 'op' ? await this.#op(row) : await this.#step(row);
    this.#slots.set(slot, ready);
    return { about };
  }

  async #op(row: Row & { kind: 'op' }): Promise<{ ready: Ready; about: string }> {
    const { cx } = this;
    const found = (await casesOf(row.op)).cases.find((c) => c.name === row.case);
    if (!found) throw new Error(`${row.op} has no case ${row.case}`);
    const prepared = new PreparedOp(cx, row.op, found);
    const { seconds } = await profileOnce(cx, row.op, prepared);
    const copies = row.copies ?? 1;
    if (copies > 1) prepared.rotate(copies);
    await prepared.settle();
    let programs: Program[];
    let runs = 1;
    let perRun = 1;
    if (row.single) {
      programs = Array.from({ length: copies }, (_, turn) => prepared.record(1, turn));
    } else {
      perRun = copies > 1 ? copies : repeatsFor(seconds, RUN_SECONDS, MOST_OPS);
      runs = repeatsFor(seconds * perRun, WAIT_SECONDS, MOST_RUNS);
      programs = [prepared.record(perRun)];
    }
    let turn = 0;
    const ready: Ready = {
      perCall: perRun * runs,
      async work() {
        for (let run = 0; run < runs; run++) programs[turn++ % programs.length]?.run();
        await prepared.settle();
      },
      async output(rows) {
        const { out } = await prepared.results();
        if (!out) throw new Error(`${row.op} has no out`);
        return rows.map((r) => numbersOf(resultRow(out, r)));
      },
      async dispose() {
        for (const program of programs) program.dispose();
        prepared.dispose();
        await cx.sync();
      },
    };
    return { ready, about: cx.isa };
  }

  async #step(row: Row & { kind: 'step' }): Promise<{ ready: Ready; about: string }> {
    if (!isStep(row.name)) throw new Error(`no step ${row.name}`);
    let model = this.#models.get(row.dtype);
    if (!model) {
      const { isa, threads } = this.cx;
      model = Bagel.load(undefined, { device: 'cpu', isa, threads, dtype: row.dtype, cacheTokens: 8192 });
      this.#models.set(row.dtype, model);
    }
    const runner = await runnerOf((await model).model, row.name);
    const ready: Ready = {
      perCall: runner.steps,
      work: () => runner.run(),
      output: () => Promise.reject(new Error('a step has no output to compare')),
      dispose: async () => runner.dispose(),
    };
    return { ready, about: runner.about };
  }

  #ready(slot: string): Ready {
    const ready = this.#slots.get(slot);
    if (!ready) throw new Error(`nothing is prepared as ${slot}`);
    return ready;
  }

  output(slot: string, rows: readonly number[]): Promise<Float64Array[]> {
    return this.#ready(slot).output(rows);
  }

  async sample(slot: string, seconds: number): Promise<number> {
    const { work, perCall } = this.#ready(slot);
    return (await timeCalls(seconds, work)) / perCall;
  }

  async drop(slot: string): Promise<void> {
    await this.#ready(slot).dispose();
    this.#slots.delete(slot);
  }
}
