import type { Sequence } from '../../cache/pages.js';
import { HyperBagelError } from '../../errors.js';
import { throwIfAborted } from '../../io/abort.js';
import { StreamDecoder } from '../../io/tokenizer.js';
import {
  BatchDecoder,
  type DecodeItem,
  type DecodeTimes,
  type ItemRound,
  type Speculation,
} from '../../speculative/decode.js';
import { nameOf } from '../../speculative/drafter.js';
import type { Sampling } from '../../speculative/state.js';
import { MAX_DRAFTED } from '../../speculative/tree.js';
import { Activity } from '../../tensor/context.js';
import type { Answer, AnswerOptions, AnswerPiece, RoundReport, SpeculationStats } from './answer.js';
import type { BagelModel } from './model.js';
import { checkInteger } from './options.js';
import { StopStrings } from './stop-strings.js';

/** Batch decoders record their programs once; they are lent to one call at a time. */
export class Decoders {
  readonly #idle: BatchDecoder[] = [];

  constructor(private readonly model: BagelModel) {}

  take(size = 1): BatchDecoder {
    const at = this.#idle.findIndex((decoder) => decoder.size === size);
    return this.#idle.splice(at, at < 0 ? 0 : 1)[0] ?? new BatchDecoder(this.model, size);
  }

  give(decoder: BatchDecoder): void {
    this.#idle.push(decoder);
  }
}

/** What an answer leaves behind: fed tokens are in the cache, `pending` ones still have to be appended to close the segment. */
export interface Decoded {
  text: string;
  tokens: number[];
  pending: number[];
  finishReason: Answer['finishReason'];
  steps: number;
  speculation: SpeculationStats;
}

/** What an answer is made of, and with. */
export interface GenerationInit {
  sequence: Sequence;
  sampling: Sampling;
  options: AnswerOptions;
  speculation?: Speculation | undefined;
}

/** One answer on its way: turns rounds into text and counts what drafts were worth. */
export class Generation implements DecodeItem {
  readonly sequence: Sequence;
  readonly first: number;
  readonly limit: number;
  readonly stop: readonly number[];
  readonly sampling: Sampling;
  readonly speculation: Speculation | undefined;
  readonly #model: BagelModel;
  readonly #stops: StopStrings;
  readonly #decoder: StreamDecoder | undefined;
  readonly #onRound: ((round: RoundReport) => void) | undefined;
  readonly #tokens: number[] = [];
  #text = '';
  #fed = 0;
  #steps = 0;
  #rounds = 0;
  #nodes = 0;
  #accepted = 0;
  #note: string | undefined;
  #finishReason: Answer['finishReason'] | undefined;

  /** @throws HyperBagelError BAD_OPTION */
  constructor(model: BagelModel, { sequence, sampling, options, speculation }: GenerationInit) {
    const { special, tokenizer, config } = model;
    this.#model = model;
    this.sequence = sequence;
    this.first = special.bos;
    const room = config.llm.maxPositions - sequence.length - 2;
    this.limit = Math.max(1, Math.min(checkInteger('maxTokens', options.maxTokens ?? 512, 1, 2 ** 31 - 1), room));
    this.stop = options.ignoreStop ? [] : [special.eos];
    this.sampling = sampling;
    this.speculation = speculation && {
      ...speculation,
      failed: (error) => {
        this.#note = `the drafter failed: ${error instanceof Error ? error.message : String(error)}`;
      },
    };
    this.#stops = new StopStrings(options.stop?.filter((s) => s.length > 0) ?? []);
    this.#decoder = tokenizer && new StreamDecoder(tokenizer);
    this.#onRound = options.onRound;
  }

  /**
   * Makes room for the answer, and for a tree behind it where there is some.
   *
   * @throws HyperBagelError CONTEXT_FULL
   */
  reserve(): void {
    const { sequence, limit } = this;
    const room = this.#model.config.llm.maxPositions - sequence.length;
    try {
      this.#model.reserve(sequence, Math.min(limit + 2 + (this.speculation ? MAX_DRAFTED : 0), room));
    } catch (error) {
      if (!this.speculation || !HyperBagelError.isInstance(error) || error.code !== 'CONTEXT_FULL') throw error;
      this.#model.reserve(sequence, limit + 2); // trees are cut to what is left
    }
  }

  /** Why the answer has ended; undefined while it goes on. */
  get finishReason(): Answer['finishReason'] | undefined {
    return this.#finishReason;
  }

  /** Takes in a round; what it adds to the answer, undefined when that is nothing. */
  take({ event, drafted, trace }: ItemRound<Generation>): AnswerPiece | undefined {
    const given = event.tokens.length;
    if (given === 0) return undefined;
    this.#steps++;
    if (drafted) {
      this.#rounds++;
      this.#nodes += event.nodes;
      this.#accepted += given - 1;
    }
    if (trace) this.#onRound?.({ ...trace, index: event.index, accepted: acceptedNodes(trace, event.tokens) });
    const piece: AnswerPiece = { text: '', tokens: [], drafted: 0, draftedText: '' };
    event.tokens.forEach((token, i) => {
      if (this.#finishReason) return;
      this.#fed++;
      const last = i === given - 1;
      if (last && event.finished === 1) {
        this.#finishReason = 'stop';
        return;
      }
      piece.tokens.push(token);
      const { text, stopped } = this.#stops.push(this.#decoder?.push([token]) ?? '');
      piece.text += text;
      if (!last) {
        piece.drafted++;
        piece.draftedText = piece.text;
      }
      if (stopped) this.#finishReason = 'stop_string';
      else if (last && event.finished === 2) this.#finishReason = 'length';
    });
    if (this.#finishReason && this.#finishReason !== 'stop_string') {
      const { text, stopped } = this.#stops.push(this.#decoder?.flush() ?? '');
      piece.text += text + (stopped ? '' : this.#stops.flush());
    }
    this.#tokens.push(...piece.tokens);
    this.#text += piece.text;
    return piece.tokens.length > 0 || piece.text !== '' ? piece : undefined;
  }

  /**
   * The answer; its sequence then holds every token that was fed.
   *
   * @param times of the batch that it was a part of
   */
  finish(answerMs: number, { draftMs, verifyMs }: DecodeTimes): Decoded {
    this.sequence.length += this.#fed;
    this.sequence.position += this.#fed;
    const drafter = this.speculation?.drafter;
    if (drafter?.kind === 'device' && this.#note === undefined) drafter.settle(this.sequence);
    const tokens = this.#tokens;
    const finishReason = this.#finishReason ?? 'length';
    const last = finishReason === 'stop' ? [] : tokens.slice(-1);
    const plainMs = this.speculation?.plainMs;
    const steps = Math.max(1, this.#steps);
    return {
      text: this.#text,
      tokens,
      pending: [...last, this.#model.special.eos],
      finishReason,
      steps: this.#steps,
      speculation: {
        drafter: this.speculation ? nameOf(this.speculation) : 'off',
        rounds: this.#rounds,
        drafted: this.#nodes - this.#rounds,
        accepted: this.#accepted,
        meanAccepted: this.#accepted / steps,
        meanAcceptedWithBonus: this.#accepted / steps + 1,
        nodesPerRound: this.#rounds === 0 ? 0 : this.#nodes / this.#rounds,
        draftMs,
        verifyMs: Math.max(0, verifyMs),
        otherMs: Math.max(0, answerMs - draftMs - verifyMs),
        speedup: plainMs === undefined ? undefined : (this.#fed * plainMs) / answerMs,
        note: this.#note ?? this.speculation?.note?.(),
      },
    };
  }
}

/** Nodes of the path that gave these tokens. */
function acceptedNodes(trace: { tokens: number[]; parents: number[] }, tokens: readonly number[]): number[] {
  const path = [0];
  for (const token of tokens.slice(0, -1)) {
    const at = path.at(-1);
    const next = trace.tokens.findIndex((t, i) => i > 0 && trace.parents[i] === at && t === token);
    if (next < 0) break;
    path.push(next);
  }
  return path;
}

/**
 * Generates after a sequence's end. On success the sequence holds every token that was fed; on failure or when the consumer
 * leaves early it is as it was before.
 */
export async function* decode(
  model: BagelModel,
  decoders: Decoders,
  init: GenerationInit,
): AsyncGenerator<AnswerPiece, Decoded, undefined> {
  const { signal } = init.options;
  const generation = new Generation(model, init);
  throwIfAborted(signal);
  generation.reserve();
  const activity = new Activity('answer');
  const abort = () => activity.cancel();
  signal?.addEventListener('abort', abort, { once: true });
  const decoder = decoders.take();
  const start = performance.now();
  const times = { draftMs: 0, verifyMs: 0 };
  try {
    const items = [generation];
    const rounds = decoder.run(() => items.pop(), {
      activity,
      times,
      traced: init.options.onRound !== undefined,
      penalized: init.sampling.repetitionPenalty !== 1,
    });
    for await (const results of rounds) {
      for (const round of results) {
        throwIfAborted(signal); // by who has just read a piece: the others that came with it are not wanted
        const piece = generation.take(round);
        if (piece) yield piece;
      }
      if (generation.finishReason) break;
    }
    throwIfAborted(signal);
    return generation.finish(performance.now() - start, times);
  } finally {
    signal?.removeEventListener('abort', abort);
    decoders.give(decoder);
    generation.sequence.trim();
  }
}
