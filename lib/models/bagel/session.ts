import type { Sequence } from '../../cache/pages.js';
import { HyperBagelError } from '../../errors.js';
import { throwIfAborted } from '../../io/abort.js';
import { decodeImage, type Image, type ImageSource } from '../../io/image.js';
import { resizeToRule } from '../../io/resize.js';
import type { Speculation } from '../../speculative/decode.js';
import type { Sampling } from '../../speculative/state.js';
import { Activity } from '../../tensor/context.js';
import { type Answer, type AnswerOptions, type AnswerPiece, AnswerStream, checkSampling } from './answer.js';
import { type Decoded, type Decoders, decode, type GenerationInit } from './generate.js';
import type { BagelModel } from './model.js';
import { checkText } from './options.js';
import type { SpeculationChoice, Speculator } from './speculate.js';

/** What is decided when an answer is asked for. */
interface Choices {
  sampling: Sampling;
  speculation: SpeculationChoice | undefined;
}

/** @internal A session that is taken for an answer. */
export interface OpenAnswer {
  init: GenerationInit;
  /** Makes the answer a part of the context. */
  finish(done: Decoded, start: number): Answer;
  /** Frees the session. */
  leave(): void;
}

/** @throws HyperBagelError DISPOSED once the model is */
export function requireOpen(model: BagelModel): void {
  if (model.cx.disposed) throw new HyperBagelError('DISPOSED', 'the model was disposed');
}

/**
 * Runs queued work to its end, or undoes it when the signal says so.
 *
 * @param name what the profiler calls it
 */
export async function settle(
  model: BagelModel,
  name: string,
  signal: AbortSignal | undefined,
  queue: () => void,
): Promise<void> {
  throwIfAborted(signal);
  const activity = new Activity(name);
  const abort = () => activity.cancel();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    model.cx.within(activity, queue);
    await model.cx.sync(activity);
    throwIfAborted(signal);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** A picture as every part of the model takes it: resized by the autoencoder's rule (bagel.md 3.4). */
export async function prepareImage(model: BagelModel, source: ImageSource, signal?: AbortSignal): Promise<Image> {
  const image = await decodeImage(source, signal ? { signal } : {});
  return resizeToRule(image, model.config.vaeTransform);
}

/**
 * A conversation: a growing context of texts and pictures, and the answers in it. One call at a time; a second one meanwhile is
 * refused with BUSY.
 */
export class Session {
  readonly #model: BagelModel;
  readonly #decoders: Decoders;
  readonly #speculator: Speculator;
  readonly #sequence: Sequence;
  /** Text tokens of the conversation: pictures left out. */
  readonly #history: number[] = [];
  /** Ids that close the last answer's segment; appended with the next one. */
  #pending: number[] = [];
  #promptMs = 0;
  #busy = false;
  #disposed = false;

  /** @internal */
  constructor(model: BagelModel, decoders: Decoders, speculator: Speculator) {
    this.#model = model;
    this.#decoders = decoders;
    this.#speculator = speculator;
    this.#sequence = model.sequence();
    model.drafter?.follow(this.#sequence);
  }

  /** Tokens in the context. */
  get tokens(): number {
    return this.#sequence.length + this.#pending.length;
  }

  /**
   * Adds a text.
   *
   * @throws HyperBagelError BAD_OPTION (empty), CONTEXT_FULL, BUSY, CANCELLED; the context is then as before
   */
  async addText(text: string, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const ids = this.#model.frame(checkText('text', text));
    await this.#exclusive(() => this.#extend(signal, () => this.#model.appendTokens(this.#sequence, ids)));
    this.#history.push(...ids);
  }

  /**
   * Adds a picture to look at.
   *
   * @throws HyperBagelError BAD_IMAGE, IO, CONTEXT_FULL, BUSY, CANCELLED; the context is then as before
   */
  async addImage(source: ImageSource, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    await this.#exclusive(async () => {
      const image = await prepareImage(this.#model, source, signal);
      await this.#extend(signal, () => this.#model.appendVision(this.#sequence, image));
    });
  }

  /**
   * Generates an answer. It becomes part of the context when it runs to its end.
   *
   * @throws HyperBagelError BAD_OPTION at the call; from the stream CONTEXT_FULL, BUSY, CANCELLED
   */
  answer(options: AnswerOptions = {}): AnswerStream {
    const choices = this.#choose(options);
    return new AnswerStream(this.#answer(options, choices));
  }

  /**
   * @internal Takes the session for an answer that somebody else runs. `leave` must follow.
   *
   * @throws HyperBagelError BAD_OPTION, CONTEXT_FULL, BUSY, CANCELLED; the session is then free
   */
  async open(options: AnswerOptions, choices: Choices = this.#choose(options)): Promise<OpenAnswer> {
    this.#enter();
    let speculation: Speculation | undefined;
    try {
      if (this.#pending.length > 0) await this.#extend(options.signal, () => {});
      if (choices.speculation) speculation = await this.#speculator.prepare(choices.speculation, this.#history);
    } catch (error) {
      this.#leave();
      throw error;
    }
    const promptTokens = this.#sequence.length;
    return {
      init: { sequence: this.#sequence, options, sampling: choices.sampling, speculation },
      finish: (done, start) => {
        const answerMs = performance.now() - start;
        const promptMs = this.#promptMs;
        this.#promptMs = 0;
        this.#pending = done.pending;
        this.#history.push(this.#model.special.bos, ...done.tokens, this.#model.special.eos);
        const { text, tokens, finishReason, steps, speculation } = done;
        return {
          text,
          tokens,
          promptTokens,
          finishReason,
          seed: choices.sampling.seed,
          timings: { promptMs, answerMs },
          stats: { tokens: tokens.length, steps, tokensPerSecond: (1000 * tokens.length) / answerMs, speculation },
        };
      },
      leave: () => {
        this.#sequence.trim();
        this.#leave();
      },
    };
  }

  async *#answer(options: AnswerOptions, choices: Choices): AsyncGenerator<AnswerPiece, Answer, undefined> {
    const open = await this.open(options, choices);
    try {
      const start = performance.now();
      const done = yield* decode(this.#model, this.#decoders, open.init);
      return open.finish(done, start);
    } finally {
      open.leave();
    }
  }

  #choose(options: AnswerOptions): Choices {
    return { sampling: checkSampling(options), speculation: this.#speculator.choose(options, this) };
  }

  /** Gives the cache back. A running call ends first by its own means. Idempotent. */
  dispose(): void {
    this.#disposed = true;
    if (!this.#busy) this.#sequence.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #enter(): void {
    if (this.#disposed) throw new HyperBagelError('DISPOSED', 'the session was disposed');
    requireOpen(this.#model);
    if (this.#busy)
      throw new HyperBagelError('BUSY', 'the session is at work on another call; wait for it or open another session');
    this.#busy = true;
  }

  #leave(): void {
    this.#busy = false;
    if (this.#disposed) this.#sequence.release();
  }

  async #exclusive(work: () => Promise<void>): Promise<void> {
    this.#enter();
    try {
      await work();
    } finally {
      this.#leave();
    }
  }

  /** Appends what closes the last answer and then what `queue` appends; all of it or nothing. */
  async #extend(signal: AbortSignal | undefined, queue: () => void): Promise<void> {
    const { length, position, draft } = this.#sequence;
    const start = performance.now();
    try {
      await settle(this.#model, 'context', signal, () => {
        this.#model.appendTokens(this.#sequence, this.#pending);
        queue();
      });
      this.#pending = [];
    } catch (error) {
      this.#sequence.length = length;
      this.#sequence.position = position;
      this.#sequence.draft = draft;
      this.#sequence.trim();
      throw error;
    } finally {
      this.#promptMs += performance.now() - start;
    }
  }
}
