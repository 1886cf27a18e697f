import { DISCOUNT, type MixtureWeights } from './mixture.js';
import { MAX_CONTEXT } from './ngram-memory.js';
import { ROOT, type SuffixAutomaton } from './suffix-automaton.js';
import { MAX_DRAFTED } from './tree.js';

/** Continuations of one node that are looked at. */
const WIDTH = 16;
/** Automata that are asked: the session's and at most two of the memory. */
const SOURCES = 3;
/** Nodes of a tree with the root, which is node 0. */
const NODES = MAX_DRAFTED + 1;
/** Contexts of one text that differ in the automata. */
const STAGES = SOURCES * MAX_CONTEXT;
/** Shares of a probability that are too small to be added up. */
const LEAST_SHARE = 0.005;
/** A prediction that has passed on all but this is as good as done. */
const LEAST_LEFT = 0.01;
/** Probability of a token that no context knows. */
const UNKNOWN = 0.002;

/**
 * Probabilities of what follows a text and the nodes of a tree behind it, from the counts of several automata: interpolated over all
 * contexts that end there, longest first; contexts of one length in different automata count together.
 */
export class NgramPredictor {
  /** Continuations that `predict` found: their tokens, and their probabilities. */
  readonly tokens = new Int32Array(WIDTH);
  readonly chances = new Float64Array(WIDTH);

  readonly #weights: MixtureWeights;
  #sources: readonly SuffixAutomaton[] = [];
  /** [SOURCES, NODES]: the longest known context of each node. */
  readonly #state = new Int32Array(SOURCES * NODES);
  readonly #length = new Int32Array(SOURCES * NODES);

  // The stage of a walk from the longest context down: its length and counts, and by source its state, or -1.
  #stage = { length: 0, total: 0, distinct: 0 };
  readonly #here = new Int32Array(SOURCES);
  // By source, the longest context that the walk has not visited yet.
  readonly #next = new Int32Array(SOURCES);
  readonly #nextLength = new Int32Array(SOURCES);

  readonly #cells = new Int32Array(STAGES);
  readonly #given = new Float64Array(STAGES);

  constructor(weights: MixtureWeights) {
    this.#weights = weights;
  }

  /** Asks these automata from now on, at the end of `text`. */
  attach(sources: readonly SuffixAutomaton[], text: readonly number[]): void {
    this.#sources = sources;
    for (let a = 0; a < sources.length; a++) {
      this.place(a, ROOT, 0);
      for (let i = Math.max(0, text.length - MAX_CONTEXT); i < text.length; i++) {
        this.advance(a, 0, 0, text[i] as number);
      }
    }
  }

  /** Sets the root's context in an automaton. */
  place(a: number, state: number, length: number): void {
    this.#state[a * NODES] = state;
    this.#length[a * NODES] = length;
  }

  /** The longest context in automaton `a` of a node's text and a token: written for node `to`. */
  advance(a: number, from: number, to: number, token: number): void {
    const automaton = this.#sources[a] as SuffixAutomaton;
    let state = this.#state[a * NODES + from] as number;
    let length = this.#length[a * NODES + from] as number;
    let target = automaton.target(state, token);
    while (target < 0 && state !== ROOT) {
      state = automaton.link[state] as number;
      length = automaton.length[state] as number;
      target = automaton.target(state, token);
    }
    if (target >= 0) {
      length = Math.min(length + 1, MAX_CONTEXT);
      state = automaton.shorten(target, length);
    }
    this.#state[a * NODES + to] = state;
    this.#length[a * NODES + to] = length;
  }

  /** Fills in what may follow a node; returns how many there are. In no order. */
  predict(node: number): number {
    let found = 0;
    let left = 1;
    for (this.#walk(node); left > LEAST_LEFT && this.#step(); ) {
      const { length, total, distinct } = this.#stage;
      const pass = this.#weights.pass(this.#weights.cell(length, total, distinct), total, distinct);
      const scale = (left * (1 - pass)) / (total - DISCOUNT * distinct);
      for (let a = 0; a < this.#sources.length; a++) {
        if ((this.#here[a] as number) >= 0) found = this.#collect(a, scale, found);
      }
      left *= pass;
    }
    return found;
  }

  /** Adds the shares of a context's continuations, the most frequent first. */
  #collect(a: number, scale: number, known: number): number {
    const { tokens, chances } = this;
    const { head, edgeToken, edgeCount, edgeNext } = this.#sources[a] as SuffixAutomaton;
    let found = known;
    for (let e = head[this.#here[a] as number] as number; e >= 0; e = edgeNext[e] as number) {
      const share = scale * ((edgeCount[e] as number) - DISCOUNT);
      if (share < LEAST_SHARE) break;
      const token = edgeToken[e] as number;
      let i = 0;
      while (i < found && tokens[i] !== token) i++;
      if (i === WIDTH) break;
      if (i === found) {
        tokens[found++] = token;
        chances[i] = 0;
      }
      (chances[i] as number) += share;
    }
    return found;
  }

  /** Learns from the token that follows the root's text. */
  learn(token: number): void {
    const weights = this.#weights;
    let stages = 0;
    let left = 1;
    let all = 0;
    for (this.#walk(0); this.#step(); stages++) {
      const { length, total, distinct } = this.#stage;
      const cell = weights.cell(length, total, distinct);
      const pass = weights.pass(cell, total, distinct);
      const given = (left * (1 - pass) * this.#countOf(token)) / (total - DISCOUNT * distinct);
      this.#cells[stages] = cell;
      this.#given[stages] = given;
      all += given;
      left *= pass;
    }
    // how likely the token came from each context, given that it came
    let below = left * UNKNOWN;
    all += below;
    for (let s = stages - 1; s >= 0; s--) {
      const reached = below + (this.#given[s] as number);
      weights.record(this.#cells[s] as number, reached / all, below / all);
      below = reached;
    }
  }

  /** Discounted count of a token after the contexts of the stage. */
  #countOf(token: number): number {
    let count = 0;
    for (let a = 0; a < this.#sources.length; a++) {
      if ((this.#here[a] as number) < 0) continue;
      const { head, edgeToken, edgeCount, edgeNext } = this.#sources[a] as SuffixAutomaton;
      let e = head[this.#here[a] as number] as number;
      while (e >= 0 && edgeToken[e] !== token) e = edgeNext[e] as number;
      if (e >= 0) count += (edgeCount[e] as number) - DISCOUNT;
    }
    return count;
  }

  /** Begins a walk over the contexts of a node. */
  #walk(node: number): void {
    for (let a = 0; a < this.#sources.length; a++) {
      this.#next[a] = this.#state[a * NODES + node] as number;
      this.#nextLength[a] = this.#length[a * NODES + node] as number;
    }
  }

  /** Goes to the longest context left that was ever followed by a token; false behind the last. */
  #step(): boolean {
    const sources = this.#sources;
    const stage = this.#stage;
    do {
      stage.length = 0;
      stage.total = 0;
      stage.distinct = 0;
      for (let a = 0; a < sources.length; a++) stage.length = Math.max(stage.length, this.#nextLength[a] as number);
      if (stage.length === 0) return false;
      for (let a = 0; a < sources.length; a++) {
        this.#here[a] = -1;
        if (this.#nextLength[a] !== stage.length) continue;
        const { total, distinct, link, length } = sources[a] as SuffixAutomaton;
        const at = this.#next[a] as number;
        this.#here[a] = at;
        stage.total += total[at] as number;
        stage.distinct += distinct[at] as number;
        this.#next[a] = link[at] as number;
        this.#nextLength[a] = length[link[at] as number] as number;
      }
    } while (stage.total === 0);
    return true;
  }
}
