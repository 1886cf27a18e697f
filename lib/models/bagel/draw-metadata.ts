import type { Branch, Renorm } from '../../denoise/guidance.js';
import type { SolverName } from '../../denoise/solver.js';
import { version } from '../../version.js';
import { type DenoiseShape, stepBranches } from './denoise-step.js';
import type { DrawSettings } from './draw-options.js';
import type { BagelModel } from './model.js';

/** How a picture came about: what it takes to make it again, but for the texts and pictures of its context. */
export interface DrawingMetadata {
  /** Of hyper-bagel. */
  version: string;
  /** `modelHash` of the model; null for random weights. */
  model: string | null;
  /** Name, and hash of settings and weights; null for the model itself. */
  student: { name: string; hash: string } | null;
  kind: 'draw' | 'edit';
  /** Times from 1 to 0, as used: f32. */
  grid: number[];
  solver: SolverName;
  /** Share of fresh noise, of the solvers that take it. */
  gamma: number;
  scales: { text: number; image: number };
  /** Guided where low < t <= high; null for a student, which has learned its own. */
  interval: [number, number] | null;
  renorm: Renorm;
  renormMin: number;
  /** Null when it decided nothing: the initial noise was given, and the solver takes no other. */
  seed: number | null;
  /** The initial noise was given and did not come from the seed. */
  givenNoise: boolean;
  /** Network evaluations in each context. */
  nfe: { [B in Branch]: number };
  device: string;
  isa: string;
  dtype: 'f32' | 'bf16';
}

export function metadataOf(
  model: BagelModel,
  hash: string | undefined,
  settings: DrawSettings,
  picture: { kind: 'draw' | 'edit'; givenNoise: boolean; shape: Pick<DenoiseShape, 'sharedImage' | 'student'> },
): DrawingMetadata {
  const { guidance, solver, solverName, grid, plan, seed, student } = settings;
  const nfe = { full: 0, noText: 0, noImage: 0 };
  for (const row of plan) for (const branch of stepBranches(row, picture.shape)) nfe[branch]++;
  return {
    version,
    model: hash ?? null,
    student: student ? { name: student.name, hash: student.hash } : null,
    kind: picture.kind,
    // 9 digits give an f32 back exactly
    grid: Array.from(grid, (time) => Number(time.toPrecision(9))),
    solver: solverName,
    gamma: solver.kind === 'tcd' ? solver.gamma : 0,
    scales: { text: guidance.text, image: guidance.image },
    interval: student ? null : [...guidance.interval],
    renorm: guidance.renorm,
    renormMin: guidance.renormMin,
    seed: picture.givenNoise && !plan.some(({ r }) => r !== 0) ? null : seed,
    givenNoise: picture.givenNoise,
    nfe,
    device: model.cx.device,
    isa: model.cx.isa,
    dtype: model.dtype,
  };
}

/** Text chunks of a PNG. */
export function metadataText(metadata: DrawingMetadata): Record<string, string> {
  return { Software: `hyper-bagel ${metadata.version}`, 'hyper-bagel': JSON.stringify(metadata) };
}
