import { describe, expect, test } from 'vitest';
import { shiftedGrid } from '../../lib/denoise/grid.js';
import { branchesFor, type Guidance, guide, guidedField, RENORMS, scalesAt } from '../../lib/denoise/guidance.js';
import { AffineFit } from '../../lib/denoise/least-squares.js';
import { planSteps, SCHEDULE_COLUMNS, scheduleTable } from '../../lib/denoise/schedule.js';
import { integrate } from '../../lib/denoise/solver.js';
import { seeded } from '../kit/cases.js';
import { constantField, gaussianField, largestError, NOISE } from './fields.js';

const rng = seeded(5);
const random = (n: number) => Float64Array.from({ length: n }, () => 2 * rng() - 1);
const WIDTH = 4;
const norm = (list: ArrayLike<number>) => Math.sqrt(Array.from(list).reduce((sum, v) => sum + v * v, 0));
const GUIDANCE: Guidance = { text: 4, image: 1, interval: [0.4, 1], renorm: 'global', renormMin: 0 };
const OFF = { renorm: 'global', renormMin: 1 } as const;

describe('nested guidance', () => {
  const full = random(12);
  const noText = random(12);
  const noImage = random(12);
  const branches = { full, noText, noImage };

  test('scale 1 is the full context, whatever the renorm and the image scale', () => {
    for (const renorm of RENORMS) {
      for (const text of [0, 0.5, 1]) {
        expect(guide(branches, { text, image: 3 }, { renorm, renormMin: 0 }, WIDTH)).toEqual(full);
      }
    }
  });

  test('equal branches give themselves', () => {
    const same = { full, noText: full, noImage: full };
    for (const renorm of RENORMS) {
      expect(largestError(guide(same, { text: 5, image: 2 }, { renorm, renormMin: 0 }, WIDTH), full)).toBeLessThan(
        1e-7,
      );
    }
  });

  test('without renorm it is u + w (c - u), then m + w (g - m)', () => {
    const g = full.map((c, i) => (noText[i] as number) + 4 * (c - (noText[i] as number)));
    expect(largestError(guide(branches, { text: 4, image: 1 }, OFF, WIDTH), g)).toBeLessThan(1e-14);
    const r = g.map((value, i) => (noImage[i] as number) + 2 * (value - (noImage[i] as number)));
    for (const renorm of RENORMS) {
      expect(largestError(guide(branches, { text: 4, image: 2 }, { renorm, renormMin: 1 }, WIDTH), r)).toBeLessThan(
        1e-14,
      );
    }
  });

  test('the norm never exceeds that of the full context; it is met where guidance would exceed it', () => {
    const scales = { text: 6, image: 2 };
    const global = guide(branches, scales, { renorm: 'global', renormMin: 0 }, WIDTH);
    expect(norm(global)).toBeCloseTo(norm(full), 6);
    const channel = guide(branches, scales, { renorm: 'channel', renormMin: 0 }, WIDTH);
    for (let i = 0; i < 12; i += WIDTH) {
      expect(norm(channel.subarray(i, i + WIDTH))).toBeLessThan(norm(full.subarray(i, i + WIDTH)) + 1e-6);
    }
    const least = guide(branches, scales, { renorm: 'global', renormMin: 0.9 }, WIDTH);
    expect(norm(least)).toBeGreaterThan(norm(global));
  });

  test('scales with its branches', () => {
    const scaled = {
      full: full.map((v) => 3 * v),
      noText: noText.map((v) => 3 * v),
      noImage: noImage.map((v) => 3 * v),
    };
    for (const renorm of RENORMS) {
      const one = guide(branches, { text: 4, image: 2 }, { renorm, renormMin: 0 }, WIDTH);
      const three = guide(scaled, { text: 4, image: 2 }, { renorm, renormMin: 0 }, WIDTH);
      expect(
        largestError(
          three,
          one.map((v) => 3 * v),
        ),
      ).toBeLessThan(1e-6);
    }
  });

  test('text_channel scales the text step alone', () => {
    const got = guide(branches, { text: 4, image: 2 }, { renorm: 'text_channel', renormMin: 0 }, WIDTH);
    const text = guide({ full, noText }, { text: 4, image: 1 }, { renorm: 'channel', renormMin: 0 }, WIDTH);
    expect(
      largestError(
        got,
        text.map((v, i) => (noImage[i] as number) + 2 * (v - (noImage[i] as number))),
      ),
    ).toBeLessThan(1e-14);
  });
});

describe('interval and branches', () => {
  test('low is not guided, high is, compared in f32', () => {
    const at = (t: number) => scalesAt({ ...GUIDANCE, image: 2 }, t).text;
    expect([at(0.4), at(Math.fround(0.4)), at(0.4 + 1e-6), at(1), at(0.1)]).toEqual([1, 1, 4, 4, 1]);
    expect(scalesAt({ ...GUIDANCE, embedded: true }, 0.1)).toEqual({ text: 4, image: 1 });
  });

  test('a branch is evaluated only where its scale needs it', () => {
    expect(branchesFor({ text: 4, image: 2 })).toEqual(['full', 'noText', 'noImage']);
    expect(branchesFor({ text: 4, image: 1 })).toEqual(['full', 'noText']);
    expect(branchesFor({ text: 1, image: 2 })).toEqual(['full']);
    expect(branchesFor({ text: 4, image: 2 }, true)).toEqual(['full']);
    const called: string[] = [];
    const spy = (name: string) => (x: Float64Array) => {
      called.push(name);
      return x;
    };
    const fields = { full: spy('full'), noText: spy('noText'), noImage: spy('noImage') };
    const field = guidedField(fields, { ...GUIDANCE, image: 2 }, 1);
    field(Float64Array.of(1), 0.3);
    field(Float64Array.of(1), 0.5);
    expect(called).toEqual(['full', 'full', 'noText', 'noImage']);
  });

  test("the public code's counts: 41 of 49 and of 50 steps are guided", () => {
    for (const [steps, nfe] of [
      [49, 90],
      [50, 91],
    ] as const) {
      const plan = planSteps(shiftedGrid(steps, 3), GUIDANCE);
      expect(plan.filter(({ text }) => text > 1)).toHaveLength(41);
      expect(plan.reduce((sum, row) => sum + branchesFor(row).length, 0)).toBe(nfe);
    }
    const edit = planSteps(shiftedGrid(50, 3), { ...GUIDANCE, image: 2 });
    expect(edit.reduce((sum, row) => sum + branchesFor(row).length, 0)).toBe(132);
  });

  test('a guided field is followed by any solver', () => {
    // guidance between constant fields is a constant field
    const field = guidedField(
      { full: constantField(1), noText: constantField(0.5) },
      { ...GUIDANCE, interval: [0, 1], renormMin: 1 },
      1,
    );
    const end = integrate(field, { kind: 'heun' }, [1, 0.5, 0], NOISE);
    expect(
      largestError(
        end,
        NOISE.map((e) => e - 2.5),
      ),
    ).toBeLessThan(1e-14);
  });
});

describe('plans and tables', () => {
  const grid = shiftedGrid(6, 3);

  test('Euler rows have the roundings of the public code', () => {
    const table = scheduleTable(planSteps(grid, GUIDANCE), 0.25);
    for (let i = 0; i < 6; i++) {
      const dt = Math.fround((grid[i] as number) - (grid[i + 1] as number));
      const guided = (grid[i] as number) > Math.fround(0.4);
      expect(Array.from(table.subarray(i * SCHEDULE_COLUMNS, (i + 1) * SCHEDULE_COLUMNS))).toEqual([
        grid[i],
        1,
        -dt,
        0,
        0,
        guided ? 4 : 1,
        1,
        0.25,
      ]);
    }
    expect(scheduleTable(planSteps(grid, GUIDANCE, { kind: 'tcd', gamma: 0 }), 0.25)).toEqual(table);
    expect(scheduleTable([], 0, 64)).toHaveLength(64 * SCHEDULE_COLUMNS);
  });

  test('the scales of a row are those of its own time; multistep begins anew where guidance ends', () => {
    const heun = planSteps(grid, GUIDANCE, { kind: 'heun' });
    expect(heun).toHaveLength(11);
    for (const row of heun) expect(row.text).toBe(row.time > Math.fround(0.4) ? 4 : 1);
    const multistep = planSteps(grid, GUIDANCE, { kind: 'multistep' });
    expect(multistep.map(({ w }) => w > 0)).toEqual([false, true, true, true, true, false]);
    const student = planSteps(grid, { ...GUIDANCE, embedded: true }, { kind: 'multistep' });
    expect(student.map(({ w }) => w > 0)).toEqual([false, true, true, true, true, true]);
    expect(student.every(({ text }) => text === 4)).toBe(true);
  });

  test('the f32 table is as good as its grid', () => {
    const field = gaussianField(0.4, 0.3);
    for (const kind of ['euler', 'heun', 'multistep'] as const) {
      const exact = integrate(field, { kind }, grid, NOISE);
      let x = Float64Array.from(NOISE);
      let before = new Float64Array(x.length);
      const table = scheduleTable(planSteps(grid, { ...GUIDANCE, text: 1 }, { kind }), 0);
      for (let i = 0; i < table.length; i += SCHEDULE_COLUMNS) {
        const [time = 0, p = 0, q = 0, w = 0] = table.subarray(i, i + 4);
        const v = Float64Array.from(field(x, time));
        x = x.map((value, k) => p * value + q * (v[k] as number) + w * (before[k] as number));
        before = v;
      }
      expect(largestError(x, exact), kind).toBeLessThan(2e-6);
    }
  });
});

describe('least squares', () => {
  test('finds an affine map again, and the best one of noisy samples', () => {
    const weight = [1, -2, 0.5, 3, 0, -1];
    const bias = [0.25, -4];
    const map = (x: ArrayLike<number>) =>
      bias.map((b, k) => b + [0, 1, 2].reduce((sum, i) => sum + (weight[k * 3 + i] as number) * (x[i] as number), 0));
    const clean = new AffineFit(3, 2);
    const noisy = new AffineFit(3, 2);
    for (let n = 0; n < 400; n++) {
      const x = random(3);
      clean.add(x, map(x));
      noisy.add(
        x,
        map(x).map((y) => y + 0.1 * (rng() - 0.5)),
      );
    }
    expect(largestError(clean.solve().weight, weight)).toBeLessThan(1e-4);
    expect(largestError(clean.solve().bias, bias)).toBeLessThan(1e-4);
    expect(largestError(noisy.solve().weight, weight)).toBeLessThan(0.02);
  });

  test('nothing to fit is refused', () => {
    expect(() => new AffineFit(2, 1).solve()).toThrow(/nothing to fit/);
    const broken = new AffineFit(1, 1);
    broken.add([Number.NaN], [1]);
    expect(() => broken.solve()).toThrow(/nothing to fit/);
  });
});
