// Ways to draw a draft tree, as functions of coins, so that the enumeration covers every tree that they can give.
import { type Coins, type Noise, sum } from './explore.js';
import type { DraftTree, Law } from './rules.js';

/** The drafter's law of the next token after some. */
export type Drafter = (after: readonly number[]) => Law;
export type Drafting = (drafter: Drafter, coins: Coins & Noise) => DraftTree;

interface Growing extends DraftTree {
  tokens: number[];
  parents: number[];
  rows: (Law | null)[];
}

interface Child {
  token: number;
  row: Law | null;
}

const LAST_TOKEN = -1;

function sapling(): Growing {
  return { tokens: [LAST_TOKEN], parents: [-1], rows: [null] };
}

/** The tokens below the root on the way to a node, its own included. */
export function tokensTo(tree: DraftTree, node: number): number[] {
  const tokens: number[] = [];
  for (let at = node; at > 0; at = tree.parents[at] as number) tokens.unshift(tree.tokens[at] as number);
  return tokens;
}

function add(tree: Growing, parent: number, child: Child): number {
  tree.tokens.push(child.token);
  tree.parents.push(parent);
  tree.rows.push(child.row);
  return tree.tokens.length - 1;
}

/** Grows a tree of fixed shape: shape[d] children at every node of depth d. */
function grown(shape: readonly number[], children: (law: Law, count: number, coins: Coins) => Child[]): Drafting {
  return (drafter, coins) => {
    const tree = sapling();
    let level = [0];
    for (const count of shape) {
      level = level.flatMap((node) =>
        children(drafter(tokensTo(tree, node)), count, coins).map((child) => add(tree, node, child)),
      );
    }
    return tree;
  };
}

const ranked = (law: Law) => [...law.keys()].sort((a, b) => (law[b] as number) - (law[a] as number) || a - b);

/** Children without replacement: each row is the law without the tokens that came before it. Stops when nothing is left. */
function withoutReplacement(law: Law, count: number, coins: Coins, taken: number[]): Child[] {
  const used = [...taken];
  const children: Child[] = [];
  for (let i = 0; i < count; i++) {
    const left = law.map((q, token) => (used.includes(token) ? 0 : q));
    const mass = sum(left);
    if (!(mass > 0)) break;
    const row = left.map((q) => q / mass);
    const token = coins.draw(0, row);
    used.push(token);
    children.push({ token, row });
  }
  return children;
}

/** Siblings drawn independently: the same token may come twice. */
export const independent = (...shape: number[]) =>
  grown(shape, (law, count, coins) => Array.from({ length: count }, () => ({ token: coins.draw(0, law), row: law })));

export const distinct = (...shape: number[]) =>
  grown(shape, (law, count, coins) => withoutReplacement(law, count, coins, []));

const best = (law: Law, count: number): Child[] =>
  ranked(law)
    .slice(0, count)
    .map((token) => ({ token, row: null }));

/** The drafter's best tokens, without chance. */
export const top = (...shape: number[]) => grown(shape, best);

/** The best ones, and one more that is drawn from the others. */
export const topAndOneDrawn = (...shape: number[]) =>
  grown(shape, (law, count, coins) => {
    const first = best(law, count - 1);
    return [
      ...first,
      ...withoutReplacement(
        law,
        1,
        coins,
        first.map(({ token }) => token),
      ),
    ];
  });

/** The best token, as often as there are siblings: nodes of one token, all chosen without chance. */
export const repeated = (...shape: number[]) =>
  grown(shape, (law, count) => Array.from({ length: count }, () => best(law, 1)[0] as Child));

/** A tree whose leaves are as uneven as its shape is not: the first child of each node has children, the others have none. */
export const spine =
  (depth: number, count: number): Drafting =>
  (drafter, coins) => {
    const tree = sapling();
    let node = 0;
    for (let d = 0; d < depth; d++) {
      const children = withoutReplacement(drafter(tokensTo(tree, node)), count, coins, []);
      const ids = children.map((child) => add(tree, node, child));
      if (ids[0] === undefined) break;
      node = ids[0];
    }
    return tree;
  };

interface Leaf {
  node: number;
  value: number;
}

/** Grows best first: the most likely path gets the next child. Every token that is drawn stays. */
export const bestFirst =
  (nodes: number, depth: number): Drafting =>
  (drafter, coins) => {
    const tree = sapling();
    const given = new Map<number, Leaf[]>();
    const leaves: Leaf[] = [{ node: 0, value: 1 }];
    while (tree.tokens.length < nodes) {
      const open = leaves.filter(({ node }) => tokensTo(tree, node).length < depth);
      // what a node is worth falls with every child it has: decided before the child is drawn
      const worth = (leaf: Leaf) => leaf.value * 0.5 ** (given.get(leaf.node)?.length ?? 0);
      const next = open.sort((a, b) => worth(b) - worth(a) || a.node - b.node)[0];
      if (!next) break;
      const law = drafter(tokensTo(tree, next.node));
      const siblings = given.get(next.node) ?? [];
      const [child] = withoutReplacement(
        law,
        1,
        coins,
        siblings.map(({ node }) => tree.tokens[node] as number),
      );
      if (!child) {
        leaves.splice(leaves.indexOf(next), 1);
        continue;
      }
      const leaf = { node: add(tree, next.node, child), value: next.value * (law[child.token] as number) };
      given.set(next.node, [...siblings, leaf]);
      leaves.push(leaf);
    }
    return tree;
  };

/** WRONG for drawn tokens, as a control: a full tree, of which only the nodes of the likeliest paths are kept. */
export const rerankedAfterDrawing =
  (keep: number, ...shape: number[]): Drafting =>
  (drafter, coins) => {
    const full = distinct(...shape)(drafter, coins);
    const value = [...full.tokens.keys()].map((node) => {
      const tokens = tokensTo(full, node);
      return tokens.reduce((v, token, i) => v * (drafter(tokens.slice(0, i))[token] as number), 1);
    });
    const kept = [...value.keys()]
      .sort((a, b) => (value[b] as number) - (value[a] as number) || a - b)
      .slice(0, keep)
      .sort((a, b) => a - b);
    const pick = <T>(list: readonly T[]) => kept.map((node) => list[node] as T);
    return {
      tokens: pick(full.tokens),
      parents: pick(full.parents).map((parent) => kept.indexOf(parent)),
      rows: pick(full.rows),
    };
  };

/** The tree of coupled drafting: the best tokens by log q + G, with the noise that the target will use. */
export const sharedNoise =
  (...shape: number[]): Drafting =>
  (drafter, noise) => {
    const tree = sapling();
    let level = [0];
    shape.forEach((count, depth) => {
      level = level.flatMap((node) => {
        const law = drafter(tokensTo(tree, node));
        const winners: number[] = [];
        while (winners.length < Math.min(count, law.length)) {
          const left = [...law.keys()].filter((token) => !winners.includes(token));
          const first = left.reduce((a, b) => (noise.before(depth, b, law[b] as number, a, law[a] as number) ? b : a));
          winners.push(first);
        }
        return winners.map((token) => add(tree, node, { token, row: null }));
      });
    });
    return tree;
  };
