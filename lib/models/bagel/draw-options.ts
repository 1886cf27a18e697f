import { checkGrid, everyOther, isSubgrid, shiftedGrid } from '../../denoise/grid.js';
import { type Guidance, RENORMS, type Renorm } from '../../denoise/guidance.js';
import { planSteps, type StepPlan } from '../../denoise/schedule.js';
import { type Solver, type SolverName, solverOf } from '../../denoise/solver.js';
import { HyperBagelError } from '../../errors.js';
import type { Image } from '../../io/image.js';
import type { DrawingMetadata } from './draw-metadata.js';
import { checkNumber, chooseSeed } from './options.js';
import type { Student } from './student.js';

/** Defaults of drawing and editing: those of the public application (bagel.md 3.11). `interval` is (low, high]. */
export const DRAW_DEFAULTS = {
  draw: { steps: 50, shift: 3, guidance: 4, imageGuidance: 1, interval: [0.4, 1], renorm: 'global', renormMin: 0 },
  edit: { steps: 50, shift: 3, guidance: 4, imageGuidance: 2, interval: [0, 1], renorm: 'text_channel', renormMin: 0 },
} as const;

export interface DrawOptions {
  /** Solver steps. Default 50; with a student those of its grid, of which another number must be a divisor. */
  steps?: number | undefined;
  /** Shift of the time grid. Default 3. */
  shift?: number | undefined;
  /** The grid itself instead of steps and shift: times that fall from 1 to exactly 0. */
  grid?: ArrayLike<number> | undefined;
  /** Default euler, or the student's. */
  solver?: SolverName | undefined;
  /** How much of the noise is fresh, 0 to 1: see the solver `tcd`, which alone takes it. */
  gamma?: number | undefined;
  /** Distilled weights from `students/<name>` of the model's folder; guidance then costs no evaluations of its own. */
  student?: string | undefined;
  /** Lets a student run on a grid that it was not trained for. */
  forceGrid?: boolean | undefined;
  /** Pixels; default: the model's own size. Editing keeps the size of the (resized) picture. */
  size?: { width: number; height: number } | undefined;
  /** Default: a random one, reported in the result. */
  seed?: number | undefined;
  /** Text guidance scale. Default 4; 1 is none. */
  guidance?: number | undefined;
  /** Image guidance scale. Default 1 for drawing, 2 for editing; 1 is none. */
  imageGuidance?: number | undefined;
  /** Guided where low < t <= high. Default (0.4, 1] for drawing, (0, 1] for editing. A student has its own. */
  interval?: readonly [number, number] | undefined;
  /** Default global for drawing, text_channel for editing. */
  renorm?: Renorm | undefined;
  /** Least factor of the renorm; 1 turns it off. Default 0. */
  renormMin?: number | undefined;
  /** Writes a plan of the picture first and draws with it in the context. */
  think?: boolean | undefined;
  /** Initial noise [latent tokens, channels], row-major; for exact reproduction. Default: drawn from the seed. */
  noise?: Float32Array | undefined;
  /** Every guided evaluation in a forward of its own: the same bits, for measurements and to save memory. */
  separateBranches?: boolean | undefined;
  /** Steps bring a small picture each: see {@link DrawStep.thumbnail}. Takes `onStep`. */
  previews?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Called after each step, once it has run. Steps do not wait for it. */
  onStep?: ((step: DrawStep) => void) | undefined;
}

export interface DrawStep {
  step: number;
  steps: number;
  /** Network evaluations so far. */
  nfe: number;
  /** Time that the step has reached: 1 is noise, 0 the picture. */
  time: number;
  /** Where the step leads, at one pixel per latent pixel, by a linear map of the latents; near free. With `previews`. */
  thumbnail?: Image;
  /** Decodes where the step leads, at full size. */
  preview(): Promise<Image>;
}

export interface Drawing {
  image: Image;
  width: number;
  height: number;
  steps: number;
  /** Network evaluations, every branch counted. */
  nfe: number;
  seed: number;
  /** The plan, with `think`. */
  thought?: string;
  /** Final latents [tokens, channels]. */
  latents: Float32Array;
  /** How it came about. A PNG of the image holds it as text "hyper-bagel". */
  metadata: DrawingMetadata;
  /** Tokens of the contexts: computed for this picture, and taken over from earlier ones (see `Bagel.editor`). */
  context: { computed: number; reused: number };
  /** `denoiseMs` is that of the whole batch when several pictures were drawn together. */
  timings: { contextMs: number; denoiseMs: number; decodeMs: number };
}

/** Options of one picture, checked, with every default in place. */
export interface DrawSettings {
  guidance: Guidance;
  solver: Solver;
  solverName: SolverName;
  grid: Float32Array;
  plan: StepPlan[];
  seed: number;
  student: Student | undefined;
}

const bad = (operand: string, expected: string, got: unknown) =>
  new HyperBagelError('BAD_OPTION', `${operand} must be ${expected}, got ${String(got)}`, {
    operand,
    expected,
    got: String(got),
  });

/** @throws HyperBagelError BAD_OPTION */
export function checkDrawing(
  options: DrawOptions,
  kind: keyof typeof DRAW_DEFAULTS,
  student: Student | undefined,
): DrawSettings {
  const solverName = options.solver ?? student?.solver ?? 'euler';
  const solver = solverOf(solverName, options.gamma ?? gammaOf(options, student));
  const grid = gridOf(options, kind, student);
  const guidance = guidanceOf(options, kind, student);
  const plan = planSteps(grid, guidance, solver);
  return { guidance, solver, solverName, grid, plan, seed: chooseSeed(options.seed), student };
}

/** A student's gamma goes with its solver only. */
const gammaOf = (options: DrawOptions, student: Student | undefined) =>
  options.solver === undefined || options.solver === student?.solver ? student?.gamma : undefined;

function gridOf(options: DrawOptions, kind: keyof typeof DRAW_DEFAULTS, student: Student | undefined): Float32Array {
  const oneStep = (options.solver ?? student?.solver) === 'one-step';
  const { steps, shift, forceGrid } = options;
  if (student && !forceGrid) {
    if (shift !== undefined) throw bad('shift', 'left to the student, or forceGrid set', shift);
    const own = student.grid;
    const grid = options.grid ? checkGrid(options.grid) : everyOther(own, oneStep ? 1 : (steps ?? own.length - 1));
    if (!isSubgrid(grid, own)) throw bad('grid', `a part of the student's [${own.join(', ')}], or forceGrid set`, grid);
    return checkSteps(grid, steps, oneStep);
  }
  const defaults = DRAW_DEFAULTS[kind];
  if (options.grid !== undefined) {
    if (shift !== undefined) throw bad('shift', 'absent with a grid', shift);
    return checkSteps(checkGrid(options.grid), steps, oneStep);
  }
  const grid = shiftedGrid(steps ?? (oneStep ? 1 : defaults.steps), shift ?? defaults.shift);
  return checkSteps(grid, steps, oneStep);
}

function checkSteps(grid: Float32Array, steps: number | undefined, oneStep: boolean): Float32Array {
  const count = grid.length - 1;
  if (steps !== undefined && steps !== count) throw bad('steps', `${count}, those of the grid`, steps);
  if (oneStep && count !== 1) throw bad('steps', '1 with the solver one-step', count);
  return grid;
}

function guidanceOf(options: DrawOptions, kind: keyof typeof DRAW_DEFAULTS, student: Student | undefined): Guidance {
  const defaults = DRAW_DEFAULTS[kind];
  const interval = options.interval ?? defaults.interval;
  if (!Array.isArray(interval) || interval.length !== 2) throw bad('interval', 'two numbers', interval);
  const renorm = options.renorm ?? defaults.renorm;
  if (!RENORMS.includes(renorm)) throw bad('renorm', RENORMS.join(', '), renorm);
  const [textRange, imageRange] = student ? [student.textScale, student.imageScale] : [ANY_SCALE, ANY_SCALE];
  // scales that a student has not learned are refused; only defaults move into its range
  const scale = (name: 'guidance' | 'imageGuidance', [low, high]: readonly [number, number]) =>
    checkNumber(name, options[name] ?? Math.min(high, Math.max(low, defaults[name])), low, high);
  return {
    text: scale('guidance', textRange),
    image: scale('imageGuidance', imageRange),
    interval: [checkNumber('interval', interval[0], 0, 1), checkNumber('interval', interval[1], interval[0], 1)],
    renorm,
    renormMin: checkNumber('renormMin', options.renormMin ?? defaults.renormMin, 0, 1),
    ...(student ? { embedded: true } : {}),
  };
}

const ANY_SCALE = [0, 1000] as const;
