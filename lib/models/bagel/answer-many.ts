import { HyperBagelError } from '../../errors.js';
import { throwIfAborted } from '../../io/abort.js';
import { Activity } from '../../tensor/context.js';
import type { Answer, AnswerOptions, AnswerPiece } from './answer.js';
import { type Decoders, Generation } from './generate.js';
import type { BagelModel } from './model.js';
import { checkInteger } from './options.js';
import type { OpenAnswer, Session } from './session.js';

/** One answer of several that are made at once: in a session of its own. */
export interface AnswerManyItem extends AnswerOptions {
  session: Session;
}

export interface AnswerManyOptions {
  /** Most answers at work at once, 1 to 64. The next one begins when one ends. Default 8. */
  batch?: number | undefined;
  /** Cancels all of them. One alone has its own `signal`. */
  signal?: AbortSignal | undefined;
}

/** News of one of the answers: a piece of it, all of it, or why there will be none. */
export type AnswerManyResult = { index: number } & (
  | { piece: AnswerPiece }
  | { answer: Answer }
  | { error: HyperBagelError }
);

/** An answer of the batch. */
interface Entry {
  index: number;
  item: AnswerManyItem;
  open: OpenAnswer;
  generation: Generation;
  seatedAt: number;
  error?: HyperBagelError;
}

/**
 * Answers side by side in one ragged batch. Each has the bits that it has alone.
 *
 * @throws HyperBagelError the failure of the whole batch; CANCELLED. Failures of one answer are results.
 */
export async function* answerMany(
  model: BagelModel,
  decoders: Decoders,
  items: readonly AnswerManyItem[],
  options: AnswerManyOptions,
): AsyncGenerator<AnswerManyResult, void, undefined> {
  const size = Math.min(checkInteger('batch', options.batch ?? 8, 1, 64), Math.max(1, items.length));
  throwIfAborted(options.signal);
  const activity = new Activity('answers');
  const abort = () => activity.cancel();
  options.signal?.addEventListener('abort', abort, { once: true });
  const decoder = decoders.take(size);
  const waiting: Entry[] = [];
  const seated = new Map<Generation, Entry>();
  const results: AnswerManyResult[] = [];
  const listeners: (() => void)[] = [];
  const closed = new Set<Entry>();
  const close = (entry: Entry, result?: Answer) => {
    closed.add(entry);
    seated.delete(entry.generation);
    entry.open.leave();
    const { index, error } = entry;
    if (error) results.push({ index, error });
    else if (result) results.push({ index, answer: result });
  };
  const next = (): Generation | undefined => {
    for (let entry = waiting[0]; entry; entry = waiting[0]) {
      try {
        if (!entry.error) entry.generation.reserve();
      } catch (error) {
        if (!HyperBagelError.isInstance(error)) throw error;
        if (error.code === 'CONTEXT_FULL' && seated.size > 0) return undefined; // when one of them ends
        entry.error = error;
      }
      waiting.shift();
      if (entry.error) {
        close(entry);
        continue;
      }
      entry.seatedAt = performance.now();
      seated.set(entry.generation, entry);
      return entry.generation;
    }
    return undefined;
  };
  const entries: Entry[] = [];
  const times = { draftMs: 0, verifyMs: 0 };
  try {
    for (const [index, item] of items.entries()) {
      try {
        const open = await item.session.open(item);
        const entry: Entry = { index, item, open, generation: new Generation(model, open.init), seatedAt: 0 };
        entries.push(entry);
        waiting.push(entry);
        const stop = () => {
          if (closed.has(entry)) return;
          entry.error = new HyperBagelError('CANCELLED', 'the answer was cancelled');
          decoder.end(entry.generation);
        };
        if (item.signal?.aborted) stop();
        item.signal?.addEventListener('abort', stop, { once: true });
        listeners.push(() => item.signal?.removeEventListener('abort', stop));
      } catch (error) {
        if (!HyperBagelError.isInstance(error)) throw error;
        yield { index, error };
      }
    }
    const rounds = decoder.run(next, {
      activity,
      times,
      traced: items.some((item) => item.onRound !== undefined),
      penalized: entries.some(({ generation }) => generation.sampling.repetitionPenalty !== 1),
    });
    for await (const round of rounds) {
      for (const part of round) {
        const entry = seated.get(part.item);
        if (!entry) continue;
        const { generation, index } = entry;
        const piece = entry.error ? undefined : generation.take(part);
        if (piece) results.push({ index, piece });
        if (part.event.finished === 0) {
          if (generation.finishReason) decoder.end(generation); // by a stop string
          continue;
        }
        if (entry.error) close(entry);
        else
          close(entry, entry.open.finish(generation.finish(performance.now() - entry.seatedAt, times), entry.seatedAt));
      }
      yield* results.splice(0);
    }
    yield* results.splice(0);
    throwIfAborted(options.signal);
  } finally {
    options.signal?.removeEventListener('abort', abort);
    for (const remove of listeners) remove();
    decoders.give(decoder);
    for (const entry of entries) if (!closed.has(entry)) entry.open.leave();
  }
}
