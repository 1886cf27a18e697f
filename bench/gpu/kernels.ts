// Steps that time single ops: the bench's cases of the tests, and the matrix products of the 7B model by rows.
import { Context } from '../../lib/tensor/context.js';
import type { Tensor } from '../../lib/tensor/tensor.js';
import { missingKernel } from '../../test/kit/device-sweep.js';
import { measureOp, rotationOf } from '../op-row.js';
import { benchCases } from '../rows.js';
import { type Peaks, peaksOf, rooflineOf } from './card.js';
import type { Piece, PieceResult, Step, Where } from './plan.js';
import { SEVEN_B, SMALL } from './shapes.js';
import { limitsOf, rowOf, timeRecorded } from './timing.js';

/** Memory that rotated weights may take. */
const ROTATED_FREE = 8e9;

const PRODUCTS = ['linear', 'conv2d', 'paged_attention', 'dense_attention'];

/** True when the op multiplies bf16 by bf16, which tensor cores do; by the dtypes of its operands. */
export function usesTensorCores(op: string, dtypes: Readonly<Record<string, string>>): boolean {
  const sides = ['x', 'q', 'qkv', 'weight', 'k_cache'].flatMap((name) => dtypes[name] ?? []);
  return PRODUCTS.includes(op) && sides.every((dtype) => dtype === 'bf16');
}

export const kernels: Step = {
  name: 'kernels',
  about: "every op on the bench's cases",
  async open(where) {
    const cx = await Context.create({ device: where.device });
    const card = peaksOf(cx.card);
    const pieces = where.ops.map(
      (cases): Piece => ({
        name: cases.op,
        limit: 240,
        async run(): Promise<PieceResult> {
          const reason = missingKernel(cx, cases);
          if (reason !== null) return { failures: [], skipped: reason };
          const rows = [];
          const [first] = benchCases(cases, true);
          for (const c of where.small ? (first ? [first] : []) : benchCases(cases, false)) {
            const result = await measureOp(cx, cases.op, c, rooflineOf(card), limitsOf(where), ROTATED_FREE);
            const tensorCores = usesTensorCores(cases.op, result.dtypes);
            rows.push(
              rowOf({ kind: 'op', name: cases.op, case: c.name }, result.samples, result.cost, card, tensorCores),
            );
          }
          return { failures: [], rows };
        },
      }),
    );
    return { pieces, close: () => cx.dispose() };
  },
};

/** Deviation of random operands: it does not matter, as long as sums stay finite. */
const DEVIATION = 0.02;

function random(cx: Context, shape: readonly [number, number]): Tensor {
  const seed = cx.tensor('i32', [1, 2], [1, 0]);
  const position = cx.tensor('i32', [1], [0]);
  const attributes = {
    rows_count: shape[0],
    columns: shape[1],
    purpose: 7,
    mean: 0,
    deviation: DEVIATION,
    dtype: 'bf16',
  };
  const out = cx.call('philox_normal', { seed, position }, attributes).out as Tensor;
  seed.dispose();
  position.dispose();
  return out;
}

/** The matrices of a layer, and the one that scores tokens. */
export function matricesOf(where: Where): { name: string; inputs: number; outputs: number; activation: string }[] {
  const { hidden, intermediate, heads, kvHeads, headDim, vocab } = (where.small ? SMALL : SEVEN_B).llm;
  return [
    { name: 'q, k and v', inputs: hidden, outputs: (heads + 2 * kvHeads) * headDim, activation: 'none' },
    { name: 'attention output', inputs: heads * headDim, outputs: hidden, activation: 'none' },
    { name: 'gate and up', inputs: hidden, outputs: 2 * intermediate, activation: 'swiglu' },
    { name: 'down', inputs: intermediate, outputs: hidden, activation: 'none' },
    { name: 'scores of tokens', inputs: hidden, outputs: vocab, activation: 'none' },
  ];
}

/** Rows: a decode step, trees, the branches of a denoise step. */
export const rowCounts = (where: Where): readonly number[] => (where.small ? [1, 16] : [1, 16, 64, 128, 4098, 12294]);

/** More rows than these never meet the scores of tokens. */
const MOST_SCORED = 128;

async function timeMatrix(
  cx: Context,
  card: Peaks | null,
  where: Where,
  { name, inputs, outputs, activation }: ReturnType<typeof matricesOf>[number],
): Promise<PieceResult> {
  const rows = [];
  const { copies } = where.small
    ? { copies: 2 }
    : rotationOf(2 * inputs * outputs, card?.cacheBytes ?? 0, ROTATED_FREE);
  const weights = Array.from({ length: copies }, () => {
    const plain = random(cx, [outputs, inputs]);
    const packed = cx.call('pack_weight', { weight: plain }).out as Tensor;
    plain.dispose();
    return packed;
  });
  for (const n of rowCounts(where)) {
    if (name === 'scores of tokens' && n > MOST_SCORED) continue;
    const x = random(cx, [n, inputs]);
    // many rows keep the card busy for long: no need to repeat them
    const times = n > MOST_SCORED ? 1 : weights.length;
    const { samples, cost } = await timeRecorded(
      cx,
      `${name}, ${n} rows`,
      times,
      (turn) => {
        cx.call('linear', { x, weight: weights[turn] as Tensor }, { activation, dtype: 'bf16' }).out?.dispose();
      },
      limitsOf(where),
    );
    rows.push(rowOf({ kind: 'op', name: 'linear', case: `${name}, ${n} rows` }, samples, cost, card, true));
    x.dispose();
  }
  for (const tensor of weights) tensor.dispose();
  await cx.sync();
  return { failures: [], rows };
}

export const matrices: Step = {
  name: 'matrices',
  about: 'the matrix products of the 7B model in bf16, by rows',
  async open(where) {
    const cx = await Context.create({ device: where.device });
    const card = peaksOf(cx.card);
    const pieces = matricesOf(where).map(
      (matrix): Piece => ({ name: matrix.name, limit: 120, run: () => timeMatrix(cx, card, where, matrix) }),
    );
    return { pieces, close: () => cx.dispose() };
  },
};
