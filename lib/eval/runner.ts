import type { Image } from '../io/image.js';
import type { Bagel } from '../models/bagel/bagel.js';
import type { DrawOptions } from '../models/bagel/draw-options.js';

/** A picture to draw, or with a source to edit. */
export interface PictureRequest {
  readonly text: string;
  readonly source?: Image;
  readonly options: DrawOptions;
}

export interface Picture {
  /** RGB, row-major. */
  readonly pixels: Uint8Array;
  /** Final latents; empty when the engine does not give them. */
  readonly latents: Float32Array;
  readonly steps: number;
  readonly nfe: number;
  /** Wall time in ms: in all, and of the denoising alone. */
  readonly ms: number;
  readonly denoiseMs: number;
}

/** Values in the latents that {@link makePictures} gives with a picture. */
export function latentCount(_bagel: Bagel): number {
  return 0;
}

/** Makes the pictures, in any order. The one place that says how a batch is run. */
export async function* makePictures(
  bagel: Bagel,
  requests: readonly PictureRequest[],
  signal: AbortSignal | undefined,
): AsyncGenerator<{ index: number; picture: Picture }> {
  for (const [index, { text, source, options }] of requests.entries()) {
    const all = { ...options, signal };
    const { image, steps, nfe, timings } = source ? await bagel.edit(source, text, all) : await bagel.draw(text, all);
    const { contextMs, denoiseMs, decodeMs } = timings;
    const ms = contextMs + denoiseMs + decodeMs;
    yield { index, picture: { pixels: image.data, latents: new Float32Array(0), steps, nfe, ms, denoiseMs } };
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
