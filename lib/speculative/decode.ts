import type { Activity } from '../tensor/context.js';
import { stepsAhead } from './ahead.js';
import type { Decoder } from './decoder.js';
import { DeviceDrafts } from './device.js';
import type { DraftBudget, Drafter, HostDrafter } from './drafter.js';
import { type RoundEvent, type RoundResult, Rounds, type RoundTrace } from './round.js';
import { type DecodeStart, DecodeState, type Draft } from './state.js';
import { DraftTree, MAX_DRAFTED } from './tree.js';

/** Plain steps that are queued ahead while a drafter may have an idea after each of them. */
const AHEAD_OF_DRAFTER = 2;

/** Decides how much is drafted and verified for one answer. */
export interface DraftPolicy {
  /** The first step waits for the drafter. Without it, plain steps are queued before the drafter starts. */
  readonly eager?: boolean;
  /** What the drafter is asked for; undefined: it is not asked now. */
  budget(): DraftBudget | undefined;
  /** Nodes to verify of a proposal, best first; 0: a plain step is worth more. */
  size(tree: DraftTree): number;
  /**
   * What a round gave, and how long it took.
   *
   * @param draft of the host alone; what a drafter on the device has put in is told by the event
   * @param draftMs of it, in a drafter on the device
   */
  observe(draft: Draft | undefined, event: RoundEvent, ms: number, draftMs: number): void;
}

/** As many nodes as allowed, always. */
export const fixedPolicy = (nodes: number = MAX_DRAFTED + 1, depth: number = MAX_DRAFTED): DraftPolicy => ({
  eager: true,
  budget: () => (nodes > 1 ? { nodes: nodes - 1, depth } : undefined),
  size: (tree) => Math.min(nodes - 1, tree.size),
  observe() {},
});

/** How an answer is drafted. */
export interface Speculation {
  drafter: Drafter;
  /** Shares the trees of a drafter on the device: the best candidates of both are verified. */
  beside?: HostDrafter | undefined;
  policy: DraftPolicy;
  /** Text tokens of the conversation so far. */
  prompt: readonly number[];
  /** A plain step of this model on this machine, in milliseconds, where it is known. */
  plainMs?: number | undefined;
  /** What there is to say about it after the answer. */
  note?: (() => string | undefined) | undefined;
  /** Hears that the drafter failed: the answer goes on without it. */
  failed?: ((error: unknown) => void) | undefined;
}

/** One answer to decode. */
export interface DecodeItem extends DecodeStart {
  speculation?: Speculation | undefined;
}

/** What a round gave for one item. The item's row is free once `event.finished` is not 0. */
export interface ItemRound<I extends DecodeItem> {
  item: I;
  event: RoundEvent;
  /** The tree was a drafter's. */
  drafted: boolean;
  trace?: RoundTrace | undefined;
}

/** Where the time of a batch went, in milliseconds. */
export interface DecodeTimes {
  /** In drafters, on the JavaScript thread and on the device. */
  draftMs: number;
  /** From the queueing of rounds with drafts until their events were read, without the drafting of the device. */
  verifyMs: number;
}

/** An item in a row of the batch. */
interface Seat<I extends DecodeItem> {
  item: I;
  /** Undefined once it has failed. */
  speculation: Speculation | undefined;
  /** What it still gives is dropped. */
  ending: boolean;
  /** Its drafter on the host has not been started: the first steps are queued before it is. */
  fresh: boolean;
}

/** Decodes up to `size` sequences side by side; programs and state are kept from one batch to the next. */
export class BatchDecoder {
  readonly #decoder: Decoder;
  readonly #state: DecodeState;
  readonly #rounds: Rounds;
  readonly #onDevice: DeviceDrafts;
  #seats: (Seat<DecodeItem> | undefined)[] = [];
  /** The last batch's steps have ended, and their records are gone. */
  #settled: Promise<void> = Promise.resolve();
  readonly size: number;

  constructor(decoder: Decoder, size: number) {
    this.#decoder = decoder;
    this.size = size;
    this.#state = new DecodeState(decoder, size);
    this.#rounds = new Rounds(decoder, this.#state);
    this.#onDevice = new DeviceDrafts(this.#state, this.#rounds);
  }

  /**
   * Runs rounds until the source is empty and every item has finished. Leaving the loop early cancels the activity.
   *
   * @param next an item for a free row; undefined when there is none now
   * @throws HyperBagelError the first failure of the activity; CANCELLED
   */
  async *run<I extends DecodeItem>(
    next: () => I | undefined,
    {
      activity,
      times,
      traced = false,
      penalized = false,
    }: { activity: Activity; times: DecodeTimes; traced?: boolean; penalized?: boolean },
  ): AsyncGenerator<ItemRound<I>[], void, undefined> {
    const { cx } = this.#decoder;
    const rounds = this.#rounds;
    const seats: (Seat<I> | undefined)[] = Array.from({ length: this.size }, () => undefined);
    this.#seats = seats;
    const onDevice = this.#onDevice;
    let [queued, seen, ticket] = [0, 0, 0];
    /** The drafts of the round in flight. Such a round goes alone: what comes after it depends on what it gives. */
    let drafts: (Draft | undefined)[] | undefined;
    const start = performance.now();
    /** Since when the device has been at what comes next, and what had been drafted until then. */
    let [since, drafted] = [start, times.draftMs];
    const seatAll = () => {
      for (let b = 0; b < this.size; b++) {
        if (seats[b]) continue;
        const item = next();
        if (!item) return;
        const seat = seatOf(item);
        seats[b] = seat;
        this.#state.start(b, item);
        attempt(seat, ({ drafter }) => onDevice.start(b, drafter, item));
        if (!seat.speculation) onDevice.start(b, undefined, item);
      }
    };
    const run = (proposed: (Draft | undefined)[], budgets: (DraftBudget | undefined)[]) => {
      const turn = onDevice.turn(
        seats.map((seat) => seat?.speculation?.drafter),
        budgets.map((budget) => budget?.nodes),
      );
      const nodes = onDevice.prepare(proposed, turn);
      ticket = rounds.run(1 + nodes, { traced, penalized, device: turn?.drafting });
      queued++;
    };
    const queue = () =>
      cx.within(activity, () => {
        if (drafts) return;
        seatAll();
        if (!seats.some((seat) => seat)) return;
        const fresh = seats.some((seat) => seat?.fresh);
        const budgets = seats.map((seat) =>
          attempt(seat, ({ drafter, policy }) => (drafter.kind === 'device' ? policy.budget() : undefined)),
        );
        const { asked, proposed } = fresh ? { asked: true } : this.#propose(seats, budgets, times);
        if (proposed && queued > seen) return; // ask again once the steps in flight are in
        if (proposed) {
          drafts = proposed;
          [since, drafted] = [performance.now(), times.draftMs];
          run(proposed, budgets);
          return;
        }
        const ahead = asked ? AHEAD_OF_DRAFTER : stepsAhead(performance.now() - start, seen);
        while (queued - seen < ahead) run([], budgets);
        if (fresh) this.#startDrafters(seats, times); // while the device is at work
      });
    try {
      await this.#settled;
      cx.within(activity, () => {
        this.#state.reset();
        onDevice.reset();
      });
      queue();
      while (queued > seen && seats.some((seat) => seat)) {
        const results = await rounds.receive(ticket);
        if (results.length === 0) {
          await cx.sync(activity);
          return;
        }
        const now = performance.now();
        const ms = (now - since) / results.length;
        times.draftMs += results.reduce((sum, result) => sum + result.draftMs, 0);
        if (drafts || results.some(({ events }) => events.some(({ nodes }) => nodes > 1)))
          times.verifyMs += now - since - (times.draftMs - drafted); // may be late news of an earlier draft: no clamp here
        [since, drafted] = [now, times.draftMs];
        seen += results.length;
        const news = results.map((result) => this.#read(seats, result, { drafts, ms, times }));
        drafts = undefined;
        queue(); // the device goes on while the consumer looks at what it has
        for (const round of news) if (round.length > 0) yield round;
        // the consumer may have ended items, or made room for more
        if (queued === seen || !seats.some((seat) => seat)) queue();
      }
    } finally {
      this.#seats = [];
      // steps that were queued ahead of the end have nothing to do: whoever waits for the answer need not wait for them
      const ended = !seats.some((seat) => seat);
      activity.cancel();
      this.#settled = rounds.drain(ticket).catch(() => {});
      if (!ended) await this.#settled;
    }
  }

  /** Ends an item early: what it still gives is dropped, its row is free after the next round. */
  end(item: DecodeItem): void {
    this.#seats.forEach((seat, b) => {
      if (seat?.item !== item || seat.ending) return;
      seat.ending = true;
      seat.speculation = undefined;
      this.#state.end(b);
    });
  }

  dispose(): void {
    this.#rounds.dispose();
    this.#onDevice.dispose();
    this.#state.dispose();
  }

  #startDrafters(seats: readonly (Seat<DecodeItem> | undefined)[], times: DecodeTimes): void {
    const start = performance.now();
    for (const seat of seats) {
      if (!seat?.fresh) continue;
      seat.fresh = false;
      attempt(seat, (speculation) => hostOf(speculation)?.start(speculation.prompt));
    }
    times.draftMs += performance.now() - start;
  }

  /**
   * Whether a drafter of the host was asked, and a draft per row unless none has an idea.
   *
   * @param budgets of rows with a drafter on the device
   */
  #propose(
    seats: readonly (Seat<DecodeItem> | undefined)[],
    budgets: readonly (DraftBudget | undefined)[],
    times: DecodeTimes,
  ): { asked: boolean; proposed?: (Draft | undefined)[] | undefined } {
    const start = performance.now();
    let [asked, any] = [false, false];
    const drafts = seats.map((seat, b) =>
      attempt(seat, (speculation) => {
        const { drafter, policy } = speculation;
        const host = hostOf(speculation);
        if (!host) return undefined;
        const budget = drafter === host ? policy.budget() : budgets[b];
        if (!budget) return undefined;
        asked = true;
        const proposal = host.propose(budget);
        if (!proposal) return undefined;
        // what ends the answer would be the bonus token anyway, and nothing follows it
        const tree = DraftTree.from(proposal, this.#decoder.vocabulary).without(seat?.item.stop ?? []);
        const nodes = tree.size === 0 ? 0 : drafter === host ? policy.size(tree) : budget.nodes;
        any ||= nodes > 0;
        return nodes > 0 ? { tree, nodes } : undefined;
      }),
    );
    times.draftMs += performance.now() - start;
    return { asked, proposed: any ? drafts : undefined };
  }

  /** Takes in what a round gave. */
  #read<I extends DecodeItem>(
    seats: (Seat<I> | undefined)[],
    result: RoundResult,
    { drafts, ms, times }: { drafts: readonly (Draft | undefined)[] | undefined; ms: number; times: DecodeTimes },
  ): ItemRound<I>[] {
    const start = performance.now();
    const hosted = seats.some((seat) => seat?.speculation && hostOf(seat.speculation));
    const items: ItemRound<I>[] = [];
    let trees = 0;
    result.events.forEach((event, b) => {
      const trace = event.nodes > 0 ? result.traces[trees++] : undefined;
      const seat = seats[b];
      if (!seat || event.tokens.length === 0) return;
      attempt(seat, (speculation) => {
        const host = hostOf(speculation);
        const alone = speculation.drafter === host;
        speculation.policy.observe(alone ? drafts?.[b] : undefined, event, ms, result.draftMs);
        host?.observe(event.tokens);
        if (event.finished) host?.finish();
      });
      if (event.finished) seats[b] = undefined;
      if (!seat.ending) items.push({ item: seat.item, event, drafted: event.nodes > 1, trace });
      else if (event.finished) items.push({ item: seat.item, event: { ...event, tokens: [] }, drafted: false });
    });
    if (hosted) times.draftMs += performance.now() - start;
    return items;
  }
}

/** The drafter on the JavaScript thread. */
const hostOf = ({ drafter, beside }: Speculation) => (drafter.kind === 'host' ? drafter : beside);

/** A seat for an item; its drafter on the host starts at once if its policy wants that. */
function seatOf<I extends DecodeItem>(item: I): Seat<I> {
  const { speculation } = item;
  const host = speculation && hostOf(speculation);
  const eager = speculation?.policy.eager ?? false;
  const seat: Seat<I> = { item, speculation, ending: false, fresh: host !== undefined && !eager };
  if (eager) attempt(seat, ({ prompt }) => host?.start(prompt));
  return seat;
}

/** Asks a seat's drafter for something. A draft is a guess: when it fails, the answer goes on without it. */
function attempt<R>(
  seat: Seat<DecodeItem> | undefined,
  ask: (speculation: Speculation) => R | undefined,
): R | undefined {
  const speculation = seat?.speculation;
  if (!seat || !speculation) return undefined;
  try {
    return ask(speculation);
  } catch (error) {
    seat.speculation = undefined;
    speculation.failed?.(error);
    return undefined;
  }
}
