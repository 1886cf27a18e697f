// What a step of scripts/gpu-check is, and what its pieces give.
import type { OpCases } from '../../test/kit/cases.js';

/** Where the steps run, and how much of them. */
export interface Where {
  device: 'cuda' | 'simt';
  /** Small shapes and few samples: for the emulator, where times mean nothing. */
  small: boolean;
  /** Ops of the sweep and of the kernels' bench. */
  ops: readonly OpCases[];
  /** Words that choose tests of the primitives; none: all. */
  words: readonly string[];
  /** The folder of the package. */
  root: string;
}

/** One timing beside its floor; seconds per op or step. */
export interface Row {
  kind: 'op' | 'step';
  name: string;
  case: string;
  median: number;
  p10: number;
  p90: number;
  samples: number;
  flops: number;
  bytes: number;
  /** The least time that the card's published rates allow; null: they are not known. */
  floor: number | null;
  bound: 'flops' | 'bytes' | null;
  /** Median over floor. */
  ratio: number | null;
  /** Who measured: this package, or what it is compared with. */
  by: string;
  about?: string;
}

export interface PieceResult {
  /** What is wrong; empty: all is well. */
  failures: readonly string[];
  /** Why nothing was done. */
  skipped?: string;
  rows?: readonly Row[];
  figures?: Readonly<Record<string, number | string | null>>;
}

/** The smallest unit of work: done or not done when the time runs out. */
export interface Piece {
  name: string;
  /** Seconds after which it hangs. */
  limit: number;
  run(): Promise<PieceResult>;
}

/** Pieces that share what takes long to make. Each step runs in a process of its own. */
export interface OpenStep {
  pieces: readonly Piece[];
  close(): Promise<void>;
}

export interface Step {
  name: string;
  about: string;
  open(where: Where): Promise<OpenStep>;
}

export const nothing = async (): Promise<void> => {};
