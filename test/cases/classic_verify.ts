import type { CaseOperand, OpCase, OpCases, Rng } from '../kit/cases.js';
import { between, counts, operand, values } from '../kit/cases.js';
import { type DrawnTree, drawTree, randomParents, type Shape } from '../kit/draft-trees.js';
import { philox } from '../kit/philox.js';
import { givenCoins } from '../speculative/explore.js';
import { type DraftTree, type Law, recursiveRejection, traversal } from '../speculative/rules.js';

const MOST = 128;

interface Options {
  tag?: 'edge' | 'perf';
  shape?: Shape;
  mode?: 'traversal' | 'token';
  /** Nodes of each tree. */
  sizes?: number[];
  v?: number;
  /** Share of nodes that were drawn. */
  share?: number;
  scale?: number;
  coins?: (rng: Rng, i: number) => number;
  /** Leaves operands out. */
  without?: ('draft' | 'drawn')[];
  /** Spoils them. */
  spoil?: (operands: Record<string, CaseOperand>, rng: Rng) => void;
}

function build(o: Options, rng: Rng): Record<string, CaseOperand> {
  const { sizes = [1, 5, 9, 3], v = 7, shape = 'any', share = 0.6, scale = 2 } = o;
  const trees = sizes.map((nodes) => drawTree(rng, randomParents(rng, nodes, shape), v, scale, share));
  const rows = (pick: (tree: DrawnTree) => number[][]) => trees.flatMap((tree) => pick(tree).flat());
  const list = (pick: (tree: DrawnTree) => number[]) => counts(trees.flatMap(pick));
  const n = sizes.reduce((a, b) => a + b, 0);
  let at = 0;
  const first = [0, ...sizes.map((nodes) => (at += nodes))];
  const word = () => Math.floor(rng() * 2 ** 32) | 0;
  const operands: Record<string, CaseOperand> = {
    target: values(
      'f32',
      [n, v],
      rows((tree) => tree.target),
    ),
    draft: values(
      'f32',
      [n, v],
      rows((tree) => tree.draft),
    ),
    drawn: list((tree) => tree.drawn),
    token: list((tree) => tree.tokens),
    parent: list((tree) => tree.parents),
    first: counts(first),
    seed: counts(
      sizes.flatMap(() => [word(), word()]),
      [sizes.length, 2],
    ),
    position: counts(sizes.map(() => between(rng, 0, 4000))),
  };
  const { coins } = o;
  if (coins)
    operands.coins = values(
      'f32',
      [n],
      Array.from({ length: n }, (_, i) => coins(rng, i)),
    );
  for (const name of o.without ?? []) delete operands[name];
  o.spoil?.(operands, rng);
  return operands;
}

function one(name: string, o: Options): OpCase {
  const { sizes = [1, 5, 9, 3], v = 7, mode = 'traversal' } = o;
  return {
    name: `${name}, ${mode}`,
    tags: [o.tag ?? 'small'],
    dims: { N: sizes.reduce((a, b) => a + b, 0), V: v, B: sizes.length },
    build: (rng) => ({ operands: build(o, rng), attributes: { mode } }),
  };
}

/** The case in both modes. */
function both(name: string, o: Options): OpCase[] {
  return [one(name, o), one(name, { ...o, mode: 'token' })];
}

/** Sets some elements of an operand. */
const set = (name: string, elements: [number, number][]) => (operands: Record<string, CaseOperand>) => {
  for (const [i, value] of elements) operand(operands, name).data[i] = value;
};

/** Gives every element of some operands a new value. */
const change =
  (names: readonly string[], next: (x: number, rng: Rng) => number) =>
  (operands: Record<string, CaseOperand>, rng: Rng): void => {
    for (const name of names) {
      const { data } = operand(operands, name);
      for (const [i, x] of data.entries()) data[i] = next(x, rng);
    }
  };

/** A row of weights as a law; `empty` where it has no weight. */
function lawOf(row: ArrayLike<number>, empty: (v: number) => number[] | undefined): number[] | undefined {
  const clean = Array.from(row, (x) => (x > 0 && x < Infinity ? x : 0));
  const sum = clean.reduce((a, b) => a + b, 0);
  return sum > 0 ? clean.map((x) => x / sum) : empty(clean.length);
}

const uniform = (words: readonly number[]) =>
  ((words[0] as number) * 2 ** 20 + ((words[1] as number) >>> 12) + 0.5) * 2 ** -52;

export const cases: OpCases = {
  op: 'classic_verify',
  cases: [
    ...both('a few trees', {}),
    ...both('coins that are given', { coins: (rng) => rng() }),
    ...both('no token was drawn', { share: 0, without: ['draft', 'drawn'] }),
    ...both('all tokens were drawn', { share: 1, sizes: [5, 4, 6], without: ['drawn'], shape: 'deep' }),
    ...both('chains', { shape: 'chain', share: 1, sizes: [8, 1, 12, 128] }),
    ...both('stars', { tag: 'edge', shape: 'star', sizes: [8, 20, 128], v: 40 }),
    ...both('combs', { tag: 'edge', shape: 'comb', sizes: [9, 128, 64], v: 40 }),
    ...both('deep trees', { tag: 'edge', shape: 'deep', sizes: [100, 128, 33, 2], v: 100, scale: 1 }),
    ...both('trees of 128 nodes, 500 tokens', { tag: 'edge', sizes: [128, 128, 127], v: 500, scale: 1 }),
    ...both('siblings of one token', {
      tag: 'edge',
      sizes: [12, 12, 12, 12],
      v: 3,
      spoil: change(['token'], (_, rng) => between(rng, 0, 2)),
    }),
    ...both('coins of 0', { tag: 'edge', sizes: [9, 9], coins: () => 0 }),
    ...both('coins just below 1', { tag: 'edge', sizes: [9, 9], coins: () => 1 - 2 ** -24 }),
    ...both('coins that are none', {
      tag: 'edge',
      sizes: [9, 9],
      coins: (_, i) => [NaN, -1, 1, 7, Infinity, -Infinity, -0][i % 7] as number,
    }),
    ...both('one token', { tag: 'edge', v: 1, sizes: [1, 3, 2] }),
    ...both('laws with holes', {
      tag: 'edge',
      sizes: [12, 12, 12],
      v: 9,
      spoil: change(['target', 'draft'], (x, rng) => (rng() < 0.4 ? 0 : x)),
    }),
    ...both('weights that are no probabilities', {
      tag: 'edge',
      sizes: [12, 12],
      spoil: change(['target', 'draft'], (x) => Math.fround(x * 3.5e30)),
    }),
    ...both('weights that are no numbers', {
      tag: 'edge',
      sizes: [12, 12, 12, 12],
      v: 9,
      spoil: change(['target', 'draft'], (x, rng) =>
        rng() < 0.3 ? ([NaN, -1, Infinity, -Infinity][between(rng, 0, 3)] as number) : x,
      ),
    }),
    ...both('rows without weight', {
      tag: 'edge',
      sizes: [12, 12, 12],
      spoil: ({ target, draft }) => {
        target?.data.fill(0, 7 * 2, 7 * 5);
        target?.data.fill(NaN, 7 * 12, 7 * 14);
        draft?.data.fill(0, 7 * 3, 7 * 9);
        draft?.data.fill(-3, 7 * 15, 7 * 18);
      },
    }),
    ...both('parents that are none', {
      tag: 'edge',
      sizes: [9, 9, 9],
      shape: 'chain',
      spoil: set('parent', [
        [0, 5],
        [2, 2],
        [6, -1],
        [12, 7],
        [14, 2 ** 30],
        [22, -(2 ** 30)],
      ]),
    }),
    ...both('cycles', {
      tag: 'edge',
      sizes: [6],
      shape: 'chain',
      spoil: set('parent', [
        [2, 4],
        [4, 2],
      ]),
    }),
    ...both('tokens that are none', {
      tag: 'edge',
      sizes: [9, 9],
      shape: 'comb',
      spoil: set('token', [
        [0, -7],
        [3, -1],
        [9, 2 ** 30],
        [11, 7],
        [14, -(2 ** 30)],
      ]),
    }),
    ...both('trees without nodes', { tag: 'edge', sizes: [0, 4, 0, 0, 3] }),
    ...both('no trees', { tag: 'edge', sizes: [] }),
    ...both('more nodes than a tree may have', { tag: 'edge', sizes: [200, 129, 128, 3], v: 30, shape: 'deep' }),
    ...both('trees that begin anywhere', {
      tag: 'edge',
      sizes: [4, 4, 4, 4, 4],
      spoil: set('first', [
        [0, -5],
        [1, 6],
        [2, 3],
        [3, 99],
        [4, 12],
        [5, 2 ** 30],
      ]),
    }),
    one('64 nodes, 640 tokens', { tag: 'perf', sizes: [64], v: 640 }),
    one('8 nodes, vocabulary of the 7B model', { tag: 'perf', sizes: [8], v: 152064, scale: 4 }),
    one('4 nodes, vocabulary of the 7B model', { tag: 'perf', sizes: [4], v: 152064, scale: 4, mode: 'token' }),
  ],
  oracle({ operands, attributes }) {
    const { target, draft, drawn, coins } = operands as { target: CaseOperand } & Record<
      string,
      CaseOperand | undefined
    >;
    const [n = 0, v = 0] = target.shape;
    const int = (name: string, i: number) => Number(operand(operands, name).data[i]);
    const trees = operand(operands, 'position').shape[0] as number;
    const path = new Float64Array(trees * MOST).fill(-1);
    const accepted = new Float64Array(trees);
    const next = new Float64Array(trees).fill(-1);
    const within = (i: number, low: number, high: number) => Math.min(Math.max(i, low), high);
    for (let b = 0; b < trees; b++) {
      const base = within(int('first', b), 0, n);
      const size = Math.min(within(int('first', b + 1), base, n) - base, MOST);
      if (size === 0) continue;
      // the nodes that count, by their place in the tree
      const known: number[] = [];
      const tree = { tokens: [] as number[], parents: [] as number[], rows: [] as (Law | null)[] } satisfies DraftTree;
      for (let i = 0; i < size; i++) {
        const [parent, id] = [int('parent', base + i), int('token', base + i)];
        if (i > 0 && (parent >= i || !known.includes(parent) || id < 0 || id >= v)) continue;
        let row: Law | null = null;
        if (i > 0 && draft && drawn?.data[base + i] !== 0) {
          const law = lawOf(draft.data.subarray((base + i) * v, (base + i + 1) * v), () => undefined);
          if (!law) continue;
          row = law;
        }
        tree.parents.push(i === 0 ? -1 : known.indexOf(parent));
        known.push(i);
        tree.tokens.push(i === 0 ? 0 : id);
        tree.rows.push(row);
      }
      const given = (i: number) => {
        const coin = coins?.data[base + i] as number;
        return coin > 0 ? Math.min(coin, 1 - 2 ** -24) : 0;
      };
      const seed = [int('seed', 2 * b), int('seed', 2 * b + 1)] as const;
      const noise = (index: number, purpose: number) =>
        uniform(philox(seed, [index, int('position', b), purpose * 2 ** 24, 0]));
      const chance = givenCoins(
        known.map((i) => (coins ? given(i) : noise(i, 1))),
        () => (coins ? given(0) : noise(0, 2)),
      );
      const laws = known.map((i) => {
        const row = target.data.subarray((base + i) * v, (base + i + 1) * v);
        return lawOf(row, () => Array.from({ length: v }, (_, id) => (id === 0 ? 1 : 0))) as Law;
      });
      const rule = attributes.mode === 'token' ? recursiveRejection : traversal;
      const verdict = rule(tree, (node) => laws[node] as Law, chance);
      verdict.path.forEach((node, i) => {
        path[b * MOST + i] = known[node] as number;
      });
      accepted[b] = verdict.path.length;
      next[b] = verdict.token;
    }
    return {
      path: { shape: [trees, MOST], data: path },
      accepted: { shape: [trees], data: accepted },
      next: { shape: [trees], data: next },
    };
  },
  exact: ['path', 'accepted', 'next'],
};
