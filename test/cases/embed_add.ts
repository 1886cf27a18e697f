import type { OpCases } from '../kit/cases.js';
import { counts, normals, operand } from '../kit/cases.js';

type Float = 'f32' | 'bf16';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  [n, d]: [number, number],
  ids: (n: number) => number,
  options: { x?: Float; table?: Float; table2?: Float; rows?: number; ids2?: (n: number) => number } = {},
): OpCases['cases'][number] {
  const list = (pick: (n: number) => number) => counts(Array.from({ length: n }, (_, i) => pick(i)));
  return {
    name,
    tags: [tag],
    dims: { N: n, D: d, P: 12, Q: 5 },
    build: (rng) => ({
      operands: {
        x: normals(rng, options.x ?? 'f32', [n, d]),
        table: normals(rng, options.table ?? options.x ?? 'f32', [12, d]),
        ids: list(ids),
        ...(options.table2
          ? { table2: normals(rng, options.table2, [5, d]), ids2: list(options.ids2 ?? ((i) => (i * 2) % 5)) }
          : {}),
        ...(options.rows === undefined ? {} : { rows: counts([options.rows]) }),
      },
      attributes: {},
    }),
  };
}

const cycle = (i: number) => (i * 5) % 12;

export const cases: OpCases = {
  op: 'embed_add',
  cases: [
    one('one table', 'small', [6, 24], cycle),
    one('two tables', 'small', [6, 24], cycle, { table2: 'f32' }),
    one('bf16', 'small', [6, 24], cycle, { x: 'bf16', table2: 'bf16' }),
    one('bf16 rows, f32 tables', 'small', [3, 21], cycle, { x: 'bf16', table: 'f32', table2: 'f32' }),
    one('bf16 rows and second table', 'small', [3, 21], cycle, { x: 'bf16', table: 'f32', table2: 'bf16' }),
    one('bf16 rows and first table', 'small', [3, 21], cycle, { x: 'bf16', table: 'bf16', table2: 'f32' }),
    one('f32 rows, bf16 tables', 'small', [3, 21], cycle, { table: 'bf16', table2: 'bf16' }),
    one('f32 rows, bf16 first table', 'small', [3, 21], cycle, { table: 'bf16', table2: 'f32' }),
    one('f32 rows, bf16 second table', 'small', [3, 21], cycle, { table2: 'bf16' }),
    one('ids out of range', 'edge', [4, 16], (i) => [-1, 12, 2147483647, -2147483648][i] ?? 0, {
      table2: 'f32',
      ids2: (i) => [5, -9, 4, 0][i] ?? 0,
    }),
    one('one element', 'edge', [1, 1], cycle),
    one('some live rows', 'edge', [7, 17], cycle, { rows: 3, table2: 'f32' }),
    one('no live rows', 'edge', [3, 16], cycle, { rows: 0 }),
    one('no rows', 'edge', [0, 16], cycle),
    one('512 px latents of the 7B model', 'perf', [1024, 3584], cycle, { x: 'bf16', table2: 'bf16' }),
  ],
  oracle({ operands }) {
    const x = operand(operands, 'x');
    const [n = 0, d = 0] = x.shape;
    const live = operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
    const out = new Float64Array(n * d);
    const look = (table: string, ids: string, row: number, i: number) => {
      const t = operands[table];
      if (!t) return 0;
      const id = Math.min((t.shape[0] as number) - 1, Math.max(0, operand(operands, ids).data[row] as number));
      return t.data[id * d + i] as number;
    };
    for (let row = 0; row < live; row++)
      for (let i = 0; i < d; i++)
        out[row * d + i] =
          (x.data[row * d + i] as number) + look('table2', 'ids2', row, i) + look('table', 'ids', row, i);
    return { out: { shape: [n, d], data: out } };
  },
  tolerance: { f32: 2e-7, bf16: 4e-3 },
};
