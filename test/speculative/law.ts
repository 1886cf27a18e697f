// The law of what a verification rule emits, and its distance from plain sampling.
import { type Drafting, tokensTo } from './drafts.js';
import { type Coins, type Noise, type Outcome, outcomes } from './explore.js';
import type { Pair } from './model.js';
import type { DraftTree, Law, Verdict } from './rules.js';

/** A rule, which may also look at the noise. */
export type NoisyRule = (tree: DraftTree, target: (node: number) => Law, chance: Coins & Noise) => Verdict;

export interface Emitted {
  /** Probability of each sequence of `length` tokens, in the order of its digits. */
  law: Float64Array;
  /** Mean number of accepted drafts, the token after them not counted. */
  accepted: number;
  /** Ways that were enumerated. */
  ways: number;
}

/**
 * The law of the first `length` tokens when one round of drafting and verification emits some and the target goes on alone:
 * every draft tree and every fall of the coins.
 */
export function emitted(pair: Pair, drafting: Drafting, rule: NoisyRule, length: number): Emitted {
  const all = outcomes((chance) => {
    const tree = drafting(pair.drafter, chance);
    const verdict = rule(tree, (node) => pair.target(tokensTo(tree, node)), chance);
    return [...tokensTo(tree, verdict.path.at(-1) as number), verdict.token];
  }, pair.vocabulary);
  return {
    law: extended(pair, all, length),
    accepted: all.reduce((sum, { probability, value }) => sum + probability * (value.length - 1), 0),
    ways: all.length,
  };
}

/** Continues every outcome with the target, up to a length that none exceeds. */
function extended(pair: Pair, all: readonly Outcome<number[]>[], length: number): Float64Array {
  const begun = new Map<string, Outcome<number[]>>();
  for (const { probability, value } of all) {
    const key = value.join();
    begun.set(key, { value, probability: probability + (begun.get(key)?.probability ?? 0) });
  }
  const law = new Float64Array(pair.vocabulary ** length);
  const goOn = (tokens: readonly number[], probability: number): void => {
    if (tokens.length > length) throw new Error(`${tokens.length} tokens, more than ${length}`);
    if (tokens.length === length) {
      const index = tokens.reduce((sum, token) => sum * pair.vocabulary + token, 0);
      law[index] = (law[index] as number) + probability;
      return;
    }
    pair.target(tokens).forEach((p, token) => {
      if (p > 0) goOn([...tokens, token], probability * p);
    });
  };
  for (const { value, probability } of begun.values()) goOn(value, probability);
  return law;
}

/** Plain sampling's law of `length` tokens. */
export function plain(pair: Pair, length: number): Float64Array {
  return extended(pair, [{ probability: 1, value: [] }], length);
}

export function totalVariation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let distance = 0;
  for (let i = 0; i < a.length; i++) distance += Math.abs((a[i] as number) - (b[i] as number));
  return distance / 2;
}
