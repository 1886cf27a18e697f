// Every verification rule of speculative decoding, in float64 and as plainly as its source writes it. A rule sees the draft tree,
// the target's law at each node and coins, and says which nodes it accepts and which token follows them.
import { type Coins, type Noise, sum } from './explore.js';

/** A probability per token. */
export type Law = readonly number[];

/**
 * Node 0 is the root, the last token that was emitted; parents precede children and siblings are tested in node order. The row of a
 * node is the law that its token was drawn from, given all that had been drawn before it; null: it was chosen without chance.
 */
export interface DraftTree {
  tokens: readonly number[];
  parents: readonly number[];
  rows: readonly (Law | null)[];
}

export interface Verdict {
  /** Accepted nodes from the root, which is always the first. */
  path: number[];
  /** The token after them. */
  token: number;
}

export type Rule = (tree: DraftTree, target: (node: number) => Law, coins: Coins) => Verdict;

/** The coin of the last token has the root's name: the root itself is never in question. */
const LAST = 0;

export function childrenOf(tree: DraftTree, node: number): number[] {
  return [...tree.parents.keys()].filter((i) => i > 0 && tree.parents[i] === node);
}

/** The row of a node, for a node that was chosen without chance all on its token. */
function rowOf(tree: DraftTree, node: number): Law | null {
  return tree.rows[node] ?? null;
}

function rowAt(tree: DraftTree, node: number, token: number): number {
  const row = rowOf(tree, node);
  return row ? (row[token] as number) : tree.tokens[node] === token ? 1 : 0;
}

/** max(scale * law - row of the node, 0), divided by its mass; the law itself when nothing is left. */
function residual(tree: DraftTree, law: Law, scale: number, node: number): { law: Law; mass: number } {
  const left = law.map((p, token) => Math.max(scale * p - rowAt(tree, node, token), 0));
  const mass = sum(left);
  return mass > 0 ? { law: left.map((x) => x / mass), mass } : { law, mass: 0 };
}

/** How likely p is beside r, at most 1. A token that its row cannot give is never accepted. */
function ratio(p: number, r: number): number {
  return r > 0 ? Math.min(p / r, 1) : 0;
}

/** What a path of some weight is worth once a child was rejected and its residual had some mass. */
function reweighted(weight: number, mass: number): number {
  return mass + 1 - weight > 0 ? mass / (mass + 1 - weight) : 1;
}

/** Index of the largest entry, the lowest on ties. */
export function largest(law: Law): number {
  return law.reduce((best, p, i) => (p > (law[best] as number) ? i : best), 0);
}

/** The walk of exact match: to the child that has the chosen token, as long as there is one. */
function walk(tree: DraftTree, choose: (node: number, depth: number) => number): Verdict {
  const path = [0];
  for (;;) {
    const node = path.at(-1) as number;
    const token = choose(node, path.length - 1);
    const next = childrenOf(tree, node).find((child) => tree.tokens[child] === token);
    if (next === undefined) return { path, token };
    path.push(next);
  }
}

/** Temperature 0. */
export const greedy: Rule = (tree, target) => walk(tree, (node) => largest(target(node)));

/**
 * Coupled exact match: the token at a position is argmax log p + G(position, .), whatever the draft was (Daliri et al.,
 * arXiv 2408.07978). Needs no coins, only the noise.
 */
export function coupled(tree: DraftTree, target: (node: number) => Law, noise: Noise, position = 0): Verdict {
  return walk(tree, (node, depth) => coupledToken(target(node), noise, position + depth));
}

export function coupledToken(law: Law, noise: Noise, position: number): number {
  let best = law.findIndex((p) => p > 0);
  for (let token = best + 1; token < law.length; token++) {
    if (noise.before(position, token, law[token] as number, best, law[best] as number)) best = token;
  }
  return best;
}

/**
 * Rejection with a residual after every rejected sibling: token by token on a chain (Leviathan et al., arXiv 2211.17192; Chen et
 * al., arXiv 2302.01318), multi-step over siblings (SpecInfer, arXiv 2305.09781; Sequoia, arXiv 2402.12374).
 */
export const recursiveRejection: Rule = (tree, target, coins) => {
  const path = [0];
  for (;;) {
    const node = path.at(-1) as number;
    let law = target(node);
    const next = childrenOf(tree, node).find((child) => {
      const token = tree.tokens[child] as number;
      if (coins.accept(child, [ratio(law[token] as number, rowAt(tree, child, token))]) === 0) return true;
      ({ law } = residual(tree, law, 1, child));
      return false;
    });
    if (next === undefined) return { path, token: coins.draw(LAST, law) };
    path.push(next);
  }
};

/** The rule above on a chain. */
export const tokenWise: Rule = (tree, target, coins) => {
  if (!isChain(tree)) throw new Error('token-wise rejection is for chains');
  return recursiveRejection(tree, target, coins);
};

/**
 * Target only: one coin per visited node against the summed probabilities of its children, then a draw among the other tokens.
 * A second child of the same token has no mass of its own.
 */
export const targetOnly: Rule = (tree, target, coins) => {
  const path = [0];
  for (;;) {
    const node = path.at(-1) as number;
    const law = target(node);
    const children = childrenOf(tree, node);
    const token = (child: number) => tree.tokens[child] as number;
    const fresh = children.filter((child, i) => children.findIndex((other) => token(other) === token(child)) === i);
    const next =
      fresh[
        coins.accept(
          node,
          fresh.map((child) => law[token(child)] as number),
        )
      ];
    if (next === undefined) {
      const rest = law.map((p, id) => (fresh.some((child) => token(child) === id) ? 0 : p));
      return { path, token: coins.draw(LAST, sum(rest) > 0 ? rest : law) };
    }
    path.push(next);
  }
};

/** Block verification of a chain (Sun et al., arXiv 2403.10444): the longest prefix whose own coin accepts it. */
export const block: Rule = (tree, target, coins) => {
  if (!isChain(tree)) throw new Error('block verification is for chains');
  const n = tree.tokens.length;
  const weight = [1];
  for (let i = 1; i < n; i++) {
    const token = tree.tokens[i] as number;
    const p = (weight[i - 1] as number) * (target(i - 1)[token] as number);
    weight.push(ratio(p, rowAt(tree, i, token)));
  }
  for (let i = n - 1; i > 0; i--) {
    const w = weight[i] as number;
    const { mass } = i < n - 1 ? residual(tree, target(i), w, i + 1) : { mass: 0 };
    const chance = i === n - 1 ? w : reweighted(w, mass);
    if (coins.accept(i, [chance]) === 0) return close(i);
  }
  return close(0);

  function close(i: number): Verdict {
    const path = Array.from({ length: i + 1 }, (_, j) => j);
    const law = i < n - 1 ? residual(tree, target(i), weight[i] as number, i + 1).law : target(i);
    return { path, token: coins.draw(LAST, law) };
  }
};

/** Traversal verification (Weng et al., arXiv 2505.12398): leaves first, each with the weight of its whole path. */
export const traversal: Rule = (tree, target, coins) => {
  interface State {
    node: number;
    weight: number;
    law: Law;
    children: number[];
  }
  const enter = (node: number, weight: number): State => ({
    node,
    weight,
    law: target(node),
    children: childrenOf(tree, node),
  });
  const path = [enter(0, 1)];
  for (;;) {
    let leaf = path.at(-1) as State;
    for (let child = leaf.children[0]; child !== undefined; child = leaf.children[0]) {
      const token = tree.tokens[child] as number;
      leaf = enter(child, ratio(leaf.weight * (leaf.law[token] as number), rowAt(tree, child, token)));
      path.push(leaf);
    }
    const parent = path.at(-2);
    if (!parent || coins.accept(leaf.node, [leaf.weight]) === 0) {
      return { path: path.map(({ node }) => node), token: coins.draw(LAST, leaf.law) };
    }
    const { law, mass } = residual(tree, parent.law, parent.weight, leaf.node);
    parent.law = law;
    parent.weight = reweighted(parent.weight, mass);
    parent.children.shift();
    path.pop();
  }
};

/**
 * WRONG, as a control: every sibling is tested against the same law, and one correction follows the last. The bias that public
 * kernels have had.
 */
export const withoutUpdate: Rule = (tree, target, coins) => {
  const path = [0];
  for (;;) {
    const node = path.at(-1) as number;
    const law = target(node);
    const children = childrenOf(tree, node);
    const next = children.find((child) => {
      const token = tree.tokens[child] as number;
      return coins.accept(child, [ratio(law[token] as number, rowAt(tree, child, token))]) === 0;
    });
    if (next === undefined) {
      const last = children.at(-1);
      return { path, token: coins.draw(LAST, last === undefined ? law : residual(tree, law, 1, last).law) };
    }
    path.push(next);
  }
};

export function isChain(tree: DraftTree): boolean {
  return tree.parents.every((parent, i) => i === 0 || parent === i - 1);
}
