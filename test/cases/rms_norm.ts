import type { OpCase, OpCases, OpInputs, Rng } from '../kit/cases.js';
import { counts, normals, operand, real, roundBf16 } from '../kit/cases.js';

type Float = 'f32' | 'bf16';
interface Options {
  x?: Float;
  weight?: Float;
  residual?: boolean;
  split?: number;
  rows?: number;
  scale?: number;
  eps?: number;
}

function one(name: string, tag: 'small' | 'edge' | 'perf', n: number, d: number, o: Options = {}): OpCase {
  const build = (rng: Rng): OpInputs => {
    const x = o.x ?? 'f32';
    const weight = () => normals(rng, o.weight ?? x, [d], { mean: 1, scale: 0.3 });
    return {
      operands: {
        x: normals(rng, x, [n, d], { scale: o.scale ?? 2 }),
        weight: weight(),
        ...(o.residual ? { residual: normals(rng, x, [n, d]) } : {}),
        ...(o.split === undefined ? {} : { split: counts([o.split]), weight_gen: weight() }),
        ...(o.rows === undefined ? {} : { rows: counts([o.rows]) }),
      },
      attributes: o.eps === undefined ? {} : { eps: o.eps },
    };
  };
  return { name, tags: [tag], dims: { N: n, D: d }, build, ...(tag === 'perf' ? { sampleRows: 8 } : {}) };
}

/** One row with a value that is not finite, among others that are. */
function withSpecial(value: number): OpCase {
  const plain = one(`a row with ${value}`, 'edge', 3, 20, { residual: true });
  const build = (rng: Rng): OpInputs => {
    const inputs = plain.build(rng);
    operand(inputs.operands, 'x').data[25] = value;
    return inputs;
  };
  return { ...plain, build };
}

export const cases: OpCases = {
  op: 'rms_norm',
  cases: [
    one('text row', 'small', 1, 192),
    one('residual', 'small', 5, 192, { residual: true }),
    one('bf16 residual', 'small', 5, 192, { residual: true, x: 'bf16' }),
    one('bf16 rows, f32 weight', 'small', 4, 100, { x: 'bf16', weight: 'f32' }),
    one('f32 rows, bf16 weight', 'small', 4, 100, { weight: 'bf16', residual: true }),
    one('two experts', 'small', 9, 64, { split: 4, residual: true, x: 'bf16' }),
    one('many rows', 'small', 256, 512, { residual: true, split: 100 }),
    one('one column', 'edge', 3, 1),
    one('odd columns', 'edge', 4, 37, { residual: true }),
    one('no rows', 'edge', 0, 16),
    one('all rows of the second expert', 'edge', 4, 24, { split: 0 }),
    one('split beyond the rows', 'edge', 4, 24, { split: 9 }),
    one('negative split', 'edge', 4, 24, { split: -3 }),
    one('some live rows', 'edge', 7, 48, { rows: 3, residual: true }),
    one('live rows and split', 'edge', 9, 48, { rows: 6, split: 4, x: 'bf16', residual: true }),
    one('no live rows', 'edge', 3, 48, { rows: 0 }),
    one('negative live rows', 'edge', 3, 48, { rows: -1 }),
    one('more live rows than rows', 'edge', 3, 48, { rows: 99 }),
    one('zeros', 'edge', 2, 33, { scale: 0 }),
    one('tiny values and a large eps', 'edge', 3, 40, { scale: 1e-12, eps: 0.5 }),
    one('large values', 'edge', 3, 40, { scale: 1e15 }),
    withSpecial(Number.NaN),
    withSpecial(Number.POSITIVE_INFINITY),
    one('16 rows of the 7B model', 'perf', 16, 3584, { residual: true, x: 'bf16' }),
    one('a 1024 x 1024 image of the 7B model', 'perf', 4098, 3584, { residual: true, x: 'bf16', split: 2 }),
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    const [n = 0, d = 0] = x.shape;
    const eps = attributes.eps === undefined ? 1e-6 : real(attributes, 'eps');
    const split = operands.split ? Number(operands.split.data[0]) : n;
    const round = x.dtype === 'bf16' ? roundBf16 : Math.fround;
    const out = new Float64Array(n * d);
    const sum = new Float64Array(n * d);
    for (let i = 0; i < n; i++) {
      const weight = operand(operands, i < split ? 'weight' : 'weight_gen').data;
      let squares = 0;
      for (let c = i * d; c < (i + 1) * d; c++) {
        const h = (x.data[c] as number) + (operands.residual ? (operands.residual.data[c] as number) : 0);
        sum[c] = operands.residual ? round(h) : h;
        squares += (sum[c] as number) ** 2;
      }
      const root = Math.sqrt(squares / d + eps);
      for (let c = 0; c < d; c++) out[i * d + c] = ((sum[i * d + c] as number) / root) * (weight[c] as number);
    }
    const shape = [n, d];
    return operands.residual ? { out: { shape, data: out }, sum: { shape, data: sum } } : { out: { shape, data: out } };
  },
  tolerance: { f32: 1e-6, bf16: 4e-3 },
};
