import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { normals, operand, real } from '../kit/cases.js';

interface Options {
  dtype?: 'f32' | 'bf16';
  noise?: boolean;
  deviation?: number;
}

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  [h, w, z]: [number, number, number],
  options: Options = {},
): OpCases['cases'][number] {
  const dtype = options.dtype ?? 'f32';
  const build = (rng: Rng): OpInputs => ({
    operands: {
      moments: normals(rng, dtype, [h, w, 2 * z], { scale: options.deviation ?? 1 }),
      ...(options.noise === false ? {} : { noise: normals(rng, dtype, [h, w, z]) }),
    },
    attributes: { scale: 0.3611, shift: 0.1159 },
  });
  return { name, tags: [tag], dims: { H: h, W: w, M: 2 * z }, build };
}

export const cases: OpCases = {
  op: 'vae_latent',
  cases: [
    one('sampled', 'small', [5, 6, 16]),
    one('mean alone', 'small', [5, 6, 16], { noise: false }),
    one('bf16', 'small', [3, 4, 16], { dtype: 'bf16' }),
    one('odd channels', 'edge', [3, 4, 5]),
    one('more channels than a vector', 'edge', [2, 3, 33]),
    one('large variance', 'edge', [4, 4, 16], { deviation: 12 }),
    one('one pixel', 'edge', [1, 1, 1]),
    one('empty', 'edge', [0, 3, 16]),
    one('1024 px of the 7B model', 'perf', [128, 128, 16]),
  ],
  oracle({ operands, attributes }) {
    const moments = operand(operands, 'moments');
    const noise = operands.noise?.data;
    const [h = 0, w = 0, m = 0] = moments.shape;
    const z = m / 2;
    const out = new Float64Array(h * w * z);
    for (let p = 0; p < h * w; p++)
      for (let i = 0; i < z; i++) {
        const mean = moments.data[p * m + i] as number;
        const deviation = Math.exp((moments.data[p * m + z + i] as number) / 2);
        const sample = noise ? mean + deviation * (noise[p * z + i] as number) : mean;
        out[p * z + i] = real(attributes, 'scale') * (sample - real(attributes, 'shift'));
      }
    return { out: { shape: [h, w, z], data: out } };
  },
  tolerance: { f32: 3e-6, bf16: 8e-3 },
};
