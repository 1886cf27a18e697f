// Trees for tests, and what the derived forms should be, by walks that share nothing with the library.
import type { Rng } from '../kit/cases.js';

/** Parents of drafted nodes, -1 for the root. */
export type Parents = number[];

/** Every ordered rooted tree with this many nodes, the root among them, in preorder: Catalan(nodes - 1) of them. */
export function* orderedTrees(nodes: number): Generator<Parents> {
  const parents: Parents = [];
  const trail: number[] = [-1]; // from the root down to the last node
  function* grow(): Generator<Parents> {
    if (parents.length === nodes - 1) {
      yield [...parents];
      return;
    }
    for (let keep = trail.length; keep >= 1; keep--) {
      const cut = trail.splice(keep);
      parents.push(trail[keep - 1] as number);
      trail.push(parents.length - 1);
      yield* grow();
      trail.pop();
      parents.pop();
      trail.push(...cut);
    }
  }
  yield* grow();
}

/** A random tree; `shape` 0 gives bushes, 1 gives chains. */
export function randomParents(rng: Rng, drafted: number, shape = rng()): Parents {
  return Array.from({ length: drafted }, (_, i) => (rng() < shape ? i - 1 : Math.floor(rng() * (i + 1)) - 1));
}

/** Tokens such that siblings differ. The vocabulary must hold them. */
export function randomTokens(rng: Rng, parents: Parents, vocabulary: number): number[] {
  const tokens: number[] = [];
  parents.forEach((parent, i) => {
    const taken = new Set(tokens.filter((_, j) => j < i && parents[j] === parent));
    let token = Math.floor(rng() * vocabulary);
    while (taken.has(token)) token = (token + 1) % vocabulary;
    tokens.push(token);
  });
  return tokens;
}

/** Values that do not rise along a path, with ties now and then. */
export function randomValues(rng: Rng, parents: Parents): number[] {
  const values: number[] = [];
  for (const parent of parents) {
    const drop = rng() < 0.3 ? 0.5 : rng() * 3;
    values.push(Math.fround((parent < 0 ? 0 : (values[parent] as number)) - Math.fround(drop)));
  }
  return values;
}

/** The same tree with its nodes in another order, parents before children. */
export function shuffled(rng: Rng, parents: Parents): { parents: Parents; from: number[] } {
  const from: number[] = [];
  const place = new Map<number, number>([[-1, -1]]);
  const open = parents.map((_, i) => i);
  while (open.length > 0) {
    const ready = open.filter((i) => place.has(parents[i] as number));
    const i = ready[Math.floor(rng() * ready.length)] as number;
    open.splice(open.indexOf(i), 1);
    place.set(i, from.length);
    from.push(i);
  }
  return { parents: from.map((i) => place.get(parents[i] as number) as number), from };
}

/** The nodes from a node up, itself first, the root left out. */
export function pathUp(parents: ArrayLike<number>, node: number): number[] {
  const path: number[] = [];
  for (let i = node; i >= 0; i = parents[i] as number) path.push(i);
  return path;
}
