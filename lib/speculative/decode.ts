import type { Activity } from '../tensor/context.js';
import { stepsAhead } from './ahead.js';
import type { Decoder } from './decoder.js';
import { DeviceDrafts } from './device.js';
import type { DraftBudget, Drafter, HostDrafter } from './drafter.js';
import { expectedTokens, Lookahead, twice } from './lookahead.js';
import type { DraftPolicy } from './policy.js';
import { type RoundEvent, type RoundResult, Rounds, type RoundTrace } from './round.js';
import { type DecodeStart, DecodeState, type Draft, type Proposal } from './state.js';
import { DraftTree } from './tree.js';

/** Rounds in flight while a drafter may have an idea after each of them. */
const AHEAD_OF_DRAFTER = 2;

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
  /** Tokens of the answer that are known. */
  tokens: number[];
  /** What the drafter said when so many tokens were known. */
  newest: { tree: DraftTree; since: number } | undefined;
  lookahead: Lookahead;
}

/** A round that is queued or at work. */
interface Flight {
  /** By row; undefined: a plain step. */
  drafts: (Proposal | undefined)[] | undefined;
  /** Another one was before it when it was drafted. */
  ahead: boolean;
}

/** What drafters of the host have to say about the next round. */
interface Proposals {
  /** One was asked. */
  asked: boolean;
  /** A draft per row, if any has one. */
  drafts?: (Proposal | undefined)[] | undefined;
  /** Nothing is to be queued before the rounds in flight are in. */
  wait?: boolean;
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
    let [seen, ticket] = [0, 0];
    const flights: Flight[] = [];
    const start = performance.now();
    /** When the host was last told something, and what had been drafted until then. */
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
    const run = (drafts: Flight['drafts'], budgets: (DraftBudget | undefined)[]) => {
      const turn = onDevice.turn(
        seats.map((seat) => seat?.speculation?.drafter),
        budgets.map((budget) => budget?.nodes),
      );
      const nodes = onDevice.prepare(drafts ?? [], turn);
      flights.push({ drafts, ahead: flights.length > 0 });
      ticket = rounds.run(1 + nodes, { traced, penalized, device: turn?.drafting });
    };
    const queue = () =>
      cx.within(activity, () => {
        for (let more = true; more; ) {
          if (mustWait(seats, flights)) return;
          seatAll();
          if (!seats.some((seat) => seat)) return;
          const fresh = seats.some((seat) => seat?.fresh);
          const budgets = seats.map((seat) =>
            attempt(seat, ({ drafter, policy }) => (drafter.kind === 'device' ? policy.budget('device') : undefined)),
          );
          const { asked, drafts, wait } = fresh ? { asked: true } : this.#propose(seats, budgets, flights, times);
          if (wait) return;
          if (drafts) {
            run(drafts, budgets);
            continue;
          }
          const ahead = asked ? AHEAD_OF_DRAFTER : stepsAhead(performance.now() - start, seen);
          while (flights.length < ahead) run(undefined, budgets);
          if (fresh) this.#startDrafters(seats, times); // while the device is at work
          more = false;
        }
      });
    try {
      await this.#settled;
      cx.within(activity, () => {
        this.#state.reset();
        onDevice.reset();
      });
      queue();
      while (flights.length > 0 && seats.some((seat) => seat)) {
        const results = await rounds.receive(ticket);
        if (results.length === 0) {
          await cx.sync(activity);
          return;
        }
        const now = performance.now();
        const ms = (now - since) / results.length;
        const ended = flights.splice(0, results.length);
        times.draftMs += results.reduce((sum, result) => sum + result.draftMs, 0);
        if (ended.some(({ drafts }) => drafts) || results.some(({ events }) => events.some(({ nodes }) => nodes > 1)))
          times.verifyMs += now - since - (times.draftMs - drafted); // may be late news of an earlier draft: no clamp here
        [since, drafted] = [now, times.draftMs];
        seen += results.length;
        const news = results.map((result, i) => this.#read(seats, result, { flight: ended[i] as Flight, ms, times }));
        queue(); // the device goes on while the consumer looks at what it has
        for (const round of news) if (round.length > 0) yield round;
        // the consumer may have ended items, or made room for more
        if (flights.length === 0 || !seats.some((seat) => seat)) queue();
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
   * Asks the drafters of the host.
   *
   * @param budgets of rows with a drafter on the device
   */
  #propose(
    seats: readonly (Seat<DecodeItem> | undefined)[],
    budgets: readonly (DraftBudget | undefined)[],
    flights: readonly Flight[],
    times: DecodeTimes,
  ): Proposals {
    const start = performance.now();
    const [before] = flights;
    let [asked, any, idea] = [false, false, false];
    const drafts = seats.map((seat, b) =>
      attempt(seat, (speculation): Proposal | undefined => {
        const { drafter, policy } = speculation;
        const host = hostOf(speculation);
        if (!seat || !host) return undefined;
        const since = seat.tokens.length;
        if (seat.newest?.since !== since) {
          const budget = drafter === host ? policy.budget('host') : budgets[b];
          if (!budget) return undefined;
          const proposal = host.propose(mayLead(seats, seat) ? twice(budget) : budget);
          // what ends the answer would be the bonus token anyway, and nothing follows it
          const tree = DraftTree.from(proposal ?? NOTHING, this.#decoder.vocabulary).without(seat.item.stop);
          seat.newest = { tree, since };
        }
        asked = true;
        const { tree } = seat.newest;
        if (tree.size === 0) return undefined;
        const leads = flights.length === 1 && mayLead(seats, seat);
        const rest = leads ? leftAfter(before as Flight, b, seat.tokens, tree) : tree;
        if (!rest || rest.size === 0) return undefined;
        const nodes = drafter === host ? policy.size(rest, leads) : (budgets[b]?.nodes ?? 0);
        if (nodes === 0) return undefined;
        any = true;
        idea ||= flights.length === 0 || leads;
        return { tree, nodes, since };
      }),
    );
    times.draftMs += performance.now() - start;
    // one that does not lead asks again once the rounds in flight are in
    if (idea) return { asked, drafts };
    return { asked, wait: any || flights.some((flight) => flight.drafts) };
  }

  /** Takes in what a round gave. */
  #read<I extends DecodeItem>(
    seats: (Seat<I> | undefined)[],
    result: RoundResult,
    { flight, ms, times }: { flight: Flight; ms: number; times: DecodeTimes },
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
        const draft = verifiedBy(flight, b, seat.tokens);
        if (flight.drafts?.[b]) seat.lookahead.observe(flight.ahead ? event.nodes > 1 : undefined);
        seat.tokens.push(...event.tokens);
        speculation.policy.observe(alone ? draft : undefined, event, {
          ms,
          draftMs: result.draftMs,
          ahead: flight.ahead,
          step: flight.drafts?.[b] ? 'missed' : flight.ahead ? 'steady' : 'lonely',
        });
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

const NOTHING = { tokens: [], parents: [] };

/** May a seat's draft be queued behind a round that is at work? Those of a drafter on the device come from that round. */
const mayLead = (seats: readonly (Seat<DecodeItem> | undefined)[], seat: Seat<DecodeItem> | undefined): boolean =>
  seat?.lookahead.pays === true && !seats.some((other) => other?.speculation?.drafter.kind === 'device');

/** What comes after a draft depends on what it gives: nothing is queued behind two, or behind one that nobody may lead. */
const mustWait = (seats: readonly (Seat<DecodeItem> | undefined)[], flights: readonly Flight[]): boolean =>
  flights.some(({ drafts }) => drafts) && (flights.length > 1 || !seats.some((seat) => mayLead(seats, seat)));

/** What a round verifies of its draft for a row; undefined: nothing. `tokens`: of the answer before it. */
function verifiedBy({ drafts }: Flight, b: number, tokens: readonly number[]): Draft | undefined {
  const draft = drafts?.[b];
  if (!draft) return undefined;
  const tree = draft.tree.after(tokens.slice(draft.since));
  return tree.size > 0 ? { tree, nodes: draft.nodes } : undefined;
}

/** What is left of a tree after the round in flight, if that gives what it is expected to. `tokens`: of the answer before it. */
function leftAfter(flight: Flight, b: number, tokens: readonly number[], tree: DraftTree): DraftTree | undefined {
  const way = expectedTokens(tree, verifiedBy(flight, b, tokens));
  return way && tree.after(way);
}

/** A seat for an item; its drafter on the host starts at once if its policy wants that. */
function seatOf<I extends DecodeItem>(item: I): Seat<I> {
  const { speculation } = item;
  const host = speculation && hostOf(speculation);
  const eager = speculation?.policy.eager ?? false;
  const seat: Seat<I> = {
    item,
    speculation,
    ending: false,
    fresh: host !== undefined && !eager,
    tokens: [],
    newest: undefined,
    lookahead: new Lookahead(),
  };
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
