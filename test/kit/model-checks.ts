// The bundled model from end to end on a device: the public implementation's tokens, speculation that changes nothing, pictures
// beside another device's. The tests run them on the emulator, scripts/gpu-check on a card.
import { questionItems, renderScene, type SHORT_QUESTION_TYPES } from '../../lib/eval/world/index.js';
import { Image } from '../../lib/io/image.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import type { DrawOptions } from '../../lib/models/bagel/draw-options.js';
import { bytes, json, pixelDifference, tensors } from '../model/golden.js';

/** The bundled model on a device. */
export function openModel(device: 'simt' | 'cuda' | 'cpu', dtype: 'f32' | 'bf16'): Promise<Bagel> {
  return Bagel.load(undefined, { device, dtype, cacheTokens: 2048, ...(device === 'cpu' ? { threads: 1 } : {}) });
}

/** Tokens of a golden answer: those of the model, and those of the public implementation. */
export async function goldenAnswer(bagel: Bagel, maxTokens = 40): Promise<{ got: number[]; want: number[] }> {
  const golden = json<{ image: string; question: string; next_ids: number[] }>('trained/vqa_0');
  const file = await tensors(`trained/image_${golden.image}`);
  const [height = 0, width = 0] = file.get('image')?.shape ?? [];
  const images = [Image.fromRaw(bytes(file, 'image'), width, height)];
  const { tokens } = await bagel.ask(golden.question, { images, speculate: 'off', maxTokens });
  return { got: tokens, want: golden.next_ids.slice(0, maxTokens) };
}

/** Sampled tokens of one short answer, without drafts and with them. */
export async function answersOf(
  bagel: Bagel,
  type: (typeof SHORT_QUESTION_TYPES)[number],
  maxTokens = 12,
): Promise<{ plain: number[]; drafted: number[] }> {
  const [item] = questionItems(type, 1);
  if (!item) throw new Error(`no question of type ${type}`);
  const answer = async (speculate: 'off' | 'ngram') => {
    using session = bagel.session();
    await session.addImage(Image.fromRaw(renderScene(item.scene), 64, 64));
    await session.addText(item.question);
    const options = { temperature: 0.7, seed: 3, maxTokens, ignoreStop: true } as const;
    return (await session.answer({ ...options, speculate, treeNodes: 12 }).result).tokens;
  };
  return { plain: await answer('off'), drafted: await answer('ngram') };
}

/** Difference of the same drawing by two models, in steps of 8-bit pixels. */
export async function drawingDifference(
  a: Bagel,
  b: Bagel,
  options: DrawOptions,
): Promise<{ mean: number; max: number }> {
  const draw = async (bagel: Bagel) =>
    (await bagel.draw('a large red circle on a white background', { seed: 5, ...options })).image.data;
  return pixelDifference(await draw(a), await draw(b));
}

/** What drawings on two devices may differ by: in f32, and in bf16, where runs of the public code lie as far apart. */
export const PIXELS = { f32: { mean: 0.5, max: 3 }, bf16: { mean: 4, max: 255 } } as const;
