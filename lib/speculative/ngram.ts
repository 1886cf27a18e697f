import type { DraftBudget, HostDrafter } from './drafter.js';
import { END, MAX_CONTEXT, NgramMemory } from './ngram-memory.js';
import { ROOT, SuffixAutomaton } from './suffix-automaton.js';
import { DraftTree, MAX_DRAFTED } from './tree.js';

export interface NgramOptions {
  /** Earlier answers, shared by the drafters that are given the same memory. Default: one of its own. */
  memory?: NgramMemory | undefined;
}

/**
 * Counts become probabilities as in a hierarchical Pitman-Yor process (Teh 2006): after a context that was seen `total` times with
 * `distinct` continuations, one that was seen `count` times has (count - DISCOUNT) / (total + STRENGTH); what is left goes to the
 * next shorter context. Chosen such that estimates meet what happened on answers of the bundled model.
 */
const DISCOUNT = 0.7;
const STRENGTH = 0.6;

/** Nodes that are accepted less often than this hardly ever pay for themselves. */
const LEAST_VALUE = Math.log(0.02);
/** Shares of a probability that are too small to be added up. */
const LEAST_SHARE = 0.005;
/** No continuation is certain. */
const MOST = 0.98;

/** Candidates of one node. */
const WIDTH = 16;
/** Of a longer prompt the end is looked up. */
const PROMPT_TOKENS = 2 ** 15;
/** Automata that are asked: the session's and at most two of the memory. */
const SOURCES = 3;
const NODES = MAX_DRAFTED + 1;

/**
 * Drafts from what was said before: prompt lookup over the conversation's own tokens, and a suffix automaton over earlier answers. The
 * probability of a continuation is interpolated over all contexts that end here, longest first, by their counts; the tree takes the
 * most probable nodes first.
 */
export class NgramDrafter implements HostDrafter {
  readonly kind = 'host';
  readonly name = 'ngram';
  readonly #memory: NgramMemory;
  #session = new SuffixAutomaton(MAX_CONTEXT);
  #history: number[] = [];
  /** Where the answer begins in the history; behind its end between answers. */
  #answer = 0;

  // Where the text's end stands in the memory.
  #revision = -1;
  #sources: SuffixAutomaton[] = [];
  /** [SOURCES, NODES]: the longest known context of each node of the tree; node 0 is the root. */
  readonly #state = new Int32Array(SOURCES * NODES);
  readonly #length = new Int32Array(SOURCES * NODES);
  readonly #heap = new Candidates();

  constructor({ memory = new NgramMemory() }: NgramOptions = {}) {
    this.#memory = memory;
  }

  start(prompt: readonly number[]): void {
    const text = prompt.length > PROMPT_TOKENS ? prompt.slice(-PROMPT_TOKENS) : prompt;
    const goesOn = this.#history.length <= text.length && this.#history.every((token, i) => token === text[i]);
    if (!goesOn) {
      this.#session.clear();
      this.#history = [];
    }
    for (let i = this.#history.length; i < text.length; i++) this.#append(text[i] as number);
    this.#answer = this.#history.length;
    this.#revision = -1;
  }

  observe(tokens: readonly number[]): void {
    for (const token of tokens) this.#append(token);
    if (this.#revision !== this.#memory.revision) return;
    for (let a = 1; a < this.#sources.length; a++) for (const token of tokens) this.#advance(a, 0, 0, token);
  }

  finish(): void {
    if (this.#history.length > this.#answer) {
      this.#memory.learn(this.#history.slice(Math.max(0, this.#answer - MAX_CONTEXT)));
    }
    this.#answer = this.#history.length;
  }

  propose(budget: DraftBudget): DraftTree | undefined {
    this.#synchronise();
    const limit = Math.min(budget.nodes, MAX_DRAFTED);
    const heap = this.#heap;
    heap.clear();
    if (limit > 0 && budget.depth > 0) this.#expand(0, 0);
    const tokens: number[] = [];
    const parents: number[] = [];
    const values: number[] = [];
    const depths: number[] = [];
    while (tokens.length < limit && heap.pop()) {
      const { parent, token, value } = heap;
      tokens.push(token);
      parents.push(parent - 1);
      values.push(value);
      const depth = parent === 0 ? 1 : (depths[parent - 1] as number) + 1;
      depths.push(depth);
      if (tokens.length === limit || depth >= budget.depth) continue;
      const node = tokens.length;
      for (let a = 0; a < this.#sources.length; a++) this.#advance(a, parent, node, token);
      this.#expand(node, value);
    }
    return tokens.length === 0 ? undefined : new DraftTree({ tokens, parents, values });
  }

  /** Shares the memory. */
  fork(): NgramDrafter {
    const fork = new NgramDrafter({ memory: this.#memory });
    fork.#session = this.#session.copy();
    fork.#history = this.#history.slice();
    fork.#answer = this.#answer;
    return fork;
  }

  /** Forgets the conversation and clears the memory, for all that share it. */
  reset(): void {
    this.#session.clear();
    this.#history = [];
    this.#answer = 0;
    this.#revision = -1;
    this.#memory.clear();
  }

  #append(token: number): void {
    this.#history.push(token);
    this.#session.add(token);
  }

  /** Finds the text's end in automata that have changed since. */
  #synchronise(): void {
    const session = this.#session;
    if (this.#revision !== this.#memory.revision) {
      this.#revision = this.#memory.revision;
      this.#sources = [session, ...this.#memory.automata];
      for (let a = 1; a < this.#sources.length; a++) {
        this.#state[a * NODES] = ROOT;
        this.#length[a * NODES] = 0;
        for (let i = Math.max(0, this.#history.length - MAX_CONTEXT); i < this.#history.length; i++) {
          this.#advance(a, 0, 0, this.#history[i] as number);
        }
      }
    }
    this.#sources[0] = session;
    this.#state[0] = session.end;
    this.#length[0] = session.endLength;
  }

  /** The longest context of automaton `a` after a node's and a token: written for node `to`. */
  #advance(a: number, from: number, to: number, token: number): void {
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

  // The contexts of the node that is expanded, by source.
  readonly #at = new Int32Array(SOURCES);
  readonly #reach = new Int32Array(SOURCES);
  readonly #tokens = new Int32Array(WIDTH);
  readonly #chance = new Float64Array(WIDTH);

  /** Puts a node's continuations among the candidates. */
  #expand(node: number, value: number): void {
    const count = this.#continuations(node);
    for (let i = 0; i < count; i++) {
      const token = this.#tokens[i] as number;
      const below = value + Math.log(Math.min(this.#chance[i] as number, MOST));
      if (token !== END && below > LEAST_VALUE) this.#heap.push(node, token, below);
    }
  }

  /** Fills in tokens and their probabilities after a node. */
  #continuations(node: number): number {
    const sources = this.#sources;
    const tokens = this.#tokens;
    const chance = this.#chance;
    let found = 0;
    let longest = 0;
    for (let a = 0; a < sources.length; a++) {
      this.#at[a] = this.#state[a * NODES + node] as number;
      this.#reach[a] = this.#length[a * NODES + node] as number;
      longest = Math.max(longest, this.#reach[a] as number);
    }
    let left = 1;
    while (longest > 0 && left > 0.01) {
      let total = 0;
      let distinct = 0;
      for (let a = 0; a < sources.length; a++) {
        if (this.#reach[a] !== longest) continue;
        const { total: t, distinct: d } = sources[a] as SuffixAutomaton;
        total += t[this.#at[a] as number] as number;
        distinct += d[this.#at[a] as number] as number;
      }
      const scale = left / (total + STRENGTH);
      let next = 0;
      for (let a = 0; a < sources.length; a++) {
        const { head, link, length, edgeToken, edgeCount, edgeNext } = sources[a] as SuffixAutomaton;
        if (this.#reach[a] === longest) {
          const at = this.#at[a] as number;
          if (total > 0) {
            for (let e = head[at] as number; e >= 0; e = edgeNext[e] as number) {
              const share = scale * ((edgeCount[e] as number) - DISCOUNT);
              if (share < LEAST_SHARE) break;
              const token = edgeToken[e] as number;
              let i = 0;
              while (i < found && tokens[i] !== token) i++;
              if (i === WIDTH) break;
              if (i === found) {
                tokens[found++] = token;
                chance[i] = 0;
              }
              (chance[i] as number) += share;
            }
          }
          this.#at[a] = link[at] as number;
          this.#reach[a] = length[link[at] as number] as number;
        }
        next = Math.max(next, this.#reach[a] as number);
      }
      if (total > 0) left = scale * (STRENGTH + DISCOUNT * distinct);
      longest = next;
    }
    return found;
  }
}

/** Candidates by value, largest first; those put in first come first among equals. */
class Candidates {
  parent = 0;
  token = 0;
  value = 0;
  readonly #parents: number[] = [];
  readonly #tokens: number[] = [];
  readonly #values: number[] = [];
  /** Indexes into the lists, as a binary heap. */
  readonly #heap: number[] = [];

  clear(): void {
    this.#parents.length = 0;
    this.#tokens.length = 0;
    this.#values.length = 0;
    this.#heap.length = 0;
  }

  push(parent: number, token: number, value: number): void {
    const heap = this.#heap;
    const id = this.#parents.length;
    this.#parents.push(parent);
    this.#tokens.push(token);
    this.#values.push(value);
    let at = heap.length;
    heap.push(id);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!this.#before(id, heap[up] as number)) break;
      heap[at] = heap[up] as number;
      at = up;
    }
    heap[at] = id;
  }

  /** Takes the best; false when there is none. */
  pop(): boolean {
    const heap = this.#heap;
    const best = heap[0];
    if (best === undefined) return false;
    this.parent = this.#parents[best] as number;
    this.token = this.#tokens[best] as number;
    this.value = this.#values[best] as number;
    const id = heap.pop() as number;
    if (heap.length === 0) return true;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && this.#before(heap[down + 1] as number, heap[down] as number)) down++;
      if (!this.#before(heap[down] as number, id)) break;
      heap[at] = heap[down] as number;
      at = down;
    }
    heap[at] = id;
    return true;
  }

  #before(a: number, b: number): boolean {
    const difference = (this.#values[a] as number) - (this.#values[b] as number);
    return difference > 0 || (difference === 0 && a < b);
  }
}
