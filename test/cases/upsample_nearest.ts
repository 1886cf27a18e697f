import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { integer, normals, operand } from '../kit/cases.js';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  shape: [number, number, number],
  factor: number,
  dtype: 'f32' | 'bf16' = 'f32',
): OpCases['cases'][number] {
  const [h, w, c] = shape;
  const build = (rng: Rng): OpInputs => ({ operands: { x: normals(rng, dtype, shape) }, attributes: { factor } });
  return { name, tags: [tag], dims: { H: h, W: w, C: c }, build };
}

export const cases: OpCases = {
  op: 'upsample_nearest',
  cases: [
    one('twice', 'small', [5, 7, 12], 2),
    one('bf16', 'small', [4, 3, 5], 2, 'bf16'),
    one('three times, one channel', 'edge', [3, 2, 1], 3),
    one('once', 'edge', [3, 4, 6], 1),
    one('one pixel', 'edge', [1, 1, 3], 16),
    one('empty', 'edge', [0, 4, 3], 2),
    one('VAE of the 7B model, 64 x 64', 'perf', [64, 64, 512], 2),
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    const [h = 0, w = 0, c = 0] = x.shape;
    const factor = integer(attributes, 'factor');
    const shape = [h * factor, w * factor, c];
    const out = new Float64Array(h * w * c * factor * factor);
    for (let y = 0; y < h * factor; y++)
      for (let q = 0; q < w * factor; q++)
        for (let k = 0; k < c; k++)
          out[(y * w * factor + q) * c + k] = x.data[
            (Math.floor(y / factor) * w + Math.floor(q / factor)) * c + k
          ] as number;
    return { out: { shape, data: out } };
  },
  exact: ['out'],
};
