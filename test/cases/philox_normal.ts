import type { OpCases } from '../kit/cases.js';
import { counts, integer, operand, real } from '../kit/cases.js';
import { exponential, philox } from '../kit/philox.js';

interface Options {
  dtype?: 'f32' | 'bf16';
  position?: number;
  purpose?: number;
  mean?: number;
  deviation?: number;
  seed?: [number, number];
}

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  [rows, columns]: [number, number],
  options: Options = {},
): OpCases['cases'][number] {
  return {
    name,
    tags: [tag],
    dims: { R: rows, C: columns },
    build: () => ({
      operands: {
        seed: counts(options.seed ?? [1234, 5]),
        ...(options.position === undefined ? {} : { position: counts([options.position]) }),
      },
      attributes: {
        rows_count: rows,
        columns,
        purpose: options.purpose ?? 4,
        mean: options.mean ?? 0,
        deviation: options.deviation ?? 1,
        dtype: options.dtype ?? 'f32',
      },
    }),
  };
}

export const cases: OpCases = {
  op: 'philox_normal',
  cases: [
    one('latents of the tiny model', 'small', [64, 16]),
    one('bf16', 'small', [7, 33], { dtype: 'bf16' }),
    one('position and purpose', 'small', [5, 20], { position: 9, purpose: 5 }),
    one('mean and deviation', 'small', [6, 50], { mean: -3, deviation: 0.02, purpose: 7 }),
    one('negative words', 'edge', [4, 25], { seed: [-1, -2147483648], position: -3, purpose: 255 }),
    one('one draw', 'edge', [1, 1]),
    one('between two tasks', 'edge', [3, 1367]),
    one('no spread', 'edge', [3, 5], { mean: 2, deviation: 0 }),
    one('no rows', 'edge', [0, 16]),
    one('no columns', 'edge', [3, 0]),
    one('latents of 1024 px', 'perf', [4096, 64]),
  ],
  oracle({ operands, attributes }) {
    const rows = integer(attributes, 'rows_count');
    const columns = integer(attributes, 'columns');
    const [low, high] = operand(operands, 'seed').data as Int32Array;
    const position = operands.position ? Number(operands.position.data[0]) : 0;
    const out = new Float64Array(rows * columns);
    for (let i = 0; i < out.length; i += 2) {
      const words = philox(
        [low as number, high as number],
        [Math.floor(i / 4), position, integer(attributes, 'purpose') * 2 ** 24, 0],
      );
      const [first, second] = i % 4 === 0 ? [words[0], words[1]] : [words[2], words[3]];
      const radius = Math.sqrt(2 * exponential(first)) * real(attributes, 'deviation');
      const angle = 2 * Math.PI * ((second + 0.5) / 2 ** 32);
      out[i] = real(attributes, 'mean') + radius * Math.cos(angle);
      if (i + 1 < out.length) out[i + 1] = real(attributes, 'mean') + radius * Math.sin(angle);
    }
    return { out: { shape: [rows, columns], data: out } };
  },
  tolerance: { f32: 5e-7, bf16: 4e-3 },
};
