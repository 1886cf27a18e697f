// Losslessness by exact enumeration: whatever the drafter, the tokens that a rule emits, continued with the target, have the law
// of plain sampling. Rules that are known to be wrong must fail the same check.
import { afterAll, describe, expect, test } from 'vitest';
import {
  bestFirst,
  type Drafting,
  distinct,
  independent,
  repeated,
  rerankedAfterDrawing,
  sharedNoise,
  spine,
  top,
  topAndOneDrawn,
} from './drafts.js';
import { emitted, type NoisyRule, plain, totalVariation } from './law.js';
import { filteredLaw, type Kind, type Pair, randomPair, type Settings } from './model.js';
import {
  block,
  childrenOf,
  coupled,
  coupledToken,
  type DraftTree,
  greedy,
  largest,
  type Rule,
  recursiveRejection,
  targetOnly,
  tokenWise,
  traversal,
  withoutUpdate,
} from './rules.js';

/** What rounding may leave. */
const EQUAL = 1e-12;
/** What a bias shows at least. */
const BIASED = 1e-3;

let [ways, worst] = [0, 0];
afterAll(() =>
  console.log(`${ways} ways enumerated; largest total variation of a lossless rule ${worst.toExponential(1)}`),
);

function distance(pair: Pair, drafting: Drafting, rule: NoisyRule, depth: number): number {
  const result = emitted(pair, drafting, rule, depth + 1);
  ways += result.ways;
  return totalVariation(result.law, plain(pair, depth + 1));
}

function expectLossless(pair: Pair, drafting: Drafting, rule: NoisyRule, depth: number): void {
  const found = distance(pair, drafting, rule, depth);
  worst = Math.max(worst, found);
  expect(found).toBeLessThan(EQUAL);
}

const trees: [string, Drafting, number][] = [
  ['a chain', distinct(1, 1, 1), 3],
  ['independent siblings', independent(2, 2), 2],
  ['three independent siblings', independent(3, 1), 2],
  ['distinct siblings', distinct(2, 2), 2],
  ['all tokens as siblings', distinct(3, 1), 2],
  ['the best tokens', top(2, 2, 1), 3],
  ['the best tokens and one drawn', topAndOneDrawn(2, 2), 2],
  ['one token twice', repeated(2, 2), 2],
  ['a spine', spine(3, 2), 3],
  ['best first', bestFirst(5, 3), 3],
];

const lossless: [string, Rule][] = [
  ['recursive rejection', recursiveRejection],
  ['target only', targetOnly],
  ['traversal', traversal],
];

const kinds: Kind[] = ['near', 'far', 'ties', 'holes'];

describe.each(lossless)('%s', (_, rule) => {
  test.each(trees)('%s', (_, drafting, depth) => {
    for (const kind of kinds) expectLossless(randomPair(1, 3, kind), drafting, rule, depth);
  });

  test('vocabularies of 2 and 4', () => {
    for (const kind of kinds) {
      for (const drafting of [independent(2, 1), distinct(2, 1), topAndOneDrawn(2, 1)]) {
        expectLossless(randomPair(2, 2, kind), drafting, rule, 2);
        expectLossless(randomPair(3, 4, kind), drafting, rule, 2);
      }
    }
  });

  test('no draft at all', () => {
    for (const kind of kinds) expectLossless(randomPair(4, 4, kind), top(), rule, 0);
  });
});

const settings: [string, Settings][] = [
  ['temperature 0.4', { temperature: 0.4 }],
  ['top_k 2', { topK: 2 }],
  ['top_p 0.7', { topP: 0.7 }],
  ['min_p 0.4', { minP: 0.4 }],
  ['all filters', { temperature: 1.4, topK: 3, topP: 0.85, minP: 0.2 }],
  ['a repetition penalty', { repetitionPenalty: 1.8 }],
  ['all of them', { temperature: 0.8, topK: 3, topP: 0.9, minP: 0.05, repetitionPenalty: 1.5 }],
];

describe('filters and penalties, counted along the path', () => {
  test.each(settings)('%s', (_, setting) => {
    for (const kind of ['near', 'ties'] as const) {
      const pair = randomPair(5, 4, kind, setting);
      for (const [, rule] of lossless) {
        for (const drafting of [distinct(2, 1), independent(2, 1), topAndOneDrawn(2, 1), top(2, 2)]) {
          expectLossless(pair, drafting, rule, 2);
        }
      }
      expectLossless(pair, distinct(1, 1), block, 2);
      expectLossless(pair, distinct(1, 1), tokenWise, 2);
    }
  });

  test('a penalty that does not count the path is noticed', () => {
    const setting = { repetitionPenalty: 2 };
    const pair = randomPair(5, 4, 'near', setting);
    const deaf = randomPair(5, 4, 'near', { ...setting, ignoresPath: true });
    const along = (tree: DraftTree, node: number): number[] =>
      node === 0 ? [] : [...along(tree, tree.parents[node] as number), tree.tokens[node] as number];
    const rule: Rule = (tree, _, coins) => traversal(tree, (node) => deaf.target(along(tree, node)), coins);
    expect(distance(pair, distinct(2, 1), rule, 2)).toBeGreaterThan(BIASED);
  });
});

describe('chains', () => {
  const rules: [string, Rule][] = [
    ['token-wise', tokenWise],
    ['block', block],
  ];
  test.each(rules)('%s', (_, rule) => {
    for (const kind of kinds) {
      for (const drafting of [distinct(1), distinct(1, 1, 1), top(1, 1, 1)]) {
        expectLossless(randomPair(6, 3, kind), drafting, rule, 3);
      }
    }
  });

  test('traversal of a chain is block verification, way by way', () => {
    for (const kind of kinds) {
      const pair = randomPair(7, 3, kind);
      const [a, b] = [block, traversal].map((rule) => emitted(pair, distinct(1, 1, 1), rule, 4));
      expect(a?.ways).toBe(b?.ways);
      expect(Math.abs((a?.accepted as number) - (b?.accepted as number))).toBeLessThan(EQUAL);
    }
  });

  // The example of the paper: two tokens, three of them at most, laws that do not look at the context.
  test('accepted lengths of the published example', () => {
    const pair: Pair = { vocabulary: 2, target: () => [1 / 3, 2 / 3], drafter: () => [2 / 3, 1 / 3] };
    const accepted = (rule: Rule) => emitted(pair, distinct(1, 1), rule, 3).accepted;
    expect(accepted(tokenWise)).toBeCloseTo(10 / 9, 12);
    expect(accepted(block)).toBeCloseTo(11 / 9, 12);
    expect(accepted(traversal)).toBeCloseTo(11 / 9, 12);
  });

  test('block verification accepts at least as much as token by token', () => {
    for (let seed = 0; seed < 20; seed++) {
      const pair = randomPair(seed, 3, 'far');
      const accepted = (rule: Rule) => emitted(pair, distinct(1, 1, 1), rule, 4).accepted;
      expect(accepted(block)).toBeGreaterThanOrEqual(accepted(tokenWise) - EQUAL);
    }
  });

  test('rules for chains refuse a tree', () => {
    for (const rule of [tokenWise, block]) {
      expect(() => emitted(randomPair(1, 3, 'near'), distinct(2), rule, 2)).toThrow(/chains/);
    }
  });
});

describe('exact match', () => {
  test.each(trees)('greedy, ties to the lowest id: %s', (_, drafting, depth) => {
    for (const kind of kinds) {
      const soft = randomPair(8, 3, kind);
      const onTop = (after: readonly number[]) => {
        const law = soft.target(after);
        return law.map((_, id) => (id === largest(law) ? 1 : 0));
      };
      const pair: Pair = { ...soft, target: onTop };
      expectLossless(pair, drafting, greedy, depth);
      expectLossless(pair, drafting, (tree, target, noise) => coupled(tree, target, noise), depth);
    }
  });

  const drafts: [string, Drafting][] = [
    ['drawn from coins', distinct(2, 1)],
    ['the best', top(2, 2)],
    ['one token twice', repeated(2, 1)],
    ['the best of the same noise', sharedNoise(2, 1)],
    ['a chain of the same noise', sharedNoise(1, 1)],
  ];
  const rule: NoisyRule = (tree, target, noise) => coupled(tree, target, noise);

  test.each(drafts)('coupled, drafts: %s', (_, drafting) => {
    for (const kind of kinds) expectLossless(randomPair(9, 3, kind), drafting, rule, 2);
    expectLossless(randomPair(10, 4, 'near', { topK: 3, repetitionPenalty: 1.5 }), drafting, rule, 2);
  });

  test('shared noise accepts more than drafts of their own', () => {
    const accepted = (drafting: Drafting) => emitted(randomPair(11, 3, 'near'), drafting, rule, 3).accepted;
    expect(accepted(sharedNoise(2, 1))).toBeGreaterThan(accepted(top(2, 1)) + 0.05);
  });
});

describe('wrong rules fail', () => {
  function expectBiased(name: string, pair: Pair, drafting: Drafting, rule: NoisyRule, depth: number): void {
    const found = distance(pair, drafting, rule, depth);
    console.log(`${name}: total variation ${found.toPrecision(3)}`);
    expect(found).toBeGreaterThan(BIASED);
  }

  test.each(trees.filter(([name]) => name !== 'a chain'))(
    'siblings without residual update: %s',
    (name, drafting, depth) => {
      expectBiased(`no residual update, ${name}`, randomPair(1, 3, 'far'), drafting, withoutUpdate, depth);
    },
  );

  test('siblings without residual update, by hand', () => {
    const pair: Pair = { vocabulary: 3, target: () => [0.5, 0.3, 0.2], drafter: () => [0.5, 0.3, 0.2] };
    const { law } = emitted(pair, top(2), withoutUpdate, 2);
    const first = (token: number) => law.slice(3 * token, 3 * token + 3).reduce((a, b) => a + b);
    // the first: 0.5; the second: 0.5 x 0.3; the others share 0.35 as 5 to 2
    for (const [i, p] of [0.75, 0.15, 0.1].entries()) expect(first(i)).toBeCloseTo(p, 12);
    expect(distance(pair, top(2), withoutUpdate, 1)).toBeCloseTo(0.25, 12);
  });

  test('on a chain that rule is right', () => {
    expectLossless(randomPair(1, 3, 'far'), distinct(1, 1, 1), withoutUpdate, 3);
  });

  test('nodes dropped for what was drawn', () => {
    const drafting = rerankedAfterDrawing(4, 2, 2);
    for (const [name, rule] of lossless.filter(([, rule]) => rule !== targetOnly)) {
      expectBiased(`reranked after drawing, ${name}`, randomPair(12, 3, 'near'), drafting, rule, 2);
    }
    // rules that never look at the rows do not mind
    expectLossless(randomPair(12, 3, 'near'), drafting, targetOnly, 2);
    expectLossless(randomPair(12, 3, 'near'), drafting, (tree, target, noise) => coupled(tree, target, noise), 2);
  });

  test('the mass of a token counted once per sibling', () => {
    const twice: Rule = (tree, target, coins) => {
      const children = childrenOf(tree, 0);
      const law = target(0);
      const mass = children.map((child) => law[tree.tokens[child] as number] as number);
      const next = children[coins.accept(0, mass)];
      if (next !== undefined) return { path: [0, next], token: coins.draw(0, target(next)) };
      return {
        path: [0],
        token: coins.draw(
          0,
          law.map((p, t) => (children.some((c) => tree.tokens[c] === t) ? 0 : p)),
        ),
      };
    };
    const pair: Pair = { vocabulary: 3, target: () => [0.4, 0.35, 0.25], drafter: () => [0.5, 0.3, 0.2] };
    expectBiased('mass counted twice', pair, repeated(2), twice, 1);
    expectLossless(pair, top(2), twice, 1);
  });

  test('the last token from the law of the wrong node', () => {
    const wrong: Rule = (tree, target, coins) => {
      const { path } = traversal(tree, target, coins);
      return { path, token: coins.draw(0, target(path.at(-2) ?? 0)) };
    };
    expectBiased('token of the wrong node', randomPair(13, 3, 'near'), distinct(2, 1), wrong, 2);
  });

  test('a residual drawn from the noise of the draft', () => {
    const pair: Pair = { vocabulary: 3, target: () => [0.1, 0.6, 0.3], drafter: () => [0.3, 0.3, 0.4] };
    const drafting: Drafting = (drafter, noise) => {
      const law = drafter([]);
      return { tokens: [-1, coupledToken(law, noise, 0)], parents: [-1, 0], rows: [null, law] };
    };
    const sharing: NoisyRule = (tree, target, chance) =>
      tokenWise(tree, target, { accept: chance.accept, draw: (_, law) => coupledToken(law, chance, 0) });
    expectBiased('noise shared with a ratio test', pair, drafting, sharing, 1);
    expectLossless(pair, drafting, tokenWise, 1);
  });

  test('a coin of 0 that accepts a token without probability', () => {
    const pair: Pair = { vocabulary: 3, target: () => [0, 0.5, 0.5], drafter: () => [0.5, 0.25, 0.25] };
    const sixteenths =
      (below: (coin: number, threshold: number) => boolean): NoisyRule =>
      (tree, target, chance) =>
        traversal(tree, target, {
          accept(coin, [threshold = 0]) {
            const u = chance.draw(coin, new Array<number>(16).fill(1)) / 16;
            return below(u, threshold) ? 0 : -1;
          },
          draw: chance.draw,
        });
    expectLossless(
      pair,
      distinct(1, 1),
      sixteenths((u, t) => u < t),
      2,
    );
    expectBiased(
      'coin <= threshold',
      pair,
      distinct(1, 1),
      sixteenths((u, t) => u <= t),
      2,
    );
  });
});

test('the law of the filters, by hand', () => {
  const third = (list: readonly number[]) => list.map((x) => Math.round(x * 3000) / 1000);
  expect(third(filteredLaw([0, 1, 1, 1], { topK: 3 }))).toEqual([0, 1, 1, 1]);
  expect(filteredLaw([1, 1, 1, 1], { topK: 2 })).toEqual([0.5, 0.5, 0, 0]);
  // of what top_k left, the first has half
  expect(filteredLaw([1, 1, 1, 1], { topK: 2, topP: 0.5 })).toEqual([1, 0, 0, 0]);
  expect(filteredLaw([1, 1, 1, 1], { topP: 0.5 })).toEqual([0.5, 0.5, 0, 0]);
  expect(filteredLaw([0, Math.LN2, 0], { minP: 0.6 })).toEqual([0, 1, 0]);
  expect(filteredLaw([3, 3, 1], { temperature: 0 })).toEqual([1, 0, 0]);
});
