import type { SolverName } from '../../denoise/solver.js';
import type { BagelWeights } from './weights.js';

/** Distilled generation weights, ready to run. */
export interface Student {
  name: string;
  /** Those of the model, with the student's in place of the generation expert, the latent projections and the embedders. */
  weights: BagelWeights;
  /** Times that it was trained on. */
  grid: Float32Array;
  solver: SolverName;
  gamma: number | undefined;
  /** Scales that it was trained for, lowest and highest. */
  textScale: readonly [number, number];
  imageScale: readonly [number, number];
}
