import type { OpCases } from '../kit/cases.js';
import { between, counts, normals, operand, values } from '../kit/cases.js';

interface Sequence {
  penalty: number;
  history: number[];
  count?: number;
  /** [token, parent] of the rows of its tree. */
  tree: [number, number][];
}

const LENGTH = 10;

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  v: number,
  sequences: Sequence[],
  { tree = true, rows, first }: { tree?: boolean; rows?: number; first?: number[] } = {},
): OpCases['cases'][0] {
  const list = sequences.flatMap((s, b) => s.tree.map(([token, parent]) => ({ token, parent, b })));
  let row = 0;
  const starts = [0, ...sequences.map((s) => (row += s.tree.length))];
  const b = sequences.length;
  return {
    name,
    tags: [tag],
    dims: { N: list.length, V: v, B: b, L: LENGTH },
    build: (rng) => ({
      operands: {
        logits: normals(rng, 'f32', [list.length, v], { scale: 3 }),
        penalty: values(
          'f32',
          [b],
          sequences.map((s) => s.penalty),
        ),
        history: counts(
          sequences.flatMap((s) => Array.from({ length: LENGTH }, (_, i) => s.history[i] ?? between(rng, 0, v - 1))),
          [b, LENGTH],
        ),
        count: counts(sequences.map((s) => s.count ?? s.history.length)),
        seq: counts(list.map((r) => r.b)),
        ...(tree
          ? {
              token: counts(list.map((r) => r.token)),
              parent: counts(list.map((r) => r.parent)),
              first: counts(first ?? starts),
            }
          : {}),
        ...(rows === undefined ? {} : { rows: counts([rows]) }),
      },
      attributes: {},
    }),
  };
}

const tree: [number, number][] = [
  [3, -1],
  [5, 0],
  [6, 1],
  [7, 1],
  [5, 0],
  [9, 4],
];

const rowsOf = (data: Float64Array, rows: readonly number[], width: number) =>
  Float64Array.from(rows.flatMap((row) => Array.from(data.subarray(row * width, (row + 1) * width))));

export const cases: OpCases = {
  op: 'penalize',
  cases: [
    one('a history', 'small', 20, [{ penalty: 1.3, history: [4, 9, 4, 1], tree: [[1, -1]] }], { tree: false }),
    one('a tree', 'small', 20, [{ penalty: 1.3, history: [4, 9, 4, 3], tree }]),
    one('a reward', 'small', 20, [{ penalty: 0.7, history: [4, 9, 4, 3], tree }]),
    one('ragged trees', 'small', 20, [
      { penalty: 2, history: [1, 3], tree },
      { penalty: 1, history: [1, 3], tree: [[3, -1]] },
      { penalty: 1.1, history: [], tree },
    ]),
    one('penalties that are none', 'edge', 20, [
      { penalty: 0, history: [1, 3], tree },
      { penalty: -1, history: [1, 3], tree },
      { penalty: Number.NaN, history: [1, 3], tree },
    ]),
    one('tokens out of range', 'edge', 8, [
      {
        penalty: 2,
        history: [-1, 8, 2 ** 30, 2],
        tree: [
          [-5, -1],
          [2 ** 30, 0],
          [-9, 1],
          [7, 2],
        ],
      },
    ]),
    one('counts out of range', 'edge', 20, [
      { penalty: 2, history: [1, 2, 3], count: -2, tree: [[1, -1]] },
      { penalty: 2, history: [1, 2, 3], count: 100, tree: [[1, -1]] },
    ]),
    one('parents that are none', 'edge', 20, [
      {
        penalty: 2,
        history: [],
        tree: [
          [1, -1],
          [2, 1],
          [3, 9],
          [4, -7],
          [5, 3],
        ],
      },
    ]),
    one('some live rows', 'edge', 20, [{ penalty: 2, history: [1], tree }], { rows: 3 }),
    one('no live rows', 'edge', 20, [{ penalty: 2, history: [1], tree }], { rows: 0 }),
    one('rows that start nowhere', 'edge', 20, [{ penalty: 2, history: [1], tree }], { first: [-4, 2 ** 30] }),
    one('152064 tokens', 'perf', 152064, [{ penalty: 1.2, history: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], tree }]),
  ],
  oracle({ operands }) {
    const logits = operand(operands, 'logits');
    const [n = 0, v = 0] = logits.shape;
    const batch = operand(operands, 'penalty').data.length;
    const live = operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
    const out = Float64Array.from(logits.data);
    const at = (name: string, i: number) => operand(operands, name).data[i] as number;
    for (let row = 0; row < live; row++) {
      const b = Math.min(Math.max(at('seq', row), 0), batch - 1);
      const penalty = at('penalty', b);
      if (!(penalty > 0) || penalty === 1) continue;
      const seen = new Set<number>();
      for (let i = 0; i < Math.min(Math.max(at('count', b), 0), LENGTH); i++) seen.add(at('history', b * LENGTH + i));
      if (operands.token && at('first', b) >= 0) {
        let node = row;
        for (;;) {
          const parent = at('parent', node);
          const up = at('first', b) + parent;
          if (parent < 0 || up >= node) break; // the root, whose token is part of the history
          seen.add(at('token', node));
          node = up;
        }
      }
      for (const token of seen) {
        if (token < 0 || token >= v) continue;
        const x = out[row * v + token] as number;
        out[row * v + token] = Math.fround(x > 0 ? x / penalty : x * penalty);
      }
    }
    return { logits: { shape: [n, v], data: out } };
  },
  tolerance: { f32: 1e-6, bf16: 1e-2 },
  alone(inputs, row) {
    const { token, parent, first, seq, logits, ...rest } = inputs.operands;
    if (!logits || !seq) return null;
    const v = logits.shape[1] ?? 0;
    const b = Number(seq.data[row]);
    const start = first ? Number(first.data[b]) : 0;
    // the rows on its path, as a chain; a tree with parents that are none has to stay whole
    const path = [row];
    while (parent) {
      const up = Number(parent.data[path[0] as number]);
      if (up < 0) break;
      if (start < 0 || start + up >= (path[0] as number)) return null;
      path.unshift(start + up);
    }
    const pick = (operand: typeof seq) => counts(path.map((r) => Number(operand.data[r])));
    const { rows: _, ...others } = rest;
    return {
      inputs: {
        ...inputs,
        operands: {
          ...others,
          logits: { ...logits, shape: [path.length, v], data: rowsOf(logits.data as Float64Array, path, v) },
          seq: pick(seq),
          ...(token && first && parent
            ? {
                token: pick(token),
                parent: counts(path.map((_, i) => i - 1)),
                first: counts(Array.from(first.data, (_, s) => (s > b ? path.length : 0))),
              }
            : {}),
        },
      },
      row: path.length - 1,
    };
  },
};
