import type { SpeculationControl } from './control.js';
import type { DraftBudget, Drafter } from './drafter.js';
import type { DraftPolicy, RoundTime } from './policy.js';
import type { RoundEvent } from './round.js';
import type { Draft } from './state.js';
import { type DraftTree, MAX_DRAFTED } from './tree.js';

/** Verifies what a control finds worth it. Made anew for every answer; the control goes on from answer to answer. */
export class AdaptivePolicy implements DraftPolicy {
  readonly #control: SpeculationControl;
  readonly #limits: DraftBudget;
  /** Plain steps before the drafter is asked again. */
  #plainSteps = 0;
  #asked = 0;
  /** Nodes of the last budget: a drafter that was asked for more drafts for two rounds. */
  #most = MAX_DRAFTED;

  constructor(control: SpeculationControl, limits: DraftBudget = { nodes: MAX_DRAFTED, depth: MAX_DRAFTED }) {
    this.#control = control;
    this.#limits = limits;
  }

  budget(kind: Drafter['kind'] = 'host'): DraftBudget | undefined {
    if (this.#plainSteps > 0) return undefined;
    const turn = this.#control.turn();
    if (!turn.draft) {
      this.#plainSteps = turn.steps;
      return undefined;
    }
    this.#asked = performance.now();
    this.#most = Math.min(kind === 'device' ? turn.nodes : turn.most, this.#limits.nodes);
    return { nodes: this.#most, depth: this.#limits.depth, least: turn.least };
  }

  size(tree: DraftTree, ahead = false): number {
    const values = bestValues(tree, this.#most);
    const draftMs = performance.now() - this.#asked;
    const { nodes, steps } = this.#control.plan(values, ahead ? { ahead } : { draftMs });
    this.#plainSteps = steps;
    return nodes;
  }

  observe(
    draft: Draft | undefined,
    event: RoundEvent,
    { ms, draftMs = 0, ahead = false, step = 'lonely' }: RoundTime,
  ): void {
    const emitted = event.tokens.length;
    if (!draft && event.ranks && event.nodes > 1) {
      // a drafter on the device keeps its values there: ranks tell what they were worth
      this.#control.round({
        values: new Float32Array(event.nodes - 1),
        accepted: event.ranks,
        tokens: emitted,
        ms,
        draftMs,
      });
      return;
    }
    if (!draft || event.nodes <= 1) {
      this.#plainSteps = Math.max(0, this.#plainSteps - emitted);
      this.#control.plain(emitted, Math.max(0, ms - draftMs), step);
      return;
    }
    const { tree } = draft;
    const verified = Math.min(draft.nodes, event.nodes - 1);
    const rank = new Map(Array.from(tree.order.subarray(0, verified), (node, i) => [node, i]));
    this.#control.round({
      values: bestValues(tree, verified),
      accepted: tree.follow(event.tokens).flatMap((node) => rank.get(node) ?? []),
      tokens: emitted,
      ms,
      ahead,
    });
  }
}

function bestValues({ order, values }: DraftTree, nodes: number): Float32Array {
  const best = new Float32Array(Math.min(nodes, order.length));
  for (let i = 0; i < best.length; i++) best[i] = values[order[i] as number] as number;
  return best;
}
