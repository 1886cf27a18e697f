import { HyperBagelError } from '../errors.js';
import { MixtureWeights } from './mixture.js';
import { SuffixAutomaton } from './suffix-automaton.js';

/** Behind the last token of a learnt answer. Never proposed. */
export const END = -1;

/** Longest context whose continuations are counted, in tokens. */
export const MAX_CONTEXT = 12;

export interface NgramMemoryOptions {
  /** Most tokens that are remembered; at least 2. Default 65536, which take some 6 MB. */
  tokens?: number | undefined;
}

/**
 * What earlier answers of a process said, for the drafters of all its sessions. Bounded: answers go into a suffix automaton of half the
 * limit; when it is full, a new one begins and the oldest is dropped, so at least the last half of the limit is remembered.
 */
export class NgramMemory {
  /** Most tokens that are remembered. */
  readonly limit: number;
  /** What contexts of each kind were worth. */
  readonly weights = new MixtureWeights();
  #automata: SuffixAutomaton[] = [];
  #revision = 0;

  /** @throws HyperBagelError BAD_OPTION */
  constructor({ tokens = 2 ** 16 }: NgramMemoryOptions = {}) {
    if (!Number.isSafeInteger(tokens) || tokens < 2 || tokens > 2 ** 24) {
      throw new HyperBagelError(
        'BAD_OPTION',
        `memory of ${String(tokens)} tokens: expected an integer from 2 to 2^24`,
        {
          operand: 'tokens',
          expected: 'an integer from 2 to 2^24',
          got: String(tokens),
        },
      );
    }
    this.limit = tokens;
  }

  /** Oldest first; at most two. */
  get automata(): readonly SuffixAutomaton[] {
    return this.#automata;
  }

  /** Changes whenever the content does. */
  get revision(): number {
    return this.#revision;
  }

  /** Tokens remembered, the end of each answer counted as one. */
  get tokens(): number {
    return this.#automata.reduce((sum, { size }) => sum + size, 0);
  }

  /** Remembers an answer: its tokens after what they answer. A part that is longer than half the limit loses its beginning. */
  learn(text: readonly number[]): void {
    if (text.length === 0) return;
    const room = Math.floor(this.limit / 2);
    const kept = text.slice(-Math.max(1, room - 1));
    let automaton = this.#automata.at(-1);
    if (!automaton || automaton.size + kept.length + 1 > room) {
      automaton = new SuffixAutomaton(MAX_CONTEXT);
      this.#automata = [...this.#automata.slice(-1), automaton];
    }
    automaton.begin();
    for (const token of kept) automaton.add(token);
    if (kept.length < room) automaton.add(END);
    this.#revision++;
  }

  /** Forgets everything. */
  clear(): void {
    this.#automata = [];
    this.weights.clear();
    this.#revision++;
  }
}
