import type { OpCases } from '../kit/cases.js';
import { counts, normals, operand, roundBf16 } from '../kit/cases.js';

type Float = 'f32' | 'bf16';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  [v, d]: [number, number],
  ids: number[],
  types: { table?: Float; out?: Float } = {},
  rows?: number,
): OpCases['cases'][number] {
  return {
    name,
    tags: [tag],
    dims: { V: v, D: d, N: ids.length },
    build: (rng) => ({
      operands: {
        table: normals(rng, types.table ?? 'f32', [v, d]),
        ids: counts(ids),
        ...(rows === undefined ? {} : { rows: counts([rows]) }),
      },
      attributes: { dtype: types.out ?? types.table ?? 'f32' },
    }),
  };
}

export const cases: OpCases = {
  op: 'embedding',
  cases: [
    one('f32', 'small', [50, 24], [3, 49, 0, 3]),
    one('bf16', 'small', [50, 24], [3, 49, 0, 3], { table: 'bf16' }),
    one('bf16 table, f32 rows', 'small', [20, 33], [1, 2], { table: 'bf16', out: 'f32' }),
    one('f32 table, bf16 rows', 'small', [20, 33], [1, 2], { table: 'f32', out: 'bf16' }),
    one('ids out of range', 'edge', [10, 8], [-1, 10, 2147483647, -2147483648, 9]),
    one('one element', 'edge', [1, 1], [0]),
    one('some live rows', 'edge', [10, 19], [1, 2, 3, 4, 5], {}, 3),
    one('no live rows', 'edge', [10, 8], [99, 99], {}, 0),
    one('no rows', 'edge', [10, 8], []),
    one('no columns', 'edge', [10, 0], [1, 2]),
    one(
      'width of the 7B model',
      'perf',
      [1000, 3584],
      Array.from({ length: 512 }, (_, i) => (i * 37) % 1000),
      {
        table: 'bf16',
      },
    ),
  ],
  oracle({ operands, attributes }) {
    const table = operand(operands, 'table');
    const ids = operand(operands, 'ids').data;
    const [v = 0, d = 0] = table.shape;
    const live = operands.rows ? Math.min(ids.length, Number(operands.rows.data[0])) : ids.length;
    const out = new Float64Array(ids.length * d);
    for (let n = 0; n < live; n++)
      for (let i = 0; i < d; i++) {
        const value = table.data[Math.min(v - 1, Math.max(0, ids[n] as number)) * d + i] as number;
        out[n * d + i] = attributes.dtype === 'bf16' ? roundBf16(value) : value;
      }
    return { out: { shape: [ids.length, d], data: out } };
  },
  exact: ['out'],
};
