// Solvers against closed forms: exact cases, orders of convergence, identities (few-step-denoising: 7).
import { describe, expect, test } from 'vitest';
import { shift } from '../../lib/denoise/grid.js';
import {
  endpoints,
  evaluationsOf,
  integrate,
  SOLVERS,
  type Solver,
  type SolverName,
  solverOf,
  stagesOf,
  type VelocityField,
} from '../../lib/denoise/solver.js';
import { seeded } from '../kit/cases.js';
import { constantField, gaussianField, largestError, NOISE, pointField, twoPointField, uniform } from './fields.js';

const EULER: Solver = { kind: 'euler' };
const HEUN: Solver = { kind: 'heun' };
const MULTISTEP: Solver = { kind: 'multistep' };
const tcd = (gamma: number): Solver => ({ kind: 'tcd', gamma });
const DETERMINISTIC = [EULER, HEUN, MULTISTEP];
const shifted = (steps: number, by: number) => uniform(steps).map((t) => shift(t, by));

/** Standard normal draws for each stage. */
function noises(seed: number, length: number): (stage: number) => Float64Array {
  return (stage) => {
    const rng = seeded(1000 * seed + stage);
    return Float64Array.from({ length }, () => Math.sqrt(-2 * Math.log(1 - rng())) * Math.cos(2 * Math.PI * rng()));
  };
}

describe('order of convergence', () => {
  /** Slope of log(error) over log(steps), from each number of steps to its double. */
  function orders(
    solver: Solver,
    field: VelocityField,
    exact: ArrayLike<number>,
    grid: (n: number) => number[],
  ): number[] {
    const counts = [32, 64, 128, 256, 512];
    const errors = counts.map((n) => largestError(integrate(field, solver, grid(n), NOISE), exact));
    return errors.slice(1).map((error, i) => Math.log2((errors[i] as number) / error));
  }

  const targets = [
    { name: 'N(0.4, 0.3)', mean: 0.4, deviation: 0.3 },
    { name: 'N(-1, 0.8)', mean: -1, deviation: 0.8 },
  ];
  test.each(targets)('on $name: Euler 1, Heun and multistep 2', ({ mean, deviation }) => {
    const exact = NOISE.map((e) => mean + deviation * e);
    for (const grid of [uniform, (n: number) => shifted(n, 3)]) {
      for (const [solver, order] of [
        [EULER, 1],
        [HEUN, 2],
        [MULTISTEP, 2],
      ] as const) {
        const slopes = orders(solver, gaussianField(mean, deviation), exact, grid);
        const last = slopes.at(-1) as number;
        expect(Math.abs(last - order), `${solver.kind}: ${slopes}`).toBeLessThan(0.1);
      }
    }
  });

  test('the errors that the note measured on N(m, 0.3), for Euler and Heun', () => {
    // max over |noise| of the note's samples is not known, its ratios are: .127 .066 .034 .0173 .0087 and .0447 .0106 .0025 .00061
    const error = (solver: Solver, n: number) =>
      largestError(
        integrate(gaussianField(0.4, 0.3), solver, uniform(n), NOISE),
        NOISE.map((e) => 0.4 + 0.3 * e),
      );
    const ratios = (solver: Solver) => [8, 16, 32].map((n) => error(solver, n) / error(solver, 2 * n));
    const noted = { euler: [0.127 / 0.066, 0.066 / 0.034, 0.034 / 0.0173], heun: [4.22, 4.24, 4.1] };
    for (const [solver, expected] of [
      [EULER, noted.euler],
      [HEUN, noted.heun],
    ] as const) {
      for (const [i, r] of ratios(solver).entries())
        expect(Math.abs(r / (expected[i] as number) - 1)).toBeLessThan(0.03);
    }
  });

  test('unequal steps: multistep without its step ratio would be of first order', () => {
    const exact = NOISE.map((e) => -1 + 0.8 * e);
    const zigzag = (n: number) => {
      const times = [1];
      for (let i = 0; i < n; i++) times.push((times.at(-1) as number) - (i % 2 ? 1.5 : 0.5) / n);
      times[n] = 0;
      return times;
    };
    const slopes = orders(MULTISTEP, gaussianField(-1, 0.8), exact, zigzag);
    expect(slopes.at(-1), `${slopes}`).toBeGreaterThan(1.9);
    const naive = (n: number) => {
      const grid = zigzag(n);
      let x = Float64Array.from(NOISE);
      let before: ArrayLike<number> | undefined;
      for (let i = 0; i < n; i++) {
        const dt = (grid[i] as number) - (grid[i + 1] as number);
        const v = gaussianField(-1, 0.8)(x, grid[i] as number);
        const old = before ?? v;
        x = x.map((value, k) => value - dt * (1.5 * (v[k] as number) - 0.5 * (old[k] as number)));
        before = v;
      }
      return largestError(x, exact);
    };
    expect(Math.log2(naive(256) / naive(512))).toBeLessThan(1.2);
  });
});

describe('closed forms', () => {
  test('one point: every solver hits it exactly, with any gamma and grid', () => {
    for (const solver of [...DETERMINISTIC, tcd(0.3), tcd(1)]) {
      for (const grid of [[1, 0], [1, 0.2, 0], shifted(6, 3)]) {
        const end = integrate(pointField(0.7), solver, grid, NOISE, { noise: noises(1, NOISE.length) });
        expect(
          largestError(
            end,
            NOISE.map(() => 0.7),
          ),
          `${solver.kind} ${grid}`,
        ).toBeLessThan(1e-14);
      }
    }
  });

  test('a constant velocity: all deterministic solvers agree', () => {
    for (const solver of DETERMINISTIC) {
      const end = integrate(constantField(-1.3), solver, shifted(7, 3), NOISE);
      expect(
        largestError(
          end,
          NOISE.map((e) => e + 1.3),
        ),
      ).toBeLessThan(1e-14);
    }
  });

  test('two points: many steps end at the one on the side of the noise; one step ends at their mean', () => {
    for (const solver of DETERMINISTIC) {
      const end = integrate(twoPointField, solver, uniform(256), NOISE);
      expect(largestError(end, NOISE.map(Math.sign)), solver.kind).toBeLessThan(1e-6);
    }
    expect(
      largestError(
        integrate(twoPointField, EULER, [1, 0], NOISE),
        NOISE.map(() => 0),
      ),
    ).toBe(0);
    // two Euler steps by hand: to t = 1/2 along x itself, then to the posterior mean tanh(2 x)
    const half = NOISE.map((e) => Math.tanh(2 * (e / 2)));
    expect(largestError(integrate(twoPointField, EULER, [1, 0.5, 0], NOISE), half)).toBeLessThan(1e-15);
  });

  test('one step from noise gives x - v: the mean of the data', () => {
    const end = integrate(gaussianField(0.4, 0.3), solverOf('one-step'), [1, 0], NOISE);
    expect(
      largestError(
        end,
        NOISE.map(() => 0.4),
      ),
    ).toBeLessThan(1e-15);
  });

  test('renoising keeps the variance of x_t', () => {
    // x0 known: v = (x - x0) / t; then x_t' must be (1 - t') x0 + t' times unit noise, whatever gamma
    const count = 20_000;
    const unit = noises(7, count);
    for (const gamma of [0.2, 0.5, 1]) {
      let at: Float64Array = new Float64Array();
      integrate(pointField(2), tcd(gamma), [1, 0.6, 0], unit(99), {
        noise: unit,
        onStep: (x, step) => {
          if (step === 0) at = x;
        },
      });
      const mean = at.reduce((sum, x) => sum + x, 0) / count;
      const deviation = Math.sqrt(at.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count);
      expect(Math.abs(mean - 0.4 * 2), `gamma ${gamma}`).toBeLessThan(0.02);
      expect(Math.abs(deviation - 0.6), `gamma ${gamma}`).toBeLessThan(0.015);
    }
  });
});

describe('identities', () => {
  const grid = shifted(6, 3);

  test('gamma 0 is Euler, number for number; gamma 1 is (1 - t) x0 + t z', () => {
    expect(stagesOf(tcd(0), grid)).toEqual(stagesOf(EULER, grid));
    const field = gaussianField(-0.3, 0.6);
    const z = noises(3, NOISE.length);
    const end = integrate(field, tcd(1), grid, NOISE, { noise: z });
    let x = Float64Array.from(NOISE);
    grid.slice(1).forEach((next, i) => {
      const { data } = endpoints(x, field(x, grid[i] as number), grid[i] as number);
      x = data.map((value, k) => (1 - next) * value + (next === 0 ? 0 : next * (z(i)[k] as number)));
    });
    expect(largestError(end, x)).toBeLessThan(1e-14);
  });

  test('a^2 s^2 + r^2 = t^2 and a (1 - s) = 1 - t; the checked values', () => {
    for (const gamma of [0, 0.1, 0.3, 0.6, 0.999, 1]) {
      for (const stage of stagesOf(tcd(gamma), grid)) {
        const next = grid[stage.step + 1] as number;
        if (next === 0) {
          expect(stage).toMatchObject({ p: 1, q: -stage.time, r: 0 });
          continue;
        }
        const s = (1 - gamma) * next;
        expect(stage.p * (1 - s)).toBeCloseTo(1 - next, 14);
        expect((stage.p * s) ** 2 + stage.r ** 2).toBeCloseTo(next ** 2, 14);
        expect(stage.q).toBeCloseTo(-stage.p * (stage.time - s), 14);
      }
    }
    // s = .3, t' = .75: a = .357143, b = .742307
    const [stage] = stagesOf(tcd(0.6), [1, 0.75, 0]);
    expect(stage?.p).toBeCloseTo(0.357143, 6);
    expect(stage?.r).toBeCloseTo(0.742307, 6);
  });

  test('Euler in terms of data and noise; the last step gives the data', () => {
    const field = gaussianField(0.2, 0.5);
    const x = Float64Array.from(NOISE);
    const v = field(x, 0.8);
    const { data, noise } = endpoints(x, v, 0.8);
    expect(
      largestError(
        data.map((d, i) => 0.2 * d + 0.8 * (noise[i] as number)),
        x,
      ),
    ).toBeLessThan(1e-15);
    const step = integrate(() => v, EULER, [0.8, 0.5], x);
    expect(
      largestError(
        data.map((d, i) => 0.5 * d + 0.5 * (noise[i] as number)),
        step,
      ),
    ).toBeLessThan(1e-15);
    expect(
      largestError(
        integrate(() => v, EULER, [0.8, 0], x),
        data,
      ),
    ).toBeLessThan(1e-15);
  });

  test("Heun's two stages are the textbook's step", () => {
    const field = gaussianField(0.2, 0.5);
    let x = Float64Array.from(NOISE);
    const times = shifted(5, 3);
    const end = integrate(field, HEUN, times, NOISE);
    times.slice(1).forEach((next, i) => {
      const time = times[i] as number;
      const dt = time - next;
      const k1 = field(x, time);
      if (next === 0) {
        x = x.map((value, k) => value - dt * (k1[k] as number));
        return;
      }
      const k2 = field(
        x.map((value, k) => value - dt * (k1[k] as number)),
        next,
      );
      x = x.map((value, k) => value - (dt * ((k1[k] as number) + (k2[k] as number))) / 2);
    });
    expect(largestError(end, x)).toBeLessThan(1e-14);
  });

  test('multistep begins anew where the field changes', () => {
    const stages = stagesOf(MULTISTEP, grid, (step) => step === 3);
    expect(stages.map(({ w }) => w !== 0)).toEqual([false, true, true, false, true, true]);
    expect(stages[3]).toEqual(stagesOf(EULER, grid)[3]);
    const { w, q, time } = stages[4] as (typeof stages)[number];
    const dt = time - (grid[5] as number);
    expect(w).toBeCloseTo((dt * dt) / ((grid[3] as number) - time) / 2, 14);
    expect(q + w).toBeCloseTo(-dt, 14);
  });

  test('evaluations per step', () => {
    for (const steps of [1, 2, 7]) {
      for (const solver of [...DETERMINISTIC, tcd(1)]) {
        expect(stagesOf(solver, uniform(steps))).toHaveLength(evaluationsOf(solver, steps));
        expect(stagesOf(solver, uniform(steps)).filter(({ ends }) => ends)).toHaveLength(steps);
      }
    }
  });
});

describe('names', () => {
  test('every name is a solver', () => {
    for (const name of SOLVERS) expect(stagesOf(solverOf(name), [1, 0])).toHaveLength(1);
    expect(solverOf('lcm')).toEqual(solverOf('renoise', 1));
    expect(solverOf('tcd', 0.7)).toEqual(tcd(0.7));
  });

  test('wrong names and gammas are refused', () => {
    const bad: [unknown, unknown, string][] = [
      ['dpm', undefined, 'solver'],
      [undefined, undefined, 'solver'],
      ['tcd', Number.NaN, 'gamma'],
      ['tcd', -0.1, 'gamma'],
      ['tcd', 1.1, 'gamma'],
      ['tcd', '1', 'gamma'],
      ['euler', 0.5, 'gamma'],
      ['lcm', 0, 'gamma'],
    ];
    for (const [name, gamma, operand] of bad) {
      const call = () => solverOf(name as SolverName, gamma as number | undefined);
      expect(call, `${name} ${gamma}`).toThrow(expect.objectContaining({ code: 'BAD_OPTION', operand }));
    }
    expect(() => integrate(pointField(0), tcd(1), [1, 0.5, 0], NOISE)).toThrow(/needs noise/);
  });
});
