import { Candidates } from './candidates.js';
import type { DraftBudget, HostDrafter } from './drafter.js';
import { END, MAX_CONTEXT, NgramMemory } from './ngram-memory.js';
import { NgramPredictor } from './ngram-predictor.js';
import { SuffixAutomaton } from './suffix-automaton.js';
import { DraftTree, MAX_DRAFTED } from './tree.js';

export interface NgramOptions {
  /** Earlier answers, shared by the drafters that are given the same memory. Default: one of its own. */
  memory?: NgramMemory | undefined;
  /** What statistics call it. What is learnt about a drafter is kept by name. Default `ngram`. */
  name?: string | undefined;
}

/** Nodes that are accepted less often than this hardly ever pay for themselves, whatever the budget says. */
const LEAST_VALUE = Math.log(0.02);
/** No continuation is certain. */
const MOST = 0.98;
/** Of a longer prompt the end is looked up. */
const PROMPT_TOKENS = 2 ** 15;

/**
 * Drafts from what was said before: prompt lookup over the conversation's own tokens, and a suffix automaton over earlier answers. The
 * probability of a continuation comes from the counts of all contexts that end here; the tree takes the most probable nodes first.
 */
export class NgramDrafter implements HostDrafter {
  readonly kind = 'host';
  readonly name: string;
  readonly #memory: NgramMemory;
  readonly #predictor: NgramPredictor;
  readonly #candidates = new Candidates();
  #session = new SuffixAutomaton(MAX_CONTEXT);
  #history: number[] = [];
  /** Where the answer begins in the history; behind its end between answers. */
  #answer = 0;
  /** The memory's when its automata were attached; -1: not yet. */
  #revision = -1;
  /** Automata of the memory that are attached. */
  #attached = 0;

  constructor({ memory = new NgramMemory(), name = 'ngram' }: NgramOptions = {}) {
    this.name = name;
    this.#memory = memory;
    this.#predictor = new NgramPredictor(memory.weights);
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
    for (const token of tokens) {
      this.#synchronise();
      this.#predictor.learn(token);
      this.#append(token);
      for (let a = 1; a <= this.#attached; a++) this.#predictor.advance(a, 0, 0, token);
    }
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
    const candidates = this.#candidates;
    candidates.clear();
    const least = Math.max(LEAST_VALUE, budget.least ?? LEAST_VALUE);
    if (limit > 0 && budget.depth > 0) this.#expand(0, 0, least);
    const tokens: number[] = [];
    const parents: number[] = [];
    const values: number[] = [];
    const depths: number[] = [];
    while (tokens.length < limit && candidates.pop()) {
      const { parent, token, value } = candidates;
      const depth = parent === 0 ? 1 : (depths[parent - 1] as number) + 1;
      tokens.push(token);
      parents.push(parent - 1);
      values.push(value);
      depths.push(depth);
      if (tokens.length === limit || depth >= budget.depth) continue;
      const node = tokens.length;
      for (let a = 0; a <= this.#attached; a++) this.#predictor.advance(a, parent, node, token);
      this.#expand(node, value, least);
    }
    return tokens.length === 0 ? undefined : new DraftTree({ tokens, parents, values });
  }

  /** Puts a node's continuations among the candidates. */
  #expand(node: number, value: number, least: number): void {
    const { tokens, chances } = this.#predictor;
    const found = this.#predictor.predict(node);
    for (let i = 0; i < found; i++) {
      const token = tokens[i] as number;
      const below = value + Math.log(Math.min(chances[i] as number, MOST));
      if (token !== END && below > least) this.#candidates.push(node, token, below);
    }
  }

  /** Shares the memory. */
  fork(): NgramDrafter {
    const fork = new NgramDrafter({ memory: this.#memory, name: this.name });
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

  /** Puts the predictor at the text's end, in automata that have changed since too. */
  #synchronise(): void {
    const session = this.#session;
    if (this.#revision !== this.#memory.revision) {
      const { automata, revision } = this.#memory;
      this.#predictor.attach([session, ...automata], this.#history);
      this.#attached = automata.length;
      this.#revision = revision;
    }
    this.#predictor.place(0, session.end, session.endLength);
  }
}
