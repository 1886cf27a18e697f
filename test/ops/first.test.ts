// The riskiest thing: a linear, an attention and a recorded program through the addon, on every instruction set. A row has the
// same bits alone and among 64, on 1 thread and on 4.
import { describe, expect, test } from 'vitest';
import * as ops from '../../lib/generated/ops.js';
import { Context, instructionSets } from '../../lib/tensor/context.js';
import { fromNumbers } from '../../lib/tensor/dtype.js';
import { seeded } from '../kit/cases.js';

const ROWS = 64;
const K = 200;
const HEADS = 6;
const KV = 2;
const DIM = 40;
const PAGES = 8;
const SLOTS = 64;

const sets = instructionSets();
for (const { name } of sets.filter((s) => !s.available && !s.model)) {
  console.log(`skipped: instruction set ${name}, which this machine lacks`);
}

/** Deterministic values in [-1, 1]. */
function values(count: number, seed: number): number[] {
  const rng = seeded(seed);
  return Array.from({ length: count }, () => 2 * rng() - 1);
}

describe.each(sets.filter((s) => s.available || s.model))('$name', ({ name: isa }) => {
  describe.each(['f32', 'bf16'] as const)('%s', (dtype) => {
    /** Runs linear, attention and both as a program over the rows `first` to `last - 1`. */
    const run = async (threads: number, first: number, last: number) => {
      const cx = await Context.create({ device: 'cpu', isa, threads });
      const n = last - first;
      const tensor = (shape: readonly number[], seed: number) => {
        const count = shape.reduce((a, b) => a * b, 1);
        return cx.tensor(dtype, shape, fromNumbers(dtype, values(count, seed)));
      };
      const all = tensor([ROWS, K], 1);
      const x = all.rows(first, last);
      const plain = tensor([HEADS * DIM, K], 2);
      const weight = ops.packWeight(cx, { weight: plain });
      const kCache = tensor([PAGES, KV, DIM, SLOTS], 3);
      const vCache = tensor([PAGES, KV, SLOTS, DIM], 4);
      const pageTable = cx.tensor('i32', [1, 4], [5, 2, 7, 1]);
      const seq = cx.zeros('i32', [n]);
      const visible = cx.tensor(
        'i32',
        [n],
        Int32Array.from({ length: n }, (_, i) => 100 + first + i),
      );
      const attend = (q: typeof x) =>
        ops.pagedAttention(cx, {
          q: q.reshape([n, HEADS, DIM]),
          kCache,
          vCache,
          pageTable,
          seq,
          visible,
          scale: 1 / Math.sqrt(DIM),
        });
      const y = ops.linear(cx, { x, weight, activation: 'gelu_tanh' });
      const fromPlain = ops.linear(cx, { x, weight: plain, activation: 'gelu_tanh' });
      const attended = attend(y);
      const program = cx.record(() => attend(ops.linear(cx, { x, weight, activation: 'gelu_tanh' })));
      program.run();
      const [linear, other, eager, recorded] = await Promise.all([
        y.data(),
        fromPlain.data(),
        attended.data(),
        program.outputs.data(),
      ]);
      await cx.dispose();
      expect(other).toEqual(linear);
      expect(recorded).toEqual(eager);
      return { linear, attention: eager };
    };

    test('a row alone and among 64, on 1 thread and on 4', { timeout: 60_000 }, async () => {
      const whole = await run(1, 0, ROWS);
      const four = await run(4, 0, ROWS);
      expect(four).toEqual(whole);
      expect(new Set(whole.linear).size).toBeGreaterThan(1000);
      for (const row of [0, 1, 31, ROWS - 1]) {
        const alone = await run(row % 2 ? 4 : 1, row, row + 1);
        const width = HEADS * DIM;
        expect(alone.linear).toEqual(whole.linear.slice(row * width, (row + 1) * width));
        expect(alone.attention).toEqual(whole.attention.slice(row * width, (row + 1) * width));
      }
    });
  });
});
