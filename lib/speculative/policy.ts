import type { DraftBudget, Drafter } from './drafter.js';
import type { RoundEvent } from './round.js';
import type { Draft } from './state.js';
import { type DraftTree, MAX_DRAFTED } from './tree.js';

/** Decides how much is drafted and verified for one answer. */
export interface DraftPolicy {
  /** The first step waits for the drafter. Without it, plain steps are queued before the drafter starts. */
  readonly eager?: boolean;
  /**
   * What the drafter is asked for; undefined: it is not asked now.
   *
   * @param kind one on the device verifies as many nodes as it is asked for; of one on the host `size` takes the best
   */
  budget(kind: Drafter['kind']): DraftBudget | undefined;
  /**
   * Nodes to verify of a proposal, best first; 0: a plain step is worth more.
   *
   * @param ahead the round before it is still at work: drafting takes no time of its own, nor does the host between the two
   */
  size(tree: DraftTree, ahead: boolean): number;
  /**
   * What a round gave, and how long it took.
   *
   * @param draft of the host alone; what a drafter on the device has put in is told by the event
   */
  observe(draft: Draft | undefined, event: RoundEvent, time: RoundTime): void;
}

/** A plain step that was queued behind another step or round; one that the device waited for; one with a draft that came to nothing. */
export type StepKind = 'steady' | 'lonely' | 'missed';

/** How long a round took: from what the host was told before it, so with its part in it. */
export interface RoundTime {
  ms: number;
  /** Of it, in a drafter on the device. */
  draftMs?: number;
  /** The round before it was at work when it was drafted. */
  ahead?: boolean;
  /** Of a plain step: how it came about. */
  step?: StepKind;
}

/** As many nodes as allowed, always. */
export const fixedPolicy = (nodes: number = MAX_DRAFTED + 1, depth: number = MAX_DRAFTED): DraftPolicy => ({
  eager: true,
  budget: () => (nodes > 1 ? { nodes: nodes - 1, depth } : undefined),
  size: (tree) => Math.min(nodes - 1, tree.size),
  observe() {},
});
