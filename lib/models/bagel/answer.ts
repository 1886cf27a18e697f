import type { Sequence } from '../../cache/pages.js';
import { HyperBagelError } from '../../errors.js';
import { throwIfAborted } from '../../io/abort.js';
import { StreamDecoder } from '../../io/tokenizer.js';
import { Activity } from '../../tensor/context.js';
import { DecodeStep, type Sampling } from './decode-step.js';
import type { BagelModel } from './model.js';
import { checkInteger, checkNumber, chooseSeed } from './options.js';

export interface AnswerOptions {
  /** Most generated tokens. Default 512; what is left of the context when that is less. */
  maxTokens?: number | undefined;
  /** 0 (default): greedy. */
  temperature?: number | undefined;
  topK?: number | undefined;
  topP?: number | undefined;
  minP?: number | undefined;
  /** Default: a random one, reported in the answer. */
  seed?: number | undefined;
  /** The answer ends before the first of these. */
  stop?: readonly string[] | undefined;
  /** Goes on past the end-of-text token. */
  ignoreStop?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** A piece of an answer: text that is whole, and the ids since the last piece. */
export interface AnswerPiece {
  text: string;
  tokens: number[];
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
  stats: { tokens: number; steps: number; tokensPerSecond: number };
}

/** An answer on its way: iterate it for pieces, or await `result`. Nothing runs before one of the two. */
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
    seed: chooseSeed(options.seed),
  };
}

/** Decode steps are recorded once and lent to one answer at a time. */
export class DecodeSteps {
  readonly #idle: DecodeStep[] = [];

  constructor(private readonly model: BagelModel) {}

  take(): DecodeStep {
    return this.#idle.pop() ?? new DecodeStep(this.model);
  }

  give(step: DecodeStep): void {
    this.#idle.push(step);
  }
}

/** What an answer leaves behind: fed tokens are in the cache, `pending` ones still have to be appended to close the segment. */
export interface Decoded {
  text: string;
  tokens: number[];
  pending: number[];
  finishReason: Answer['finishReason'];
  steps: number;
}

/** Holds back text that may be the beginning of a stop string. */
class StopStrings {
  #text = '';

  constructor(private readonly stops: readonly string[]) {}

  /** Text that is safe to show, and whether a stop string was met. */
  push(text: string): { text: string; stopped: boolean } {
    this.#text += text;
    const found = this.stops.map((s) => this.#text.indexOf(s)).filter((at) => at >= 0);
    if (found.length > 0) return { text: this.#text.slice(0, Math.min(...found)), stopped: true };
    let held = 0;
    for (const stop of this.stops) {
      for (let n = Math.min(stop.length - 1, this.#text.length); n > held; n--) {
        if (this.#text.endsWith(stop.slice(0, n))) held = n;
      }
    }
    const safe = this.#text.slice(0, this.#text.length - held);
    this.#text = this.#text.slice(this.#text.length - held);
    return { text: safe, stopped: false };
  }

  flush(): string {
    return this.#text;
  }
}

/**
 * Generates after a sequence's end. On success the sequence holds every token that was fed; on failure or when the consumer
 * leaves early it is as it was before.
 */
export async function* decode(
  model: BagelModel,
  steps: DecodeSteps,
  sequence: Sequence,
  sampling: Sampling,
  options: AnswerOptions,
): AsyncGenerator<AnswerPiece, Decoded, undefined> {
  const { special, tokenizer } = model;
  const room = model.config.llm.maxPositions - sequence.length - 2;
  const wanted = checkInteger('maxTokens', options.maxTokens ?? 512, 1, 2 ** 31 - 1);
  const limit = Math.max(1, Math.min(wanted, room));
  throwIfAborted(options.signal);
  model.reserve(sequence, limit + 2);
  const activity = new Activity();
  const abort = () => activity.cancel();
  options.signal?.addEventListener('abort', abort, { once: true });
  const step = steps.take();
  const stops = new StopStrings(options.stop?.filter((s) => s.length > 0) ?? []);
  const decoder = tokenizer && new StreamDecoder(tokenizer);
  const tokens: number[] = [];
  let text = '';
  let fed = 0;
  let finishReason: Decoded['finishReason'] | undefined;
  try {
    step.start([{ sequence, first: special.bos, limit, sampling }], options.ignoreStop ? [] : [special.eos]);
    for await (const [event] of step.run(activity)) {
      if (!event) continue;
      fed += 1;
      if (event.finished === 1) {
        finishReason = 'stop';
        break;
      }
      tokens.push(event.token);
      const piece = stops.push(decoder?.push([event.token]) ?? '');
      text += piece.text;
      yield { text: piece.text, tokens: [event.token] };
      if (piece.stopped) finishReason = 'stop_string';
      else if (event.finished === 2) finishReason = 'length';
      if (finishReason) break;
    }
    if (finishReason !== 'stop_string') {
      const piece = stops.push(decoder?.flush() ?? '');
      const rest = piece.text + (piece.stopped ? '' : stops.flush());
      text += rest;
      if (rest) yield { text: rest, tokens: [] };
    }
    throwIfAborted(options.signal);
    sequence.length += fed;
    sequence.position += fed;
    const last = finishReason === 'stop' ? [] : tokens.slice(-1);
    return { text, tokens, pending: [...last, special.eos], finishReason: finishReason ?? 'length', steps: fed };
  } finally {
    options.signal?.removeEventListener('abort', abort);
    steps.give(step);
    sequence.trim();
  }
}
