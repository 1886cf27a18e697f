import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { integer, normals, operand } from '../kit/cases.js';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  shape: [number, number, number],
  patch: number,
  dtype: 'f32' | 'bf16' = 'f32',
): OpCases['cases'][number] {
  const [h, w, c] = shape;
  const build = (rng: Rng): OpInputs => ({ operands: { x: normals(rng, dtype, shape) }, attributes: { patch } });
  return { name, tags: [tag], dims: { H: h, W: w, C: c }, build };
}

export const cases: OpCases = {
  op: 'patchify',
  cases: [
    one('ViT patches', 'small', [28, 42, 3], 14),
    one('latent patches', 'small', [4, 6, 16], 2),
    one('bf16', 'small', [4, 6, 5], 2, 'bf16'),
    one('patches of one pixel', 'edge', [3, 5, 2], 1),
    one('one patch', 'edge', [7, 7, 1], 7),
    one('empty', 'edge', [0, 4, 3], 2),
    one('ViT of the 7B model, 980 x 490', 'perf', [980, 490, 3], 14),
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    const [h = 0, w = 0, c = 0] = x.shape;
    const p = integer(attributes, 'patch');
    const across = w / p;
    const out = new Float64Array(h * w * c);
    for (let y = 0; y < h; y++)
      for (let q = 0; q < w; q++)
        for (let k = 0; k < c; k++) {
          const row = Math.floor(y / p) * across + Math.floor(q / p);
          out[((row * p + (y % p)) * p + (q % p)) * c + k] = x.data[(y * w + q) * c + k] as number;
        }
    return { out: { shape: [(h / p) * across, p * p * c], data: out } };
  },
  exact: ['out'],
};
