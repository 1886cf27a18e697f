import path from 'node:path';
import { AffineFit } from '../../denoise/least-squares.js';
import * as ops from '../../generated/ops.js';
import { Image } from '../../io/image.js';
import { badModel, fileExists, readJsonObject } from '../../io/model-file.js';
import type { Tensor } from '../../tensor/tensor.js';
import { type BagelConfig, latentWidth } from './config.js';
import type { BagelModel } from './model.js';

/** The linear map from a latent token to its colours, as a weight of `linear`: [3 p p, z p p] and [3 p p]. */
export interface RgbProjection {
  weight: Tensor<'f32'>;
  bias: Tensor<'f32'>;
}

/** Pictures that the map is fitted to, and the colours in them: the corners of the cube, and grays. */
const PICTURES = 24;
const CORNERS = Array.from({ length: 8 }, (_, i) => [i & 1, i & 2, i & 4].map((bit) => (bit ? 235 : 20)));
const COLOURS = [...CORNERS, [128, 128, 128], [200, 200, 200], [90, 90, 90]];

/** Latent tokens -> a small picture of them, one pixel per latent pixel: u8 [rows p, columns p, 3]. Queues or records work. */
export function previewPixels(
  model: BagelModel,
  { weight, bias }: RgbProjection,
  tokens: Tensor<'f32'>,
  grid: { rows: number; columns: number },
): Tensor<'u8'> {
  const { cx, config } = model;
  const colours = ops.linear(cx, { x: tokens, weight, bias, dtype: 'f32' });
  return ops.denormalizePixels(cx, {
    x: ops.unpatchify(cx, { x: colours, patch: config.latent.patch, height: grid.rows }),
  });
}

/** The linear map of one latent pixel: weight [3, z] row-major and bias [3], to colours in [-1, 1]. */
export interface RgbMap {
  weight: ArrayLike<number>;
  bias: ArrayLike<number>;
}

/** File of a model folder with the map of its autoencoder. */
export const RGB_FILE = 'latent_rgb.json';

/**
 * The map that a model folder brings along, if it does: `{ "weight": 3 lists of z numbers, "bias": 3 numbers }`.
 *
 * @throws HyperBagelError BAD_MODEL, IO
 */
export async function readRgbMap(folder: string, { vae }: BagelConfig): Promise<RgbMap | undefined> {
  const file = path.join(folder, RGB_FILE);
  if (!(await fileExists(file))) return undefined;
  const { weight, bias } = await readJsonObject(file);
  const numbers = (value: unknown, count: number): value is number[] =>
    Array.isArray(value) && value.length === count && value.every((n) => typeof n === 'number' && Math.abs(n) < 1e6);
  if (!Array.isArray(weight) || weight.length !== 3 || !weight.every((row) => numbers(row, vae.latentChannels))) {
    throw badModel(file, `"weight" must be 3 lists of ${vae.latentChannels} numbers`, { operand: 'weight' });
  }
  if (!numbers(bias, 3)) throw badModel(file, '"bias" must be a list of 3 numbers', { operand: 'bias' });
  return { weight: weight.flat() as number[], bias };
}

/** Flat pictures for the fit of a model that brings no map. */
export function plainPictures(model: BagelModel): Image[] {
  const side = Math.max(64, 4 * model.config.vae.downsample);
  return Array.from({ length: PICTURES }, (_, k) => disc(k, side));
}

/**
 * Fits the map to a model's autoencoder: least squares from the latent pixels of pictures to the mean colours under them. It takes
 * as long as encoding the pictures.
 */
export async function fitRgbMap(model: BagelModel, pictures: Iterable<Image>): Promise<RgbMap> {
  const { latentChannels: z, downsample } = model.config.vae;
  const fit = new AffineFit(z, 3);
  for (const image of pictures) {
    const encoded = model.cx.scope(() => model.encodeImage(image));
    const latent = await encoded.floats();
    const [height = 0, width = 0] = encoded.shape;
    encoded.dispose();
    for (let i = 0; i < height * width; i++) {
      const colour = meanColour(image, (i % width) * downsample, Math.floor(i / width) * downsample, downsample);
      fit.add(latent.subarray(i * z, (i + 1) * z), colour);
    }
  }
  return fit.solve();
}

/** Two flat colours, a disc on a ground: what a picture is made of at the scale of a latent pixel. */
function disc(picture: number, side: number): Image {
  const [inside, ground] = [COLOURS[picture % COLOURS.length], COLOURS[(picture * 5 + 3) % COLOURS.length]];
  const data = new Uint8Array(side * side * 3);
  for (let i = 0; i < side * side; i++) {
    const [x, y] = [(i % side) / side - 0.5, Math.floor(i / side) / side - 0.5];
    data.set((x * x + y * y < 0.09 ? inside : ground) as readonly number[], i * 3);
  }
  return Image.fromRaw(data, side, side);
}

/** In [-1, 1]. */
function meanColour(image: Image, left: number, top: number, size: number): number[] {
  const sum = [0, 0, 0];
  for (let y = top; y < top + size; y++) {
    for (let x = left; x < left + size; x++) {
      for (let c = 0; c < 3; c++) sum[c] = (sum[c] as number) + (image.data[(y * image.width + x) * 3 + c] as number);
    }
  }
  return sum.map((total) => total / (size * size) / 127.5 - 1);
}

/** The map of one latent pixel, for each of a token's pixels. */
export function tokenProjection(model: BagelModel, { weight, bias }: RgbMap): RgbProjection {
  const { cx, config } = model;
  const width = latentWidth(config);
  const { latentChannels: z } = config.vae;
  const pixels = config.latent.patch ** 2;
  const matrix = new Float32Array(pixels * 3 * width);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let c = 0; c < 3; c++) {
      for (let i = 0; i < z; i++) matrix[(pixel * 3 + c) * width + pixel * z + i] = weight[c * z + i] as number;
    }
  }
  const biases = Float32Array.from({ length: pixels * 3 }, (_, i) => bias[i % 3] as number);
  return { weight: cx.tensor('f32', [pixels * 3, width], matrix), bias: cx.tensor('f32', [pixels * 3], biases) };
}
