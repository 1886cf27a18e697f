import type { CaseOperand, OpCases, Rng } from '../kit/cases.js';
import { bytes, counts, normals, operand } from '../kit/cases.js';

type DType = CaseOperand['dtype'];

function make(rng: Rng, dtype: DType, shape: [number, number]): CaseOperand {
  const word = () => Math.floor(rng() * 2 ** 32) | 0;
  if (dtype === 'u8') return bytes(shape, () => Math.floor(rng() * 256));
  if (dtype === 'i32') return counts(Array.from({ length: shape[0] * shape[1] }, word), shape);
  return normals(rng, dtype, shape);
}

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  [n, m, d]: [number, number, number],
  dtype: DType = 'f32',
): OpCases['cases'][number] {
  return {
    name,
    tags: [tag],
    dims: { N: n, M: m, D: d, R: n + m },
    build: (rng) => ({ operands: { a: make(rng, dtype, [n, d]), b: make(rng, dtype, [m, d]) }, attributes: {} }),
  };
}

export const cases: OpCases = {
  op: 'concat_rows',
  cases: [
    one('f32', 'small', [3, 5, 7]),
    one('bf16', 'small', [3, 5, 7], 'bf16'),
    one('i32', 'small', [2, 2, 9], 'i32'),
    one('u8', 'small', [4, 3, 5], 'u8'),
    one('nothing first', 'edge', [0, 4, 6]),
    one('nothing second', 'edge', [4, 0, 6]),
    one('nothing', 'edge', [0, 0, 6]),
    one('no columns', 'edge', [2, 3, 0]),
    one('one element each', 'edge', [1, 1, 1]),
    one('512 px latents and a marker of the 7B model', 'perf', [1025, 1, 3584], 'bf16'),
  ],
  oracle({ operands }) {
    const a = operand(operands, 'a');
    const b = operand(operands, 'b');
    const shape = [(a.shape[0] as number) + (b.shape[0] as number), a.shape[1] as number];
    const data = new Float64Array(a.data.length + b.data.length);
    data.set(a.data);
    data.set(b.data, a.data.length);
    return { out: { shape, data } };
  },
  exact: ['out'],
};
