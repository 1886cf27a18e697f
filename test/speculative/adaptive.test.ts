import { expect, test } from 'vitest';
import { AdaptivePolicy } from '../../lib/speculative/adaptive.js';
import { SpeculationControl } from '../../lib/speculative/control.js';
import { CostCurve } from '../../lib/speculative/cost-curve.js';
import { DraftTree } from '../../lib/speculative/tree.js';

const curve = new CostCurve({
  stepMs: 1,
  points: [
    { nodes: 1, ms: 1.5 },
    { nodes: 128, ms: 2.5 },
  ],
});

/** A chain 1, 2, 3 with a worse branch beside it, its nodes not in order. */
const tree = new DraftTree({ tokens: [9, 1, 2, 3], parents: [-1, -1, 1, 2], values: [-2.5, -0.1, -0.2, -0.3] });
const event = (tokens: number[], nodes: number) => ({ tokens, index: 0, finished: 0 as const, nodes });

test('verifies what pays, and counts what was accepted by rank', () => {
  const control = new SpeculationControl(curve);
  const policy = new AdaptivePolicy(control, { nodes: 20, depth: 7 });
  const budget = policy.budget();
  expect(budget?.depth).toBe(7);
  expect(budget?.nodes).toBeGreaterThan(2);
  expect(budget?.nodes).toBeLessThanOrEqual(20);
  const nodes = policy.size(tree);
  expect(nodes).toBe(4);
  policy.observe({ tree, nodes }, event([1, 2, 7], 5), { ms: 1.6 });
  expect(control.stats).toMatchObject({ rounds: 1, drafted: 4, accepted: 2, tokens: 3 });
  // a tree that was cut on its way counts with what was left of it
  policy.observe({ tree, nodes }, event([1, 2, 3], 3), { ms: 1.6 });
  expect(control.stats).toMatchObject({ rounds: 2, drafted: 6, accepted: 4, tokens: 6 });
});

test('after a draft that does not pay, plain steps come first', () => {
  const control = new SpeculationControl(curve);
  const policy = new AdaptivePolicy(control);
  const poor = new DraftTree({ tokens: [1], parents: [-1], values: [-4] });
  expect(policy.budget()).toBeDefined();
  expect(policy.size(poor)).toBe(0);
  expect(policy.budget()).toBeUndefined();
  policy.observe(undefined, event([5], 1), { ms: 1 });
  expect(policy.budget()).toBeDefined();
  expect(policy.size(poor)).toBe(0);
  policy.observe(undefined, event([5], 1), { ms: 1 });
  expect(policy.budget()).toBeUndefined();
  policy.observe(undefined, event([5], 1), { ms: 1 });
  expect(policy.budget()).toBeDefined();
  expect(control.stats).toMatchObject({ rounds: 0, plainTokens: 3, reason: 'no draft was worth a round yet' });
});

test('a control that is off is asked again after its plain steps, in the next answer too', () => {
  const control = new SpeculationControl(curve);
  const first = new AdaptivePolicy(control);
  for (let i = 0; i < 60 && control.stats.state === 'on'; i++) {
    first.budget();
    first.observe({ tree, nodes: 4 }, event([7], 5), { ms: 9 });
  }
  expect(control.stats).toMatchObject({ state: 'off', switchedOff: 1 });
  const next = new AdaptivePolicy(control);
  let plain = 0;
  while (!next.budget()) {
    next.observe(undefined, event([5], 1), { ms: 1 });
    expect(++plain).toBeLessThan(200);
  }
  expect(plain).toBeGreaterThan(16);
  expect(next.size(tree)).toBe(4); // a probe
});
