import { describe, expect, test } from 'vitest';
import { ROOT, SuffixAutomaton } from '../../lib/speculative/suffix-automaton.js';
import { between, seeded } from '../kit/cases.js';

/** What followed each context of 1 to `maxContext` tokens, in texts that do not touch. */
function bruteForce(texts: readonly number[][], maxContext: number): Map<string, Map<number, number>> {
  const counts = new Map<string, Map<number, number>>();
  for (const text of texts) {
    for (let i = 1; i < text.length; i++) {
      for (let n = 1; n <= Math.min(i, maxContext); n++) {
        const key = text.slice(i - n, i).join(' ');
        const after = counts.get(key) ?? new Map<number, number>();
        after.set(text[i] as number, (after.get(text[i] as number) ?? 0) + 1);
        counts.set(key, after);
      }
    }
  }
  return counts;
}

function find(automaton: SuffixAutomaton, context: readonly number[]): number {
  return context.reduce((state, token) => (state < 0 ? -1 : automaton.target(state, token)), ROOT);
}

function edgesOf(automaton: SuffixAutomaton, state: number): [number, number][] {
  const edges: [number, number][] = [];
  for (let e = automaton.head[state] as number; e >= 0; e = automaton.edgeNext[e] as number) {
    edges.push([automaton.edgeToken[e] as number, automaton.edgeCount[e] as number]);
  }
  return edges;
}

function compare(automaton: SuffixAutomaton, texts: readonly number[][]): void {
  const problems: string[] = [];
  for (const [key, expected] of bruteForce(texts, automaton.maxContext)) {
    const state = find(automaton, key.split(' ').map(Number));
    const edges = edgesOf(automaton, state);
    const sum = [...expected.values()].reduce((a, b) => a + b, 0);
    const same =
      edges.length === expected.size &&
      edges.every(([token, count]) => expected.get(token) === count) &&
      edges.every(([, count], i) => i === 0 || count <= (edges[i - 1] as [number, number])[1]) &&
      automaton.total[state] === sum &&
      automaton.distinct[state] === expected.size;
    if (!same) problems.push(`after ${key}: ${JSON.stringify(edges)}, should be ${JSON.stringify([...expected])}`);
  }
  expect(problems).toEqual([]);
}

describe('counts equal those of a plain n-gram counter', () => {
  test.each([
    [1, 3],
    [2, 1],
    [2, 4],
    [3, 6],
    [5, 24],
  ])('%i different tokens, contexts up to %i', (alphabet, maxContext) => {
    const rng = seeded(10 * alphabet + maxContext);
    for (let k = 0; k < 30; k++) {
      const texts = Array.from({ length: between(rng, 1, 6) }, () =>
        Array.from({ length: between(rng, 0, 40) }, () => between(rng, -1, alphabet - 2)),
      );
      const automaton = new SuffixAutomaton(maxContext);
      for (const text of texts) {
        automaton.begin();
        for (const token of text) automaton.add(token);
      }
      expect(automaton.size).toBe(texts.flat().length);
      compare(automaton, texts);
      automaton.clear();
      expect([automaton.size, automaton.target(ROOT, 0)]).toEqual([0, -1]);
      for (const token of texts[0] as number[]) automaton.add(token);
      compare(automaton, [texts[0] as number[]]);
    }
  });

  test('after every token, in texts with long repetitions, and in a copy that goes its own way', () => {
    const rng = seeded(7);
    const phrase = Array.from({ length: 12 }, () => between(rng, 0, 3));
    const text: number[] = [];
    const automaton = new SuffixAutomaton(8);
    while (text.length < 150) {
      const cut = between(rng, 0, 11);
      for (const token of rng() < 0.7 ? phrase.slice(cut) : [between(rng, 0, 3)]) {
        text.push(token);
        automaton.add(token);
        if (text.length % 5 === 0) compare(automaton, [text]);
      }
    }
    const copy = automaton.copy();
    for (const token of [0, 1, 2, 3]) copy.add(token);
    compare(automaton, [text]);
    compare(copy, [[...text, 0, 1, 2, 3]]);
  });
});

test('the end is the longest suffix within the limit, and links visit its suffixes', () => {
  const rng = seeded(8);
  const automaton = new SuffixAutomaton(5);
  const text: number[] = [];
  for (let i = 0; i < 300; i++) {
    text.push(between(rng, 0, 2));
    automaton.add(text.at(-1) as number);
    const suffix = text.slice(-5);
    expect(automaton.endLength).toBe(suffix.length);
    expect(automaton.end).toBe(find(automaton, suffix));
    for (let n = suffix.length; n > 0; n--) {
      expect(automaton.shorten(automaton.end, n)).toBe(find(automaton, suffix.slice(-n)));
    }
  }
  automaton.begin();
  expect([automaton.end, automaton.endLength]).toEqual([ROOT, 0]);
});

test('grows linearly, whatever the text', () => {
  const rng = seeded(9);
  const n = 4000;
  const texts: Record<string, (i: number) => number> = {
    'one token': () => 1,
    'all different': (i) => i,
    'two tokens': () => between(rng, 0, 1),
    'a b ... b c': (i) => (i === 0 ? 0 : i < n - 1 ? 1 : 2),
    'a period': (i) => i % 37,
  };
  for (const [name, token] of Object.entries(texts)) {
    const automaton = new SuffixAutomaton(24);
    for (let i = 0; i < n; i++) automaton.add(token(i));
    // at most 2n states and 3n edges, in lists that double
    expect(automaton.bytes, name).toBeLessThanOrEqual(4 * (6 * 2 * 2 * n + 4 * 2 * 3 * n));
  }
});
