import type { OpCases } from '../kit/cases.js';
import { counts, normals, operand } from '../kit/cases.js';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  [x, g, d]: [number, number, number],
  pairs: [number, number][],
  dtype: 'f32' | 'bf16' = 'f32',
): OpCases['cases'][number] {
  return {
    name,
    tags: [tag],
    dims: { X: x, G: g, D: d, S: 64, N: pairs.length },
    build: (rng) => ({
      operands: {
        k_cache: normals(rng, dtype, [x, g, d, 64]),
        v_cache: normals(rng, dtype, [x, g, 64, d]),
        pairs: counts(pairs.flat(), [pairs.length, 2]),
      },
      attributes: {},
    }),
  };
}

export const cases: OpCases = {
  op: 'copy_pages',
  cases: [
    one('one page', 'small', [4, 2, 8], [[1, 3]]),
    one(
      'bf16',
      'small',
      [4, 2, 8],
      [
        [1, 3],
        [0, 2],
      ],
      'bf16',
    ),
    one(
      'a chain, in order',
      'edge',
      [4, 1, 4],
      [
        [0, 1],
        [1, 2],
        [2, 3],
      ],
    ),
    one(
      'two into one',
      'edge',
      [3, 1, 4],
      [
        [0, 2],
        [1, 2],
      ],
    ),
    one('onto itself', 'edge', [2, 1, 4], [[1, 1]]),
    one(
      'unused pairs',
      'edge',
      [3, 1, 4],
      [
        [-1, 0],
        [0, -1],
        [-1, -1],
        [0, 2],
      ],
    ),
    one(
      'pages out of range',
      'edge',
      [3, 1, 4],
      [
        [3, 0],
        [0, 3],
        [2147483647, 1],
        [2, 0],
      ],
    ),
    one('no pairs', 'edge', [3, 1, 4], []),
    one('no pages', 'edge', [0, 1, 4], [[0, 0]]),
    one(
      'a page of the 7B model',
      'perf',
      [8, 4, 128],
      [
        [0, 5],
        [3, 7],
      ],
      'bf16',
    ),
  ],
  oracle({ operands }) {
    const pairs = operand(operands, 'pairs').data;
    const copied = (name: string) => {
      const { shape, data } = operand(operands, name);
      const pages: number[][] = [];
      const count = shape[0] as number;
      const size = data.length / Math.max(1, count);
      for (let p = 0; p < count; p++) pages.push(Array.from(data.subarray(p * size, (p + 1) * size)));
      for (let i = 0; i < pairs.length; i += 2) {
        const source = pages[pairs[i] as number];
        if (source && pages[pairs[i + 1] as number]) pages[pairs[i + 1] as number] = source;
      }
      return { shape, data: Float64Array.from(pages.flat()) };
    };
    return { k_cache: copied('k_cache'), v_cache: copied('v_cache') };
  },
  exact: ['k_cache', 'v_cache'],
};
