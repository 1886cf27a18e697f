import type { OpCases } from '../kit/cases.js';
import { counts, integer, operand, real } from '../kit/cases.js';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  positions: number[],
  dim: number,
  theta: number,
  rows?: number,
): OpCases['cases'][number] {
  return {
    name,
    tags: [tag],
    dims: { N: positions.length, R: dim },
    build: () => ({
      operands: { positions: counts(positions), ...(rows === undefined ? {} : { rows: counts([rows]) }) },
      attributes: { dim, theta },
    }),
  };
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

export const cases: OpCases = {
  op: 'rope_table',
  cases: [
    one('head of the tiny model', 'small', range(20), 16, 10000),
    one('head of the 7B model', 'small', [0, 1, 1000, 32767], 128, 1e6),
    one('two columns', 'edge', [0, 1, 5], 2, 1e6),
    one('odd half', 'edge', [3, 4], 6, 10000),
    one('far and negative positions', 'edge', [2147483647, -2147483648, -1, 16777217], 32, 1e6),
    one('some live rows', 'edge', range(9), 8, 10000, 5),
    one('no live rows', 'edge', range(3), 8, 10000, 0),
    one('no rows', 'edge', [], 8, 10000),
    one(
      'an image of the 7B model',
      'perf',
      Array.from({ length: 4098 }, () => 77),
      128,
      1e6,
    ),
  ],
  oracle({ operands, attributes }) {
    const positions = operand(operands, 'positions').data;
    const dim = integer(attributes, 'dim');
    const half = dim / 2;
    const live = operands.rows ? Math.min(positions.length, Number(operands.rows.data[0])) : positions.length;
    const out = new Float64Array(positions.length * dim);
    for (let n = 0; n < live; n++)
      for (let i = 0; i < half; i++) {
        // the angle is defined by its f32 roundings, which matter at large positions
        const frequency = Math.fround(real(attributes, 'theta') ** (-i / half));
        const angle = Math.fround(Math.fround(positions[n] as number) * frequency);
        out[n * dim + i] = Math.cos(angle);
        out[n * dim + half + i] = Math.sin(angle);
      }
    return { out: { shape: [positions.length, dim], data: out } };
  },
  tolerance: { f32: 1e-7, bf16: 0 },
};
