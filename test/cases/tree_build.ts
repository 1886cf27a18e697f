import type { OpCases, Rng } from '../kit/cases.js';
import { between, counts, values } from '../kit/cases.js';
import { treeBuildOracle } from '../kit/tree-build-oracle.js';

/** One sequence: its candidates as [token, parent, value]. */
interface Sequence {
  candidates: [number, number, number][];
  budget?: number;
  limit?: number;
  output?: number;
  slot?: number;
  capacity?: number;
  finished?: number;
  count?: number;
  /** Of a second drafter. */
  more?: [number, number, number][];
  moreCount?: number;
  /** Tokens of the answer, and how many of them the candidates come after. */
  history?: number[];
  since?: number;
}

/** Columns of histories in these cases: with `output` beyond them nothing is known. */
const KEPT = 160;

const VOCABULARY = 50;

function one(name: string, tag: 'small' | 'edge' | 'perf', sequences: Sequence[], rows: number): OpCases['cases'][0] {
  return {
    name,
    tags: [tag],
    dims: { B: sequences.length, N: rows },
    build: () => inputs(sequences, rows),
  };
}

function inputs(sequences: Sequence[], rows: number) {
  const b = sequences.length;
  const tables = (
    prefix: string,
    pick: (s: Sequence) => [number, number, number][],
    count: (s: Sequence) => number,
  ) => {
    const c = Math.max(0, ...sequences.map((s) => pick(s).length));
    const table = (at: 0 | 1 | 2) =>
      sequences.flatMap((s) => Array.from({ length: c }, (_, i) => pick(s)[i]?.[at] ?? (at === 2 ? 9 : 2 ** 30)));
    return {
      [`${prefix}tokens`]: counts(table(0), [b, c]),
      [`${prefix}parents`]: counts(table(1), [b, c]),
      [`${prefix}values`]: values('f32', [b, c], table(2)),
      [`${prefix}count`]: counts(sequences.map(count)),
    };
  };
  const two = sequences.some((s) => s.more);
  const goesOn = sequences.some((s) => s.history);
  const each = (pick: (s: Sequence, i: number) => number) => counts(sequences.map(pick));
  return {
    operands: {
      ...tables(
        '',
        (s) => s.candidates,
        (s) => s.count ?? s.candidates.length,
      ),
      ...(two
        ? tables(
            'more_',
            (s) => s.more ?? [],
            (s) => s.moreCount ?? s.more?.length ?? 0,
          )
        : {}),
      ...(goesOn
        ? {
            since: each((s) => s.since ?? s.output ?? 5),
            history: counts(
              sequences.flatMap((s) => Array.from({ length: KEPT }, (_, i) => s.history?.[i] ?? 2 ** 30)),
              [b, KEPT],
            ),
          }
        : {}),
      budget: each((s) => s.budget ?? 128),
      root: each((_, i) => 40 + i),
      root_position: each((_, i) => 7 * i + 3),
      root_slot: each((s) => s.slot ?? 30),
      output: each((s) => s.output ?? 5),
      limit: each((s) => s.limit ?? 1000),
      capacity: each((s) => s.capacity ?? 4096),
      finished: each((s) => s.finished ?? 0),
    },
    attributes: { capacity_rows: rows, vocabulary: VOCABULARY },
  };
}

/** Candidates of a random tree, few tokens and few values so that there are many ties and repeats. */
function random(rng: Rng, n: number, spoil = 0): [number, number, number][] {
  return Array.from({ length: n }, (_, i) => {
    const value = rng() < 0.1 ? -Infinity : -Math.floor(rng() * 6) / 2;
    const row: [number, number, number] = [between(rng, 0, 4), between(rng, -1, i - 1), value];
    if (rng() < spoil) row[between(rng, 0, 2)] = [Number.NaN, 60, -7, 2 ** 30][between(rng, 0, 3)] as number;
    if (Number.isNaN(row[0])) row[0] = -1;
    if (Number.isNaN(row[1])) row[1] = i;
    return row;
  });
}

function ragged(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  sizes: number[],
  rows: number,
  { spoil = 0, more = 0, goesOn = false }: { spoil?: number; more?: number; goesOn?: boolean } = {},
) {
  return {
    name,
    tags: [tag] as ('small' | 'edge' | 'perf')[],
    dims: { B: sizes.length, N: rows },
    build: (rng: Rng) =>
      inputs(
        sizes.map((n, i) => ({
          candidates: random(rng, n, spoil),
          ...(more > 0 ? { more: random(rng, more * (i + 1), spoil) } : {}),
          budget: n < 2 ? 1 : between(rng, 1, n + 3),
          output: goesOn ? i + (i % 3) : i,
          // few tokens, so that some paths are among the candidates
          ...(goesOn ? { since: i, history: Array.from({ length: 2 * n }, () => between(rng, 0, 2)) } : {}),
        })),
        rows,
      ),
  };
}

const branching: [number, number, number][] = [
  [3, -1, -1],
  [4, -1, -0.5],
  [5, 0, -1.25],
  [4, 0, -1.5],
  [6, 1, -0.75],
  [7, 3, -2],
  [8, 3, -1.75],
  [9, 5, -2.5],
];
const chain = (n: number): [number, number, number][] => Array.from({ length: n }, (_, i) => [i % 50, i - 1, -i / 9]);
const star = (n: number): [number, number, number][] => Array.from({ length: n }, (_, i) => [i % 50, -1, (i * 7) % 11]);

export const cases: OpCases = {
  op: 'tree_build',
  cases: [
    one('no candidates', 'small', [{ candidates: [] }, { candidates: [] }], 2),
    one(
      'best child first',
      'small',
      [
        {
          candidates: [
            [3, -1, -1],
            [4, -1, -0.5],
            [5, 0, -1.25],
            [6, 1, -0.75],
            [7, 1, -0.625],
            [8, 2, -2],
          ],
        },
      ],
      16,
    ),
    one('a chain', 'small', [{ candidates: chain(12) }], 16),
    one('the deepest chain', 'edge', [{ candidates: chain(127) }], 128),
    one('a chain that is too long', 'edge', [{ candidates: chain(200) }], 256),
    one('a star', 'small', [{ candidates: star(20), budget: 9 }], 16),
    one('the widest star', 'edge', [{ candidates: star(50) }], 128),
    one(
      'candidates of two drafters',
      'small',
      [
        {
          candidates: [
            [3, -1, -0.25],
            [4, 0, -0.5],
            [3, -1, -0.125],
            [4, 2, -0.25],
            [9, 3, -3],
            [8, 1, -0.75],
          ],
        },
      ],
      16,
    ),
    one(
      'a child worth more than its parent',
      'edge',
      [
        {
          candidates: [
            [1, -1, -2],
            [2, 0, 5],
            [3, -1, -1],
            [4, 2, Number.POSITIVE_INFINITY],
          ],
          budget: 3,
        },
      ],
      16,
    ),
    one(
      'limits',
      'edge',
      [
        { candidates: chain(9), limit: 8, output: 5 },
        { candidates: chain(9), limit: 5, output: 5 },
        { candidates: chain(9), slot: 60, capacity: 64 },
        { candidates: chain(9), slot: 64, capacity: 64 },
        { candidates: chain(9), budget: 0 },
        { candidates: chain(9), budget: -3 },
        { candidates: chain(9), finished: 1 },
        { candidates: chain(9), finished: 2 },
        { candidates: chain(9), count: -1 },
        { candidates: chain(9), count: 100 },
      ],
      64,
    ),
    one('few rows', 'edge', [{ candidates: chain(9) }, { candidates: chain(9) }, { candidates: star(9) }], 7),
    one('a row each', 'edge', [{ candidates: chain(9) }, { candidates: chain(9) }, { candidates: chain(2) }], 3),
    one('all finished', 'edge', [{ candidates: chain(3), finished: 1 }], 16),
    one(
      'parents that are none',
      'edge',
      [
        {
          candidates: [
            [1, 0, 0],
            [2, 2, 0],
            [3, 1, 0],
            [4, -2, 0],
            [5, -1, Number.NaN],
            [50, -1, 0],
            [-1, -1, 0],
            [6, 4, 0],
            [7, -1, -1],
          ],
        },
      ],
      16,
    ),
    ragged('random trees', 'small', [20, 0, 60, 7, 1], 200),
    ragged('random trees, few rows', 'small', [40, 40, 40], 50),
    ragged('hostile candidates', 'edge', [60, 60, 60], 200, { spoil: 0.3 }),
    ragged('two drafters', 'small', [20, 0, 9], 100, { more: 12 }),
    ragged('two drafters with hostile candidates', 'edge', [30, 30], 100, { more: 30, spoil: 0.3 }),
    one(
      'limits of the second drafter',
      'edge',
      [
        { candidates: chain(4), more: chain(9), moreCount: 99 },
        { candidates: chain(4), more: chain(9), moreCount: -1 },
        { candidates: [], more: star(9), moreCount: 3, budget: 20 },
        { candidates: star(9) },
      ],
      64,
    ),
    one(
      'the answer has gone on',
      'small',
      [
        // down a path, to a leaf, off the tree, not at all
        { candidates: branching, history: [0, 0, 3, 4], since: 2, output: 4 },
        { candidates: branching, history: [3, 4, 7], since: 0, output: 3 },
        { candidates: branching, history: [3, 9], since: 0, output: 2 },
        { candidates: branching, history: [3, 4], since: 2, output: 2 },
        { candidates: branching, history: [3], since: 0, output: 1, budget: 3 },
      ],
      40,
    ),
    one(
      'the answer has gone on: repeated siblings go on together, and a path ends where a candidate is unused',
      'edge',
      [
        {
          candidates: [
            [3, -1, -1],
            [3, -1, -2],
            [4, 0, -3],
            [5, 1, -2.5],
            [4, 1, -2.25],
            [6, 4, -4],
            [6, 2, -9],
          ],
          history: [3],
          since: 0,
          output: 1,
        },
        {
          candidates: [
            [3, -1, Number.NEGATIVE_INFINITY],
            [4, 0, 0],
            [3, -1, Number.NaN],
            [5, 2, 0],
            [3, 7, 0],
            [6, 4, 0],
          ],
          history: [3],
          since: 0,
          output: 1,
        },
        // worth less than what was on the way
        {
          candidates: [
            [3, -1, -5],
            [4, 0, -1],
            [6, 0, -2],
            [5, 1, 7],
          ],
          history: [3],
          since: 0,
          output: 1,
        },
      ],
      40,
    ),
    one(
      'the answer has gone on: histories that say nothing',
      'edge',
      [
        { candidates: chain(9), history: [0, 1], since: 3, output: 2 },
        { candidates: chain(9), history: [0, 1], since: -1, output: 2 },
        { candidates: chain(9), history: [0, 1], since: -(2 ** 31), output: 2 ** 31 - 1 },
        { candidates: chain(9), history: chain(160).map(([t]) => t), since: 158, output: 161 },
        { candidates: chain(140), history: chain(140).map(([t]) => t), since: 0, output: 128 },
        { candidates: chain(140), history: chain(140).map(([t]) => t), since: 0, output: 127 },
        { candidates: chain(9), history: [0, -7], since: 0, output: 2 },
        { candidates: chain(3), history: [0, 1, 2, 3], since: 0, output: 4 },
      ],
      64,
    ),
    ragged('the answer has gone on: random trees', 'small', [30, 0, 60, 9, 40], 120, { goesOn: true }),
    ragged('the answer has gone on: hostile candidates of two drafters', 'edge', [40, 60, 50], 120, {
      goesOn: true,
      spoil: 0.2,
      more: 9,
    }),
    ragged('16 nodes', 'perf', [15], 16),
    ragged('64 nodes', 'perf', [63], 64),
    ragged('128 nodes', 'perf', [127], 128),
  ],
  oracle: treeBuildOracle,
};
