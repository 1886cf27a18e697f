import type { OpCases } from '../kit/cases.js';
import { between, counts, integer, normals, operand } from '../kit/cases.js';
import { keyIndex, PAGE, valueIndex } from '../kit/paged.js';

/** One sequence: committed length before the round, and the accepted nodes. */
interface Sequence {
  base: number;
  path: number[];
  accepted?: number;
}

interface Shape {
  layers?: number;
  g?: number;
  d?: number;
  dtype?: 'f32' | 'bf16';
  /** Page tables, where they are not what they should be. */
  table?: number[][];
  /** The pages below the root's are one page: nothing of them is read or written. */
  oneContextPage?: true;
  width?: number;
}

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  sequences: Sequence[],
  shape: Shape = {},
): OpCases['cases'][0] {
  const { layers = 3, g = 2, d = 8, dtype = 'f32', width = 16 } = shape;
  const b = sequences.length;
  const skipped = shape.oneContextPage ? Math.min(...sequences.map((s) => Math.floor(s.base / PAGE))) : 0;
  const owned = Math.max(...sequences.map((s) => Math.ceil((s.base + 128) / PAGE))) - skipped;
  const pages = b * owned + 1;
  return {
    name,
    tags: [tag],
    dims: { B: b, W: width, G: g, D: d, layers },
    build: (rng) => {
      const order = Array.from({ length: pages }, (_, i) => i);
      for (let i = pages - 1; i > 0; i--) {
        const j = between(rng, 0, i);
        [order[i], order[j]] = [order[j] as number, order[i] as number];
      }
      const table =
        shape.table ??
        Array.from({ length: b }, (_, s) => [
          ...new Array<number>(skipped).fill(order.at(-1) as number),
          ...order.slice(s * owned, (s + 1) * owned),
        ]);
      return {
        operands: {
          k_cache: normals(rng, dtype, [layers * pages, g, d, PAGE]),
          v_cache: normals(rng, dtype, [layers * pages, g, PAGE, d]),
          page_table: counts(table.flat(), [b, table[0]?.length ?? 0]),
          path: counts(
            sequences.flatMap((s) => Array.from({ length: width }, (_, i) => s.path[i] ?? -1)),
            [b, width],
          ),
          accepted: counts(sequences.map((s) => s.accepted ?? s.path.length)),
          slots: counts(sequences.map((s) => s.base + Math.min(Math.max(s.accepted ?? s.path.length, 0), width))),
        },
        attributes: { layers },
      };
    },
  };
}

export const cases: OpCases = {
  op: 'kv_commit',
  cases: [
    one('the first child of each: nothing moves', 'small', [{ base: 10, path: [0, 1, 2, 3] }]),
    one('a path with gaps', 'small', [{ base: 10, path: [0, 2, 3, 7] }]),
    one('bf16', 'small', [{ base: 10, path: [0, 1, 5, 6, 9] }], { dtype: 'bf16', d: 6 }),
    one('from one page to another', 'small', [{ base: 60, path: [0, 3, 4, 9, 15, 40] }]),
    one('a batch, some of it idle', 'small', [
      { base: 3, path: [0, 2] },
      { base: 70, path: [] },
      { base: 64, path: [0] },
      { base: 0, path: [0, 5, 11] },
    ]),
    one('one layer, one head', 'edge', [{ base: 1, path: [0, 4, 5] }], { layers: 1, g: 1, d: 2 }),
    one('to the end of a page', 'edge', [{ base: 127, path: [0, 64, 127] }]),
    one('128 nodes', 'edge', [{ base: 33, path: Array.from({ length: 64 }, (_, i) => 2 * i) }], { width: 128 }),
    one('counts out of range', 'edge', [
      { base: 5, path: [0, 2, 4], accepted: -4 },
      { base: 5, path: Array.from({ length: 16 }, (_, i) => i + (i > 0 ? 1 : 0)), accepted: 99 },
    ]),
    one('a path that goes back', 'edge', [{ base: 5, path: [0, 3, 1, 2, 6] }]),
    one('nodes outside the pages', 'edge', [{ base: 5, path: [0, 2 ** 30, -7, 300, 8] }]),
    one('pages that are none', 'edge', [{ base: 60, path: [0, 2, 3, 9, 20] }], { table: [[1, -1, 2 ** 30]] }),
    // the slots before the tree only change addresses
    ...[
      [16, 1024],
      [64, 1024],
      [128, 1024],
      [64, 64],
      [64, 8192],
    ].map(([nodes = 0, base = 0]) =>
      one(
        `${nodes} nodes of the 7B model, ${base} slots before them`,
        'perf',
        [{ base, path: [0, 2, 5, 9, nodes / 2, nodes - 1] }],
        { layers: 28, g: 4, d: 128, dtype: 'bf16', oneContextPage: true },
      ),
    ),
  ],
  oracle({ operands, attributes }) {
    const k = operand(operands, 'k_cache');
    const v = operand(operands, 'v_cache');
    const layers = integer(attributes, 'layers');
    const [x = 0, g = 0, d = 0] = k.shape;
    const pages = x / layers;
    const [b = 0, p = 0] = operand(operands, 'page_table').shape;
    const [, width = 0] = operand(operands, 'path').shape;
    const keys = Float64Array.from(k.data);
    const values = Float64Array.from(v.data);
    const at = (name: string, i: number) => operand(operands, name).data[i] as number;
    const page = (s: number, slot: number) => {
      const entry = slot < 0 || slot >= p * PAGE ? -1 : at('page_table', s * p + Math.floor(slot / PAGE));
      return entry < pages ? entry : -1;
    };
    for (let s = 0; s < b; s++) {
      const count = Math.min(Math.max(at('accepted', s), 0), width);
      const base = at('slots', s) - count;
      for (let j = 1; j < count; j++) {
        const node = at('path', s * width + j);
        const [from, to] = [page(s, base + node), page(s, base + j)];
        if (node < j || from < 0 || to < 0) continue;
        for (let layer = 0; layer < layers; layer++) {
          for (let head = 0; head < g; head++) {
            for (let c = 0; c < d; c++) {
              keys[keyIndex(k, layer * pages + to, head, c, base + j)] = keys[
                keyIndex(k, layer * pages + from, head, c, base + node)
              ] as number;
              values[valueIndex(v, layer * pages + to, head, c, base + j)] = values[
                valueIndex(v, layer * pages + from, head, c, base + node)
              ] as number;
            }
          }
        }
      }
    }
    return { k_cache: { shape: k.shape, data: keys }, v_cache: { shape: v.shape, data: values } };
  },
  exact: ['k_cache', 'v_cache'],
};
