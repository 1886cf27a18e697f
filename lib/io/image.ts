import { Readable } from 'node:stream';
import { HyperBagelError } from '../errors.js';
import { throwIfAborted, untilAborted } from './abort.js';
import { ioError } from './file-error.js';
import { Image } from './image-data.js';
import { readWhole } from './regular-file.js';
import { loadSharp } from './sharp.js';

export { type EncodeOptions, Image, type ImageFormat } from './image-data.js';

/** A path, an encoded image in memory, a stream of one (Node or web), or an image that is decoded already. */
export type ImageSource = string | Uint8Array | ArrayBuffer | AsyncIterable<Uint8Array> | Image;

export interface DecodeOptions {
  /** Larger images are refused before they are decoded. Default 100 million. */
  maxPixels?: number;
  signal?: AbortSignal;
}

/** Raster formats only: SVG and the like would bring a document renderer to untrusted input. */
const FORMATS = new Set(['png', 'jpeg', 'webp', 'gif', 'tiff', 'heif']);

/** No image within reasonable pixel limits is encoded in more. */
const MAX_ENCODED_BYTES = 2 ** 29;

/**
 * Decodes PNG, JPEG, WebP, GIF, TIFF or AVIF to 8-bit sRGB. The EXIF orientation and an embedded colour profile are
 * applied; transparency is composited on white with the rounding of the public implementation; of an animation the
 * first frame is taken; 16-bit, gray, palette and CMYK images are converted.
 *
 * @throws HyperBagelError `BAD_IMAGE` when the content is not such an image, is truncated or corrupt, or is larger than
 * `maxPixels`; `IO` when a file or stream cannot be read; `BAD_OPTION`; `CANCELLED`.
 */
export async function decodeImage(source: ImageSource, options: DecodeOptions = {}): Promise<Image> {
  const { maxPixels = 100e6, signal } = options;
  if (!Number.isSafeInteger(maxPixels) || maxPixels < 1) {
    throw new HyperBagelError('BAD_OPTION', `maxPixels: expected a positive integer, got ${maxPixels}`, {
      operand: 'maxPixels',
      expected: 'a positive integer',
      got: String(maxPixels),
    });
  }
  throwIfAborted(signal);
  if (source instanceof Image) {
    checkPixels('image', source.width, source.height, maxPixels);
    return source;
  }
  const name = typeof source === 'string' ? source : 'image';
  return untilAborted(decodeBytes(await encodedBytes(source, signal), name, maxPixels, signal), signal);
}

async function decodeBytes(
  bytes: Uint8Array,
  name: string,
  maxPixels: number,
  signal: AbortSignal | undefined,
): Promise<Image> {
  if (bytes.byteLength === 0) throw badImage(name, 'empty');
  const sharp = await loadSharp();
  let decoded: { data: Buffer; info: { width: number; height: number; channels: number } };
  try {
    const { format, width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
    if (!FORMATS.has(format)) throw badImage(name, `format ${format} is not supported`);
    checkPixels(name, width, height, maxPixels);
    throwIfAborted(signal);
    // 'error' makes truncated files fail, and lets benign oddities of cameras and editors pass.
    decoded = await sharp(bytes, { failOn: 'error', limitInputPixels: maxPixels, autoOrient: true })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
  } catch (cause) {
    if (HyperBagelError.isInstance(cause)) throw cause;
    throw badImage(name, cause instanceof Error ? cause.message : String(cause), cause);
  }
  const { width, height, channels } = decoded.info;
  return Image.fromRaw(toRgb(decoded.data, channels), width, height);
}

/** Gray to RGB, and transparency over white; rounds as Pillow's paste with a mask. */
function toRgb(pixels: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return pixels;
  const count = pixels.length / channels;
  const rgb = new Uint8Array(count * 3);
  const hasAlpha = channels === 2 || channels === 4;
  const step = channels > 2 ? 1 : 0; // from one colour to the next
  for (let i = 0; i < count; i++) {
    const from = i * channels;
    const alpha = hasAlpha ? (pixels[from + channels - 1] as number) : 255;
    for (let c = 0; c < 3; c++) {
      const sum = (pixels[from + c * step] as number) * alpha + 255 * (255 - alpha) + 128;
      rgb[i * 3 + c] = ((sum >> 8) + sum) >> 8;
    }
  }
  return rgb;
}

async function encodedBytes(source: Exclude<ImageSource, Image>, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (typeof source === 'string') return untilAborted(readImageFile(source), signal);
  if (typeof source === 'object' && source !== null && Symbol.asyncIterator in source) return collect(source, signal);
  throw new HyperBagelError('BAD_OPTION', `image: expected a path, bytes, a stream or an Image, got ${typeof source}`, {
    operand: 'image',
    got: typeof source,
  });
}

function readImageFile(path: string): Promise<Uint8Array> {
  return readWhole(path, MAX_ENCODED_BYTES, () => tooManyBytes(path));
}

async function collect(source: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  const iterator = source[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await untilAborted(iterator.next(), signal);
      if (done) break;
      if (!(value instanceof Uint8Array)) throw badImage('image', `stream gave ${typeof value} instead of bytes`);
      total += value.byteLength;
      if (total > MAX_ENCODED_BYTES) throw tooManyBytes('image');
      chunks.push(value);
    }
    ended = true;
    return Buffer.concat(chunks, total);
  } catch (error) {
    throw HyperBagelError.isInstance(error) ? error : ioError('read', 'image stream', error);
  } finally {
    if (!ended) {
      // Not awaited: the iterator of a stream that gives nothing would only return after its next chunk.
      iterator.return?.()?.catch(() => {});
      if (source instanceof Readable) source.destroy();
    }
  }
}

function checkPixels(name: string, width: number, height: number, maxPixels: number): void {
  if (width * height > maxPixels) {
    throw new HyperBagelError('BAD_IMAGE', `${name}: ${width}x${height} is more than ${maxPixels} pixels`, {
      operand: name,
      expected: `at most ${maxPixels} pixels`,
      got: `${width}x${height}`,
    });
  }
}

function tooManyBytes(name: string): HyperBagelError {
  return badImage(name, `more than ${MAX_ENCODED_BYTES} bytes`);
}

function badImage(name: string, problem: string, cause?: unknown): HyperBagelError {
  return new HyperBagelError('BAD_IMAGE', `${name}: ${problem}`, { operand: name, got: problem, cause });
}
