import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { integer, normals, operand, real } from '../kit/cases.js';

type Float = 'f32' | 'bf16';
interface Shape {
  h: number;
  w: number;
  c: number;
  groups?: number;
  swish?: boolean;
  x?: Float;
  weight?: Float;
  mean?: number;
}

function one(name: string, tag: 'small' | 'edge' | 'perf', s: Shape): OpCases['cases'][number] {
  const build = (rng: Rng): OpInputs => ({
    operands: {
      x: normals(rng, s.x ?? 'f32', [s.h, s.w, s.c], { mean: s.mean ?? 0.3, scale: 1.5 }),
      weight: normals(rng, s.weight ?? 'f32', [s.c], { mean: 1, scale: 0.3 }),
      bias: normals(rng, s.weight ?? 'f32', [s.c]),
    },
    attributes: { groups: s.groups ?? 32, eps: 1e-6, activation: s.swish ? 'swish' : 'none' },
  });
  return { name, tags: [tag], dims: { H: s.h, W: s.w, C: s.c }, build };
}

export const cases: OpCases = {
  op: 'group_norm',
  cases: [
    one('swish', 'small', { h: 9, w: 8, c: 64, swish: true }),
    one('no activation', 'small', { h: 8, w: 8, c: 128 }),
    one('bf16', 'small', { h: 6, w: 8, c: 64, swish: true, x: 'bf16', weight: 'bf16' }),
    one('bf16 image, f32 weight', 'small', { h: 6, w: 5, c: 96, x: 'bf16' }),
    one('f32 image, bf16 weight', 'small', { h: 6, w: 5, c: 32, weight: 'bf16', swish: true }),
    one('one pixel', 'edge', { h: 1, w: 1, c: 64 }),
    one('one group, odd channels', 'edge', { h: 3, w: 5, c: 7, groups: 1 }),
    one('one channel per group', 'edge', { h: 3, w: 5, c: 19, groups: 19 }),
    one('one pixel and one channel per group', 'edge', { h: 1, w: 1, c: 5, groups: 5 }),
    one('empty image', 'edge', { h: 0, w: 4, c: 8, groups: 2 }),
    one('large mean', 'edge', { h: 20, w: 20, c: 32, mean: 200 }),
    one('several chunks', 'edge', { h: 37, w: 41, c: 128, swish: true }),
    one('VAE of the 7B model, 96 x 96', 'perf', { h: 96, w: 96, c: 128, swish: true }),
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    const weight = operand(operands, 'weight').data;
    const bias = operand(operands, 'bias').data;
    const [h = 0, w = 0, c = 0] = x.shape;
    const groups = integer(attributes, 'groups');
    const width = c / groups;
    const out = new Float64Array(h * w * c);
    const count = h * w * width;
    for (let g = 0; g < groups; g++) {
      const each = (visit: (index: number, channel: number) => void) => {
        for (let p = 0; p < h * w; p++) for (let q = g * width; q < (g + 1) * width; q++) visit(p * c + q, q);
      };
      let mean = 0;
      each((i) => {
        mean += (x.data[i] as number) / count;
      });
      let variance = 0;
      each((i) => {
        variance += ((x.data[i] as number) - mean) ** 2 / count;
      });
      const deviation = Math.sqrt(variance + real(attributes, 'eps'));
      each((i, q) => {
        const y = (((x.data[i] as number) - mean) / deviation) * (weight[q] as number) + (bias[q] as number);
        out[i] = attributes.activation === 'swish' ? y / (1 + Math.exp(-y)) : y;
      });
    }
    return { out: { shape: [h, w, c], data: out } };
  },
  // the mean of an image with a large mean is rounded to f32: 200 / 1.5 times 6e-8
  tolerance: { f32: 2e-5, bf16: 8e-3 },
};
