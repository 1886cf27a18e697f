import type { OpCases } from '../kit/cases.js';
import { counts, integer, operand, values } from '../kit/cases.js';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  times: number[],
  columns: number,
  step: number[],
  dim: number,
  dtype: 'f32' | 'bf16' = 'f32',
  column = 0,
): OpCases['cases'][number] {
  return {
    name,
    tags: [tag],
    dims: { S: times.length, C: columns, B: step.length, R: dim },
    build: (rng) => ({
      operands: {
        times: values(
          'f32',
          [times.length, columns],
          times.flatMap((t) => Array.from({ length: columns }, (_, i) => (i === column ? t : rng()))),
        ),
        step: counts(step),
      },
      attributes: { dim, dtype, ...(column === 0 ? {} : { column }) },
    }),
  };
}

const shifted = Array.from({ length: 50 }, (_, i) => {
  const s = 1 - i / 49;
  return (3 * s) / (1 + 2 * s);
});

export const cases: OpCases = {
  op: 'time_embedding',
  cases: [
    one('one time', 'small', [0.9375], 1, [0], 256),
    one('rows of a schedule', 'small', shifted, 8, [0, 13, 49], 256),
    one('bf16', 'small', shifted, 8, [7, 8], 64, 'bf16'),
    one('guidance scales', 'small', [1, 2.5, 4, 5], 8, [2, 0, 3], 256, 'f32', 5),
    one('the last column', 'edge', [1.75], 3, [0, 0], 8, 'bf16', 2),
    one('ends', 'edge', [0, 1], 1, [0, 1, 0], 32),
    one('steps out of range', 'edge', [0.25, 0.75], 3, [-1, 2, 2147483647, -2147483648], 16),
    one('two columns', 'edge', [0.3], 1, [0], 2),
    one('no rows', 'edge', [0.3], 1, [], 8),
    one(
      'a time per latent',
      'perf',
      shifted,
      8,
      Array.from({ length: 4096 }, (_, i) => i % 50),
      256,
    ),
  ],
  oracle({ operands, attributes }) {
    const times = operand(operands, 'times');
    const step = operand(operands, 'step').data;
    const [s = 0, c = 0] = times.shape;
    const dim = integer(attributes, 'dim');
    const half = dim / 2;
    const column = attributes.column === undefined ? 0 : integer(attributes, 'column');
    const out = new Float64Array(step.length * dim);
    for (let b = 0; b < step.length; b++) {
      const t = times.data[Math.min(s - 1, Math.max(0, step[b] as number)) * c + column] as number;
      for (let i = 0; i < half; i++) {
        const angle = t * 10000 ** (-i / half);
        out[b * dim + i] = Math.cos(angle);
        out[b * dim + half + i] = Math.sin(angle);
      }
    }
    return { out: { shape: [step.length, dim], data: out } };
  },
  tolerance: { f32: 2.5e-7, bf16: 4e-3 },
};
