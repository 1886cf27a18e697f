// tree_build and tree_verify by what must hold for every tree: words equal the walk, and acceptance by words equals acceptance by
// the walk.
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { Context, ops } from '../../lib/index.js';
import { between, type Rng, seeded } from '../kit/cases.js';
import { orderedTrees, type Parents, pathUp, randomParents, randomTokens, randomValues, shuffled } from './trees.js';

const cx = await Context.create({ device: 'cpu', threads: 2 });
afterAll(() => cx.dispose());
beforeEach(async () => {
  await cx.sync(); // drops flags
});

/** Candidates of one tree; parents are candidates, -1 the root. */
interface Draft {
  tokens: number[];
  parents: number[];
  values: number[];
}

/** Rows of one built tree; node 0 is the root. */
interface Built {
  token: number[];
  parent: number[];
  source: number[];
  position: number[];
  slot: number[];
  ancestors: bigint[];
}

const VOCABULARY = 1000;
const POSITION = 70;
const SLOT = 40;

async function build(drafts: readonly Draft[], rows: number): Promise<Built[]> {
  const b = drafts.length;
  const c = Math.max(1, ...drafts.map(({ tokens }) => tokens.length));
  const table = (pick: (draft: Draft) => number[]) => {
    const all = new Float64Array(b * c);
    drafts.forEach((draft, i) => {
      all.set(pick(draft), i * c);
    });
    return all;
  };
  const each = (value: number) => cx.tensor('i32', [b], new Int32Array(b).fill(value));
  const out = cx.scope(() =>
    ops.treeBuild(cx, {
      tokens: cx.tensor('i32', [b, c], Int32Array.from(table(({ tokens }) => tokens))),
      parents: cx.tensor('i32', [b, c], Int32Array.from(table(({ parents }) => parents))),
      values: cx.tensor('f32', [b, c], Float32Array.from(table(({ values }) => values))),
      count: cx.tensor(
        'i32',
        [b],
        drafts.map(({ tokens }) => tokens.length),
      ),
      budget: each(128),
      root: each(999),
      rootPosition: each(POSITION),
      rootSlot: each(SLOT),
      output: each(0),
      limit: each(1000),
      capacity: each(4096),
      finished: each(0),
      capacityRows: rows,
      vocabulary: VOCABULARY,
    }),
  );
  const { token, parent, source, position, slot, ancestors, first } = out;
  const ints = await Promise.all([token, parent, source, position, slot].map((tensor) => tensor.data()));
  const words = new Uint32Array(await ancestors.data());
  const starts = await first.data();
  for (const tensor of Object.values(out)) tensor.dispose();
  return drafts.map((_, i) => {
    const range: [number, number] = [starts[i] as number, starts[i + 1] as number];
    const [t, p, s, pos, sl] = ints.map((all) => Array.from(all.subarray(...range)));
    const anc = Array.from({ length: range[1] - range[0] }, (_, row) => {
      const at = 4 * (range[0] + row);
      return [0, 1, 2, 3].reduce((sum, w) => sum | (BigInt(words[at + w] as number) << BigInt(32 * w)), 0n);
    });
    return { token: t, parent: p, source: s, position: pos, slot: sl, ancestors: anc } as Built;
  });
}

const ones = (x: bigint): number => x.toString(2).replaceAll('0', '').length;

/** What is wrong with the rows of a tree; nothing for a good one. */
function complaints({ token, parent, source, position, slot, ancestors }: Built): string[] {
  const wrong: string[] = [];
  if (token[0] !== 999 || parent[0] !== -1 || source[0] !== -1) wrong.push('the root');
  const open: number[] = []; // the path of the last node: depth first means that every parent is on it
  parent.forEach((p, i) => {
    while (i > 0 && open.length > 0 && open.at(-1) !== p) open.pop();
    if (i > 0 && open.length === 0) wrong.push(`parent ${p} of node ${i} is not on the path before it`);
    open.push(i);
    const walk = pathUp(parent, i).reduce((bits, node) => bits | (1n << BigInt(node)), 0n);
    if (ancestors[i] !== walk) wrong.push(`words of node ${i}: ${ancestors[i]}, by the walk ${walk}`);
    if (position[i] !== POSITION + ones(walk) - 1) wrong.push(`position of node ${i}`);
    if (slot[i] !== SLOT + i) wrong.push(`slot of node ${i}`);
    if (parent.some((other, j) => j < i && other === p && token[j] === token[i])) wrong.push(`a twin of node ${i}`);
  });
  return wrong;
}

/** Accepted nodes by the words alone: bit i of the matches, then every node whose path is all matches. */
function acceptedByWords({ token, parent, ancestors }: Built, target: readonly number[]): number[] {
  const matches = token.reduce(
    (bits, id, i) => (i === 0 || target[parent[i] as number] === id ? bits | (1n << BigInt(i)) : bits),
    0n,
  );
  return [...token.keys()].filter((i) => ((ancestors[i] as bigint) & ~matches) === 0n);
}

async function verify(trees: readonly Built[], targets: readonly number[][]) {
  const b = trees.length;
  const list = (pick: (tree: Built) => number[]) => cx.tensor('i32', [n], trees.flatMap(pick));
  const n = trees.reduce((sum, { token }) => sum + token.length, 0);
  let at = 0;
  const first = [0, ...trees.map(({ token }) => (at += token.length))];
  const each = (value: number) => cx.tensor('i32', [b], new Int32Array(b).fill(value));
  const [positions, slots, output, tokens] = [each(POSITION), each(SLOT), each(0), each(999)];
  const out = ops.treeVerify(cx, {
    target: cx.tensor('i32', [n], targets.flat()),
    token: list(({ token }) => token),
    parent: list(({ parent }) => parent),
    first: cx.tensor('i32', [b + 1], first),
    stop: cx.tensor('i32', [b, 1], new Int32Array(b).fill(-1)),
    limit: each(1000),
    tokens,
    positions,
    slots,
    output,
    finished: each(0),
    history: cx.zeros('i32', [b, 1]),
    width: 128,
  });
  const [path, accepted] = [await out.path.data(), await out.accepted.data()];
  const [next, count] = [await tokens.data(), await output.data()];
  return trees.map((_, i) => ({
    path: Array.from(path.subarray(128 * i, 128 * i + (accepted[i] as number))),
    rest: path.subarray(128 * i + (accepted[i] as number), 128 * (i + 1)),
    next: next[i],
    output: count[i],
  }));
}

/** Targets that lead to a child more often than not. */
function someTargets(rng: Rng, { token, parent }: Built, share: number): number[] {
  return token.map((_, i) => {
    const children = token.filter((_, j) => parent[j] === i);
    return children.length > 0 && rng() < share ? (children[between(rng, 0, children.length - 1)] as number) : 998;
  });
}

async function expectAccepted(rng: Rng, trees: readonly Built[], share = 0.8): Promise<number> {
  const targets = trees.map((tree) => someTargets(rng, tree, share));
  const found = await verify(trees, targets);
  let deepest = 0;
  trees.forEach((tree, i) => {
    const target = targets[i] as number[];
    const walk = [0];
    for (;;) {
      const node = walk.at(-1) as number;
      const child = tree.token.findIndex((id, j) => tree.parent[j] === node && id === target[node]);
      if (child < 0) break;
      walk.push(child);
    }
    const { rest, ...got } = found[i] as (typeof found)[0];
    expect({ ...got, words: acceptedByWords(tree, target) }).toEqual({
      path: walk,
      words: walk,
      next: target[walk.at(-1) as number],
      output: walk.length,
    });
    if (rest.some((node) => node !== -1)) throw new Error('something behind the path');
    deepest = Math.max(deepest, walk.length);
  });
  return deepest;
}

describe('all ordered trees of up to 9 nodes', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])('%d', async (nodes) => {
    const rng = seeded(nodes);
    const shapes = [...orderedTrees(nodes)];
    // preorder with falling values: the op has nothing to reorder
    const drafts = shapes.map((parents) => ({
      tokens: randomTokens(rng, parents, 12),
      parents,
      values: parents.map((_, i) => -i),
    }));
    const built = await build(drafts, nodes * shapes.length);
    expect(built.length).toBe([1, 1, 2, 5, 14, 42, 132, 429, 1430][nodes - 1]);
    built.forEach((tree, i) => {
      expect(complaints(tree)).toEqual([]);
      expect(tree.parent.slice(1).map((p) => p - 1)).toEqual(shapes[i]);
      expect(tree.token.slice(1)).toEqual(drafts[i]?.tokens);
    });
    await expectAccepted(rng, built);
    expect(await cx.sync()).toMatchObject({ indexClamped: false, notANumber: false });
  });
});

/** Trees at the edges of the words, and chains, stars and combs. */
function largeTrees(rng: Rng): Parents[] {
  const sizes = [31, 32, 63, 64, 65, 126, 127];
  const comb = (n: number) =>
    Array.from({ length: n }, (_, i) => (i % 2 === 0 ? i - 2 : i - 1) | 0).map((p) => Math.max(p, -1));
  return sizes.flatMap((n) => [
    Array.from({ length: n }, (_, i) => i - 1),
    new Array<number>(n).fill(-1),
    comb(n),
    randomParents(rng, n),
    randomParents(rng, n, 0.8),
  ]);
}

test('large trees, in any order of their candidates', async () => {
  const rng = seeded(31);
  const drafts = largeTrees(rng).map((parents): Draft => {
    const tokens = randomTokens(rng, parents, 900);
    const values = randomValues(rng, parents);
    const mixed = shuffled(rng, parents);
    const pick = (list: number[]) => mixed.from.map((i) => list[i] as number);
    return { parents: mixed.parents, tokens: pick(tokens), values: pick(values) };
  });
  const built = await build(drafts, 128 * drafts.length);
  built.forEach((tree, i) => {
    const draft = drafts[i] as Draft;
    expect(complaints(tree)).toEqual([]);
    expect(tree.token.length).toBe(draft.tokens.length + 1);
    // every node is its candidate, under the node of the candidate's parent, and siblings fall in value
    const nodeOf = new Map(tree.source.map((candidate, node) => [candidate, node]));
    tree.source.forEach((candidate, node) => {
      if (node === 0) return;
      expect(tree.token[node]).toBe(draft.tokens[candidate]);
      expect(tree.parent[node]).toBe(nodeOf.get(draft.parents[candidate] as number));
    });
    tree.parent.forEach((p, node) => {
      const next = tree.parent.indexOf(p, node + 1);
      if (node === 0 || next < 0) return;
      const [a, b] = [tree.source[node] as number, tree.source[next] as number];
      const [va, vb] = [draft.values[a] as number, draft.values[b] as number];
      expect(va > vb || (va === vb && a < b)).toBe(true);
    });
  });
  expect(await expectAccepted(rng, built, 0.97)).toBeGreaterThan(20);
  expect(await cx.sync()).toMatchObject({ indexClamped: false, notANumber: false });
});
