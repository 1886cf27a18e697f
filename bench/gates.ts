// The figures that the project promises. `npm run bench -- --check` measures them and fails when one is missed.
import { type MachineRoofline, measureRoofline } from '../lib/profile/roofline.js';
import type { Context, ContextOptions } from '../lib/tensor/context.js';
import type { Tensor } from '../lib/tensor/tensor.js';
import { floorOf, median, ratioOfMedians, workOf } from './arithmetic.js';
import { outsideForwardShare, saving } from './denoise.js';
import { interleave } from './harness.js';
import { PreparedOp, rotationOf } from './op-row.js';
import { roundRows } from './rounds.js';
import { casesOf } from './rows.js';
import { outsideShare, withModel } from './steps.js';
import { type Effort, type Turns, takeTurns } from './turns.js';
import { Worker } from './worker/child.js';

export interface Gate {
  name: string;
  figure: number;
  limit: number;
  /** The figure may not be above the limit, or not below it. */
  bound: 'most' | 'least';
  passed: boolean;
  /** How it came about. */
  about: string;
}

/**
 * 16 rows of a bf16 linear cost at most this many times one row, with weights beyond the cache. Where memory gives the weights faster
 * than 16 rows can be multiplied with them, the flops are the limit, as of {@link MANY_ROWS_LIMIT}.
 */
export const ROWS_LIMIT = 1.6;
/** Share of the executor's time that decoding and denoising the bundled model may spend outside ops. */
export const OUTSIDE_LIMIT = 0.15;
const ROWS_ROUNDS = 15;

/** Share of a denoise step's op time that may go to anything but the model's forward. */
export const FORWARD_LIMIT = 0.03;
/** Of the ratio of evaluations, what the times of many guided ones to six unguided ones must keep. */
export const SAVING_LIMIT = 0.84;
const SAVING_ROUNDS = 5;

/** Share of a round's op time that may go to the tree itself. */
export const BOOKKEEPING_LIMIT = 0.05;
const ROUND_SAMPLES = 15;

/** A figure beside its limit. */
export const judge = (
  name: string,
  figure: number,
  limit: number,
  about: string,
  bound: Gate['bound'] = 'most',
): Gate => ({
  name,
  figure,
  limit,
  bound,
  // written so that NaN fails
  passed: bound === 'most' ? figure <= limit : figure >= limit,
  about,
});

async function linearCase(rows: number) {
  const { cases } = await casesOf('linear');
  const found = cases.find(
    (c) => c.tags.includes('perf') && c.dims.N === rows && c.dims.K === 3584 && c.dims.M === 3584,
  );
  if (!found) throw new Error(`test/cases/linear.ts has no perf case of ${rows} rows of 3584 x 3584`);
  return found;
}

/** One row and 16 rows of the same weights in turns, A-B-A-B: the ratio of their medians. */
export async function rowsGate(cx: Context, roofline: MachineRoofline, freeBytes: number): Promise<Gate> {
  const one = new PreparedOp(cx, 'linear', await linearCase(1));
  const sixteen = new PreparedOp(cx, 'linear', await linearCase(16));
  try {
    const rotation = rotationOf((one.operands.weight as Tensor).bytes, roofline.cacheBytes, freeBytes / 2);
    one.rotate(rotation.copies);
    sixteen.rotate(rotation.copies);
    const programs = [one.record(rotation.copies), sixteen.record(rotation.copies)] as const;
    const runs = programs.map((program) => async () => {
      program.run();
      await cx.sync();
    }) as [() => Promise<void>, () => Promise<void>];
    const { a, b } = await interleave(ROWS_ROUNDS, ...runs);
    for (const program of programs) program.dispose();
    const us = (seconds: number) => `${(seconds * 1e6).toFixed(0)} us`;
    const [row, rows] = [median(a) / rotation.copies, median(b) / rotation.copies];
    const flops = 2 * 16 * 3584 * 3584;
    const byFlops = flops / (roofline.dotFlops.all || roofline.f32Flops.all);
    return judge(
      'linear bf16 3584 x 3584, time of 16 rows / time of 1 row',
      ratioOfMedians(b, a),
      Math.max(ROWS_LIMIT, (MANY_ROWS_LIMIT.flops * byFlops) / row),
      `${us(rows)} / ${us(row)}, ${us(byFlops)} of 16 rows by flops, ${ROWS_ROUNDS} rounds in turns ` +
        `over ${rotation.copies} weights of each, ${Math.round(rotation.bytes / 2 ** 20)} MB`,
    );
  } finally {
    one.dispose();
    sixteen.dispose();
    await cx.sync();
  }
}

export async function outsideGates(options: ContextOptions): Promise<Gate[]> {
  const gates: Gate[] = [];
  for (const dtype of ['f32', 'bf16'] as const) {
    await withModel(options, dtype, async (model) => {
      for (const name of ['decode_step', 'denoise_step'] as const) {
        const share = await outsideShare(model, name);
        gates.push(
          judge(`time outside ops, ${name}, ${dtype}`, share, OUTSIDE_LIMIT, 'of the executor, first op to last op'),
        );
      }
    });
  }
  return gates;
}

/** What a speculative round costs beside the model and the choice of tokens, for trees that pay and for the largest. */
export async function roundGates(options: ContextOptions): Promise<Gate[]> {
  const gates: Gate[] = [];
  for (const dtype of ['f32', 'bf16'] as const) {
    await withModel(options, dtype, async (model) => {
      for (const { nodes, bookkeeping, opSeconds, tokens } of await roundRows(model, ROUND_SAMPLES)) {
        if (nodes !== 8 && nodes !== 128) continue;
        gates.push(
          judge(
            `build, verify, commit and emit, ${nodes} nodes, ${dtype}`,
            bookkeeping,
            BOOKKEEPING_LIMIT,
            `of ${(opSeconds * 1e6).toFixed(0)} us in ops of a round that gives ${tokens} tokens`,
          ),
        );
      }
    });
  }
  return gates;
}

/** What the denoising engine costs beside its forwards, and what six unguided evaluations save. */
export async function denoiseGates(options: ContextOptions): Promise<Gate[]> {
  const gates: Gate[] = [];
  for (const dtype of ['f32', 'bf16'] as const) {
    await withModel(options, dtype, async (model) => {
      for (const [what, c] of [
        ['unguided', { guided: false }],
        ['guided, with noise, thumbnails and clean latents', { guided: true, watched: true }],
      ] as const) {
        const share = await outsideForwardShare(model, { kind: 'draw', steps: 12, ...c }, SAVING_ROUNDS);
        gates.push(judge(`op time outside the forward, ${what}, ${dtype}`, share, FORWARD_LIMIT, 'of a denoise run'));
      }
      for (const [kind, interval] of [
        ['draw', [0, 1]],
        ['edit', [0.4, 1]],
      ] as const) {
        const guided = { kind, interval, steps: 50, guided: true };
        const apart = await saving(model, { ...guided, separate: true }, SAVING_ROUNDS);
        const together = await saving(model, guided, SAVING_ROUNDS);
        const ms = (seconds: number) => `${(seconds * 1e3).toFixed(1)} ms`;
        gates.push(
          judge(
            `${kind}, ${dtype}: 50 guided steps over 6 unguided evaluations, of the ratio of evaluations`,
            apart.times / apart.evaluations,
            SAVING_LIMIT,
            `${ms(apart.many)} / ${ms(apart.few)} = ${apart.times.toFixed(1)} of ${apart.evaluations.toFixed(2)}; ` +
              `branches in one forward: ${ms(together.many)} / ${ms(together.few)} = ${together.times.toFixed(1)}`,
            'least',
          ),
        );
      }
    });
  }
  return gates;
}

/** 64 rows of a linear: times of one row with tile registers, elsewhere times of what the measured flops allow. */
const MANY_ROWS = 64;
export const MANY_ROWS_LIMIT = { oneRow: 3, flops: 1.3 };

/**
 * 64 rows of a bf16 linear on one thread and on all, in processes of their own. The flops that the machine does are measured in
 * turn with them: its clock and its neighbours change.
 */
export async function manyRowsGates(
  isa: string,
  threads: readonly number[],
  effort: Effort,
  freeBytes: number,
): Promise<Gate[]> {
  const caseOf = async (rows: number) => ({ kind: 'op' as const, op: 'linear', case: (await linearCase(rows)).name });
  const cost = { flops: 2 * MANY_ROWS * 3584 * 3584, bytes: 2 * (3584 * 3584 + 2 * MANY_ROWS * 3584) };
  const gates: Gate[] = [];
  for (const count of threads) {
    const worker = new Worker({ engine: 'ours', threads: count, isa });
    try {
      const roofline = await measureRoofline({ isa, threads: count });
      const { copies } = rotationOf(cost.bytes, roofline.cacheBytes, freeBytes / 2);
      await worker.prepare('many', { ...(await caseOf(MANY_ROWS)), copies });
      const many = (seconds: number) => worker.sample('many', seconds);
      const name = `linear bf16 3584 x 3584, ${MANY_ROWS} rows, ${count} thread${count === 1 ? '' : 's'}`;
      const about = ({ a, b, ratio }: Turns, of: string) =>
        `${(median(a) * 1e6).toFixed(0)} us / ${(median(b) * 1e6).toFixed(0)} us ${of}, ` +
        `95 % of resamples ${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)}, ${a.length} rounds, ${copies} weights in turn`;
      if (isa.startsWith('amx')) {
        await worker.prepare('one', { ...(await caseOf(1)), copies });
        const turns = await takeTurns(many, (s) => worker.sample('one', s), effort.rounds, effort.seconds);
        gates.push(judge(`${name} / 1 row`, turns.ratio.ratio, MANY_ROWS_LIMIT.oneRow, about(turns, 'of one row')));
        continue;
      }
      const floor = async () => {
        const { dotFlops, f32Flops } = await worker.rates();
        return floorOf(workOf(cost, dotFlops || f32Flops, roofline.memoryBytesPerSecond.all)).seconds;
      };
      const turns = await takeTurns(many, floor, effort.rounds, effort.seconds);
      gates.push(
        judge(`${name} / what flops allow`, turns.ratio.ratio, MANY_ROWS_LIMIT.flops, about(turns, 'by flops')),
      );
    } finally {
      await worker.close();
    }
  }
  return gates;
}

export function gateLine({ name, figure, limit, bound, passed, about }: Gate): string {
  return `${passed ? 'pass' : 'FAIL'}  ${name}: ${figure.toFixed(3)}, at ${bound} ${Number(limit.toFixed(3))} (${about})`;
}
