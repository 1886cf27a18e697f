import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { normals, operand, values } from '../kit/cases.js';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  shape: [number, number, number],
  dtype: 'f32' | 'bf16' = 'f32',
): OpCases['cases'][number] {
  const [h, w, c] = shape;
  const build = (rng: Rng): OpInputs => ({
    operands: { x: normals(rng, dtype, shape, { scale: 0.6 }) },
    attributes: {},
  });
  return { name, tags: [tag], dims: { H: h, W: w, C: c }, build };
}

/** What a pixel becomes in the steps of the reference, each rounded to f32. */
function pixel(x: number): number {
  const v = Math.fround(Math.fround(x * 0.5) + 0.5);
  const clamped = v > 0 ? Math.min(v, 1) : 0;
  return Math.trunc(Math.fround(clamped * 255));
}

const odd = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  1,
  0,
  -0,
  2,
  -2,
  1e30,
  -1e30,
  1e-40,
  0.9999999,
  1 - 2 ** -24,
];

export const cases: OpCases = {
  op: 'denormalize_pixels',
  cases: [
    one('a picture', 'small', [9, 13, 3]),
    one('bf16', 'small', [5, 7, 3], 'bf16'),
    {
      name: 'every pixel value, from normalize_pixels',
      tags: ['edge'],
      dims: { H: 1, W: 256, C: 1 },
      build: () => ({
        operands: {
          x: values(
            'f32',
            [1, 256, 1],
            Array.from({ length: 256 }, (_, v) => Math.fround(Math.fround(Math.fround(v / 255) - 0.5) / 0.5)),
          ),
        },
        attributes: {},
      }),
    },
    {
      name: 'infinite, not a number, out of range',
      tags: ['edge'],
      dims: { H: 1, W: odd.length, C: 1 },
      build: () => ({ operands: { x: values('f32', [1, odd.length, 1], odd) }, attributes: {} }),
    },
    one('one pixel', 'edge', [1, 1, 1]),
    one('empty', 'edge', [0, 5, 3]),
    one('a picture of 1024 x 512', 'perf', [1024, 512, 3]),
  ],
  oracle({ operands }) {
    const x = operand(operands, 'x');
    return { out: { shape: x.shape, data: Float64Array.from(x.data, pixel) } };
  },
  exact: ['out'],
};
