import { AcceptanceCalibration, IsotonicTable } from './calibration.js';
import { type CostCurve, chooseSize } from './cost-curve.js';
import type { StepKind } from './policy.js';
import { MAX_DRAFTED } from './tree.js';

/** What to do next. */
export type Turn =
  | {
      readonly draft: true;
      /** A drafter on the device is asked for so many, which it verifies: what pays by how often its nodes were right. */
      readonly nodes: number;
      /** One on the host is asked for up to so many: what pays if it is sure. `plan` takes the best of them. */
      readonly most: number;
      /** Value of the least sure node that may pay. */
      readonly least: number;
    }
  /** Decode this many tokens plainly before asking again. */
  | { readonly draft: false; readonly steps: number };

export interface Plan {
  /** Drafted nodes to verify, the best ones; 0: none pays. */
  readonly nodes: number;
  /** Plain steps to take instead when there is none. */
  readonly steps: number;
}

/** A round that was run. */
export interface RoundOutcome {
  /** Values of the verified nodes of all its sequences, largest first. */
  values: ArrayLike<number>;
  /** Indexes into `values` of the nodes that were accepted. */
  accepted: readonly number[];
  /** Tokens that were emitted, the bonus tokens included. */
  tokens: number;
  /** Measured time of the round with its drafting. Default: what was expected. */
  ms?: number | undefined;
  /** Of it, its drafting, where that is a part of the round. */
  draftMs?: number | undefined;
  /** As in `plan`. */
  ahead?: boolean | undefined;
  /** Sequences of the round. Default 1. */
  roots?: number | undefined;
}

export interface ControlStats {
  readonly state: 'on' | 'off';
  /** Why, for people. */
  readonly reason: string;
  /** Tokens per time of the last rounds against plain steps; 1 before any. */
  readonly gain: number;
  readonly rounds: number;
  readonly plainTokens: number;
  /** Nodes verified. */
  readonly drafted: number;
  /** Nodes accepted, bonus tokens not included. */
  readonly accepted: number;
  /** Tokens of rounds, bonus tokens included. */
  readonly tokens: number;
  /** Times that speculation was switched off. */
  readonly switchedOff: number;
}

/** Gain below which speculation goes off, and above which it comes back: apart, so that it does not flutter. */
const LOSS = 0.97;
const WIN = 1.1;
/** The first rounds of a process take longer than any later ones: it is busy compiling. */
const ROUNDS_TO_WARM_UP = 32;
/** Rounds that a verdict needs, and weight of a round after each further one: some 50 rounds count. */
const ROUNDS_TO_JUDGE = 16;
const ROUND_MEMORY = 0.98;
/** While it is off: rounds of a probe, their size, and plain tokens between probes, doubled after each that fails. */
const PROBE_ROUNDS = 6;
const PROBE_NODES = 12;
const PROBE_INTERVAL = 32;
const LONGEST_INTERVAL = 512;
/** Plain tokens that end a probe: the drafter has nothing to say. A few come between its rounds anyway. */
const PROBE_PLAIN = 16;
/** Of a probe, even if no node seems to pay. */
const LEAST_PROBED = 3;
/** Turns after which the size of trees to ask for is worked out anew. */
const ROOM_TURNS = 8;
/**
 * Every so many rounds, and after one whose nodes were all right, two nodes more than pay are verified, to find out about estimates that
 * are too low.
 */
const EXPLORE_ROUNDS = 8;
const EXPLORED = 2;
/** Drafts without a node that pays before a few nodes of one are tried all the same; doubled up to the most after each that fails. */
const PATIENCE = { least: 4, most: 64 };
/** An estimate may be so many times too low and is worth a thought yet. */
const DOUBT = 2;
/** What the pace of decoding keeps of its past per round or plain step. */
const PACE_MEMORY = 0.98;
/**
 * Of what that pace is above plain steps, the part that the price of time counts: estimates are drawn to what was believed at first, and
 * beside a pace that knows better every round would look too dear.
 */
const PACE_SHARE = 0.5;
/** What took more than this many times what was expected says that the machine was busy otherwise. */
const OUTLIER = 4;
/** Least time that drafting is expected to take. */
const LEAST_DRAFT_MS = 0.005;
/** Of a round's time, at most this many times what is typical counts: the rest is others'. */
const MOST_COUNTED = 2;
/** How far a typical ratio moves with each measured one. */
const TYPICAL_STEP = 1.05;
/** Rounds that it must have been worth its while for probes to begin anew at short intervals. */
const ROUNDS_TO_LAST = 64;
/** Plain steps at once when drafts do not pay: 1, 2, then always 4. */
const MOST_IDLE = 4;
/** What calibration keeps per round and per plain token: what is not verified any more is slowly trusted again. */
const CALIBRATION_MEMORY = 0.99;
const PLAIN_MEMORY = 0.998;

/**
 * What a measured time is to the expected one, half of the times: a running median. Times of tenths of a millisecond have a long tail,
 * in which others had the processor, and means of a few would follow it.
 */
class TypicalRatio {
  #value = 1;

  get value(): number {
    return this.#value;
  }

  /** Begins anew. */
  reset(value: number): void {
    this.#value = value;
  }

  see(ratio: number): void {
    this.#value *= ratio > this.#value ? TYPICAL_STEP : 1 / TYPICAL_STEP;
  }
}

/**
 * Decides round by round whether to speculate and with how many nodes: by a measured cost curve, the drafter's estimates and how they
 * met what happened. Goes off when the last rounds lost against plain steps, and tries again with short probes. Its decisions
 * depend on measured times; answers do not depend on its decisions.
 */
export class SpeculationControl {
  readonly #curve: CostCurve;
  readonly #mostNodes: number;
  readonly #calibration = new AcceptanceCalibration();
  /** How often the i-th best node was accepted; before anything is known, a guess that falls like a power. */
  readonly #ranks = new IsotonicTable(
    Array.from({ length: MAX_DRAFTED }, (_, i) => 0.6 * (i + 1) ** -0.8),
    4,
  );
  #on = true;
  #reason = '';
  /** Of the last rounds: how many, what their tokens would have taken plainly, what they took, and what was expected by the curve. */
  #window = { rounds: 0, plainMs: 0, ms: 0, usualMs: 0 };
  #interval = PROBE_INTERVAL / 2;
  #sinceProbe = 0;
  #probesLeft = 0;
  #probePlain = 0;
  #idle = 1;
  #turns = 0;
  #plans = 0;
  #patience = PATIENCE.least;
  #refused = 0;
  /** Every node of the last round was right. */
  #allRight = false;
  #room = { nodes: 0, most: 0, least: -Infinity };
  #draftMs = 0;
  /** Of the last rounds and steps, with all that came between them. */
  #pace = { tokens: 0, ms: 0 };
  /** Times of plain steps and of rounds against the curve. */
  readonly #stepLoad = new TypicalRatio();
  /** Of plain steps between rounds, which somebody waits for. */
  readonly #lonelyLoad = new TypicalRatio();
  readonly #roundLoad = new TypicalRatio();
  #counts = { rounds: 0, plainTokens: 0, drafted: 0, accepted: 0, tokens: 0, switchedOff: 0 };

  /** @param mostNodes of a tree, without the root */
  constructor(curve: CostCurve, mostNodes = MAX_DRAFTED) {
    this.#curve = curve;
    this.#mostNodes = Math.min(mostNodes, MAX_DRAFTED);
  }

  turn(): Turn {
    if (!this.#on && this.#probesLeft === 0) {
      const left = this.#interval - this.#sinceProbe;
      if (left > 0) return { draft: false, steps: left };
      this.#probesLeft = PROBE_ROUNDS;
      this.#probePlain = 0;
      this.#window = { rounds: 0, plainMs: 0, ms: 0, usualMs: 0 };
    }
    if (this.#turns++ % ROOM_TURNS === 0) this.#look();
    const { nodes, most, least } = this.#room;
    const fewest = this.#on ? 0 : Math.min(PROBE_NODES, this.#mostNodes);
    return { draft: true, nodes: this.#on ? nodes : fewest, most: Math.max(most, fewest), least };
  }

  /**
   * Works out how much to ask for: of nodes as right as they were by rank as many as pay and some more to find out about, of sure ones
   * as many as pay. It takes its time, so that it is done now and then.
   */
  #look(): void {
    const ranks = Array.from({ length: this.#mostNodes }, (_, i) => i);
    const price = { rate: this.#rate(1), extraMs: this.#draftMs };
    const { nodes } = chooseSize(this.#curve, ranks, { estimate: (i) => this.#ranks.rate(i) }, price);
    const sure = chooseSize(this.#curve, ranks, { estimate: () => 1 }, price).nodes;
    const most = Math.max(sure, LEAST_PROBED);
    const each = (this.#curve.ms(1 + most) - this.#curve.ms(1)) / most;
    this.#room = {
      nodes: Math.min(this.#mostNodes, Math.ceil(1.25 * nodes) + 2),
      most: Math.min(this.#mostNodes, most),
      least: Math.log(Math.min(1, price.rate * each) / DOUBT),
    };
  }

  /** The price of time: tokens per millisecond that decoding reaches, at least as many as plain steps give. */
  #rate(roots: number): number {
    const { tokens, ms } = this.#pace;
    const plain = roots / this.#curveStep(roots);
    return plain + PACE_SHARE * Math.max(0, ms > 0 ? tokens / ms - plain : 0);
  }

  /** @param ms measured; @param usual what was to be expected: many times more is others' time */
  #paced(tokens: number, ms: number, usual: number): void {
    const pace = this.#pace;
    pace.tokens = PACE_MEMORY * pace.tokens + tokens;
    pace.ms = PACE_MEMORY * pace.ms + Math.min(ms, OUTLIER * usual);
  }

  /**
   * @param values of the drafted nodes of all sequences of the round, largest first
   * @param roots sequences of the round
   * @param draftMs time that drafting took
   * @param ahead the round before it is still at work: it is over when this one begins, and the host has drafted meanwhile
   */
  plan(
    values: ArrayLike<number>,
    { roots = 1, draftMs = 0, ahead = false }: { roots?: number; draftMs?: number; ahead?: boolean } = {},
  ): Plan {
    this.#drafted(ahead ? 0 : draftMs);
    const extraMs = ahead ? -this.#wait : this.#draftMs;
    const rate = this.#rate(roots);
    const price = { rate, roots, extraMs, least: 1 };
    const { nodes, tokens, ms } = chooseSize(this.#curve, values, this.#calibration, price);
    // a probe is to find out
    if (!this.#on && values.length > 0)
      return { nodes: Math.max(nodes, Math.min(values.length, LEAST_PROBED)), steps: 0 };
    const step = this.#curveStep(roots) * this.#lonelyLoad.value;
    if (nodes > 0 && tokens - rate * ms > roots - rate * step) {
      this.#idle = 1;
      const more = this.#plans++ % EXPLORE_ROUNDS === 0 || this.#allRight ? EXPLORED : 0;
      return { nodes: Math.min(nodes + more, values.length), steps: 0 };
    }
    if (values.length > 0 && ++this.#refused >= this.#patience) {
      this.#refused = 0;
      this.#patience = Math.min(PATIENCE.most, 2 * this.#patience);
      return { nodes: Math.min(values.length, LEAST_PROBED), steps: 0 };
    }
    const steps = this.#idle;
    this.#idle = Math.min(MOST_IDLE, 2 * this.#idle);
    return { nodes: 0, steps };
  }

  #drafted(ms: number): void {
    const most = OUTLIER * Math.max(this.#draftMs, LEAST_DRAFT_MS);
    this.#draftMs += (Math.min(ms, most) - this.#draftMs) / 8;
  }

  /** The host's wait for a round, which the points of the curve hold. */
  get #wait(): number {
    return this.#curve.ms(1) - this.#curve.stepMs;
  }

  /** A plain step of several sequences, by the curve. */
  #curveStep(roots: number): number {
    return this.#curve.ms(roots) - this.#wait;
  }

  /** Tells about a round. */
  round({ values, accepted, tokens, ms, draftMs, roots = 1, ahead = false }: RoundOutcome): void {
    if (draftMs !== undefined) this.#drafted(draftMs);
    this.#calibration.forget(CALIBRATION_MEMORY);
    this.#calibration.record(values, accepted);
    this.#ranks.forget(CALIBRATION_MEMORY);
    if (roots === 1) for (let i = 0; i < values.length; i++) this.#ranks.add(i, accepted.includes(i));
    this.#allRight = accepted.length === values.length;
    if (this.#allRight) this.#patience = PATIENCE.least;
    const counts = this.#counts;
    counts.rounds++;
    counts.drafted += values.length;
    counts.accepted += accepted.length;
    counts.tokens += tokens;
    const usual = this.#curve.ms(roots + values.length) + (ahead ? -this.#wait : this.#draftMs);
    this.#paced(tokens, ms ?? usual, usual);
    if (counts.rounds <= ROUNDS_TO_WARM_UP) return;
    const window = this.#window;
    const keep = this.#on ? ROUND_MEMORY : 1;
    window.rounds++;
    window.plainMs = keep * window.plainMs + (tokens * this.#curveStep(roots) * this.#stepLoad.value) / roots;
    if (ms !== undefined) this.#roundLoad.see(ms / usual);
    window.usualMs = keep * window.usualMs + usual;
    // a probe is too short for what is typical to show
    const most = this.#on ? MOST_COUNTED * usual * this.#roundLoad.value : OUTLIER * usual;
    window.ms = keep * window.ms + Math.min(ms ?? usual * this.#roundLoad.value, most);
    this.#judge();
  }

  #judge(): void {
    const { rounds } = this.#window;
    const gain = this.#gain;
    const says = `the last rounds gave ${gain.toFixed(2)} times the tokens of plain steps`;
    if (this.#on) {
      if (rounds < ROUNDS_TO_JUDGE) return;
      this.#reason = says;
      if (gain >= LOSS) return;
      this.#on = false;
      this.#counts.switchedOff++;
      this.#interval = rounds < ROUNDS_TO_LAST ? Math.min(LONGEST_INTERVAL, 2 * this.#interval) : PROBE_INTERVAL;
      this.#sinceProbe = 0;
      return;
    }
    if (--this.#probesLeft > 0) return;
    this.#probesLeft = 0;
    this.#sinceProbe = 0;
    this.#reason = says;
    if (gain > WIN) {
      this.#on = true;
      this.#roundLoad.reset(this.#window.ms / this.#window.usualMs);
      this.#window = { rounds: 0, plainMs: 0, ms: 0, usualMs: 0 };
    } else {
      this.#interval = Math.min(LONGEST_INTERVAL, 2 * this.#interval);
    }
  }

  get #gain(): number {
    const { plainMs, ms } = this.#window;
    return ms > 0 ? plainMs / ms : 1;
  }

  /**
   * Tells about plain steps.
   *
   * @param tokens emitted
   * @param ms their time
   * @param kind default: as they are without a drafter
   */
  plain(tokens: number, ms?: number, kind: StepKind = 'steady'): void {
    if (tokens <= 0) return;
    this.#counts.plainTokens += tokens;
    this.#sinceProbe += tokens;
    if (!this.#on && this.#probesLeft > 0) {
      this.#probePlain += tokens;
      if (this.#probePlain >= PROBE_PLAIN) {
        this.#probesLeft = 0;
        this.#sinceProbe = this.#probePlain;
      }
    }
    const usual = tokens * this.#curve.stepMs;
    this.#paced(tokens, ms ?? usual, usual);
    const kept = PLAIN_MEMORY ** tokens;
    this.#calibration.forget(kept);
    this.#ranks.forget(kept);
    if (ms === undefined) return;
    if (kind === 'missed') {
      // what a draft costs that came to nothing
      if (this.#on && this.#counts.rounds > ROUNDS_TO_WARM_UP) {
        this.#window.plainMs += usual * this.#stepLoad.value;
        this.#window.ms += Math.min(ms, MOST_COUNTED * usual * this.#lonelyLoad.value);
      }
      return;
    }
    (kind === 'lonely' ? this.#lonelyLoad : this.#stepLoad).see(ms / usual);
  }

  get stats(): ControlStats {
    const { rounds, plainTokens } = this.#counts;
    const few = plainTokens > 0 && rounds === 0 ? 'no draft was worth a round yet' : 'too few rounds to judge by';
    return { state: this.#on ? 'on' : 'off', reason: this.#reason || few, gain: this.#gain, ...this.#counts };
  }
}
