import type { OpCases } from '../kit/cases.js';
import { counts, normals, operand } from '../kit/cases.js';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  n: number,
  widths: [number, number, number?],
  options: { dtype?: 'f32' | 'bf16'; rows?: number } = {},
): OpCases['cases'][number] {
  const [a, b, c] = widths;
  const { dtype = 'f32', rows } = options;
  return {
    name,
    tags: [tag],
    dims: { N: n, A: a, B: b, C: c ?? 0 },
    build: (rng) => ({
      operands: {
        a: normals(rng, dtype, [n, a]),
        b: normals(rng, dtype, [n, b]),
        ...(c === undefined ? {} : { c: normals(rng, dtype, [n, c]) }),
        ...(rows === undefined ? {} : { rows: counts([rows]) }),
      },
      attributes: {},
    }),
  };
}

export const cases: OpCases = {
  op: 'concat_columns',
  cases: [
    one('two', 'small', 5, [8, 8]),
    one('three', 'small', 4, [6, 10, 3]),
    one('bf16', 'small', 4, [7, 16, 9], { dtype: 'bf16' }),
    one('no columns in one', 'edge', 3, [4, 0, 2]),
    one('no columns', 'edge', 3, [0, 0]),
    one('one element', 'edge', 1, [1, 1, 1]),
    one('some live rows', 'edge', 6, [5, 3, 2], { rows: 4 }),
    one('no live rows', 'edge', 6, [5, 3], { rows: 0 }),
    one('no rows', 'edge', 0, [5, 3]),
    one('three taps of the 7B model', 'perf', 64, [3584, 3584, 3584], { dtype: 'bf16' }),
  ],
  oracle({ operands }) {
    const parts = [operand(operands, 'a'), operand(operands, 'b'), ...(operands.c ? [operands.c] : [])];
    const n = parts[0]?.shape[0] as number;
    const width = parts.reduce((sum, part) => sum + (part.shape[1] as number), 0);
    const out = new Float64Array(n * width);
    let at = 0;
    for (let row = 0; row < n; row++)
      for (const { shape, data } of parts)
        for (let i = 0; i < (shape[1] as number); i++) out[at++] = data[row * (shape[1] as number) + i] as number;
    return { out: { shape: [n, width], data: out } };
  },
  exact: ['out'],
};
