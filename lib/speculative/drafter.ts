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

/** A source of drafts that runs on the device, as a part of the recorded round. */
export interface DeviceDrafter {
  readonly kind: 'device';
  readonly name: string;
}

export type Drafter = HostDrafter | DeviceDrafter;
