import { describe, expect, test } from 'vitest';
import { AcceptanceCalibration, IsotonicTable } from '../../lib/speculative/calibration.js';
import { SpeculationControl } from '../../lib/speculative/control.js';
import { CostCurve, chooseSize } from '../../lib/speculative/cost-curve.js';
import { between, type Rng, seeded } from '../kit/cases.js';

const curve = new CostCurve({
  stepMs: 0.17,
  points: [
    { nodes: 1, ms: 0.24 },
    { nodes: 16, ms: 0.3 },
    { nodes: 64, ms: 0.5 },
    { nodes: 128, ms: 0.8 },
  ],
});

/** A drafter of chains: each token follows with probability `real`, and the drafter thinks with `claimed`. */
interface Stream {
  real: number;
  claimed: number;
  length: number;
}

/** Runs a control over a stream until so many tokens are out; returns the time per token against plain steps. */
function drive(
  control: SpeculationControl,
  rng: Rng,
  tokens: number,
  stream: (emitted: number) => Stream,
  { load = 1, round = 1, costs = curve } = {},
): { speed: number; sizes: number[] } {
  let emitted = 0;
  let ms = 0;
  const sizes: number[] = [];
  const plainly = (steps: number) => {
    control.plain(steps, steps * costs.stepMs * load);
    emitted += steps;
    ms += steps * costs.stepMs * load;
  };
  while (emitted < tokens) {
    const turn = control.turn();
    if (!turn.draft) {
      plainly(turn.steps);
      continue;
    }
    const { real, claimed, length } = stream(emitted);
    const values = Array.from({ length: Math.min(length, turn.most) }, (_, i) => (i + 1) * Math.log(claimed));
    const { nodes, steps } = control.plan(values);
    sizes.push(nodes);
    if (nodes === 0) {
      plainly(steps);
      continue;
    }
    let accepted = 0;
    while (accepted < nodes && rng() < real) accepted++;
    const took = costs.ms(nodes + 1) * load * round;
    control.round({
      values: values.slice(0, nodes),
      accepted: Array.from({ length: accepted }, (_, i) => i),
      tokens: accepted + 1,
      ms: took,
    });
    emitted += accepted + 1;
    ms += took;
  }
  return { speed: (emitted * costs.stepMs * load) / ms, sizes };
}

/** The best that a fixed length gives on such a stream. */
function bestSpeed({ real, length }: Stream): number {
  let best = 1;
  for (let n = 1; n <= length; n++) {
    const tokens = Array.from({ length: n + 1 }, (_, i) => real ** i).reduce((a, b) => a + b);
    best = Math.max(best, (tokens * curve.stepMs) / curve.ms(n + 1));
  }
  return best;
}

describe('sizes', () => {
  const asClaimed = { estimate: (value: number) => Math.exp(value) };

  test('maximise tokens beyond what their time is worth', () => {
    const rng = seeded(1);
    for (let k = 0; k < 100; k++) {
      const values = Array.from({ length: between(rng, 0, 127) }, () => -4 * rng()).sort((a, b) => b - a);
      const roots = between(rng, 1, 4);
      const extra = rng() < 0.5 ? 0 : rng() / 4;
      const rate = 1 + 10 * rng();
      const size = chooseSize(curve, values, asClaimed, { rate, roots, extraMs: extra });
      let tokens = roots;
      let best = tokens - rate * (curve.ms(roots) + extra);
      for (let n = 1; n <= values.length; n++) {
        tokens += Math.exp(values[n - 1] as number);
        best = Math.max(best, tokens - rate * (curve.ms(roots + n) + extra));
      }
      expect(size.tokens - rate * size.ms).toBeCloseTo(best, 10);
      expect(size.ms).toBeCloseTo(curve.ms(roots + size.nodes) + extra, 10);
    }
  });

  test('none when the clock says no, all when they cost nothing', () => {
    const flat = new CostCurve({ stepMs: 1, points: [{ nodes: 1, ms: 1 }] });
    const steep = new CostCurve({ stepMs: 1, points: [1, 128].map((nodes) => ({ nodes, ms: nodes })) });
    const values = [-0.1, -1, -3];
    const price = { rate: 1 };
    expect(chooseSize(flat, values, asClaimed, price).nodes).toBe(3);
    expect(chooseSize(steep, values, asClaimed, price)).toEqual({ nodes: 0, tokens: 1, ms: 1 });
    expect(chooseSize(flat, [-Infinity, -Infinity], asClaimed, price).nodes).toBe(0);
  });
});

describe('calibration', () => {
  test('the table is the best monotone fit of its means', () => {
    const rng = seeded(2);
    for (let k = 0; k < 50; k++) {
      const n = between(rng, 1, 8);
      const prior = Array.from({ length: n }, (_, i) => 0.9 - 0.1 * i);
      const table = new IsotonicTable(prior, 2);
      const sum = prior.map((p) => 2 * p);
      const weight = prior.map(() => 2);
      for (let i = between(rng, 0, 60); i > 0; i--) {
        const cell = between(rng, 0, n - 1);
        const outcome = rng() < 0.9 - 0.1 * cell;
        table.add(cell, outcome);
        (weight[cell] as number)++;
        (sum[cell] as number) += Number(outcome);
      }
      // max-min formula of isotonic regression
      const mean = (a: number, b: number) => {
        const part = (list: number[]) => list.slice(a, b + 1).reduce((x, y) => x + y);
        return part(sum) / part(weight);
      };
      for (let i = 0; i < n; i++) {
        const ends = Array.from({ length: n - i }, (_, k) => i + k);
        const fit = Math.min(...Array.from({ length: i + 1 }, (_, a) => Math.max(...ends.map((b) => mean(a, b)))));
        expect(table.rate(i)).toBeCloseTo(fit, 10);
      }
    }
  });

  test('trusts the drafter at first, then what happened, and forgets', () => {
    const calibration = new AcceptanceCalibration();
    for (const p of [0.9, 0.5, 0.2, 0.05]) expect(calibration.estimate(Math.log(p)) / p).toBeCloseTo(1, 0);
    expect(calibration.estimate(-Infinity)).toBe(0);
    const rng = seeded(3);
    for (let k = 0; k < 400; k++) {
      const values = [Math.log(0.9), Math.log(0.5), Math.log(0.2)];
      calibration.record(
        values,
        [0.6, 0.2, 0.02].flatMap((p, i) => (rng() < p ? [i] : [])),
      );
    }
    expect(calibration.estimate(Math.log(0.9))).toBeCloseTo(0.6, 1);
    expect(calibration.estimate(Math.log(0.5))).toBeCloseTo(0.2, 1);
    expect(calibration.estimate(Math.log(0.2))).toBeLessThan(0.06);
    let before = 1;
    for (let value = 0; value > -8; value -= 0.05) {
      expect(calibration.estimate(value)).toBeLessThanOrEqual(before);
      before = calibration.estimate(value);
    }
    calibration.forget(0);
    expect(calibration.estimate(Math.log(0.5))).toBeCloseTo(0.5, 1);
  });
});

describe('control', () => {
  test.each([
    { real: 0.95, claimed: 0.95, length: 40, least: 0.93 },
    { real: 0.8, claimed: 0.8, length: 40, least: 0.93 },
    { real: 0.9, claimed: 0.75, length: 20, least: 0.8 },
    { real: 0.7, claimed: 0.95, length: 40, least: 0.93 },
  ])('right with $real, claimed $claimed: at least $least of the best fixed length', ({ least, ...stream }) => {
    const control = new SpeculationControl(curve);
    const { speed } = drive(control, seeded(4), 20_000, () => stream);
    expect(speed).toBeGreaterThan(least * bestSpeed(stream));
    expect(control.stats).toMatchObject({ state: 'on', switchedOff: 0 });
    expect(control.stats.gain).toBeGreaterThan(1);
    const { drafted, accepted, rounds, tokens, plainTokens } = control.stats;
    expect(tokens).toBe(accepted + rounds);
    expect(drafted).toBeGreaterThan(accepted);
    expect(tokens + plainTokens).toBeGreaterThanOrEqual(20_000);
  });

  test.each([
    { real: 0, claimed: 0.95, length: 127 },
    { real: 0.1, claimed: 0.9, length: 16 },
    { real: 0.3, claimed: 0.9, length: 4 },
    { real: 0.3, claimed: 0.3, length: 4 },
    { real: 0, claimed: 0.01, length: 4 },
    { real: 1, claimed: 1, length: 0 },
  ])('a drafter that is right with $real, claims $claimed: costs next to nothing', (stream) => {
    const control = new SpeculationControl(curve);
    expect(drive(control, seeded(5), 4000, () => stream).speed).toBeGreaterThan(0.96);
  });

  test('a drafter that is sure at times and guesses at others: long trees here, short ones there', () => {
    const sure = { real: 0.97, claimed: 0.97, length: 40 };
    const guess = { real: 0.3, claimed: 0.3, length: 4 };
    const control = new SpeculationControl(curve);
    const { speed } = drive(control, seeded(13), 20_000, (emitted) => (emitted % 80 < 40 ? sure : guess));
    expect(speed).toBeGreaterThan(0.9 / (0.5 / bestSpeed(sure) + 0.5 / bestSpeed(guess)));
  });

  test('a drafter that is right and does not know it is found out, even where nothing it says seems to pay', () => {
    const costs = new CostCurve({
      stepMs: 0.1,
      points: [
        { nodes: 1, ms: 0.13 },
        { nodes: 128, ms: 0.13 + 127 * 0.06 },
      ],
    });
    const control = new SpeculationControl(costs);
    expect(control.plan([Math.log(0.5), Math.log(0.25)])).toEqual({ nodes: 0, steps: 1 });
    const modest = { real: 1, claimed: 0.5, length: 12 };
    const { sizes, speed } = drive(control, seeded(14), 4000, () => modest, { costs });
    expect(sizes.slice(-20).every((n) => n >= 10)).toBe(true);
    expect(speed).toBeGreaterThan((0.88 * 13 * costs.stepMs) / costs.ms(13));
  });

  test('comes back when the drafter has become good', () => {
    const control = new SpeculationControl(curve);
    const good = { real: 0.95, claimed: 0.95, length: 20 };
    const stream = (emitted: number) => (emitted < 3000 ? { ...good, real: 0.05 } : good);
    drive(control, seeded(6), 3000, stream);
    const { sizes, speed } = drive(control, seeded(7), 6000, () => good);
    expect(control.stats.state).toBe('on');
    expect(sizes.slice(-50).every((n) => n >= 8)).toBe(true);
    expect(speed).toBeGreaterThan(0.8 * bestSpeed(good));
  });

  test('goes off when rounds take longer than the curve says, says so, and does not flutter', () => {
    const control = new SpeculationControl(curve);
    const good = { real: 0.9, claimed: 0.9, length: 12 };
    const { speed } = drive(control, seeded(8), 20_000, () => good, { round: 6 });
    expect(control.stats.state).toBe('off');
    expect(control.stats.switchedOff).toBeLessThan(20);
    expect(control.stats.reason).toMatch(/the last rounds gave 0\.\d+ times the tokens of plain steps/);
    expect(speed).toBeGreaterThan(0.93);
    const even = new SpeculationControl(curve);
    expect(drive(even, seeded(9), 20_000, () => good, { round: bestSpeed(good) }).speed).toBeGreaterThan(0.95);
    expect(even.stats.switchedOff).toBeLessThan(40);
  });

  test('a machine that is slow at everything changes nothing once plain steps have shown it', () => {
    const control = new SpeculationControl(curve);
    control.plain(200, 200 * curve.stepMs * 3);
    control.plain(200, 200 * curve.stepMs * 3);
    const stream = { real: 0.9, claimed: 0.9, length: 12 };
    expect(drive(control, seeded(10), 4000, () => stream, { load: 3 }).speed).toBeGreaterThan(0.9 * bestSpeed(stream));
    expect(control.stats.switchedOff).toBe(0);
  });

  test('a few rounds and drafts that took forever do not switch it off', () => {
    const control = new SpeculationControl(curve);
    const stream = { real: 0.9, claimed: 0.9, length: 12 };
    drive(control, seeded(11), 500, () => stream);
    const values = [-0.1, -0.2];
    for (let k = 0; k < 3; k++) {
      control.plan(values, { draftMs: 500 });
      control.round({ values, accepted: [0], tokens: 2, ms: 1000 });
      drive(control, seeded(k), 100, () => stream);
    }
    expect(control.stats).toMatchObject({ state: 'on', switchedOff: 0 });
    expect(drive(control, seeded(12), 2000, () => stream).speed).toBeGreaterThan(0.9 * bestSpeed(stream));
  });

  test('drafting that takes long for good does not pay', () => {
    const control = new SpeculationControl(curve);
    const values = [-0.1, -0.2, -0.3];
    expect(control.plan(values, { draftMs: 0.01 }).nodes).toBe(3);
    for (let k = 0; k < 200; k++) control.plan(values, { draftMs: 3 });
    expect(control.plan(values, { draftMs: 3 }).nodes).toBe(0);
  });

  test('several sequences in a round share its nodes', () => {
    const control = new SpeculationControl(curve);
    const values = [-0.05, -0.05, -0.1, -0.1, -0.2, -0.2, -3, -3];
    const { nodes } = control.plan(values, { roots: 2 });
    expect(nodes).toBeGreaterThanOrEqual(6);
    control.round({ values: values.slice(0, nodes), accepted: [0, 1, 2], tokens: 5, roots: 2 });
    expect(control.stats).toMatchObject({ rounds: 1, tokens: 5, accepted: 3, drafted: nodes });
  });

  test('says what it knows before it can judge', () => {
    const control = new SpeculationControl(curve, 8);
    expect(control.stats).toMatchObject({ state: 'on', reason: 'too few rounds to judge by', gain: 1 });
    const turn = control.turn();
    expect(turn.draft && turn.nodes > 0 && turn.nodes <= 8).toBe(true);
    expect(control.plan([])).toEqual({ nodes: 0, steps: 1 });
    expect(control.plan([])).toEqual({ nodes: 0, steps: 2 });
    control.plain(3);
    expect(control.stats.reason).toBe('no draft was worth a round yet');
  });
});
