import type { OpCases, Rng } from '../kit/cases.js';
import { normals, operand, roundBf16, values } from '../kit/cases.js';

type Float = 'f32' | 'bf16';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  shape: number[],
  from: Float,
  to: Float,
  list?: (rng: Rng, n: number) => number[],
): OpCases['cases'][number] {
  const size = shape.reduce((n, d) => n * d, 1);
  return {
    name,
    tags: [tag],
    dims: Object.fromEntries(shape.map((d, i) => [`D${i}`, d])),
    build: (rng) => ({
      operands: { x: list ? values(from, shape, list(rng, size)) : normals(rng, from, shape) },
      attributes: { dtype: to },
    }),
  };
}

/** Halfway between two bf16 values, and a bit beside it. */
const halves = (_rng: Rng, n: number) =>
  Array.from({ length: n }, (_, i) => (1 + (i + 0.5) / 128 + (i % 3 === 0 ? 2 ** -20 : 0)) * (i % 2 ? -1 : 1));
const extremes = () => [0, -0, 3.4e38, -3.4e38, 1e-45, -1e-40, 1e-38, 65504];

export const cases: OpCases = {
  op: 'cast',
  cases: [
    one('f32 to bf16', 'small', [3, 37], 'f32', 'bf16'),
    one('bf16 to f32', 'small', [3, 37], 'bf16', 'f32'),
    one('f32 to f32', 'small', [2, 5], 'f32', 'f32'),
    one('bf16 to bf16', 'small', [2, 5], 'bf16', 'bf16'),
    one('four dims', 'small', [2, 3, 4, 5], 'f32', 'bf16'),
    one('ties to even', 'edge', [64], 'f32', 'bf16', halves),
    one('zeros, largest and smallest', 'edge', [8], 'f32', 'bf16', extremes),
    one('one element', 'edge', [1], 'f32', 'bf16'),
    one('scalar', 'edge', [], 'bf16', 'f32'),
    one('empty', 'edge', [3, 0], 'f32', 'bf16'),
    one('between two tasks', 'edge', [65537], 'bf16', 'f32'),
    one('activations of the 7B model', 'perf', [1024, 3584], 'f32', 'bf16'),
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    const data = Float64Array.from(x.data, (value) => (attributes.dtype === 'bf16' ? roundBf16(value) : value));
    return { out: { shape: x.shape, data } };
  },
  exact: ['out'],
};
