import type { DeviceDraft, DeviceDrafter, Drafter } from './drafter.js';
import type { DeviceDrafting, Rounds } from './round.js';
import type { DecodeStart, DecodeState, Proposal } from './state.js';

/** What a round asks of a drafter on the device. */
export interface DeviceTurn {
  drafter: DeviceDrafter;
  drafting: DeviceDrafting;
  /** Drafted nodes to verify of each row; undefined: the row has another drafter, or none. */
  nodes: (number | undefined)[];
}

/** The drafters on the device that take part in the rounds of one decode state: one at a time, for all rows that want it. */
export class DeviceDrafts {
  readonly #state: DecodeState;
  readonly #rounds: Rounds;
  readonly #open = new Map<DeviceDrafter, DeviceDraft>();
  /** The one whose candidates are those of the next round. */
  #fresh: DeviceDrafter | undefined;
  /** No round has been queued since the last reset: drafts of answers that begin are all that there is. */
  #beginning = true;
  /** What was proposed last, when that was no draft of the host's. */
  #proposed: string | undefined;

  constructor(state: DecodeState, rounds: Rounds) {
    this.#state = state;
    this.#rounds = rounds;
  }

  reset(): void {
    this.#fresh = undefined;
    this.#beginning = true;
    this.#proposed = undefined;
  }

  /** An answer begins in row `b`. Queues its first draft. */
  start(b: number, drafter: Drafter | undefined, start: DecodeStart): void {
    for (const [other, draft] of this.#open) if (other !== drafter) draft.leave(b);
    if (drafter?.kind !== 'device') return;
    if (this.#beginning) this.#fresh ??= drafter;
    this.#rounds.draft(() => this.#draft(drafter).start(b, start));
  }

  /**
   * What the next round is to do; undefined without a drafter on the device.
   *
   * @param budgets most nodes of each row's draft, without the root; undefined: it is to be a plain step
   */
  turn(drafters: readonly (Drafter | undefined)[], budgets: readonly (number | undefined)[]): DeviceTurn | undefined {
    const drafter = drafters.find((wanted) => wanted?.kind === 'device');
    if (drafter?.kind !== 'device') return undefined;
    const nodes = drafters.map((wanted, b) => (wanted === drafter ? (budgets[b] ?? 0) : undefined));
    const most = Math.max(...nodes.map((n) => n ?? 0));
    // what rounds without drafts, or with another's, have left behind is no good
    const fresh = this.#fresh === drafter;
    const drafting = { draft: this.#draft(drafter), taps: drafter.taps, fresh, depth: levels(most, drafter.depth) };
    return { drafter, drafting, nodes };
  }

  /**
   * Sets what the next round verifies, unless it is set so already. The round must be queued then.
   *
   * @param drafts of the host, or none; with a drafter on the device they share its trees
   * @returns drafted nodes of its largest tree
   */
  prepare(drafts: readonly (Proposal | undefined)[], turn: DeviceTurn | undefined): number {
    this.#beginning = false;
    this.#fresh = turn && turn.drafting.depth > 0 ? turn.drafter : undefined;
    const nodes = turn?.nodes.map((n, b) => (turn.drafting.fresh || drafts[b] ? n : 0));
    const largest = Math.max(
      0,
      ...Array.from(drafts, (draft, b) => nodes?.[b] ?? draft?.nodes ?? 0),
      ...(nodes ?? []).map((n) => n ?? 0),
    );
    const proposed = drafts.length > 0 ? undefined : nodes?.join();
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
