import type { CaseOperand, OpCase, OpCases, OpInputs, Rng } from '../kit/cases.js';
import { counts, normals, operand, real, values } from '../kit/cases.js';
import { keyIndex, PAGE, pagedCache, valueIndex } from '../kit/paged.js';

type Float = 'f32' | 'bf16';
interface Row {
  seq: number;
  slot: number;
  position?: number;
}
interface Shape {
  dtype?: Float;
  weight?: Float;
  h?: number;
  g?: number;
  d?: number;
  rows: Row[];
  owned?: number[];
  width?: number;
  split?: number;
  live?: number;
  eps?: number;
  /** Without norms, as in a draft head. */
  bare?: boolean;
}

/** Rows of one sequence at consecutive slots. */
function run(seq: number, start: number, n: number, position?: number): Row[] {
  return Array.from({ length: n }, (_, i) => ({
    seq,
    slot: start + i,
    ...(position === undefined ? {} : { position }),
  }));
}

/** Cosines and sines as rope_table makes them, rounded to f32. */
function rope(rows: Row[], d: number): CaseOperand {
  const angles = (r: Row) =>
    Array.from({ length: d / 2 }, (_, i) => Math.max(0, r.position ?? r.slot) * 1e6 ** ((-2 * i) / d));
  return values(
    'f32',
    [rows.length, d],
    rows.flatMap((r) => [...angles(r).map(Math.cos), ...angles(r).map(Math.sin)]),
  );
}

function one(name: string, tag: 'small' | 'edge' | 'perf', s: Shape): OpCase {
  const { h = 4, g = 2, d = 16, width = 3, dtype = 'f32', rows } = s;
  const owned = s.owned ?? [width];
  const build = (rng: Rng): OpInputs => {
    const cache = pagedCache(rng, { dtype, g, d, owned, width });
    // half of the cache has values, so that a stray write shows whether it is of NaN or of values
    for (const t of [cache.kCache, cache.vCache]) t.data.fill(0.5, 0, t.data.length / 2);
    const norm = () => normals(rng, s.weight ?? dtype, [d], { mean: 1, scale: 0.3 });
    return {
      operands: {
        qkv: normals(rng, dtype, [rows.length, (h + 2 * g) * d], { scale: 2 }),
        ...(s.bare ? {} : { q_norm: norm(), k_norm: norm() }),
        ...(s.split === undefined ? {} : { q_norm_gen: norm(), k_norm_gen: norm(), split: counts([s.split]) }),
        rope: rope(rows, d),
        seq: counts(rows.map((r) => r.seq)),
        slots: counts(rows.map((r) => r.slot)),
        page_table: cache.pageTable,
        k_cache: cache.kCache,
        v_cache: cache.vCache,
        ...(s.live === undefined ? {} : { rows: counts([s.live]) }),
      },
      attributes: s.eps === undefined ? {} : { eps: s.eps },
    };
  };
  return { name, tags: [tag], dims: { N: rows.length, H: h, G: g, D: d, B: owned.length, P: width }, build };
}

export const cases: OpCases = {
  op: 'qk_norm_rope_append',
  cases: [
    one('decode', 'small', { rows: run(0, 70, 1) }),
    one('prefill', 'small', { rows: run(0, 50, 40) }),
    one('bf16 prefill', 'small', { rows: run(0, 0, 40), dtype: 'bf16', h: 6, g: 2, d: 32 }),
    one('bf16 rows, f32 weights', 'small', { rows: run(0, 3, 5), dtype: 'bf16', weight: 'f32' }),
    one('f32 rows, bf16 weights', 'small', { rows: run(0, 3, 5), weight: 'bf16' }),
    one('two experts', 'small', { rows: run(0, 10, 12), split: 2, dtype: 'bf16' }),
    one('image tokens at one position', 'small', { rows: run(0, 5, 66, 5), split: 1 }),
    one('several sequences', 'small', {
      rows: [...run(1, 127, 3), ...run(0, 0, 2), ...run(2, 64, 1)],
      owned: [1, 3, 2],
    }),
    one('heads of 128', 'small', { rows: run(0, 60, 24), h: 14, g: 2, d: 128, dtype: 'bf16' }),
    one('without norms', 'small', { rows: run(0, 62, 5), bare: true }),
    one('bf16 without norms', 'small', { rows: run(0, 62, 5), bare: true, dtype: 'bf16', h: 6, g: 3, d: 32 }),
    one('without norms, some live rows', 'edge', { rows: run(0, 60, 9), bare: true, live: 5, d: 6 }),
    one('not appended', 'edge', {
      rows: [
        { seq: 0, slot: -1 },
        { seq: 0, slot: 3 },
        { seq: 0, slot: -100 },
      ],
    }),
    one('slots beyond the table', 'edge', {
      rows: [
        { seq: 0, slot: 192 },
        { seq: 0, slot: 191 },
        { seq: 0, slot: 2 ** 30 },
      ],
    }),
    one('a slot without a page', 'edge', {
      rows: [
        { seq: 0, slot: 64 },
        { seq: 0, slot: 130 },
        { seq: 0, slot: 1 },
      ],
      owned: [1],
    }),
    one('sequence out of range', 'edge', {
      rows: [
        { seq: -2, slot: 1 },
        { seq: 9, slot: 1 },
      ],
      owned: [1, 1],
    }),
    one('large positions', 'edge', { rows: run(0, 2, 2, 131071) }),
    one('smallest head', 'edge', { rows: run(0, 2, 2), h: 1, g: 1, d: 2 }),
    one('odd half of a head', 'edge', { rows: run(0, 2, 3), h: 3, g: 1, d: 38, dtype: 'bf16' }),
    one('large eps', 'edge', { rows: run(0, 2, 3), eps: 1 }),
    one('no rows', 'edge', { rows: [] }),
    one('some live rows', 'edge', { rows: run(0, 60, 9), live: 5 }),
    one('live rows and split', 'edge', { rows: run(0, 60, 9), live: 5, split: 3, dtype: 'bf16' }),
    one('no live rows', 'edge', { rows: run(0, 60, 2), live: 0 }),
    one('16 rows of the 7B model', 'perf', { rows: run(0, 100, 16), h: 28, g: 4, d: 128, dtype: 'bf16', width: 64 }),
    one('4096 image tokens of the 7B model', 'perf', {
      rows: run(0, 0, 4096, 7),
      h: 28,
      g: 4,
      d: 128,
      dtype: 'bf16',
      width: 64,
      split: 1,
    }),
  ],
  oracle({ operands, attributes }) {
    const qkv = operand(operands, 'qkv');
    const table = operand(operands, 'page_table');
    const k = operand(operands, 'k_cache');
    const v = operand(operands, 'v_cache');
    const [n = 0, columns = 0] = qkv.shape;
    const [pages = 0, g = 0, d = 0] = k.shape;
    const [batch = 0, width = 0] = table.shape;
    const h = columns / d - 2 * g;
    const eps = attributes.eps === undefined ? 1e-6 : real(attributes, 'eps');
    const live = operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
    const split = operands.split ? Number(operands.split.data[0]) : n;
    const angles = operand(operands, 'rope').data;
    const q = new Float64Array(n * h * d);
    const kOut = Float64Array.from(k.data);
    const vOut = Float64Array.from(v.data);
    for (let i = 0; i < live; i++) {
      const head = (index: number, kind: 'q_norm' | 'k_norm') => {
        const weight = operands[i < split ? kind : `${kind}_gen`]?.data;
        const x = qkv.data.subarray(i * columns + index * d, i * columns + (index + 1) * d);
        let squares = 0;
        for (const value of x) squares += value * value;
        const root = Math.sqrt(squares / d + eps);
        const y = Array.from(x, (value, c) => (weight ? (value / root) * (weight[c] as number) : value));
        return y.map((value, c) => {
          const pair = c < d / 2 ? -(y[c + d / 2] as number) : (y[c - d / 2] as number);
          return (
            value * (angles[i * d + (c % (d / 2))] as number) + pair * (angles[i * d + d / 2 + (c % (d / 2))] as number)
          );
        });
      };
      for (let j = 0; j < h; j++) q.set(head(j, 'q_norm'), (i * h + j) * d);
      const slot = Number(operand(operands, 'slots').data[i]);
      const seq = Math.max(0, Math.min(batch - 1, Number(operand(operands, 'seq').data[i])));
      if (slot < 0 || slot >= width * PAGE) continue;
      const page = Number(table.data[seq * width + Math.floor(slot / PAGE)]);
      if (page < 0 || page >= pages) continue;
      for (let j = 0; j < g; j++) {
        head(h + j, 'k_norm').forEach((value, c) => {
          kOut[keyIndex(k, page, j, c, slot)] = value;
          vOut[valueIndex(v, page, j, c, slot)] = qkv.data[i * columns + (h + g + j) * d + c] as number;
        });
      }
    }
    return {
      q: { shape: [n, h, d], data: q },
      k_cache: { shape: k.shape, data: kOut },
      v_cache: { shape: v.shape, data: vOut },
    };
  },
  exact: ['v_cache'],
  tolerance: { f32: 2e-6, bf16: 4e-3 },
};
