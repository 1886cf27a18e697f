import { afterEach, describe, expect, test, vi } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import { NgramDrafter } from '../../lib/speculative/ngram.js';
import { END, NgramMemory } from '../../lib/speculative/ngram-memory.js';
import type { DraftTree } from '../../lib/speculative/tree.js';
import { between, type Rng, seeded } from '../kit/cases.js';
import { PlainPredictor } from './plain-predictor.js';
import { pathUp } from './trees.js';

const WIDE = { nodes: 127, depth: 127 };

/** Paths of a tree with their values. */
const paths = (tree: DraftTree | undefined) =>
  tree
    ? [...tree.tokens.keys()].map((i) => ({
        path: pathUp(tree.parents, i)
          .reverse()
          .map((j) => tree.tokens[j] as number),
        value: tree.values[i] as number,
      }))
    : [];

const randomText = (rng: Rng, length: number, alphabet: number) =>
  Array.from({ length }, () => Math.floor(rng() ** 2 * alphabet));

function learn(memory: NgramMemory, prompt: number[], answer: number[]): void {
  const drafter = new NgramDrafter({ memory });
  drafter.start(prompt);
  drafter.observe(answer);
  drafter.finish();
}

afterEach(() => vi.restoreAllMocks());

describe('probabilities', () => {
  test.each([2, 3, 5, 9])('are those of a plain counter, over %i tokens', (alphabet) => {
    const rng = seeded(alphabet);
    for (let k = 0; k < 12; k++) {
      const memory = new NgramMemory({ tokens: 120 });
      const answers = Array.from({ length: between(rng, 0, 6) }, () => randomText(rng, between(rng, 1, 30), alphabet));
      for (const answer of answers) memory.learn(answer);
      // the memory's two halves of 60 tokens, filled in order
      const halves: number[][][] = [];
      for (const answer of answers) {
        const used = (halves.at(-1) ?? []).reduce((sum, { length }) => sum + length, 0);
        if (halves.length === 0 || used + answer.length + 1 > 60) halves.push([]);
        halves.at(-1)?.push([...answer, END]);
      }
      const prompt = randomText(rng, between(rng, 0, 20), alphabet);
      const answer = randomText(rng, between(rng, 0, 20), alphabet);
      const text = [...prompt, ...answer];
      const drafter = new NgramDrafter({ memory });
      drafter.start(prompt);
      if (rng() < 0.5) drafter.propose(WIDE);
      const plain = new PlainPredictor();
      answer.forEach((token, i) => {
        drafter.observe([token]);
        const before = [...prompt, ...answer.slice(0, i)];
        plain.learn([[before], ...halves.slice(-2)], before, token);
      });
      const tree = drafter.propose({ nodes: 30, depth: 6 });
      const sources = [[text], ...halves.slice(-2)];
      const expectedAt = new Map<string, Map<number, number>>();
      for (const { path, value } of paths(tree)) {
        const above = path.slice(0, -1);
        const key = above.join(' ');
        const chances = expectedAt.get(key) ?? plain.predict(sources, [...text, ...above]);
        expectedAt.set(key, chances);
        const parent = paths(tree).find((other) => other.path.join(' ') === key)?.value ?? 0;
        const chance = Math.min(chances.get(path.at(-1) as number) ?? 0, 0.98);
        expect(Math.exp(value - parent)).toBeCloseTo(chance, 5);
      }
      // nothing better was left out
      const kept = new Map(paths(tree).map(({ path, value }) => [path.join(' '), value]));
      const least = kept.size === 30 ? Math.min(...kept.values()) : Math.log(0.02);
      for (const { path, value } of [{ path: [] as number[], value: 0 }, ...paths(tree)]) {
        if (path.length === 6) continue;
        for (const [token, chance] of plain.predict(sources, [...text, ...path])) {
          const child = value + Math.log(Math.min(chance, 0.98));
          if (token !== END && child > least + 1e-5) expect(kept.has([...path, token].join(' '))).toBe(true);
        }
      }
    }
  });
});

describe('drafts', () => {
  test('prompt lookup: what came after these tokens before', () => {
    const drafter = new NgramDrafter();
    drafter.start([1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3]);
    const tree = drafter.propose({ nodes: 2, depth: 4 });
    expect([...(tree?.tokens ?? [])]).toEqual([4, 5]);
    expect([...(tree?.parents ?? [])]).toEqual([-1, 0]);
    drafter.observe([4, 5]);
    expect([...(drafter.propose({ nodes: 2, depth: 4 })?.tokens ?? [])]).toEqual([6, 7]);
  });

  test('where the text turns out to copy, drafts become long', () => {
    const rng = seeded(12);
    const prompt = Array.from({ length: 300 }, () => Math.floor(400 * rng() ** 3));
    const drafter = new NgramDrafter();
    drafter.start(prompt);
    const accepted: number[] = [];
    for (let k = 0; k < 20; k++) {
      const from = between(rng, 0, 270);
      const copied = prompt.slice(from, from + 25);
      for (let i = 0; i < copied.length; ) {
        const path = drafter.propose({ nodes: 16, depth: 16 })?.follow(copied.slice(i)) ?? [];
        if (i > 4) accepted.push(path.length / Math.min(16, copied.length - i));
        drafter.observe(copied.slice(i, i + path.length + 1));
        i += path.length + 1;
      }
    }
    const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;
    expect(mean(accepted.slice(-20))).toBeGreaterThan(0.7);
    expect(mean(accepted.slice(-20))).toBeGreaterThan(mean(accepted.slice(0, 5)));
  });

  test('a split of counts becomes a branch, the more frequent side first', () => {
    const memory = new NgramMemory();
    for (const colour of [20, 20, 21, 20, 21, 22]) learn(memory, [1], [10, 11, colour, 12, 13]);
    const drafter = new NgramDrafter({ memory });
    drafter.start([1]);
    const tree = drafter.propose({ nodes: 40, depth: 4 }) as DraftTree;
    const below = paths(tree)
      .filter(({ path }) => path.length === 3 && path[0] === 10 && path[1] === 11)
      .map(({ path }) => path[2]);
    expect(below).toEqual([20, 21, 22]);
    expect(tree.follow([10, 11, 21, 12])).toHaveLength(4);
  });

  test('an answer about another picture is drafted from the memory, to its end and no further', () => {
    const memory = new NgramMemory();
    const answer = [10, 11, 12, 13, 14, 15, 99];
    for (let k = 0; k < 8; k++) learn(memory, [98, 1, 2, 99, 98], answer);
    const drafter = new NgramDrafter({ memory });
    drafter.start([98, 3, 1, 2, 99, 98]);
    const tree = drafter.propose(WIDE) as DraftTree;
    const path = tree.follow([...answer, 98]);
    expect(path.length).toBeGreaterThanOrEqual(answer.length);
    expect(tree.values[path[6] as number]).toBeGreaterThan(Math.log(0.3));
    expect(path.length === 7 || (tree.values[path[7] as number] as number) < Math.log(0.1)).toBe(true);
  });

  test('nothing when nothing matches', () => {
    const drafter = new NgramDrafter();
    expect(drafter.propose(WIDE)).toBeUndefined();
    drafter.start([]);
    expect(drafter.propose(WIDE)).toBeUndefined();
    drafter.start([1, 2, 3]);
    expect(drafter.propose(WIDE)).toBeUndefined();
    drafter.observe([4]);
    expect(drafter.propose(WIDE)).toBeUndefined();
    drafter.observe([2]);
    expect([...(drafter.propose(WIDE)?.tokens ?? [])]).toContain(3);
  });

  test('the budget holds, and a smaller one gives the beginning of the same tree', () => {
    const rng = seeded(5);
    const drafter = new NgramDrafter();
    drafter.start(randomText(rng, 400, 6));
    const whole = drafter.propose(WIDE) as DraftTree;
    expect(whole.size).toBeGreaterThan(40);
    expect([...whole.order]).toEqual([...whole.tokens.keys()]);
    for (const nodes of [1, 7, 40]) {
      const part = drafter.propose({ nodes, depth: 127 }) as DraftTree;
      for (const key of ['tokens', 'parents', 'values'] as const) {
        expect(part[key]).toEqual(whole[key].slice(0, nodes));
      }
    }
    expect((drafter.propose({ nodes: 127, depth: 2 }) as DraftTree).depth).toBe(2);
    expect(drafter.propose({ nodes: 0, depth: 2 })).toBeUndefined();
    expect(drafter.propose({ nodes: 2, depth: 0 })).toBeUndefined();
  });
});

describe('state', () => {
  const story = (drafter: NgramDrafter, rng: Rng): string => {
    const seen: unknown[] = [];
    for (let turn = 0; turn < 4; turn++) {
      drafter.start(randomText(rng, 20, 5));
      for (let round = 0; round < 15; round++) {
        const tree = drafter.propose({ nodes: 20, depth: 8 });
        seen.push(tree && [...tree.tokens, ...tree.parents, ...tree.values]);
        drafter.observe(randomText(rng, between(rng, 1, 4), 5));
      }
      drafter.finish();
    }
    return JSON.stringify(seen);
  };

  test('equal calls give equal drafts, whatever the clock says; after a reset too', () => {
    const first = story(new NgramDrafter(), seeded(1));
    for (const clock of [() => 0, () => 1e12 * Math.sin(1)]) {
      vi.spyOn(performance, 'now').mockImplementation(clock);
      vi.spyOn(Date, 'now').mockImplementation(clock);
      vi.spyOn(Math, 'random').mockImplementation(() => 0.5);
      const drafter = new NgramDrafter();
      expect(story(drafter, seeded(1))).toBe(first);
      expect(story(drafter, seeded(1))).not.toBe(first);
      drafter.reset();
      expect(drafter.propose(WIDE)).toBeUndefined();
      expect(story(drafter, seeded(1))).toBe(first);
    }
  });

  test('a fork goes on alone', () => {
    const drafter = new NgramDrafter();
    drafter.start([1, 2, 3, 4, 1, 2]);
    const fork = drafter.fork();
    fork.observe([5, 1, 2]);
    drafter.observe([3]);
    expect([...(drafter.propose({ nodes: 1, depth: 1 })?.tokens ?? [])]).toEqual([4]);
    expect([...(fork.propose(WIDE)?.tokens ?? [])]).toEqual(expect.arrayContaining([3, 5]));
    const whole = new NgramDrafter();
    whole.start([1, 2, 3, 4, 1, 2, 5, 1, 2]);
    expect(paths(fork.propose(WIDE))).toEqual(paths(whole.propose(WIDE)));
  });

  test('a conversation that goes on is not counted twice', () => {
    const rng = seeded(6);
    const text = randomText(rng, 60, 4);
    const drafter = new NgramDrafter();
    drafter.start(text.slice(0, 20));
    drafter.observe(text.slice(20, 35));
    drafter.start(text);
    const fresh = new NgramDrafter();
    fresh.start(text);
    expect(paths(drafter.propose(WIDE))).toEqual(paths(fresh.propose(WIDE)));
    // and another conversation starts anew
    drafter.start(text.slice(30));
    fresh.reset();
    fresh.start(text.slice(30));
    expect(paths(drafter.propose(WIDE))).toEqual(paths(fresh.propose(WIDE)));
  });

  test('what one session learns in the middle of another one counts there', () => {
    const memory = new NgramMemory();
    const drafter = new NgramDrafter({ memory });
    drafter.start([1, 2]);
    expect(drafter.propose(WIDE)).toBeUndefined();
    drafter.observe([3, 4]);
    learn(memory, [1, 2], [3, 4, 5, 6]);
    expect(drafter.propose(WIDE)?.follow([5, 6])).toHaveLength(2);
    memory.clear();
    expect(drafter.propose(WIDE)).toBeUndefined();
  });
});

describe('memory', () => {
  test('stays within its limit and forgets the oldest', () => {
    const rng = seeded(8);
    const memory = new NgramMemory({ tokens: 2000 });
    let most = 0;
    for (let k = 0; k < 500; k++) {
      const marker = 1000 + k;
      memory.learn([marker, ...randomText(rng, between(rng, 1, 60), 50), marker]);
      expect(memory.tokens).toBeLessThanOrEqual(2000);
      if (k > 100) expect(memory.tokens).toBeGreaterThan(900);
      expect(memory.automata.length).toBeLessThanOrEqual(2);
      most = Math.max(
        most,
        memory.automata.reduce((sum, { bytes }) => sum + bytes, 0),
      );
      const knows = (token: number) => memory.automata.some((automaton) => automaton.target(0, token) >= 0);
      expect([knows(marker), knows(marker - 10), knows(marker - 200)]).toEqual([true, k >= 10, false]);
    }
    expect(most).toBeLessThan(200 * 2000);
  });

  test('of an answer that is too long the end is kept', () => {
    const memory = new NgramMemory({ tokens: 20 });
    memory.learn(Array.from({ length: 100 }, (_, i) => i));
    expect(memory.tokens).toBe(10);
    expect([89, 91, 99].map((token) => (memory.automata[0]?.target(0, token) ?? -1) >= 0)).toEqual([false, true, true]);
    memory.learn([]);
    expect(memory.tokens).toBe(10);
  });

  test('an answer without tokens is not learnt, nor the same one twice', () => {
    const memory = new NgramMemory();
    const drafter = new NgramDrafter({ memory });
    drafter.start([1, 2, 3]);
    drafter.finish();
    expect(memory.tokens).toBe(0);
    drafter.observe([4]);
    drafter.finish();
    drafter.finish();
    expect(memory.tokens).toBe(5);
  });

  test.each([0, 1, 1.5, Number.NaN, 2 ** 30, '8'])('refuses a limit of %s', (tokens) => {
    try {
      new NgramMemory({ tokens: tokens as number });
    } catch (error) {
      expect(HyperBagelError.isInstance(error) && [error.code, error.operand]).toEqual(['BAD_OPTION', 'tokens']);
      return;
    }
    throw new Error('it was not refused');
  });
});

test('a proposal takes microseconds', () => {
  const rng = seeded(11);
  const memory = new NgramMemory();
  // sentences of a template with gaps, as answers are
  const sentence = () => [10, 11, between(rng, 20, 25), 12, 13, between(rng, 30, 40), 14, 15, between(rng, 20, 25), 16];
  const answer = () => Array.from({ length: 8 }, sentence).flat();
  for (let k = 0; k < 200; k++) learn(memory, [1, 2, 3], answer());
  const drafter = new NgramDrafter({ memory });
  drafter.start([1, 2, 3]);
  const times: number[] = [];
  for (const token of [...answer(), ...answer(), ...answer()]) {
    const start = performance.now();
    drafter.propose({ nodes: 32, depth: 16 });
    times.push(performance.now() - start);
    drafter.observe([token]);
  }
  const median = times.sort((a, b) => a - b)[times.length >> 1] as number;
  // some 15 us on an idle machine; the limit leaves room for a busy one
  expect(median).toBeLessThan(0.5);
});
