import { HyperBagelError } from '../errors.js';
import { Image } from './image-data.js';

/** Beyond this a line would be blown up to a band at a cost out of all proportion. */
const MAX_ASPECT_RATIO = 1000;

/** Limits of one of a model's image inputs, in pixels. */
export interface ResizeRule {
  /** Longest side. */
  maxSize: number;
  /** Shortest side; gives way to `maxSize`. */
  minSize: number;
  /** Both sides become multiples of it. */
  stride: number;
  /** Default 14 * 14 * 9 * 1024, the public implementation's. */
  maxPixels?: number;
  /** Images that share `maxPixels`. Default 1. */
  imgNum?: number;
}

/**
 * The size a model wants an image in, as the public `MaxLongEdgeMinShortEdgeResize`: within the limits, sides divisible
 * by the stride, the aspect ratio kept as far as that allows.
 *
 * @throws HyperBagelError `BAD_IMAGE` for a size that is not positive integers or an aspect ratio above 1000,
 * `BAD_OPTION` for a rule that is not positive integers.
 */
export function resizeRule(width: number, height: number, rule: ResizeRule): { width: number; height: number } {
  const { maxSize, minSize, stride, maxPixels = 14 * 14 * 9 * 1024, imgNum = 1 } = rule;
  checkCounts('BAD_IMAGE', { width, height });
  checkCounts('BAD_OPTION', { maxSize, minSize, stride, maxPixels, imgNum });
  if (Math.max(width, height) > MAX_ASPECT_RATIO * Math.min(width, height)) {
    throw new HyperBagelError('BAD_IMAGE', `image: aspect ratio above ${MAX_ASPECT_RATIO}, ${width}x${height}`, {
      operand: 'image',
      expected: `an aspect ratio up to ${MAX_ASPECT_RATIO}`,
      got: `${width}x${height}`,
    });
  }
  const divisible = (value: number) => Math.max(stride, roundHalfEven(value / stride) * stride);
  const scaled = (scale: number, w: number, h: number) =>
    [divisible(roundHalfEven(w * scale)), divisible(roundHalfEven(h * scale))] as const;

  let scale = Math.min(maxSize / Math.max(width, height), 1);
  scale = Math.max(scale, minSize / Math.min(width, height));
  let [w, h] = scaled(scale, width, height);
  const pixels = maxPixels / imgNum;
  // The ratio of areas, not its square root: so does the public implementation, and sizes must match it.
  if (w * h > pixels) [w, h] = scaled(pixels / (w * h), w, h);
  if (Math.max(w, h) > maxSize) [w, h] = scaled(maxSize / Math.max(w, h), w, h);
  return { width: w, height: h };
}

/** Rounds halves to the even neighbour, as Python's `round`. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Bicubic resampling (a = -0.5) with antialiasing, bit-equal to Pillow's on 8-bit RGB: separable, the horizontal pass
 * first, 8 bits between the passes, weights in 22-bit fixed point. An image that has the size already is returned as it
 * is.
 *
 * @throws HyperBagelError `BAD_IMAGE` when the size is not positive integers.
 */
export function resizeBicubic(image: Image, width: number, height: number): Image {
  checkCounts('BAD_IMAGE', { width, height });
  if (width === image.width && height === image.height) return image;
  let data = image.data;
  if (width !== image.width) data = resizeRows(data, image.width, image.height, width);
  if (height !== image.height) data = resizeColumns(data, width, image.height, height);
  return Image.fromRaw(data, width, height);
}

/** {@link resizeRule}, then {@link resizeBicubic}. Errors as they. */
export function resizeToRule(image: Image, rule: ResizeRule): Image {
  const { width, height } = resizeRule(image.width, image.height, rule);
  return resizeBicubic(image, width, height);
}

const PRECISION = 22;
const HALF = 1 << (PRECISION - 1);

interface Weights {
  /** Per output position the first input position it draws from. */
  first: Int32Array;
  /** Per output position the number of input positions. */
  count: Int32Array;
  /** [outputs, stride] fixed-point weights, the first `count` of each row used. */
  values: Int32Array;
  stride: number;
}

/** Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`, in the same order of operations. */
function weightsFor(inSize: number, outSize: number): Weights {
  const scale = inSize / outSize;
  const filterScale = Math.max(scale, 1);
  const support = 2 * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const inverse = 1 / filterScale;
  const first = new Int32Array(outSize);
  const count = new Int32Array(outSize);
  const values = new Int32Array(outSize * stride);
  const row = new Float64Array(stride);
  for (let out = 0; out < outSize; out++) {
    const centre = (out + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(centre - support + 0.5));
    const n = Math.min(inSize, Math.trunc(centre + support + 0.5)) - begin;
    let sum = 0;
    for (let j = 0; j < n; j++) {
      const weight = bicubic((j + begin - centre + 0.5) * inverse);
      row[j] = weight;
      sum += weight;
    }
    first[out] = begin;
    count[out] = n;
    for (let j = 0; j < n; j++) {
      const weight = sum === 0 ? (row[j] as number) : (row[j] as number) / sum;
      values[out * stride + j] = Math.trunc(weight * (1 << PRECISION) + (weight < 0 ? -0.5 : 0.5));
    }
  }
  return { first, count, values, stride };
}

function bicubic(position: number): number {
  const a = -0.5;
  const x = Math.abs(position);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

function clip8(sum: number): number {
  const value = sum >> PRECISION;
  return value < 0 ? 0 : Math.min(value, 255);
}

function resizeRows(data: Uint8Array, inWidth: number, height: number, outWidth: number): Uint8Array {
  const { first, count, values, stride } = weightsFor(inWidth, outWidth);
  const result = new Uint8Array(outWidth * height * 3);
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < outWidth; x++) {
      let r = HALF;
      let g = HALF;
      let b = HALF;
      let from = (y * inWidth + (first[x] as number)) * 3;
      const end = x * stride + (count[x] as number);
      for (let k = x * stride; k < end; k++) {
        const weight = values[k] as number;
        r += Math.imul(weight, data[from] as number);
        g += Math.imul(weight, data[from + 1] as number);
        b += Math.imul(weight, data[from + 2] as number);
        from += 3;
      }
      result[to] = clip8(r);
      result[to + 1] = clip8(g);
      result[to + 2] = clip8(b);
      to += 3;
    }
  }
  return result;
}

function resizeColumns(data: Uint8Array, width: number, inHeight: number, outHeight: number): Uint8Array {
  const { first, count, values, stride } = weightsFor(inHeight, outHeight);
  const rowBytes = width * 3;
  const result = new Uint8Array(rowBytes * outHeight);
  const sums = new Int32Array(rowBytes); // whole rows at a time, so that memory is walked in order
  for (let y = 0; y < outHeight; y++) {
    sums.fill(HALF);
    for (let j = 0; j < (count[y] as number); j++) {
      const weight = values[y * stride + j] as number;
      const from = ((first[y] as number) + j) * rowBytes;
      for (let i = 0; i < rowBytes; i++) {
        sums[i] = (sums[i] as number) + Math.imul(weight, data[from + i] as number);
      }
    }
    for (let i = 0; i < rowBytes; i++) result[y * rowBytes + i] = clip8(sums[i] as number);
  }
  return result;
}

function checkCounts(code: 'BAD_IMAGE' | 'BAD_OPTION', values: Record<string, number>): void {
  for (const [operand, value] of Object.entries(values)) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw new HyperBagelError(code, `${operand}: expected a positive integer, got ${value}`, {
      operand,
      expected: 'a positive integer',
      got: String(value),
    });
  }
}
