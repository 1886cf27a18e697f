import { HyperBagelError } from '../errors.js';
import type { Image } from './image-data.js';

/** (u8 / 255 - 0.5) / 0.5 in f32, rounded after every operation as torch does. */
const NORMALISED = Float32Array.from({ length: 256 }, (_, value) => {
  const unit = Math.fround(value / 255);
  return Math.fround(Math.fround(unit - 0.5) / 0.5);
});

/** The image as a model sees it: f32 [height, width, 3] (channels last) from -1 to 1. */
export function toTensorData(image: Image): Float32Array {
  const result = new Float32Array(image.data.length);
  for (let i = 0; i < result.length; i++) result[i] = NORMALISED[image.data[i] as number] as number;
  return result;
}

/**
 * Cuts an image into the patches of the vision encoder.
 *
 * @returns `patches`: f32 [rows * cols, patch * patch * 3] from -1 to 1; patches row-major, values of one in the order
 * (row in patch, column in patch, channel).
 * @throws HyperBagelError `BAD_SHAPE` when a side is not a multiple of `patch`.
 */
export function patchifyViT(image: Image, patch: number): { patches: Float32Array; rows: number; cols: number } {
  const { width, height, data } = image;
  if (!Number.isSafeInteger(patch) || patch < 1 || width % patch !== 0 || height % patch !== 0) {
    throw new HyperBagelError('BAD_SHAPE', `image: expected sides divisible by ${patch}, got ${width}x${height}`, {
      operand: 'image',
      expected: `sides divisible by ${patch}`,
      got: `${width}x${height}`,
    });
  }
  const rows = height / patch;
  const cols = width / patch;
  const patches = new Float32Array(data.length);
  const run = patch * 3; // values of one patch that lie side by side in the image
  let to = 0;
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      for (let y = 0; y < patch; y++) {
        const from = ((row * patch + y) * width + col * patch) * 3;
        for (let i = 0; i < run; i++) patches[to++] = NORMALISED[data[from + i] as number] as number;
      }
    }
  }
  return { patches, rows, cols };
}

/**
 * Where patches or latent tokens look in a position table of `side` x `side` entries: i32 [rows * cols], row-major,
 * row * side + column.
 *
 * @throws HyperBagelError `BAD_SHAPE` when the grid is larger than the table.
 */
export function gridPositions(rows: number, cols: number, side: number): Int32Array {
  if (rows > side || cols > side) {
    throw new HyperBagelError(
      'BAD_SHAPE',
      `image: ${rows}x${cols} tokens, the model has positions for ${side}x${side}`,
      {
        operand: 'image',
        expected: `at most ${side}x${side} tokens`,
        got: `${rows}x${cols}`,
      },
    );
  }
  return Int32Array.from({ length: rows * cols }, (_, i) => Math.floor(i / cols) * side + (i % cols));
}
