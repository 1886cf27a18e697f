import { HyperBagelError } from '../errors.js';
import type { Image } from '../io/image.js';
import type { Bagel } from '../models/bagel/bagel.js';
import { latentGrid, latentWidth } from '../models/bagel/config.js';
import type { DrawOptions } from '../models/bagel/draw-options.js';
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

/** Refuses options that the model cannot draw with. @throws HyperBagelError BAD_OPTION */
export async function checkOptions(bagel: Bagel, options: readonly DrawOptions[]): Promise<void> {
  const items = options.map((each) => ({ ...each, prompt: 'x' }));
  try {
    // options are checked before any work, and an aborted signal allows none
    for await (const _ of bagel.drawMany(items, { signal: AbortSignal.abort() })) return;
  } catch (error) {
    if (!HyperBagelError.isInstance(error) || error.code !== 'CANCELLED') throw error;
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

/** Answers the questions, greedily, in any order. The one place that says how a batch is run. */
export async function* giveAnswers(
  bagel: Bagel,
  requests: readonly { readonly question: string; readonly image: Image }[],
  signal: AbortSignal | undefined,
): AsyncGenerator<{ index: number; answer: string }> {
  for (const [index, { question, image }] of requests.entries()) {
    const { text } = await bagel.ask(question, { images: [image], temperature: 0, signal });
    yield { index, answer: text };
  }
}
