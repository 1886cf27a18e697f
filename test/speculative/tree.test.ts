import { describe, expect, test } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import { DraftTree, type DraftTreeInit, type TreeLayout } from '../../lib/speculative/tree.js';
import { between, type Rng, seeded } from '../kit/cases.js';
import { orderedTrees, type Parents, pathUp, randomParents, randomTokens, randomValues, shuffled } from './trees.js';

function refusal(make: () => unknown): { code: string; operand: string | undefined } {
  try {
    make();
  } catch (error) {
    if (HyperBagelError.isInstance(error)) return { code: error.code, operand: error.operand };
    throw error;
  }
  throw new Error('it was not refused');
}

/** Depth-first, best child first, by recursion over filtered lists. */
function preorder(tree: DraftTree): number[] {
  const visit = (node: number): number[] => [node, ...children(tree, node).flatMap(visit)];
  return visit(-1);
}

function children(tree: DraftTree, node: number): number[] {
  const value = (i: number) => tree.values[i] as number;
  return [...tree.parents.keys()]
    .filter((i) => tree.parents[i] === node)
    .sort((a, b) => (value(a) === value(b) ? a - b : value(b) > value(a) ? 1 : -1));
}

const hasBit = (layout: TreeLayout, node: number, bit: number) =>
  (((layout.ancestors[4 * node + (bit >> 5)] as number) >>> (bit & 31)) & 1) === 1;

/** Accepted nodes by ancestor words alone: all of a node's ancestors hold the token that the model chose above them. */
function acceptedByWords(layout: TreeLayout, targets: readonly number[]): number[] {
  const matches = new Uint32Array(4);
  for (let i = 0; i < layout.nodes; i++) {
    if (i === 0 || layout.tokens[i] === targets[layout.parents[i] as number]) {
      (matches[i >> 5] as number) |= 1 << (i & 31);
    }
  }
  const covered = (i: number) =>
    [0, 1, 2, 3].every((w) => ((layout.ancestors[4 * i + w] as number) & ~(matches[w] as number)) === 0);
  return [...Array(layout.nodes).keys()].filter(covered);
}

function acceptedByWalk(layout: TreeLayout, targets: readonly number[]): number[] {
  const path = [0];
  for (let at = 0; ; ) {
    let child = layout.firstChild[at] as number;
    while (child >= 0 && layout.tokens[child] !== targets[at]) child = layout.nextSibling[child] as number;
    if (child < 0) return path;
    path.push(child);
    at = child;
  }
}

function check(rng: Rng, parents: Parents, vocabulary: number): void {
  const tokens = randomTokens(rng, parents, vocabulary);
  const values = randomValues(rng, parents);
  const tree = new DraftTree({ tokens, parents, values });
  expect([...tree.values]).toEqual(values);
  expect([...tree.depths]).toEqual(parents.map((_, i) => pathUp(parents, i).length));
  expect(tree.depth).toBe(Math.max(0, ...tree.depths));

  const order = [...tree.order];
  for (let i = 1; i < order.length; i++) {
    const [a, b] = [order[i - 1] as number, order[i] as number];
    expect((values[a] as number) > (values[b] as number) || (values[a] === values[b] && a < b)).toBe(true);
    expect(order.slice(0, i).includes(parents[b] as number) || parents[b] === -1).toBe(true);
  }

  const { layout } = tree;
  expect([...layout.drafted]).toEqual(preorder(tree));
  const place = new Map([...layout.drafted].map((node, i) => [node, i]));
  for (let i = 0; i < layout.nodes; i++) {
    const node = layout.drafted[i] as number;
    const path = pathUp(tree.parents, node).map((j) => place.get(j) as number);
    const bits = [...Array(128).keys()].filter((bit) => hasBit(layout, i, bit));
    const parent = node < 0 ? -1 : place.get(parents[node] as number);
    expect([bits, layout.depths[i], layout.tokens[i], layout.parents[i]]).toEqual([
      [...path, 0].sort((a, b) => a - b),
      path.length,
      node < 0 ? -1 : tokens[node],
      parent,
    ]);
    const family = children(tree, node).map((j) => place.get(j));
    const linked: number[] = [];
    for (let c = layout.firstChild[i] as number; c >= 0; c = layout.nextSibling[c] as number) linked.push(c);
    const below = [...Array(layout.nodes).keys()].filter((j) => hasBit(layout, j, i));
    const range = Array.from({ length: layout.sizes[i] as number }, (_, k) => i + k);
    expect([linked, below]).toEqual([family, range]);
  }

  for (let round = 0; round < 3; round++) {
    // targets that hold a child's token most of the time, else anything
    const targets = [...Array(layout.nodes).keys()].map((i) => {
      const family = children(tree, layout.drafted[i] as number);
      const child = family[Math.floor(rng() * family.length)];
      return child !== undefined && rng() < 0.8 ? (tokens[child] as number) : Math.floor(rng() * vocabulary);
    });
    const walk = acceptedByWalk(layout, targets);
    expect(acceptedByWords(layout, targets)).toEqual(walk);
    const emitted = walk.map((i) => targets[i] as number);
    expect(tree.follow(emitted)).toEqual(walk.slice(1).map((i) => layout.drafted[i]));
    expect(tree.follow(emitted.slice(0, -1)).length).toBe(walk.length - 1);
  }
}

describe('derived forms equal the walks', () => {
  test('all ordered rooted trees up to 9 nodes, their nodes in any order', () => {
    const rng = seeded(1);
    const counts: number[] = [];
    for (let nodes = 1; nodes <= 9; nodes++) {
      let count = 0;
      for (const parents of orderedTrees(nodes)) {
        count++;
        check(rng, shuffled(rng, parents).parents, 12);
      }
      counts.push(count);
    }
    expect(counts).toEqual([1, 1, 2, 5, 14, 42, 132, 429, 1430]);
  });

  test.each([63, 64, 65, 127, 128])('big trees of %i nodes: chain, star, comb, random', (nodes) => {
    const rng = seeded(nodes);
    const drafted = nodes - 1;
    const each = (parent: (i: number) => number) => Array.from({ length: drafted }, (_, i) => parent(i));
    check(
      rng,
      each((i) => i - 1),
      200,
    );
    check(
      rng,
      each(() => -1),
      200,
    );
    check(
      rng,
      each((i) => (i % 2 === 0 ? i - 2 : i - 1)).map((p) => Math.max(p, -1)),
      200,
    );
    for (let k = 0; k < 3; k++) check(rng, shuffled(rng, randomParents(rng, drafted)).parents, 200);
  });

  test('the same siblings in another order change only indices', () => {
    const rng = seeded(3);
    for (let k = 0; k < 20; k++) {
      const parents = randomParents(rng, between(rng, 1, 40));
      const tokens = randomTokens(rng, parents, 100);
      const values = parents.map(() => 0).map((_, i) => -pathUp(parents, i).reduce((sum, j) => sum + (j + 1) / 64, 0));
      const other = shuffled(rng, parents);
      const pick = (list: readonly number[]) => other.from.map((i) => list[i] as number);
      const a = new DraftTree({ tokens, parents, values }).layout;
      const b = new DraftTree({ tokens: pick(tokens), parents: other.parents, values: pick(values) }).layout;
      expect(b.tokens).toEqual(a.tokens);
      expect(b.ancestors).toEqual(a.ancestors);
      expect(b.sizes).toEqual(a.sizes);
    }
  });
});

describe('values', () => {
  test('without any: children and none of them share their parent', () => {
    const tree = new DraftTree({ tokens: [1, 2, 3], parents: [-1, -1, 0] });
    expect([...tree.values]).toEqual([-Math.log(3), -Math.log(3), -Math.log(6)].map(Math.fround));
  });

  test('are never above the parent', () => {
    const tree = new DraftTree({ tokens: [1, 2, 3], parents: [-1, 0, 1], values: [5, -1, -0.5] });
    expect([...tree.values]).toEqual([0, -1, -1]);
    expect([...new DraftTree({ tokens: [1], parents: [-1], values: [-Infinity] }).values]).toEqual([-Infinity]);
  });
});

describe('merge', () => {
  const paths = (tree: DraftTree) =>
    new Map(
      [...tree.tokens.keys()].map((i) => [
        pathUp(tree.parents, i)
          .map((j) => tree.tokens[j])
          .join(' '),
        i,
      ]),
    );

  test('is the union, best first, within the budget', () => {
    const rng = seeded(4);
    for (let k = 0; k < 200; k++) {
      const trees = Array.from({ length: between(rng, 1, 4) }, () => {
        const parents = randomParents(rng, between(rng, 0, 60));
        return new DraftTree({ tokens: randomTokens(rng, parents, 70), parents, values: randomValues(rng, parents) });
      });
      const budget = { nodes: between(rng, 0, 127), depth: between(rng, 0, 12) };
      const merged = DraftTree.merge(trees, budget);
      expect(merged.size).toBeLessThanOrEqual(budget.nodes);
      expect(merged.depth).toBeLessThanOrEqual(budget.depth);
      const best = new Map<string, number>();
      for (const tree of trees) {
        for (const [path, i] of paths(tree)) {
          if ((tree.depths[i] as number) > budget.depth) continue;
          best.set(path, Math.max(best.get(path) ?? -Infinity, tree.values[i] as number));
        }
      }
      const kept = paths(merged);
      expect(kept.size).toBe(Math.min(best.size, budget.nodes));
      for (const [path, i] of kept) expect(merged.values[i]).toBe(best.get(path));
      const lowest = Math.min(...merged.values);
      for (const [path, value] of best) if (!kept.has(path)) expect(value).toBeLessThanOrEqual(lowest);
      if (trees.length > 1) expect([...merged.order]).toEqual([...merged.tokens.keys()]);
      const again = DraftTree.merge(trees, budget);
      for (const key of ['tokens', 'parents', 'values'] as const) expect(again[key]).toEqual(merged[key]);
    }
  });

  test('among equals the earlier tree stays', () => {
    const a = new DraftTree({ tokens: [1, 2], parents: [-1, -1], values: [-1, -1] });
    const b = new DraftTree({ tokens: [3, 2], parents: [-1, -1], values: [-1, -1] });
    expect([...DraftTree.merge([a, b], { nodes: 2, depth: 1 }).tokens]).toEqual([1, 2]);
    expect([...DraftTree.merge([b, a], { nodes: 3, depth: 1 }).tokens]).toEqual([3, 2, 1]);
  });

  test('a cut is deterministic for a single tree too, and a tree within the budget is kept as it is', () => {
    const tree = new DraftTree({ tokens: [1, 2, 3], parents: [-1, -1, 1], values: [-3, -1, -2] });
    expect(DraftTree.merge([tree], { nodes: 3, depth: 2 })).toBe(tree);
    const cut = DraftTree.merge([tree], { nodes: 2, depth: 2 });
    expect([[...cut.tokens], [...cut.parents]]).toEqual([
      [2, 3],
      [-1, 0],
    ]);
    expect(DraftTree.merge([], { nodes: 2, depth: 2 }).size).toBe(0);
  });

  test.each([
    ['budget.nodes', { nodes: 128, depth: 1 }],
    ['budget.nodes', { nodes: 1.5, depth: 1 }],
    ['budget.depth', { nodes: 1, depth: -1 }],
    ['budget.depth', { nodes: 1, depth: Number.NaN }],
  ])('refuses %s of %o', (operand, budget) => {
    expect(refusal(() => DraftTree.merge([], budget))).toEqual({ code: 'BAD_OPTION', operand });
  });
});

test('without some tokens: their nodes and all below are gone', () => {
  const rng = seeded(6);
  for (let k = 0; k < 50; k++) {
    const parents = shuffled(rng, randomParents(rng, between(rng, 0, 40))).parents;
    const tree = new DraftTree({ tokens: randomTokens(rng, parents, 45), parents, values: randomValues(rng, parents) });
    const stop = [between(rng, 0, 44), between(rng, 0, 44)];
    const cut = tree.without(stop);
    const kept = [...tree.tokens.keys()].filter((i) =>
      pathUp(tree.parents, i).every((j) => !stop.includes(tree.tokens[j] as number)),
    );
    const pathsOf = (t: DraftTree, nodes: number[]) =>
      nodes.map((i) => [t.values[i], ...pathUp(t.parents, i).map((j) => t.tokens[j])]);
    expect(pathsOf(cut, [...cut.tokens.keys()])).toEqual(pathsOf(tree, kept));
    if (kept.length === tree.size) expect(cut).toBe(tree);
  }
});

test('after some tokens: what is below their path, values counted from its end', () => {
  const rng = seeded(7);
  let reached = 0;
  for (let k = 0; k < 200; k++) {
    const parents = shuffled(rng, randomParents(rng, between(rng, 0, 40))).parents;
    const tree = new DraftTree({ tokens: randomTokens(rng, parents, 45), parents, values: randomValues(rng, parents) });
    const node = between(rng, -1, tree.size - 1);
    const way =
      node < 0
        ? []
        : pathUp(tree.parents, node)
            .map((j) => tree.tokens[j] as number)
            .reverse();
    if (k % 5 === 0) way.push(between(rng, 0, 44));
    const wordsOf = (t: DraftTree, i: number) =>
      pathUp(t.parents, i)
        .map((j) => t.tokens[j])
        .reverse();
    const below = [...tree.tokens.keys()].filter((i) => {
      const words = wordsOf(tree, i);
      return words.length > way.length && way.every((token, d) => words[d] === token);
    });
    const rest = tree.after(way);
    expect([...rest.tokens.keys()].map((i) => wordsOf(rest, i))).toEqual(
      below.map((i) => wordsOf(tree, i).slice(way.length)),
    );
    const end = tree.follow(way).at(-1);
    const base = end === undefined ? 0 : (tree.values[end] as number);
    rest.values.forEach((value, i) => {
      expect(value).toBeCloseTo((tree.values[below[i] as number] as number) - base, 5);
    });
    if (way.length > 0 && below.length > 0) reached++;
    if (way.length === 0) expect(rest).toBe(tree);
  }
  expect(reached).toBeGreaterThan(30);
  const dead = new DraftTree({ tokens: [1, 2], parents: [-1, 0], values: [Number.NEGATIVE_INFINITY, 0] });
  expect([...dead.after([1]).values]).toEqual([Number.NEGATIVE_INFINITY]);
});

describe('bad trees are refused', () => {
  const long = Array.from({ length: 128 }, (_, i) => i);
  const cases: [string, string, DraftTreeInit, number?][] = [
    ['a child before its parent', 'parents', { tokens: [1, 2], parents: [1, -1] }],
    ['a cycle', 'parents', { tokens: [1, 2, 3], parents: [2, 0, 1] }],
    ['a node that is its own parent', 'parents', { tokens: [1], parents: [0] }],
    ['a parent below the root', 'parents', { tokens: [1], parents: [-2] }],
    ['a parent that is no integer', 'parents', { tokens: [1, 2], parents: [-1, 0.5] }],
    ['a parent that is NaN', 'parents', { tokens: [1], parents: [Number.NaN] }],
    ['duplicate children of the root', 'tokens', { tokens: [5, 6, 5], parents: [-1, -1, -1] }],
    ['duplicate siblings deep down', 'tokens', { tokens: [5, 6, 7, 6], parents: [-1, 0, 1, 0] }],
    ['more than 127 nodes', 'tokens', { tokens: long, parents: long.map((i) => i - 1) }],
    ['a negative token', 'tokens', { tokens: [-1], parents: [-1] }],
    ['a token that is no integer', 'tokens', { tokens: [1.5], parents: [-1] }],
    ['a token that is no number', 'tokens', { tokens: ['1'] as unknown as number[], parents: [-1] }],
    ['a token at the end of the vocabulary', 'tokens', { tokens: [9, 10], parents: [-1, 0] }, 10],
    ['a token that no i32 holds', 'tokens', { tokens: [2 ** 31], parents: [-1] }],
    ['fewer parents than tokens', 'parents', { tokens: [1, 2], parents: [-1] }],
    ['more values than tokens', 'values', { tokens: [1], parents: [-1], values: [-1, -2] }],
    ['a value that is NaN', 'values', { tokens: [1], parents: [-1], values: [Number.NaN] }],
    ['no tokens at all', 'tokens', { parents: [] } as unknown as DraftTreeInit],
    ['a hole in the list', 'tokens', { tokens: Array(2) as number[], parents: [-1, 0] }],
  ];
  test.each(cases)('%s', (_, operand, init, vocabulary) => {
    expect(refusal(() => new DraftTree(init, vocabulary))).toEqual({ code: 'BAD_OPTION', operand });
    expect(refusal(() => DraftTree.from(init, vocabulary))).toEqual({ code: 'BAD_OPTION', operand });
  });

  test('equal tokens of different parents, typed arrays and empty trees are fine', () => {
    expect(new DraftTree({ tokens: [5, 5, 5], parents: [-1, 0, 1] }).depth).toBe(3);
    expect(new DraftTree({ tokens: Int32Array.of(5), parents: Int8Array.of(-1) }).size).toBe(1);
    const empty = new DraftTree({ tokens: [], parents: [] });
    expect([empty.size, empty.depth, empty.layout.nodes, empty.layout.ancestors[0]]).toEqual([0, 0, 1, 1]);
  });

  test('a tree that was built without a vocabulary is checked against one', () => {
    const tree = new DraftTree({ tokens: [5, 9], parents: [-1, 0] });
    expect(DraftTree.from(tree, 10)).toBe(tree);
    expect(refusal(() => DraftTree.from(tree, 9))).toEqual({ code: 'BAD_OPTION', operand: 'tokens' });
  });
});
