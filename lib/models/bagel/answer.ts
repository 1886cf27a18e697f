import { HyperBagelError } from '../../errors.js';
import type { Drafter } from '../../speculative/drafter.js';
import type { RoundTrace } from '../../speculative/round.js';
import type { Sampling } from '../../speculative/state.js';
import { checkInteger, checkNumber, chooseSeed } from './options.js';

/**
 * Where drafts come from. `ngram`: earlier text. `eagle`: the model's draft head (option `draft` of `Bagel.load`). `auto`: the head if
 * there is one, else `ngram`; nothing where rounds cost too much on this machine. A list: several at once, the best of their nodes in
 * one tree; one of them at most on the device.
 */
export type Speculate = 'off' | 'auto' | SpeculateBy | readonly SpeculateBy[];
export type SpeculateBy = 'ngram' | 'eagle' | Drafter;

/** One round of an answer: a draft tree in depth-first order, and which of its nodes were accepted. */
export interface RoundReport extends RoundTrace {
  /** Index in the answer of the token after the root. */
  index: number;
  /** Nodes on the accepted path, the root first. */
  accepted: number[];
}

export interface AnswerOptions {
  /** Most generated tokens. Default 512; what is left of the context when that is less. */
  maxTokens?: number | undefined;
  /** 0 (default): greedy. */
  temperature?: number | undefined;
  topK?: number | undefined;
  topP?: number | undefined;
  minP?: number | undefined;
  /**
   * Makes tokens that the answer already holds less likely: logits above 0 are divided by it, others multiplied. 1 (default): no
   * penalty.
   */
  repetitionPenalty?: number | undefined;
  /** Default: a random one, reported in the answer. */
  seed?: number | undefined;
  /** The answer ends before the first of these. */
  stop?: readonly string[] | undefined;
  /** Goes on past the end-of-text token. */
  ignoreStop?: boolean | undefined;
  /**
   * Where drafts come from; the answer is the same whatever it is. Default `auto`.
   */
  speculate?: Speculate | undefined;
  /** Most nodes of a draft tree, 1 to 128, the root included. Default: by measured cost. */
  treeNodes?: number | undefined;
  /** Gives the tree of each round. */
  onRound?: ((round: RoundReport) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** A piece of an answer: text that is whole, and the ids since the last piece. */
export interface AnswerPiece {
  text: string;
  tokens: number[];
  /** How many of the tokens, the first ones, had been drafted, and the beginning of the text that is theirs. */
  drafted: number;
  draftedText: string;
}

/** What speculation did for an answer. A round gives the accepted drafted tokens and one more, the bonus token. */
export interface SpeculationStats {
  /** Name of the drafter, `a + b` of two; `off` without one. */
  drafter: string;
  /** Rounds that had a draft. The other steps were plain. */
  rounds: number;
  /** Nodes that were drafted and verified, and how many of them were accepted. */
  drafted: number;
  accepted: number;
  /** Mean over all steps of the answer. */
  meanAccepted: number;
  /** The same with the bonus token: tokens per step. */
  meanAcceptedWithBonus: number;
  /** Mean nodes of a round with a draft, the root included. */
  nodesPerRound: number;
  /**
   * Of `answerMs`: in drafters, on the JavaScript thread or on the device; in rounds with drafts; the rest. Of the whole batch when
   * answers were made together.
   */
  draftMs: number;
  verifyMs: number;
  otherMs: number;
  /** Tokens x this machine's plain step / answerMs; undefined when no plain step was measured. */
  speedup?: number | undefined;
  /** Why speculation was switched off, or what the drafter failed with. */
  note?: string | undefined;
}

export interface Answer {
  text: string;
  /** Generated ids, without the frame tokens. */
  tokens: number[];
  /** Tokens of the context when the answer began. */
  promptTokens: number;
  finishReason: 'stop' | 'length' | 'stop_string';
  seed: number;
  timings: { promptMs: number; answerMs: number };
  stats: { tokens: number; steps: number; tokensPerSecond: number; speculation: SpeculationStats };
}

/**
 * An answer on its way: iterate it for pieces, once, or await `result`. Nothing runs before one of the two. A second reader is refused
 * with BUSY: each would get some of the pieces.
 */
export class AnswerStream implements AsyncIterable<AnswerPiece> {
  readonly #generator: AsyncGenerator<AnswerPiece, Answer, undefined>;
  #started = false;
  #settle: { resolve: (answer: Answer) => void; reject: (error: unknown) => void } | undefined;
  readonly #result: Promise<Answer>;

  /** @internal */
  constructor(generator: AsyncGenerator<AnswerPiece, Answer, undefined>) {
    this.#generator = generator;
    this.#result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#result.catch(() => {}); // who only iterates hears of a failure there
  }

  /** The whole answer; runs the stream when nobody iterates it. */
  get result(): Promise<Answer> {
    if (!this.#started) void this.#drain();
    return this.#result;
  }

  async #drain(): Promise<void> {
    try {
      for await (const _ of this);
    } catch {
      // `result` has it
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<AnswerPiece, void, undefined> {
    if (this.#started) {
      throw new HyperBagelError('BUSY', 'an answer is read once: by who iterates it first, or by `result`');
    }
    this.#started = true;
    let finished = false;
    try {
      for (;;) {
        const next = await this.#generator.next();
        if (next.done) {
          finished = true;
          this.#settle?.resolve(next.value);
          return;
        }
        yield next.value;
      }
    } catch (error) {
      finished = true;
      this.#settle?.reject(error);
      throw error;
    } finally {
      if (!finished) {
        // the consumer left early: so does the generator
        try {
          await this.#generator.return(undefined as never);
        } finally {
          this.#settle?.reject(new HyperBagelError('CANCELLED', 'the answer was left before its end'));
        }
      }
    }
  }
}

/** Checks sampling options and fills in defaults. */
export function checkSampling(options: AnswerOptions): Sampling {
  return {
    temperature: checkNumber('temperature', options.temperature ?? 0, 0, 100),
    topK: checkInteger('topK', options.topK ?? 0, 0, 2 ** 31 - 1),
    topP: checkNumber('topP', options.topP ?? 1, 0, 1),
    minP: checkNumber('minP', options.minP ?? 0, 0, 1),
    repetitionPenalty: checkNumber('repetitionPenalty', options.repetitionPenalty ?? 1, 0.01, 100),
    seed: chooseSeed(options.seed),
  };
}
