import type { OpCases } from '../kit/cases.js';
import { counts, integer, operand, real } from '../kit/cases.js';
import { exponential, philox } from '../kit/philox.js';

interface Options {
  dtype?: 'f32' | 'bf16';
  position?: number;
  purpose?: number;
  mean?: number;
  deviation?: number;
  /** Low and high half per image. */
  seed?: number[];
  images?: number[];
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
        seed: counts(options.seed ?? [1234, 5], [(options.seed?.length ?? 2) / 2, 2]),
        ...(options.images ? { images: counts(options.images) } : {}),
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
    one('three images', 'small', [20, 16], { images: [0, 7, 11, 20], seed: [1, 0, 2, 0, 1, 0] }),
    one('images of odd widths, bf16', 'small', [9, 7], { images: [0, 4, 9], seed: [5, 6, 7, 8], dtype: 'bf16' }),
    one('images of several tasks', 'small', [600, 16], { images: [0, 290, 600], seed: [3, 1, 4, 1], position: 2 }),
    one('an empty image', 'edge', [8, 16], { images: [0, 3, 3, 8], seed: [1, 0, 2, 0, 3, 0] }),
    one('images out of range and order', 'edge', [12, 8], { images: [2, 9, 4, 40], seed: [1, 0, 2, 0, 3, 0] }),
    one('one image by its rows', 'edge', [6, 4], { images: [0, 6] }),
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
    const seeds = operand(operands, 'seed').data;
    const position = operands.position ? Number(operands.position.data[0]) : 0;
    const out = new Float64Array(rows * columns);
    const starts = operands.images ? Array.from(operands.images.data) : [0, rows];
    starts[0] = 0;
    for (let j = 1; j < starts.length; j++) {
      starts[j] = Math.min(rows, Math.max(starts[j - 1] as number, starts[j] as number));
    }
    starts[starts.length - 1] = rows;
    for (let j = 0; j + 1 < starts.length; j++) {
      const key = [seeds[2 * j], seeds[2 * j + 1]] as [number, number];
      const draws = out.subarray((starts[j] as number) * columns, (starts[j + 1] as number) * columns);
      for (let i = 0; i < draws.length; i += 2) {
        const words = philox(key, [Math.floor(i / 4), position, integer(attributes, 'purpose') * 2 ** 24, 0]);
        const [first, second] = i % 4 === 0 ? [words[0], words[1]] : [words[2], words[3]];
        const radius = Math.sqrt(2 * exponential(first)) * real(attributes, 'deviation');
        const angle = 2 * Math.PI * ((second + 0.5) / 2 ** 32);
        draws[i] = real(attributes, 'mean') + radius * Math.cos(angle);
        if (i + 1 < draws.length) draws[i + 1] = real(attributes, 'mean') + radius * Math.sin(angle);
      }
    }
    return { out: { shape: [rows, columns], data: out } };
  },
  tolerance: { f32: 5e-7, bf16: 4e-3 },
};
