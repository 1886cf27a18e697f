import { HyperBagelError } from '../errors.js';

/**
 * How the ODE dx/dt = v(x, t) is followed from noise (t = 1) to data (t = 0); x_t = (1 - t) x0 + t noise, v = noise - x0
 * (few-step-denoising: 2.1, 2.2).
 *
 * - euler: x' = x - (t - t') v. One evaluation per step.
 * - heun: an Euler step, then the mean of the velocities at both ends. Two evaluations per step, one in the last, which is Euler's:
 *   a field of point-like data has no limit at t = 0.
 * - multistep: two-step Adams-Bashforth with variable steps. One evaluation per step.
 * - tcd: goes to s = (1 - gamma) t' without noise, then up to t' with fresh noise of the right variance. gamma = 0 is euler;
 *   gamma = 1 is what LCM, DMD and consistency samplers do: x' = (1 - t') x0^ + t' z. The step to 0 takes no noise.
 */
export type Solver = { kind: 'euler' } | { kind: 'heun' } | { kind: 'multistep' } | { kind: 'tcd'; gamma: number };

/** Names under which solvers are asked for; `lcm` and `renoise` are tcd with gamma 1, `one-step` is euler from 1 to 0. */
export const SOLVERS = ['euler', 'heun', 'multistep', 'tcd', 'lcm', 'renoise', 'one-step'] as const;
export type SolverName = (typeof SOLVERS)[number];

/** Gamma of `tcd` when nobody says otherwise: the method's own default. */
const TCD_GAMMA = 0.3;

/**
 * The solver of a name.
 *
 * @param gamma 0 to 1; for `tcd` only (default 0.3), and where it is what the name means
 * @throws HyperBagelError BAD_OPTION
 */
export function solverOf(name: SolverName, gamma?: number): Solver {
  const bad = (operand: string, expected: string, got: unknown) =>
    new HyperBagelError('BAD_OPTION', `${operand} must be ${expected}, got ${String(got)}`, {
      operand,
      expected,
      got: String(got),
    });
  if (!SOLVERS.includes(name)) throw bad('solver', SOLVERS.join(', '), name);
  if (gamma !== undefined && !(typeof gamma === 'number' && gamma >= 0 && gamma <= 1)) {
    throw bad('gamma', 'a number from 0 to 1', gamma);
  }
  const meant = name === 'lcm' || name === 'renoise' ? 1 : 0;
  if (name === 'tcd') return { kind: 'tcd', gamma: gamma ?? TCD_GAMMA };
  if (gamma !== undefined && gamma !== meant) throw bad('gamma', `${meant} with the solver ${name}`, gamma);
  if (name === 'one-step') return { kind: 'euler' };
  return meant === 1 ? { kind: 'tcd', gamma: 1 } : { kind: name as 'euler' | 'heun' | 'multistep' };
}

/**
 * One evaluation of the field and what becomes of x: x' = p x + q v + w u + r z, with v = field(x, time), u the velocity of the
 * stage before, z fresh standard normal noise. A solver over a grid is a list of these, and the same list in f32 is the device-side
 * schedule.
 */
export interface Stage {
  time: number;
  p: number;
  q: number;
  w: number;
  r: number;
  /** Solver step that it belongs to, from 0. */
  step: number;
  /** It ends the step; a predictor does not. */
  ends: boolean;
}

/** Network evaluations of a solver over `steps` steps. */
export function evaluationsOf(solver: Solver, steps: number): number {
  return solver.kind === 'heun' ? 2 * steps - 1 : steps;
}

/**
 * The stages of a solver over a grid of falling times, in float64.
 *
 * @param restarts steps at which the field is another one than before, so that earlier velocities say nothing: multistep begins
 * anew there
 */
export function stagesOf(
  solver: Solver,
  grid: ArrayLike<number>,
  restarts: (step: number) => boolean = () => false,
): Stage[] {
  const stages: Stage[] = [];
  for (let step = 0; step + 1 < grid.length; step++) {
    const time = grid[step] as number;
    const next = grid[step + 1] as number;
    const dt = time - next;
    const euler: Stage = { time, p: 1, q: -dt, w: 0, r: 0, step, ends: true };
    if (solver.kind === 'heun' && next !== 0) {
      // y = x - dt u, then x - dt (u + v) / 2 = y + dt/2 u - dt/2 v: the predictor's velocity is all that it has to remember
      stages.push({ ...euler, ends: false });
      stages.push({ time: next, p: 1, q: -dt / 2, w: dt / 2, r: 0, step, ends: true });
    } else if (solver.kind === 'multistep' && step > 0 && !restarts(step)) {
      const half = (dt * dt) / ((grid[step - 1] as number) - time) / 2;
      stages.push({ ...euler, q: -dt - half, w: half });
    } else if (solver.kind === 'tcd' && next !== 0) {
      const s = (1 - solver.gamma) * next;
      const a = (1 - next) / (1 - s);
      const r = Math.sqrt(Math.max(0, next * next - a * a * s * s));
      stages.push({ ...euler, p: a, q: -a * (time - s), r });
    } else {
      stages.push(euler);
    }
  }
  return stages;
}

/** v(x, t): the velocity of every component of x at a time. */
export type VelocityField = (x: Float64Array, time: number) => ArrayLike<number>;

/**
 * Follows a field over a grid in float64: the reference for what the engine does, and a solver for fields of any kind.
 *
 * @param noise standard normal noise of x's length for a stage; wanted by tcd with gamma above 0
 * @param onStep sees x after every solver step
 * @throws HyperBagelError BAD_OPTION when noise is needed and not given
 */
export function integrate(
  field: VelocityField,
  solver: Solver,
  grid: ArrayLike<number>,
  start: ArrayLike<number>,
  {
    noise,
    onStep,
    restarts,
  }: {
    noise?: (stage: number) => ArrayLike<number>;
    onStep?: (x: Float64Array, step: number) => void;
    restarts?: (step: number) => boolean;
  } = {},
): Float64Array {
  let x = Float64Array.from(start);
  let before: ArrayLike<number> = new Float64Array(x.length);
  stagesOf(solver, grid, restarts).forEach(({ time, p, q, w, r, step, ends }, stage) => {
    const v = field(x, time);
    if (r !== 0 && !noise) {
      throw new HyperBagelError('BAD_OPTION', 'this solver needs noise', { operand: 'noise', expected: 'a function' });
    }
    const z = r === 0 ? undefined : noise?.(stage);
    x = x.map((value, i) => {
      const moved = p * value + q * (v[i] as number) + w * (before[i] as number);
      return z ? moved + r * (z[i] as number) : moved;
    });
    before = v;
    if (ends) onStep?.(x, step);
  });
  return x;
}

/** The clean data and the noise that a velocity points to: x0^ = x - t v, noise^ = x + (1 - t) v. */
export function endpoints(
  x: ArrayLike<number>,
  v: ArrayLike<number>,
  time: number,
): { data: Float64Array; noise: Float64Array } {
  return {
    data: Float64Array.from(x, (value, i) => value - time * (v[i] as number)),
    noise: Float64Array.from(x, (value, i) => value + (1 - time) * (v[i] as number)),
  };
}
