import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { counts, normals, operand, real } from '../kit/cases.js';

interface Options {
  dtype?: 'f32' | 'bf16';
  ranges?: number[];
  rows?: number;
  scale?: number;
}

function build(n: number, h: number, d: number, options: Options = {}) {
  return (rng: Rng): OpInputs => ({
    operands: {
      qkv: normals(rng, options.dtype ?? 'f32', [n, 3, h, d]),
      ...(options.ranges ? { ranges: counts(options.ranges, [n, 2]) } : {}),
      ...(options.rows === undefined ? {} : { rows: counts([options.rows]) }),
    },
    attributes: { scale: options.scale ?? 1 / Math.sqrt(d) },
  });
}

/** Rows in runs of the given lengths, each run seeing itself alone: packed images. */
function packed(lengths: number[]): number[] {
  let start = 0;
  return lengths.flatMap((length) => {
    const range = [start, start + length];
    start += length;
    return Array.from({ length }, () => range).flat();
  });
}

/** A different window for every row, some empty, some reversed. */
function ragged(n: number): number[] {
  return Array.from({ length: n }, (_, i) => [(i * 7) % n, ((i * 7) % n) + ((i * 5) % (n / 2)) - 3])
    .flat()
    .map((v) => Math.max(0, Math.min(n, Math.floor(v))));
}

export const cases: OpCases = {
  op: 'dense_attention',
  cases: [
    { name: 'tiny ViT', tags: ['small'], dims: { N: 64, H: 3, D: 72 }, build: build(64, 3, 72) },
    {
      name: 'two packed images',
      tags: ['small'],
      dims: { N: 50, H: 2, D: 72 },
      build: build(50, 2, 72, { ranges: packed([31, 19]) }),
    },
    { name: 'one wide head', tags: ['small'], dims: { N: 70, H: 1, D: 512 }, build: build(70, 1, 512) },
    {
      name: 'bf16',
      tags: ['small'],
      dims: { N: 40, H: 2, D: 72 },
      build: build(40, 2, 72, { dtype: 'bf16', ranges: packed([17, 1, 22]) }),
    },
    { name: 'one row', tags: ['edge'], dims: { N: 1, H: 2, D: 8 }, build: build(1, 2, 8) },
    { name: 'no rows', tags: ['edge'], dims: { N: 0, H: 2, D: 8 }, build: build(0, 2, 8) },
    { name: 'odd head width', tags: ['edge'], dims: { N: 19, H: 3, D: 5 }, build: build(19, 3, 5) },
    {
      name: 'ragged and empty ranges',
      tags: ['edge'],
      dims: { N: 90, H: 1, D: 24 },
      build: build(90, 1, 24, { ranges: ragged(90) }),
    },
    {
      name: 'all ranges empty',
      tags: ['edge'],
      dims: { N: 3, H: 1, D: 16 },
      build: build(3, 1, 16, { ranges: [0, 0, 2, 2, 3, 1] }),
    },
    { name: 'some live rows', tags: ['edge'], dims: { N: 60, H: 2, D: 16 }, build: build(60, 2, 16, { rows: 51 }) },
    {
      name: 'live rows with ranges',
      tags: ['edge'],
      dims: { N: 30, H: 2, D: 16 },
      build: build(30, 2, 16, { rows: 13, ranges: packed([10, 3, 17]), dtype: 'bf16' }),
    },
    { name: 'no live rows', tags: ['edge'], dims: { N: 4, H: 1, D: 16 }, build: build(4, 1, 16, { rows: 0 }) },
    { name: 'scores far apart', tags: ['edge'], dims: { N: 33, H: 1, D: 64 }, build: build(33, 1, 64, { scale: 20 }) },
    { name: 'more keys than one step', tags: ['edge'], dims: { N: 530, H: 1, D: 8 }, build: build(530, 1, 8) },
    {
      name: 'ViT of the 7B model, 392 x 280 px',
      tags: ['perf'],
      dims: { N: 560, H: 16, D: 72 },
      build: build(560, 16, 72, { dtype: 'bf16' }),
    },
  ],
  oracle({ operands, attributes }) {
    const qkv = operand(operands, 'qkv');
    const [n = 0, , h = 0, d = 0] = qkv.shape;
    const scale = real(attributes, 'scale');
    const live = operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
    const data = qkv.data as Float64Array;
    const out = new Float64Array(n * h * d);
    const start = (row: number, part: number, head: number) => ((row * 3 + part) * h + head) * d;
    for (let i = 0; i < live; i++) {
      const first = operands.ranges ? Math.min(live, Number(operands.ranges.data[2 * i])) : 0;
      const last = operands.ranges ? Math.min(live, Number(operands.ranges.data[2 * i + 1])) : live;
      for (let head = 0; head < h && first < last; head++) {
        const q = data.subarray(start(i, 0, head), start(i, 0, head) + d);
        const weights = new Float64Array(last - first);
        let max = Number.NEGATIVE_INFINITY;
        for (let j = first; j < last; j++) {
          const k = start(j, 1, head);
          let dot = 0;
          for (let c = 0; c < d; c++) dot += (q[c] as number) * (data[k + c] as number);
          weights[j - first] = dot * scale;
          max = Math.max(max, dot * scale);
        }
        let sum = 0;
        for (let j = 0; j < weights.length; j++) {
          weights[j] = Math.exp((weights[j] as number) - max);
          sum += weights[j] as number;
        }
        const to = (i * h + head) * d;
        for (let j = first; j < last; j++) {
          const v = start(j, 2, head);
          const weight = (weights[j - first] as number) / sum;
          for (let c = 0; c < d; c++) out[to + c] = (out[to + c] as number) + weight * (data[v + c] as number);
        }
      }
    }
    return { out: { shape: [n, h, d], data: out } };
  },
  /** A row needs the rows of its range: a packed image alone has the bits that it has among others. */
  alone({ operands, attributes }, row) {
    const ranges = operands.ranges;
    const qkv = operand(operands, 'qkv');
    if (!ranges) return null;
    const live = operands.rows ? Number(operands.rows.data[0]) : (qkv.shape[0] as number);
    const first = Math.min(row, Number(ranges.data[2 * row]));
    const last = Math.max(row + 1, Math.min(live, Number(ranges.data[2 * row + 1])));
    const shifted = Array.from(ranges.data.slice(2 * first, 2 * last), (v) => Math.max(0, Math.min(last, v) - first));
    return {
      row: row - first,
      inputs: {
        operands: {
          qkv: {
            ...qkv,
            shape: [last - first, ...qkv.shape.slice(1)],
            data: qkv.data.slice(
              ((first * qkv.data.length) / ranges.data.length) * 2,
              ((last * qkv.data.length) / ranges.data.length) * 2,
            ),
          },
          ranges: counts(shifted, [last - first, 2]),
        },
        attributes,
      },
    };
  },
  // large scores carry the rounding of f32 into the exponent: 20 * |q k| of about 1000 times 6e-8
  tolerance: { f32: 1e-4, bf16: 8e-3 },
};
