import { HyperBagelError } from '../errors.js';
import type { Image } from '../io/image.js';
import type { Bagel } from '../models/bagel/bagel.js';
import { latentGrid, latentWidth } from '../models/bagel/config.js';
import type { DrawOptions } from '../models/bagel/draw-options.js';
import type { Session } from '../models/bagel/session.js';
import { type Method, optionsOf } from './method.js';
import { IMAGE_SIDE } from './world/scene.js';

/** A picture to draw, or with a source to edit. */
export interface PictureRequest {
  readonly text: string;
  readonly source?: Image;
  readonly options: DrawOptions;
}

export interface Picture {
  /** RGB, row-major. */
  readonly pixels: Uint8Array;
  /** Final latents, [tokens, channels]. */
  readonly latents: Float32Array;
  readonly steps: number;
  readonly nfe: number;
  /** Its share of the batch's wall time in ms: in all, and of the denoising alone. */
  readonly ms: number;
  readonly denoiseMs: number;
}

/** Values in the latents of a picture of the world. */
export function latentCount({ config }: Bagel): number {
  const { rows, columns } = latentGrid(config, { width: IMAGE_SIDE, height: IMAGE_SIDE });
  return rows * columns * latentWidth(config);
}

/** Refuses a method that the model cannot work by. @throws HyperBagelError BAD_OPTION, BAD_MODEL */
export async function checkMethod(bagel: Bagel, method: Method): Promise<void> {
  try {
    // options are checked before any work, and an aborted signal allows none
    await bagel.draw('x', { ...optionsOf(method), signal: AbortSignal.abort() });
  } catch (error) {
    if (!HyperBagelError.isInstance(error)) throw error;
    if (error.code === 'CANCELLED') return;
    throw new HyperBagelError(error.code, `${method.name}: ${error.message}`, { ...error, cause: error });
  }
}

/** Makes the pictures together and yields them in any order. The one place that says how a batch is run. */
export async function* makePictures(
  bagel: Bagel,
  requests: readonly PictureRequest[],
  signal: AbortSignal | undefined,
): AsyncGenerator<{ index: number; picture: Picture }> {
  const count = requests.length;
  const items = requests.map(({ text, source, options }) => ({ ...options, prompt: text, image: source }));
  for await (const { index, image, latents, steps, nfe, timings } of bagel.drawMany(items, { batch: count, signal })) {
    const { contextMs, decodeMs } = timings;
    const denoiseMs = timings.denoiseMs / count;
    yield {
      index,
      picture: { pixels: image.data, latents, steps, nfe, ms: contextMs + denoiseMs + decodeMs, denoiseMs },
    };
  }
}

/** Answers the questions together, greedily, and yields them in any order. The one place that says how a batch is run. */
export async function* giveAnswers(
  bagel: Bagel,
  requests: readonly { readonly question: string; readonly image: Image }[],
  signal: AbortSignal | undefined,
): AsyncGenerator<{ index: number; answer: string }> {
  const sessions = requests.map(() => bagel.session());
  try {
    for (const [i, { question, image }] of requests.entries()) {
      const session = sessions[i] as Session;
      await session.addImage(image, { signal });
      await session.addText(question, { signal });
    }
    const items = sessions.map((session) => ({ session, temperature: 0 }));
    for await (const news of bagel.answerMany(items, { batch: Math.min(MOST_ANSWERS, items.length), signal })) {
      if ('error' in news) throw news.error;
      if ('answer' in news) yield { index: news.index, answer: news.answer.text };
    }
  } finally {
    for (const session of sessions) session.dispose();
  }
}

/** Answers at work at once at most: the limit of `answerMany`. */
const MOST_ANSWERS = 64;
