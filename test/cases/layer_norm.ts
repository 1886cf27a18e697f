import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { counts, normals, operand, real } from '../kit/cases.js';

function build(n: number, d: number, x: 'f32' | 'bf16', w: 'f32' | 'bf16', rows?: number, mean = 0.5) {
  return (rng: Rng): OpInputs => ({
    operands: {
      x: normals(rng, x, [n, d], { mean, scale: 2 }),
      weight: normals(rng, w, [d], { mean: 1, scale: 0.3 }),
      bias: normals(rng, w, [d]),
      ...(rows === undefined ? {} : { rows: counts([rows]) }),
    },
    attributes: { eps: 1e-6 },
  });
}

export const cases: OpCases = {
  op: 'layer_norm',
  cases: [
    { name: 'width of the tiny ViT', tags: ['small'], dims: { N: 5, D: 216 }, build: build(5, 216, 'f32', 'f32') },
    { name: 'bf16', tags: ['small'], dims: { N: 3, D: 64 }, build: build(3, 64, 'bf16', 'bf16') },
    { name: 'bf16 rows, f32 weight', tags: ['small'], dims: { N: 3, D: 72 }, build: build(3, 72, 'bf16', 'f32') },
    { name: 'f32 rows, bf16 weight', tags: ['small'], dims: { N: 3, D: 72 }, build: build(3, 72, 'f32', 'bf16') },
    { name: 'one row, odd width', tags: ['edge'], dims: { N: 1, D: 37 }, build: build(1, 37, 'f32', 'f32') },
    { name: 'one column', tags: ['edge'], dims: { N: 4, D: 1 }, build: build(4, 1, 'f32', 'f32') },
    { name: 'no rows', tags: ['edge'], dims: { N: 0, D: 16 }, build: build(0, 16, 'f32', 'f32') },
    { name: 'large mean', tags: ['edge'], dims: { N: 2, D: 100 }, build: build(2, 100, 'f32', 'f32', undefined, 300) },
    { name: 'some live rows', tags: ['edge'], dims: { N: 9, D: 33 }, build: build(9, 33, 'f32', 'f32', 4) },
    { name: 'no live rows', tags: ['edge'], dims: { N: 3, D: 16 }, build: build(3, 16, 'bf16', 'bf16', 0) },
    {
      name: 'ViT of the 7B model, 980 x 280 px',
      tags: ['perf'],
      dims: { N: 1400, D: 1152 },
      build: build(1400, 1152, 'bf16', 'bf16'),
    },
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    const weight = operand(operands, 'weight').data;
    const bias = operand(operands, 'bias').data;
    const [n = 0, d = 0] = x.shape;
    const live = operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
    const out = new Float64Array(n * d);
    for (let r = 0; r < live; r++) {
      const row = x.data.subarray(r * d, (r + 1) * d);
      let mean = 0;
      for (const v of row) mean += v / d;
      let variance = 0;
      for (const v of row) variance += (v - mean) ** 2 / d;
      const deviation = Math.sqrt(variance + real(attributes, 'eps'));
      for (let i = 0; i < d; i++)
        out[r * d + i] = (((row[i] as number) - mean) / deviation) * (weight[i] as number) + (bias[i] as number);
    }
    return { out: { shape: [n, d], data: out } };
  },
  // the mean of a row with a large mean loses bits: 300 / 2 times the rounding of f32
  tolerance: { f32: 2e-5, bf16: 8e-3 },
};
