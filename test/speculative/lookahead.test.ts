import { describe, expect, test } from 'vitest';
import { expectedTokens, Lookahead, twice } from '../../lib/speculative/lookahead.js';
import { DraftTree } from '../../lib/speculative/tree.js';

const tree = new DraftTree({
  //       0   1  2  3  4  5
  tokens: [10, 11, 12, 13, 14, 15],
  parents: [-1, -1, 0, 0, 2, 1],
  values: [-0.1, -0.5, -0.7, -0.2, -0.8, -0.6],
});

describe('the tokens that a round is expected to give', () => {
  test('a plain step: the best continuation', () => {
    expect(expectedTokens(tree, undefined)).toEqual([10]);
    expect(expectedTokens(new DraftTree({ tokens: [], parents: [] }), undefined)).toBeUndefined();
  });

  test('a draft: down the best path while the round verifies it, and one more', () => {
    const chain = (tokens: number[]) => new DraftTree({ tokens, parents: tokens.map((_, i) => i - 1) });
    expect(expectedTokens(tree, { tree: chain([10, 12]), nodes: 2 })).toEqual([10, 13]);
    expect(expectedTokens(tree, { tree: chain([11]), nodes: 1 })).toEqual([10]);
    expect(expectedTokens(chain([1, 2, 3, 4]), { tree: chain([1, 2, 3, 4]), nodes: 2 })).toEqual([1, 2, 3]);
    // only the verified nodes count, and a tree that ends with them tells nothing about what follows
    expect(expectedTokens(chain([1, 2]), { tree: chain([1, 2, 3]), nodes: 3 })).toBeUndefined();
  });

  test('a bush: other verified branches do not lead astray', () => {
    const bush = new DraftTree({ tokens: [11, 10, 13, 12], parents: [-1, -1, 1, 1], values: [-0.1, -0.2, -0.3, -0.4] });
    expect(expectedTokens(tree, { tree: bush, nodes: 4 })).toBeUndefined(); // 10, 13, and nothing after it
    expect(expectedTokens(tree, { tree: bush, nodes: 2 })).toEqual([10, 13]);
    expect(expectedTokens(tree, { tree: bush, nodes: 1 })).toEqual([10]);
  });
});

describe('drafting ahead', () => {
  test('is given up when it keeps missing, and tried again later', () => {
    const lookahead = new Lookahead();
    expect(lookahead.pays).toBe(true);
    let misses = 0;
    while (lookahead.pays && misses < 100) {
      lookahead.observe(false);
      misses++;
    }
    expect(misses).toBeGreaterThan(1);
    expect(misses).toBeLessThan(10);
    let waited = 0;
    while (!lookahead.pays && waited < 1000) {
      lookahead.observe(undefined);
      waited++;
    }
    expect(waited).toBeGreaterThan(3);
    expect(waited).toBeLessThan(100);
  });

  test('goes on while most drafts fit', () => {
    const lookahead = new Lookahead();
    for (let i = 0; i < 200; i++) {
      lookahead.observe(i % 3 > 0);
      expect(lookahead.pays).toBe(true);
    }
    // rounds that were not drafted ahead say nothing against it
    for (let i = 0; i < 200; i++) lookahead.observe(undefined);
    expect(lookahead.pays).toBe(true);
  });

  test('asks for two rounds within what a tree may hold', () => {
    expect(twice({ nodes: 6, depth: 4 })).toEqual({ nodes: 13, depth: 9 });
    expect(twice({ nodes: 100, depth: 127 })).toEqual({ nodes: 127, depth: 127 });
  });
});
