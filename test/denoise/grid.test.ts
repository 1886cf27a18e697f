import { describe, expect, test } from 'vitest';
import { bagelGrid, checkGrid, everyOther, isSubgrid, MAX_STEPS, shift, shiftedGrid } from '../../lib/denoise/grid.js';
import { floats, json, tensors } from '../model/golden.js';

const refusal = (operand: string) => expect.objectContaining({ code: 'BAD_OPTION', operand });

describe('shift', () => {
  const times = Array.from({ length: 21 }, (_, i) => i / 20);

  test('composes by product, is undone by the inverse, keeps 0 and 1', () => {
    for (const t of times) {
      for (const [a, b] of [
        [3, 3],
        [2, 0.5],
        [1, 7],
      ] as const) {
        expect(shift(shift(t, b), a)).toBeCloseTo(shift(t, a * b), 14);
      }
      expect(shift(shift(t, 3), 1 / 3)).toBeCloseTo(t, 14);
      expect(shift(t, 1)).toBe(t);
    }
    expect([shift(0, 5), shift(1, 5)]).toEqual([0, 1]);
  });

  test('is the exponential shift e^mu / (e^mu + 1/t - 1)', () => {
    for (const t of times.slice(1)) {
      const mu = 1.15;
      expect(shift(t, Math.exp(mu))).toBeCloseTo(Math.exp(mu) / (Math.exp(mu) + (1 / t - 1)), 14);
    }
  });
});

describe('shifted grids', () => {
  test('the published ones', () => {
    const published: [number, number, number[]][] = [
      [6, 1, [1, 0.833333, 0.666667, 0.5, 0.333333, 0.166667, 0]],
      [6, 3, [1, 0.9375, 0.857143, 0.75, 0.6, 0.375, 0]],
      [6, 4, [1, 0.952381, 0.888889, 0.8, 0.666667, 0.444444, 0]],
      [3, 3, [1, 0.857143, 0.6, 0]],
      [4, 5, [1, 0.9375, 0.833333, 0.625, 0]],
      [8, 3, [1, 0.954545, 0.9, 0.833333, 0.75, 0.642857, 0.5, 0.3, 0]],
    ];
    for (const [steps, by, times] of published) {
      const grid = shiftedGrid(steps, by);
      expect(grid).toHaveLength(times.length);
      for (const [i, t] of grid.entries()) expect(t).toBeCloseTo(times[i] as number, 6);
    }
  });

  test("BAGEL's count of time points is one more than the evaluations", () => {
    const grid = bagelGrid(50, 3);
    expect(grid).toEqual(shiftedGrid(49, 3));
    expect(Array.from(grid.slice(0, 3))).toEqual([1, 0.993103, 0.986014].map((t) => expect.closeTo(t, 6)));
    expect(Array.from(grid.slice(-3))).toEqual([0.113208, 0.058824, 0].map((t) => expect.closeTo(t, 6)));
    for (const count of [1, 0, -3, 2.5, Number.NaN, MAX_STEPS + 2]) {
      expect(() => bagelGrid(count, 3)).toThrow(refusal('num_timesteps'));
    }
  });

  test.each(['trained/gen_t2i_0', 'trained/gen_edit_0', 'random-a/gen_t2i'])(
    'the times that the public code used, bit for bit: %s',
    async (name) => {
      const { params } = json<{ params: { num_timesteps: number; timestep_shift: number } }>(name);
      const times = floats(await tensors(name), 'timesteps');
      expect(bagelGrid(params.num_timesteps, params.timestep_shift).slice(0, -1)).toEqual(times);
    },
  );

  test('within half an ulp or two of float64, falling, ending in 0', () => {
    for (const steps of [1, 2, 49, 50, MAX_STEPS]) {
      for (const by of [0.5, 1, 3, 20]) {
        const grid = shiftedGrid(steps, by);
        expect(grid[0]).toBe(1);
        expect(grid[steps]).toBe(0);
        grid.forEach((t, i) => {
          expect(Math.abs(t - shift(1 - i / steps, by))).toBeLessThan(4e-7 * Math.max(1, 1 / by));
          if (i > 0) expect(t).toBeLessThan(grid[i - 1] as number);
        });
      }
    }
  });

  test('bad counts and shifts', () => {
    for (const steps of [0, -1, 1.5, Number.NaN, MAX_STEPS + 1]) {
      expect(() => shiftedGrid(steps, 3)).toThrow(refusal('steps'));
    }
    for (const by of [0, -1, Number.NaN, 1e9]) expect(() => shiftedGrid(4, by)).toThrow(refusal('shift'));
  });
});

describe('explicit grids', () => {
  test('are taken as they are, in f32', () => {
    expect(Array.from(checkGrid([1, 0.7, 0.1, 0]))).toEqual([1, 0.7, 0.1, 0].map(Math.fround));
    expect(Array.from(checkGrid(Float64Array.of(1, 0)))).toEqual([1, 0]);
    expect(Object.is(checkGrid([1, -0])[1], 0)).toBe(true);
  });

  test('that rise, repeat, or do not go from 1 to exactly 0 are refused', () => {
    const bad: unknown[] = [
      [1, 0.5, 0.6, 0],
      [1, 0.5, 0.5, 0],
      [1, 1, 0],
      [1, 0.5],
      [1, 0.5, 1e-9],
      [1, 0.5, 1e-60],
      [1, 0.5, -0.1, 0],
      [0.9, 0.5, 0],
      [1, 0.5, 0.5 - 1e-12, 0],
      [1, Number.NaN, 0],
      [1, Number.POSITIVE_INFINITY, 0],
      [1, '0.5', 0],
      [1],
      [],
      undefined,
      null,
      7,
      '10',
      { length: 2 },
      Array.from({ length: MAX_STEPS + 2 }, (_, i) => 1 - i / (MAX_STEPS + 1)),
    ];
    for (const grid of bad) {
      expect(() => checkGrid(grid as number[]), JSON.stringify(grid)?.slice(0, 60)).toThrow(refusal('grid'));
    }
  });

  test('every k-th point', () => {
    const grid = shiftedGrid(6, 3);
    expect(everyOther(grid, 6)).toEqual(grid);
    expect(everyOther(grid, 3)).toEqual(grid.filter((_, i) => i % 2 === 0));
    expect(Array.from(everyOther(grid, 1))).toEqual([1, 0]);
    expect(isSubgrid(everyOther(grid, 2), grid)).toBe(true);
    expect(isSubgrid(shiftedGrid(4, 3), grid)).toBe(false);
    for (const steps of [4, 0, 12, 1.5]) expect(() => everyOther(grid, steps)).toThrow(refusal('steps'));
  });
});
