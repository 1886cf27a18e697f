import type { OpCases, Rng } from '../kit/cases.js';
import { between, counts, integer, operand } from '../kit/cases.js';

/** One sequence: its tree as [token, parent, target]; no rows when it has finished. */
interface Sequence {
  tree: [number, number, number][];
  limit?: number;
  output?: number;
  finished?: 0 | 1 | 2;
  stop?: number[];
}

function inputs(sequences: Sequence[], width: number, first?: number[]) {
  const rows = sequences.flatMap((s) => s.tree);
  const b = sequences.length;
  const k = Math.max(1, ...sequences.map((s) => s.stop?.length ?? 0));
  const each = (pick: (s: Sequence, i: number) => number) => counts(sequences.map(pick));
  let row = 0;
  const starts = [0, ...sequences.map((s) => (row += s.tree.length))];
  return {
    operands: {
      target: counts(rows.map((r) => r[2])),
      token: counts(rows.map((r) => r[0])),
      parent: counts(rows.map((r) => r[1])),
      first: counts(first ?? starts),
      stop: counts(
        sequences.flatMap((s) => Array.from({ length: k }, (_, i) => s.stop?.[i] ?? -1)),
        [b, k],
      ),
      limit: each((s) => s.limit ?? 100),
      tokens: each((_, i) => 900 + i),
      positions: each((_, i) => 10 * i + 2),
      slots: each((_, i) => 64 * i + 5),
      output: each((s) => s.output ?? 3),
      finished: each((s) => s.finished ?? 0),
      history: counts(
        Array.from({ length: 12 * b }, (_, i) => -i),
        [b, 12],
      ),
    },
    attributes: { width },
  };
}

function one(name: string, tag: 'small' | 'edge' | 'perf', sequences: Sequence[], width = 16, first?: number[]) {
  return {
    name,
    tags: [tag] as ('small' | 'edge' | 'perf')[],
    dims: { B: sequences.length, N: sequences.reduce((n, s) => n + s.tree.length, 0) },
    build: () => inputs(sequences, width, first),
  };
}

/** A random tree whose targets follow a child more often than not. */
function random(rng: Rng, n: number): [number, number, number][] {
  const tree: [number, number, number][] = [[7, -1, 0]];
  while (tree.length < n) {
    const parent = between(rng, Math.max(0, tree.length - 4), tree.length - 1);
    const taken = tree.filter((node) => node[1] === parent).map((node) => node[0]);
    const token = between(rng, 0, 6);
    if (taken.includes(token) && taken.length < 7) continue;
    tree.push([taken.includes(token) ? 100 + tree.length : token, parent, 0]);
  }
  tree.forEach((node, i) => {
    const children = tree.filter((child) => child[1] === i);
    node[2] = rng() < 0.85 && children.length > 0 ? (children[between(rng, 0, children.length - 1)]?.[0] ?? 0) : 55;
  });
  return tree;
}

const ragged = (name: string, tag: 'small' | 'edge' | 'perf', sizes: number[], width = 128) => ({
  name,
  tags: [tag] as ('small' | 'edge' | 'perf')[],
  dims: { B: sizes.length, N: sizes.reduce((a, b) => a + b, 0) },
  build: (rng: Rng) =>
    inputs(
      sizes.map((n, i) => ({
        tree: n === 0 ? [] : random(rng, n),
        output: i,
        limit: 6 + 3 * i,
        stop: [i % 3 ? 6 : -1],
      })),
      width,
    ),
});

const fork: [number, number, number][] = [
  [9, -1, 4],
  [3, 0, 8],
  [8, 1, 1],
  [4, 0, 5],
  [5, 3, 6],
];

export const cases: OpCases = {
  op: 'tree_verify',
  cases: [
    one('plain steps', 'small', [{ tree: [[1, -1, 5]] }, { tree: [[2, -1, 6]] }], 1),
    one('a path is accepted', 'small', [{ tree: fork }]),
    one('nothing is accepted', 'small', [{ tree: fork.map(([t, p]) => [t, p, 77]) }]),
    one('a stop token on the path', 'small', [{ tree: fork, stop: [2, 5] }]),
    one('a stop token at once', 'edge', [{ tree: fork, stop: [4] }]),
    one('the limit on the path', 'small', [{ tree: fork, output: 3, limit: 5 }]),
    one('a stop token at the limit', 'edge', [{ tree: fork, output: 3, limit: 5, stop: [5] }]),
    one('a limit of nothing', 'edge', [{ tree: fork, limit: 0 }]),
    one('the path is cut to the width', 'edge', [{ tree: fork }], 2),
    one('finished sequences', 'edge', [
      { tree: [], finished: 1 },
      { tree: fork },
      { tree: [], finished: 2 },
      { tree: [[1, -1, 2]], finished: 1 },
    ]),
    one('twins: the first counts', 'edge', [
      {
        tree: [
          [9, -1, 4],
          [4, 0, 1],
          [4, 0, 2],
        ],
      },
    ]),
    one('parents that are none', 'edge', [
      {
        tree: [
          [9, -1, 4],
          [4, 1, 1],
          [4, 7, 1],
          [4, -5, 1],
        ],
      },
    ]),
    one('rows out of range', 'edge', [{ tree: fork }, { tree: fork }], 16, [-3, 5, 2 ** 30]),
    one('rows in the wrong order', 'edge', [{ tree: fork }, { tree: fork }], 16, [7, 2, 4]),
    one('beyond the history', 'edge', [
      { tree: fork, output: 10 },
      { tree: fork, output: -2 },
    ]),
    ragged('random trees', 'small', [20, 0, 40, 7, 1, 64, 30]),
    ragged('128 nodes', 'perf', [128]),
    ragged('64 nodes', 'perf', [64]),
    ragged('16 nodes', 'perf', [16]),
  ],
  oracle({ operands, attributes }) {
    const at = (name: string, i: number) => operand(operands, name).data[i] as number;
    const width = integer(attributes, 'width');
    const b = operand(operands, 'limit').data.length;
    const n = operand(operands, 'target').data.length;
    const [, k = 0] = operand(operands, 'stop').shape;
    const [, kept = 0] = operand(operands, 'history').shape;
    const names = ['tokens', 'positions', 'slots', 'output', 'finished', 'history'];
    const state = Object.fromEntries(
      names.map((name) => [name, Float64Array.from(operand(operands, name).data)]),
    ) as Record<string, Float64Array>;
    const get = (name: string, i: number) => (state[name] as Float64Array)[i] as number;
    const put = (name: string, i: number, value: number) => {
      (state[name] as Float64Array)[i] = value | 0; // counters wrap
    };
    const accepted: number[] = [];
    const path: number[] = [];
    const event: number[] = [];
    for (let s = 0; s < b; s++) {
      const start = Math.min(Math.max(at('first', s), 0), n);
      const end = Math.min(Math.max(at('first', s + 1), start), n);
      const before = get('output', s);
      const walk: number[] = [];
      const given: number[] = [];
      let node: number | undefined = get('finished', s) === 0 && end > start ? 0 : undefined;
      while (node !== undefined && walk.length < width) {
        const token = at('target', start + node);
        walk.push(node);
        given.push(token);
        if (token >= 0 && Array.from({ length: k }, (_, i) => at('stop', s * k + i)).includes(token)) {
          put('finished', s, 1);
          break;
        }
        const output = get('output', s);
        if (output >= 0 && output < kept) put('history', s * kept + output, token);
        put('output', s, output + 1);
        if (get('output', s) >= at('limit', s)) {
          put('finished', s, 2);
          break;
        }
        const from: number = node;
        node = Array.from({ length: end - start }, (_, i) => i).find(
          (i) => i > from && at('parent', start + i) === from && at('token', start + i) === token,
        );
      }
      put('positions', s, get('positions', s) + walk.length);
      put('slots', s, get('slots', s) + walk.length);
      if (get('finished', s) === 0 && given.length > 0) put('tokens', s, given.at(-1) as number);
      const filled = (list: number[]) => Array.from({ length: width }, (_, i) => list[i] ?? -1);
      accepted.push(walk.length);
      path.push(...filled(walk));
      event.push(walk.length, before, get('finished', s), end - start, ...filled(given));
    }
    return {
      ...Object.fromEntries(
        names.map((name) => [name, { shape: operand(operands, name).shape, data: state[name] as Float64Array }]),
      ),
      path: { shape: [b, width], data: Float64Array.from(path) },
      accepted: { shape: [b], data: Float64Array.from(accepted) },
      event: { shape: [b, 4 + width], data: Float64Array.from(event) },
    };
  },
};
