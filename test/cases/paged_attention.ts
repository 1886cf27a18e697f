import type { OpCase, OpCases, OpInputs, Rng } from '../kit/cases.js';
import { between, counts, normals, operand, real, seeded } from '../kit/cases.js';
import { fillSlot, keyIndex, PAGE, pagedCache, valueIndex } from '../kit/paged.js';

type Float = 'f32' | 'bf16';
interface Row {
  seq: number;
  visible: number;
  own?: [number, number];
  /** Set bits among the 128 of the row. */
  ancestors?: number[];
}
interface Shape {
  dtype?: Float;
  h?: number;
  g?: number;
  d?: number;
  rows: Row[];
  width?: number;
  forked?: number;
  live?: number;
  scale?: number;
  sampleRows?: number;
}

/** Does the row see the slot? The contract's words, one slot at a time. */
function sees(row: Row, slot: number): boolean {
  if (slot < row.visible) return true;
  if (!row.own || slot < row.own[0] || slot >= row.own[1]) return false;
  return !row.ancestors || row.ancestors.includes(slot - row.own[0]);
}

function seenSlots(row: Row, slots: number): number[] {
  return Array.from({ length: slots }, (_, slot) => slot).filter((slot) => sees(row, slot));
}

function one(name: string, tag: 'small' | 'edge' | 'perf', s: Shape): OpCase {
  const { h = 4, g = 2, d = 16, width = 3, dtype = 'f32', rows } = s;
  const sequences = Math.max(0, ...rows.map((r) => r.seq)) + 1;
  const build = (rng: Rng): OpInputs => {
    const clampedSeq = (r: Row) => Math.max(0, Math.min(sequences - 1, r.seq));
    const owned = Array.from({ length: sequences }, (_, b) => {
      const seen = rows.filter((r) => clampedSeq(r) === b).flatMap((r) => seenSlots(r, width * PAGE));
      return Math.ceil((seen.reduce((a, v) => Math.max(a, v), -1) + 1) / PAGE);
    });
    const cache = pagedCache(rng, { dtype, g, d, owned, width, ...(s.forked ? { forked: s.forked } : {}) });
    for (const row of rows.slice(0, s.live === undefined ? rows.length : Math.max(0, s.live))) {
      for (const slot of seenSlots(row, width * PAGE)) fillSlot(rng, cache, clampedSeq(row), slot);
    }
    const words = (r: Row) => {
      const list = new Int32Array(4);
      for (const bit of r.ancestors ?? []) list[bit >> 5] = (list[bit >> 5] as number) | (1 << (bit & 31));
      return [...list];
    };
    return {
      operands: {
        q: normals(rng, dtype, [rows.length, h, d]),
        k_cache: cache.kCache,
        v_cache: cache.vCache,
        page_table: cache.pageTable,
        seq: counts(rows.map((r) => r.seq)),
        visible: counts(rows.map((r) => r.visible)),
        ...(rows.some((r) => r.own)
          ? {
              own: counts(
                rows.flatMap((r) => r.own ?? [0, 0]),
                [rows.length, 2],
              ),
            }
          : {}),
        ...(rows.some((r) => r.ancestors) ? { ancestors: counts(rows.flatMap(words), [rows.length, 4]) } : {}),
        ...(s.live === undefined ? {} : { rows: counts([s.live]) }),
      },
      attributes: { scale: s.scale ?? 1 / Math.sqrt(d) },
    };
  };
  const sampled = s.sampleRows === undefined ? {} : { sampleRows: s.sampleRows };
  return { name, tags: [tag], dims: { N: rows.length, H: h, G: g, D: d, B: sequences, P: width }, build, ...sampled };
}

/** Rows of one sequence from `start`, each seeing itself and what is before it. */
function causal(seq: number, start: number, n: number): Row[] {
  return Array.from({ length: n }, (_, i) => ({ seq, visible: start + i + 1 }));
}

/** Rows of one sequence that see `context` slots and each other. */
function full(seq: number, context: number, n: number): Row[] {
  return Array.from({ length: n }, () => ({ seq, visible: context, own: [context, context + n] as [number, number] }));
}

/** A tree of rows by their parents (-1: the root's), each seeing the context, its ancestors and itself. */
function tree(seq: number, context: number, parents: number[]): Row[] {
  return parents.map((_, i) => {
    const ancestors: number[] = [];
    for (let at = i; at >= 0; at = parents[at] as number) ancestors.push(at);
    return { seq, visible: context, own: [context, context + parents.length] as [number, number], ancestors };
  });
}

const bushy = [-1, 0, 0, 1, 1, 2, 2, 3, 5, 5, 8];

/** Parents of 64 nodes, each a random earlier one. */
const grown = (() => {
  const rng = seeded(64);
  return Array.from({ length: 64 }, (_, i) => (i === 0 ? -1 : between(rng, 0, i - 1)));
})();

/** A q with one value that is not finite. */
function withSpecial(value: number): OpCase {
  const plain = one(`a row with ${value}`, 'edge', { rows: causal(0, 40, 3) });
  const build = (rng: Rng): OpInputs => {
    const inputs = plain.build(rng);
    operand(inputs.operands, 'q').data[70] = value;
    return inputs;
  };
  return { ...plain, build };
}

/** A cache without pages, or a table without sequences: rows that ask for slots get zeros. */
function withEmpty(name: 'no pages' | 'no sequences'): OpCase {
  const plain = one(name, 'edge', { rows: causal(0, 5, 3) });
  const build = (rng: Rng): OpInputs => {
    const { operands, attributes } = plain.build(rng);
    const emptied = name === 'no pages' ? ['k_cache', 'v_cache'] : ['page_table'];
    for (const key of emptied) {
      const full = operand(operands, key);
      operands[key] = { ...full, shape: [0, ...full.shape.slice(1)], data: full.data.slice(0, 0) };
    }
    return { operands, attributes };
  };
  return { ...plain, build };
}

export const cases: OpCases = {
  op: 'paged_attention',
  cases: [
    one('decode', 'small', { rows: causal(0, 70, 1) }),
    one('prefill', 'small', { rows: causal(0, 0, 30) }),
    one('bf16 prefill after a context', 'small', { rows: causal(0, 50, 30), dtype: 'bf16', h: 6, g: 2, d: 32 }),
    one('full', 'small', { rows: full(0, 20, 20) }),
    one('full without context', 'small', { rows: full(0, 0, 33), dtype: 'bf16' }),
    one('tree', 'small', { rows: tree(0, 61, bushy) }),
    one('bf16 tree', 'small', { rows: tree(0, 100, bushy), dtype: 'bf16', h: 7, g: 1, d: 64 }),
    one('ragged batch', 'small', {
      rows: [...causal(0, 10, 3), ...causal(1, 129, 2), ...full(2, 5, 7), ...causal(0, 30, 2), ...tree(3, 0, bushy)],
    }),
    one('fork that shares a page', 'small', { rows: [...causal(0, 90, 2), ...causal(1, 100, 3)], forked: 1 }),
    one('heads of 128', 'small', { rows: causal(0, 60, 9), h: 14, g: 2, d: 128, dtype: 'bf16' }),
    one('64 rows', 'small', { rows: full(0, 100, 64), h: 8, g: 2, d: 48, width: 4 }),
    // so many heads that on a card a block takes all spans of its rows
    one('72 heads of 72, three spans', 'edge', {
      rows: causal(0, 258, 2),
      h: 72,
      g: 72,
      d: 72,
      dtype: 'bf16',
      width: 5,
    }),
    // more slots and rows than the cpu takes at once, the second range from the middle of a page on
    ...(['f32', 'bf16'] as const).map((dtype) =>
      one(`40 rows over 840 slots, ${dtype}`, 'edge', { rows: full(0, 800, 40), width: 14, h: 4, g: 2, d: 72, dtype }),
    ),
    one('no context', 'edge', { rows: [{ seq: 0, visible: 0 }] }),
    one('no context beside some', 'edge', {
      rows: [{ seq: 1, visible: 0 }, ...causal(0, 3, 2), { seq: 0, visible: 0 }],
    }),
    one('one slot', 'edge', { rows: causal(0, 0, 1), h: 1, g: 1, d: 1 }),
    one('whole pages', 'edge', {
      rows: [
        { seq: 0, visible: 64 },
        { seq: 0, visible: 128 },
        { seq: 0, visible: 192 },
      ],
    }),
    one('visible out of range', 'edge', {
      rows: [
        { seq: 0, visible: 1000 },
        { seq: 0, visible: -3 },
      ],
    }),
    one('own out of range', 'edge', {
      rows: [
        { seq: 0, visible: 5, own: [150, 5000] },
        { seq: 0, visible: 5, own: [-9, 12] },
        { seq: 0, visible: 5, own: [40, 30] },
        { seq: 0, visible: 5, own: [1000, 2000] },
      ],
    }),
    one('own begins among the visible', 'edge', {
      rows: [
        { seq: 0, visible: 10, own: [4, 20] },
        { seq: 0, visible: 10, own: [4, 20], ancestors: [0, 5, 6, 8, 11, 15] },
      ],
    }),
    one('sequence out of range', 'edge', {
      rows: [
        { seq: -4, visible: 9 },
        { seq: 1, visible: 7 },
        { seq: 0, visible: 8 },
      ],
    }),
    one('tree without context and without ancestors', 'edge', {
      rows: [
        { seq: 0, visible: 0, own: [0, 4], ancestors: [0] },
        { seq: 0, visible: 0, own: [0, 4], ancestors: [] },
        { seq: 0, visible: 0, own: [0, 4], ancestors: [3] },
      ],
    }),
    one('own range far from the context', 'edge', {
      rows: [
        { seq: 0, visible: 3, own: [140, 150] },
        { seq: 0, visible: 3, own: [141, 150] },
      ],
    }),
    one('tree of 128 rows', 'edge', {
      rows: tree(
        0,
        30,
        Array.from({ length: 128 }, (_, i) => (i ? Math.floor((i - 1) / 2) : -1)),
      ),
    }),
    one('own range longer than the ancestor bits', 'edge', {
      rows: [{ seq: 0, visible: 2, own: [2, 190], ancestors: [0, 64, 127] }],
    }),
    one('odd head width', 'edge', { rows: causal(0, 20, 5), d: 19, h: 3, g: 3 }),
    one('bf16 odd head width', 'edge', { rows: causal(0, 20, 5), d: 9, h: 5, g: 1, dtype: 'bf16' }),
    one('no rows', 'edge', { rows: [] }),
    one('some live rows', 'edge', { rows: [...causal(0, 20, 9), ...causal(1, 5, 9)], live: 11 }),
    one('live rows of a tree', 'edge', { rows: tree(0, 20, bushy), live: 6, dtype: 'bf16' }),
    one('no live rows', 'edge', { rows: causal(0, 20, 3), live: 0 }),
    one('large scores', 'edge', { rows: causal(0, 90, 3), scale: 4 }),
    withEmpty('no pages'),
    withEmpty('no sequences'),
    withSpecial(Number.NaN),
    one('long context', 'edge', { rows: causal(0, 1500, 2), width: 24, h: 2, g: 1 }),
    one('decode of the 7B model, 4096 slots', 'perf', {
      rows: causal(0, 4095, 1),
      width: 64,
      h: 28,
      g: 4,
      d: 128,
      dtype: 'bf16',
    }),
    one('16 rows of the 7B model, 4096 slots', 'perf', {
      rows: causal(0, 4080, 16),
      width: 64,
      h: 28,
      g: 4,
      d: 128,
      dtype: 'bf16',
      sampleRows: 2,
    }),
    one('256 image tokens of the 7B model, 1024 slots before them', 'perf', {
      rows: full(0, 1024, 256),
      width: 20,
      h: 28,
      g: 4,
      d: 128,
      dtype: 'bf16',
      sampleRows: 2,
    }),
    ...(['f32', 'bf16'] as const).map((dtype) =>
      one(`a tree of 64 nodes over 2048 slots, 8 heads, ${dtype}`, 'perf', {
        rows: tree(0, 1984, grown),
        width: 32,
        h: 8,
        g: 8,
        d: 128,
        dtype,
        sampleRows: 3,
      }),
    ),
    ...[16, 64, 128].flatMap((nodes) =>
      [64, 1024, 8192].map((context) =>
        one(`a tree of ${nodes} nodes of the 7B model, ${context} slots before it`, 'perf', {
          rows: tree(
            0,
            context,
            Array.from({ length: nodes }, (_, i) => (i === 0 ? -1 : Math.floor((i - 1) / 3))),
          ),
          width: context / PAGE + 2,
          h: 28,
          g: 4,
          d: 128,
          dtype: 'bf16',
          sampleRows: 2,
        }),
      ),
    ),
  ],
  oracle({ operands, attributes }) {
    const q = operand(operands, 'q');
    const k = operand(operands, 'k_cache');
    const v = operand(operands, 'v_cache');
    const table = operand(operands, 'page_table');
    const [n = 0, h = 0, d = 0] = q.shape;
    const [batch = 0, width = 0] = table.shape;
    const group = h / (k.shape[1] as number);
    const live = operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
    const out = new Float64Array(n * h * d);
    for (let i = 0; i < (k.shape[0] && batch ? live : 0); i++) {
      const seq = Math.max(0, Math.min(batch - 1, Number(operand(operands, 'seq').data[i])));
      const row: Row = { seq, visible: Number(operand(operands, 'visible').data[i]) };
      if (operands.own) row.own = [Number(operands.own.data[2 * i]), Number(operands.own.data[2 * i + 1])];
      if (operands.ancestors) {
        const words = operands.ancestors.data.subarray(4 * i, 4 * i + 4);
        const bits = Array.from({ length: 128 }, (_, bit) => bit);
        row.ancestors = bits.filter((bit) => (Number(words[bit >> 5]) >> (bit & 31)) & 1);
      }
      const slots = seenSlots(row, width * PAGE);
      const page = (slot: number) => Number(table.data[seq * width + Math.floor(slot / PAGE)]);
      for (let head = 0; head < h; head++) {
        const g = Math.floor(head / group);
        const at = (i * h + head) * d;
        const scores = slots.map((slot) => {
          let dot = 0;
          for (let c = 0; c < d; c++) {
            dot += (q.data[at + c] as number) * (k.data[keyIndex(k, page(slot), g, c, slot)] as number);
          }
          return dot * real(attributes, 'scale');
        });
        const max = scores.reduce((a, s) => Math.max(a, s), Number.NEGATIVE_INFINITY);
        const weights = scores.map((s) => Math.exp(s - max));
        const sum = weights.reduce((a, w) => a + w, 0);
        slots.forEach((slot, s) => {
          for (let c = 0; c < d; c++) {
            const value = v.data[valueIndex(v, page(slot), g, c, slot)] as number;
            out[at + c] = (out[at + c] as number) + ((weights[s] as number) / sum) * value;
          }
        });
      }
    }
    return { out: { shape: [n, h, d], data: out } };
  },
  tolerance: { f32: 1e-5, bf16: 4e-3 },
  // half a step of the output, and weights that are rounded before they meet the values
  deviceTolerance: { f32: 1e-5, bf16: 8e-3 },
};
