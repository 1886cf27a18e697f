import type { Sequence } from '../cache/pages.js';
import type { Tensor } from '../tensor/tensor.js';
import type { DecodeStart, DecodeState } from './state.js';
import type { DraftBudget, DraftTree, DraftTreeInit } from './tree.js';

export type { DraftBudget, DraftTreeInit } from './tree.js';

/**
 * A source of drafts that runs on the JavaScript thread between two rounds. Whatever it proposes, the answer is the same; good
 * proposals make it faster. One that throws costs its speed-up only.
 */
export interface HostDrafter {
  readonly kind: 'host';
  readonly name: string;
  /** Number of token ids that the drafter was made for; when given, it must be the model's. */
  readonly vocabulary?: number;
  /**
   * An answer begins.
   *
   * @param prompt text tokens of the conversation so far, frame tokens included, pictures left out
   */
  start(prompt: readonly number[]): void;
  /** Tokens that the model emitted since the last call, the one that ends the answer included. */
  observe(tokens: readonly number[]): void;
  /** What may follow everything observed, within a budget; nothing when there is no idea. */
  propose(budget: DraftBudget): DraftTree | DraftTreeInit | undefined;
  /** The answer has ended; it may be learnt for later ones. */
  finish(): void;
  /** A drafter in the same state, for a conversation that goes on in two ways. */
  fork(): HostDrafter;
  /** Forgets everything. */
  reset(): void;
}

/**
 * A source of drafts that runs on the device, as a part of the recorded round: what it finds at the end of one round are the
 * candidates of the next. Whatever it proposes, the answer is the same.
 */
export interface DeviceDrafter {
  readonly kind: 'device';
  readonly name: string;
  /** Number of token ids that the drafter was made for; when given, it must be the model's. */
  readonly vocabulary?: number;
  /** The residual streams of the target that it wants, by the layer that they enter. */
  readonly taps: readonly number[];
  /** Most levels of its trees. */
  readonly depth: number;
  /** An answer's tokens are all in the sequence now. */
  settle(sequence: Sequence): void;
  /** Takes part in the rounds of a decode state. */
  open(state: DecodeState): DeviceDraft;
}

/** Candidates of B sequences, C at most of each: see `tree_build`. */
export interface Candidates {
  readonly tokens: Tensor<'i32'>;
  readonly parents: Tensor<'i32'>;
  readonly values: Tensor<'f32'>;
  readonly count: Tensor<'i32'>;
}

/** A round once its paths are accepted and committed. R rows, B sequences. */
export interface VerifiedRound {
  /** The residual streams that the drafter wants, [R, hidden] each. */
  taps: readonly Tensor<'f32' | 'bf16'>[];
  /** [R] token that the model chose after each row. */
  target: Tensor<'i32'>;
  /** [B, W] accepted nodes of each tree, [B] how many, [B + 1] the trees' first rows. */
  path: Tensor<'i32'>;
  accepted: Tensor<'i32'>;
  first: Tensor<'i32'>;
}

/** A device drafter's part in the rounds of one decode state. */
export interface DeviceDraft {
  /** Where it leaves what the next round verifies. */
  readonly candidates: Candidates;
  /** Queues the draft for the first round of an answer in row `b`, which the state is already pointed at. */
  start(b: number, start: DecodeStart): void;
  /** An answer that wants no drafts of this drafter begins in row `b`. Queued. */
  leave(b: number): void;
  /** Records what follows a round: takes in what was accepted and drafts this many levels. 0: nothing is drafted. */
  record(round: VerifiedRound, depth: number): void;
  dispose(): void;
}

export type Drafter = HostDrafter | DeviceDrafter;

/** What statistics call a drafter and the one that shares its trees. */
export const nameOf = ({ drafter, beside }: { drafter: Drafter; beside?: HostDrafter | undefined }): string =>
  beside ? `${drafter.name} + ${beside.name}` : drafter.name;
