// Drafters for tests: right, wrong, random and broken ones. Whatever they do, the answer must not change.
import type { DraftBudget, HostDrafter } from '../../lib/speculative/drafter.js';
import type { DraftTreeInit } from '../../lib/speculative/tree.js';
import { between, type Rng, seeded } from '../kit/cases.js';
import { randomParents, randomTokens, randomValues } from './trees.js';

/** A drafter without state of its own: `draft` sees what was emitted in this answer. */
export class ScriptedDrafter implements HostDrafter {
  readonly kind = 'host';
  readonly vocabulary?: number;
  /** Of the running answer. */
  prompt: readonly number[] = [];
  emitted: number[] = [];
  /** Calls, for tests of the engine's manners. */
  readonly calls = { start: 0, observe: 0, propose: 0, finish: 0 };

  constructor(
    readonly name: string,
    private readonly draft: (emitted: readonly number[], budget: DraftBudget) => DraftTreeInit | undefined,
    vocabulary?: number,
  ) {
    if (vocabulary !== undefined) this.vocabulary = vocabulary;
  }

  start(prompt: readonly number[]): void {
    this.calls.start++;
    this.prompt = prompt;
    this.emitted = [];
  }

  observe(tokens: readonly number[]): void {
    this.calls.observe++;
    this.emitted.push(...tokens);
  }

  propose(budget: DraftBudget): DraftTreeInit | undefined {
    this.calls.propose++;
    return this.draft(this.emitted, budget);
  }

  finish(): void {
    this.calls.finish++;
  }

  fork(): HostDrafter {
    const fork = new ScriptedDrafter(this.name, this.draft, this.vocabulary);
    fork.prompt = this.prompt;
    fork.emitted = [...this.emitted];
    return fork;
  }

  reset(): void {
    this.prompt = [];
    this.emitted = [];
  }
}

/** A chain of tokens. */
export const chain = (tokens: readonly number[]): DraftTreeInit => ({
  tokens,
  parents: tokens.map((_, i) => i - 1),
});

/** Knows the answer and drafts the next `depth` tokens of it. */
export const oracle = (answer: readonly number[], depth = 6): ScriptedDrafter =>
  new ScriptedDrafter('oracle', (emitted, budget) => {
    const next = answer.slice(emitted.length, emitted.length + Math.min(depth, budget.depth, budget.nodes));
    return next.length > 0 ? chain(next) : undefined;
  });

/**
 * Trees made to measure: the right continuation for `depth` tokens, hidden at a random place among wrong siblings at every level,
 * as many nodes as there may be.
 */
export const constructed = (
  answer: readonly number[],
  vocabulary: number,
  seed: number,
  depth = 6,
): ScriptedDrafter => {
  const rng = seeded(seed);
  return new ScriptedDrafter('constructed', (emitted, budget) => {
    const right = answer.slice(emitted.length, emitted.length + Math.min(depth, budget.depth));
    const tree = { tokens: [] as number[], parents: [] as number[], values: [] as number[] };
    const add = (token: number, parent: number, value: number) => {
      if (tree.tokens.length >= budget.nodes) return -1;
      const twin = tree.tokens.findIndex((t, i) => t === token && tree.parents[i] === parent);
      if (twin >= 0) return twin;
      tree.tokens.push(token);
      tree.parents.push(parent);
      tree.values.push(value);
      return tree.tokens.length - 1;
    };
    let parent = -1;
    let value = 0;
    for (const token of right) {
      value -= 0.1;
      for (let k = between(rng, 0, 4); k > 0; k--) add(between(rng, 0, vocabulary - 1), parent, value - 0.2 * rng());
      parent = add(token, parent, value);
      if (parent < 0) break;
      for (let k = between(rng, 0, 3); k > 0; k--) add(between(rng, 0, vocabulary - 1), parent, value - rng());
    }
    return tree;
  });
};

/** Bushes and chains of any tokens, any size within the budget. */
export const randomTrees = (vocabulary: number, seed: number): ScriptedDrafter => {
  const rng = seeded(seed);
  return new ScriptedDrafter('random', (_, budget) => {
    const parents = withinDepth(randomParents(rng, between(rng, 0, budget.nodes)), budget.depth);
    return { tokens: randomTokens(rng, parents, vocabulary), parents, values: randomValues(rng, parents) };
  });
};

function withinDepth(parents: number[], most: number): number[] {
  const depths: number[] = [];
  return parents.map((parent, i) => {
    const depth = parent < 0 ? 1 : (depths[parent] as number) + 1;
    const fits = depth <= most;
    depths[i] = fits ? depth : 1;
    return fits ? parent : -1;
  });
}

/** Always wrong, as far as the answer is known: full trees in which no child of the root is the next token. */
export const adversarial = (answer: readonly number[], vocabulary: number, seed: number): ScriptedDrafter => {
  const rng = seeded(seed);
  return new ScriptedDrafter('adversarial', (emitted, budget) => {
    const right = answer[emitted.length] ?? -1;
    const parents = withinDepth(randomParents(rng, budget.nodes, 0.7), budget.depth);
    const tokens = randomTokens(rng, parents, vocabulary - 1);
    // a bijection of the smaller vocabulary onto all tokens but the right one keeps siblings different
    return { tokens: tokens.map((t, i) => (right >= 0 && parents[i] === -1 && t >= right ? t + 1 : t)), parents };
  });
};

/** Right for a while, then something that must not get through. */
const spoiled = (name: string, answer: readonly number[], spoil: (rng: Rng, budget: DraftBudget) => unknown) => {
  const rng = seeded(answer.length);
  return new ScriptedDrafter(name, (emitted, budget) => {
    if (emitted.length > 5) return spoil(rng, budget) as DraftTreeInit;
    const right = oracle(answer, 3);
    right.observe(emitted);
    return right.propose(budget);
  });
};

/** Drafters that break the rules in the middle of an answer, by what they do. */
export const broken = (answer: readonly number[], vocabulary: number): Record<string, () => ScriptedDrafter> => {
  const bad = (name: string, spoil: (rng: Rng, budget: DraftBudget) => unknown) => () => spoiled(name, answer, spoil);
  return {
    throws: bad('throws', () => {
      throw new Error('no more ideas');
    }),
    'throws nothing': bad('throws nothing', () => {
      throw undefined;
    }),
    nothing: bad('nothing', () => undefined),
    null: bad('null', () => null),
    'an empty tree': bad('an empty tree', () => ({ tokens: [], parents: [] })),
    'a string': bad('a string', () => 'tree'),
    duplicates: bad('duplicates', () => ({ tokens: [3, 3, 3], parents: [-1, -1, -1] })),
    'a cycle': bad('a cycle', () => ({ tokens: [1, 2, 3], parents: [2, 0, 1] })),
    'children first': bad('children first', () => ({ tokens: [1, 2], parents: [1, -1] })),
    'too many nodes': bad('too many nodes', () => chain(Array.from({ length: 200 }, (_, i) => i))),
    'more than asked for': bad('more than asked for', (_, budget) =>
      chain(Array.from({ length: Math.min(127, budget.nodes + 3) }, (_, i) => i)),
    ),
    'negative tokens': bad('negative tokens', () => chain([-1, -5])),
    'tokens of another vocabulary': bad('tokens of another vocabulary', () => chain([vocabulary, vocabulary + 7])),
    'tokens that are no numbers': bad('tokens that are no numbers', () => chain([Number.NaN, 1.5])),
    'values that are NaN': bad('values that are NaN', () => ({ tokens: [1], parents: [-1], values: [Number.NaN] })),
    'a promise': bad('a promise', () => Promise.resolve(chain([1]))),
    'fails to observe': () => {
      const drafter = oracle(answer, 3);
      let left = 2;
      const observe = drafter.observe.bind(drafter);
      drafter.observe = (tokens) => {
        if (left-- === 0) throw new Error('cannot look');
        observe(tokens);
      };
      return drafter;
    },
    'fails to start': () => {
      const drafter = oracle(answer, 3);
      drafter.start = () => {
        throw new Error('cannot start');
      };
      return drafter;
    },
    'fails to finish': () => {
      const drafter = oracle(answer, 3);
      drafter.finish = () => {
        throw new Error('cannot finish');
      };
      return drafter;
    },
  };
};
