// Random draft trees: parents, tokens and the laws that the tokens were drawn from.
import { between, type Rng } from './cases.js';

/** How nodes hang together: each names the parent of node i > 0. */
export const shapes = {
  /** Any earlier node. */
  any: (rng: Rng, i: number) => between(rng, 0, i - 1),
  /** One of the latest nodes: deep trees. */
  deep: (rng: Rng, i: number) => between(rng, Math.max(0, i - 3), i - 1),
  chain: (_: Rng, i: number) => i - 1,
  star: () => 0,
  /** A spine whose nodes have one more child each. */
  comb: (_: Rng, i: number) => Math.max(0, i % 2 === 1 ? i - 1 : i - 2),
} as const;

export type Shape = keyof typeof shapes;

export function randomParents(rng: Rng, nodes: number, shape: Shape): number[] {
  return Array.from({ length: nodes }, (_, i) => (i === 0 ? -1 : shapes[shape](rng, i)));
}

/** Renumbers a tree depth first, children in their order. `map` takes an old node to its place. */
export function depthFirst(parents: readonly number[]): { parents: number[]; map: number[] } {
  const map = new Array<number>(parents.length).fill(-1);
  const result: number[] = [];
  const visit = (node: number, parent: number): void => {
    map[node] = result.length;
    result.push(parent);
    parents.forEach((p, child) => {
      if (child > 0 && p === node) visit(child, map[node] as number);
    });
  };
  if (parents.length > 0) visit(0, -1);
  return { parents: result, map };
}

/** Nodes on the way from the root to a node, both included. */
export function walkTo(parents: readonly number[], node: number): number[] {
  const way = [node];
  while ((way[0] as number) > 0) way.unshift(parents[way[0] as number] as number);
  return way;
}

/** A law with the character of a language model's: softmax of normal logits. */
export function randomLaw(rng: Rng, v: number, scale: number): number[] {
  const weights = Array.from({ length: v }, () => Math.exp(scale * (rng() + rng() + rng() - 1.5)));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

/** An index in proportion to its weight. */
export function pick(rng: Rng, weights: ArrayLike<number>): number {
  let u = rng() * Array.from(weights).reduce((a, b) => a + b, 0);
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i] as number;
    if (!(w > 0)) continue;
    last = i;
    u -= w;
    if (u < 0) break;
  }
  return last;
}

export interface DrawnTree {
  parents: number[];
  tokens: number[];
  /** The target's law after each node. */
  target: number[][];
  /** The law that each token was drawn from; zeros for a token that was not. */
  draft: number[][];
  drawn: number[];
}

/**
 * A tree whose nodes are drawn near the target's law without replacement, or are chosen without chance, as `share` says. A node for
 * which no token is left gets one that a sibling has.
 */
export function drawTree(rng: Rng, parents: readonly number[], v: number, scale: number, share: number): DrawnTree {
  const tree: DrawnTree = { parents: [...parents], tokens: [], target: [], draft: [], drawn: [] };
  const used = parents.map(() => new Set<number>());
  parents.forEach((parent, i) => {
    tree.target.push(randomLaw(rng, v, scale));
    const before = i === 0 ? [] : (tree.target[parent] as number[]);
    const taken = used[parent] ?? new Set();
    const noisy = before.map((p, token) => (taken.has(token) ? 0 : p * Math.exp(2 * rng() - 1)));
    const mass = noisy.reduce((a, b) => a + b, 0);
    const drawn = i > 0 && mass > 0 && rng() < share;
    const token =
      i === 0
        ? 0
        : mass > 0
          ? drawn
            ? pick(rng, noisy)
            : noisy.reduce((best, q, id) => (q > (noisy[best] as number) ? id : best), 0)
          : 0;
    taken.add(token);
    tree.tokens.push(token);
    tree.drawn.push(drawn ? 1 : 0);
    tree.draft.push(drawn ? noisy.map((q) => q / mass) : new Array<number>(v).fill(0));
  });
  return tree;
}
