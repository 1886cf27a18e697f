import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { normals, operand } from '../kit/cases.js';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  shape: [number, number, number, number],
  dtype: 'f32' | 'bf16',
): OpCases['cases'][number] {
  const [m, c, y, x] = shape;
  const build = (rng: Rng): OpInputs => ({ operands: { weight: normals(rng, dtype, shape) }, attributes: {} });
  return { name, tags: [tag], dims: { M: m, C: c, Y: y, X: x }, build };
}

export const cases: OpCases = {
  op: 'conv_weight',
  cases: [
    one('3 x 3', 'small', [5, 7, 3, 3], 'f32'),
    one('bf16', 'small', [4, 6, 3, 3], 'bf16'),
    one('1 x 1', 'edge', [5, 9, 1, 1], 'f32'),
    one('not square', 'edge', [2, 3, 2, 5], 'f32'),
    one('one weight', 'edge', [1, 1, 1, 1], 'f32'),
    one('no outputs', 'edge', [0, 3, 3, 3], 'f32'),
    one('VAE of the 7B model', 'perf', [512, 512, 3, 3], 'f32'),
  ],
  oracle({ operands }) {
    const weight = operand(operands, 'weight');
    const [m = 0, c = 0, y = 0, x = 0] = weight.shape;
    const out = new Float64Array(m * c * y * x);
    for (let o = 0; o < m; o++)
      for (let q = 0; q < c; q++)
        for (let i = 0; i < y; i++)
          for (let j = 0; j < x; j++)
            out[((o * y + i) * x + j) * c + q] = weight.data[((o * c + q) * y + i) * x + j] as number;
    return { out: { shape: [m, c * y * x], data: out } };
  },
  exact: ['out'],
};
