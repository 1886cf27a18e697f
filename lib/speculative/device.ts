import type { DeviceDraft, DeviceDrafter, Drafter } from './drafter.js';
import type { DeviceDrafting } from './round.js';
import type { DecodeStart, DecodeState, Draft } from './state.js';

/** What a round asks of a drafter on the device. */
export interface DeviceTurn {
  drafter: DeviceDrafter;
  drafting: DeviceDrafting;
  /** Drafted nodes to verify of each row; undefined: none. */
  nodes: (number | undefined)[];
}

/** The drafters on the device that take part in the rounds of one decode state: one at a time, for all rows that want it. */
export class DeviceDrafts {
  readonly #state: DecodeState;
  readonly #open = new Map<DeviceDrafter, DeviceDraft>();
  /** The one whose candidates are those of the next round. */
  #fresh: DeviceDrafter | undefined;
  /** No round has been queued since the last reset: drafts of answers that begin are all that there is. */
  #beginning = true;
  /** What was proposed last, when that was no draft of the host's. */
  #proposed: string | undefined;

  constructor(state: DecodeState) {
    this.#state = state;
  }

  reset(): void {
    this.#fresh = undefined;
    this.#beginning = true;
    this.#proposed = undefined;
  }

  /** An answer begins in row `b`. Queues its first draft. */
  start(b: number, drafter: Drafter, start: DecodeStart): void {
    if (drafter.kind !== 'device') return;
    if (this.#beginning) this.#fresh ??= drafter;
    this.#draft(drafter).start(b, start);
  }

  /** What the next round is to do; undefined without a drafter on the device. */
  turn(
    rows: readonly ({ drafter: Drafter; policy: { budget(): { nodes: number } | undefined } } | undefined)[],
  ): DeviceTurn | undefined {
    const drafter = rows.find((row) => row?.drafter.kind === 'device')?.drafter;
    if (drafter?.kind !== 'device') return undefined;
    const nodes = rows.map((row) => (row?.drafter === drafter ? row.policy.budget()?.nodes : undefined));
    const most = Math.max(...nodes.map((n) => n ?? 0));
    const drafting = { draft: this.#draft(drafter), taps: drafter.taps, depth: levels(most, drafter.depth) };
    // what rounds without drafts, or with another's, have left behind is no good
    return { drafter, drafting, nodes: this.#fresh === drafter ? nodes : nodes.map(() => undefined) };
  }

  /**
   * Sets what the next round verifies, unless it is set so already. The round must be queued then.
   *
   * @param drafts of the host, or none
   * @returns drafted nodes of its largest tree
   */
  prepare(drafts: readonly (Draft | undefined)[], turn: DeviceTurn | undefined): number {
    this.#beginning = false;
    this.#fresh = turn && turn.drafting.depth > 0 ? turn.drafter : undefined;
    const nodes = turn?.nodes ?? [];
    const largest = Math.max(0, ...nodes.map((n) => n ?? 0), ...drafts.map((draft) => draft?.nodes ?? 0));
    const proposed = drafts.length > 0 ? undefined : nodes.join();
    if (largest > 0 && (proposed === undefined || proposed !== this.#proposed)) {
      this.#state.propose(drafts, nodes);
      this.#proposed = proposed;
    }
    return largest;
  }

  dispose(): void {
    for (const draft of this.#open.values()) draft.dispose();
    this.#open.clear();
  }

  #draft(drafter: DeviceDrafter): DeviceDraft {
    let draft = this.#open.get(drafter);
    if (!draft) {
      draft = drafter.open(this.#state);
      this.#open.set(drafter, draft);
    }
    return draft;
  }
}

/** Levels worth drafting for this many nodes: a chain at least. Few values, because each is a program of its own. */
function levels(nodes: number, depth: number): number {
  if (nodes === 0) return 0;
  let power = 1;
  while (power < nodes) power *= 2;
  return Math.min(power, depth);
}
