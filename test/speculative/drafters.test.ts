// The test drafters are what they say they are: else tests with them would prove nothing.
import { expect, test } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import type { HostDrafter } from '../../lib/speculative/drafter.js';
import { DraftTree } from '../../lib/speculative/tree.js';
import { between, seeded } from '../kit/cases.js';
import { adversarial, broken, constructed, oracle, randomTrees } from './drafters.js';

const VOCABULARY = 50;
const rng = seeded(1);
const answer = Array.from({ length: 80 }, () => between(rng, 0, VOCABULARY - 1));
const budgets = [
  { nodes: 1, depth: 1 },
  { nodes: 5, depth: 3 },
  { nodes: 30, depth: 127 },
  { nodes: 127, depth: 127 },
];

/** Plays an answer; returns the mean number of accepted nodes. */
function play(drafter: HostDrafter, budget: { nodes: number; depth: number }): number {
  drafter.start([]);
  let at = 0;
  let accepted = 0;
  let rounds = 0;
  while (at < answer.length) {
    const proposal = drafter.propose(budget);
    const tree = proposal && DraftTree.from(proposal, VOCABULARY);
    if (tree) {
      expect(tree.size).toBeLessThanOrEqual(budget.nodes);
      expect(tree.depth).toBeLessThanOrEqual(budget.depth);
    }
    const path = tree?.follow(answer.slice(at)) ?? [];
    const emitted = answer.slice(at, at + path.length + 1);
    drafter.observe(emitted);
    at += emitted.length;
    accepted += path.length;
    rounds++;
  }
  drafter.finish();
  return accepted / rounds;
}

test.each(budgets)('the honest ones keep to a budget of %o', (budget) => {
  expect(play(oracle(answer), budget)).toBeGreaterThan(0.8 * Math.min(6, budget.nodes, budget.depth) - 0.5);
  const made = play(constructed(answer, VOCABULARY, 2), budget);
  if (budget.nodes >= 30) expect(made).toBeGreaterThan(3);
  expect(play(adversarial(answer, VOCABULARY, 3), budget)).toBe(0);
  expect(play(randomTrees(VOCABULARY, 4), budget)).toBeLessThan(3);
});

test('the broken ones are right at first and are refused later', () => {
  const harmless: string[] = [];
  for (const [name, make] of Object.entries(broken(answer, VOCABULARY))) {
    try {
      play(make(), { nodes: 10, depth: 10 });
      harmless.push(name);
    } catch (error) {
      // a typed refusal of the tree, or what the drafter or the budget check throws
      expect(HyperBagelError.isInstance(error) || error === undefined || error instanceof Error, name).toBe(true);
    }
  }
  expect(harmless).toEqual(['nothing', 'null', 'an empty tree']);
});
