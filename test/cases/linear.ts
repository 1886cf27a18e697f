import type { CaseOperand, OpCase, OpCases, OpInputs, Rng } from '../kit/cases.js';
import { counts, normals, operand } from '../kit/cases.js';

type Float = 'f32' | 'bf16';
interface Options {
  x?: Float;
  weight?: Float;
  bias?: Float;
  residual?: boolean;
  activation?: 'none' | 'gelu_tanh' | 'silu' | 'swiglu';
  out?: Float;
  packed?: boolean;
  split?: number;
  rows?: number;
  scale?: number;
  sampleRows?: number;
}

function one(name: string, tag: 'small' | 'edge' | 'perf', n: number, k: number, m: number, o: Options = {}): OpCase {
  const build = (rng: Rng): OpInputs => {
    const x = o.x ?? 'f32';
    const out = o.out ?? x;
    const r = o.activation === 'swiglu' ? m / 2 : m;
    const weight = (): CaseOperand => ({
      ...normals(rng, o.weight ?? x, [m, k], { scale: (o.scale ?? 1) / Math.sqrt(Math.max(k, 1)) }),
      packed: o.packed ?? false,
    });
    const bias = () => normals(rng, o.bias ?? 'f32', [m]);
    const gen = o.split !== undefined;
    return {
      operands: {
        x: normals(rng, x, [n, k]),
        weight: weight(),
        ...(o.bias ? { bias: bias() } : {}),
        ...(gen ? { weight_gen: weight(), split: counts([o.split as number]) } : {}),
        ...(gen && o.bias ? { bias_gen: bias() } : {}),
        ...(o.residual ? { residual: normals(rng, out, [n, r]) } : {}),
        ...(o.rows === undefined ? {} : { rows: counts([o.rows]) }),
      },
      attributes: { activation: o.activation ?? 'none', ...(o.out ? { dtype: o.out } : {}) },
    };
  };
  const sampled = o.sampleRows ?? (tag === 'perf' ? 2 : undefined);
  return {
    name,
    tags: [tag],
    dims: { N: n, K: k, M: m },
    build,
    ...(sampled === undefined ? {} : { sampleRows: sampled }),
  };
}

function withSpecial(value: number, at: 'x' | 'weight'): OpCase {
  const plain = one(`${value} in ${at}`, 'edge', 3, 40, 20, { bias: 'f32' });
  const build = (rng: Rng): OpInputs => {
    const inputs = plain.build(rng);
    operand(inputs.operands, at).data[45] = value;
    return inputs;
  };
  return { ...plain, build };
}

const bf = { x: 'bf16', weight: 'bf16' } as const;

export const cases: OpCases = {
  op: 'linear',
  cases: [
    one('one row', 'small', 1, 64, 48),
    one('packed', 'small', 7, 64, 80, { packed: true }),
    one('bf16, packed', 'small', 7, 64, 80, { ...bf, packed: true }),
    one('bf16 with bias and residual', 'small', 19, 96, 70, { ...bf, bias: 'bf16', residual: true }),
    one('bf16 rows, f32 weight', 'small', 5, 40, 33, { x: 'bf16', weight: 'f32', bias: 'bf16' }),
    one('f32 rows, bf16 weight', 'small', 5, 40, 33, { x: 'f32', weight: 'bf16', packed: true }),
    one('logits: bf16 rows, f32 out', 'small', 3, 96, 259, { ...bf, out: 'f32', packed: true }),
    one('f32 rows, bf16 out and residual', 'small', 4, 32, 48, { out: 'bf16', residual: true }),
    one('gelu', 'small', 6, 48, 64, { activation: 'gelu_tanh', bias: 'f32', scale: 3 }),
    one('silu', 'small', 6, 48, 64, { activation: 'silu', bias: 'bf16', scale: 3 }),
    one('swiglu', 'small', 6, 48, 96, { activation: 'swiglu', packed: true }),
    one('swiglu with bias and residual', 'small', 6, 48, 96, { activation: 'swiglu', bias: 'f32', residual: true }),
    one('bf16 swiglu, packed', 'small', 20, 96, 192, { ...bf, activation: 'swiglu', packed: true }),
    one('two experts', 'small', 11, 64, 48, { ...bf, split: 4, packed: true, bias: 'f32', residual: true }),
    one('two experts, swiglu', 'small', 11, 64, 64, { split: 5, activation: 'swiglu', bias: 'bf16' }),
    one('64 rows', 'small', 64, 192, 192, { ...bf, packed: true, residual: true, bias: 'bf16' }),
    one('70 f32 rows', 'small', 70, 130, 150, { bias: 'f32' }),
    one('experts beyond one chunk of rows', 'small', 120, 64, 70, { ...bf, split: 53, packed: true }),
    one('one element', 'edge', 1, 1, 1),
    one('one bf16 element', 'edge', 1, 1, 1, bf),
    one('odd sizes', 'edge', 5, 37, 19, { residual: true }),
    one('odd bf16 sizes', 'edge', 5, 37, 19, { ...bf, packed: true, residual: true }),
    one('bf16 columns not a multiple of 32', 'edge', 33, 70, 17, bf),
    one('swiglu on the smallest weight', 'edge', 3, 8, 32, { activation: 'swiglu' }),
    one('swiglu with an odd number of panels', 'edge', 3, 8, 96, { ...bf, activation: 'swiglu', bias: 'f32' }),
    one('no rows', 'edge', 0, 8, 8),
    one('no columns', 'edge', 2, 0, 8, { bias: 'f32' }),
    one('no bf16 columns', 'edge', 2, 0, 8, { ...bf, bias: 'f32', packed: true }),
    one('no outputs', 'edge', 2, 8, 0),
    one('all rows of the second expert', 'edge', 4, 16, 16, { split: 0 }),
    one('all rows of the first expert', 'edge', 4, 16, 16, { split: 4, packed: true }),
    one('split out of range', 'edge', 4, 16, 16, { split: -7 }),
    one('some live rows', 'edge', 60, 32, 20, { ...bf, rows: 17, residual: true }),
    one('live rows and split', 'edge', 60, 32, 20, { rows: 51, split: 49, bias: 'f32', packed: true }),
    one('split beyond the live rows', 'edge', 9, 32, 20, { rows: 3, split: 6, ...bf }),
    one('no live rows', 'edge', 4, 32, 20, { rows: 0, split: 2 }),
    one('more live rows than rows', 'edge', 4, 32, 20, { rows: 1000 }),
    withSpecial(Number.NaN, 'x'),
    withSpecial(Number.NEGATIVE_INFINITY, 'x'),
    withSpecial(Number.NaN, 'weight'),
    one('long rows', 'edge', 17, 2050, 40, { ...bf, packed: true, sampleRows: 5 }),
    one('one row of the 7B model, 3584 x 3584', 'perf', 1, 3584, 3584, { ...bf, packed: true }),
    one('16 rows of the 7B model, 3584 x 3584', 'perf', 16, 3584, 3584, { ...bf, packed: true }),
    one('16 rows of the 7B model, a quarter of gate and up', 'perf', 16, 3584, 9472, {
      ...bf,
      packed: true,
      activation: 'swiglu',
    }),
    one('64 rows of the 7B model, 3584 x 3584', 'perf', 64, 3584, 3584, { ...bf, packed: true }),
    one('512 rows of the 7B model, 3584 x 3584', 'perf', 512, 3584, 3584, { ...bf, packed: true }),
    one('512 rows of the 7B model, 3584 x 3584, f32', 'perf', 512, 3584, 3584, { packed: true }),
    one('512 rows, f32', 'perf', 512, 1024, 1024, { packed: true }),
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    const [n = 0, k = 0] = x.shape;
    const m = operand(operands, 'weight').shape[0] ?? 0;
    const swiglu = attributes.activation === 'swiglu';
    const r = swiglu ? m / 2 : m;
    const split = operands.split ? Number(operands.split.data[0]) : n;
    const rows = operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
    const silu = (v: number) => v / (1 + Math.exp(-v));
    const gelu = (v: number) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
    const out = new Float64Array(n * r);
    for (let i = 0; i < rows; i++) {
      const weight = operand(operands, i < split ? 'weight' : 'weight_gen').data;
      const bias = (i < split ? operands.bias : operands.bias_gen)?.data;
      const dot = (j: number) => {
        let sum = 0;
        for (let c = 0; c < k; c++) sum += (x.data[i * k + c] as number) * (weight[j * k + c] as number);
        return sum + (bias ? (bias[j] as number) : 0);
      };
      for (let j = 0; j < r; j++) {
        let y = dot(j);
        if (swiglu) y = silu(y) * dot(r + j);
        else if (attributes.activation === 'silu') y = silu(y);
        else if (attributes.activation === 'gelu_tanh') y = gelu(y);
        out[i * r + j] = y + (operands.residual ? (operands.residual.data[i * r + j] as number) : 0);
      }
    }
    return { out: { shape: [n, r], data: out } };
  },
  // sums of K products in f32, with K up to 3584: about sqrt(K) roundings of 6e-8, relative to the largest sum of the row
  tolerance: { f32: 3e-6, bf16: 4e-3 },
};
