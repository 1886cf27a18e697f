import { extname } from 'node:path';
import { HyperBagelError } from '../errors.js';
import { writeFileAtomic } from './output.js';
import { addPngText } from './png-text.js';
import { loadSharp } from './sharp.js';

/** The formats an image can be written in, with the file name endings that choose them. */
const FORMATS = { png: ['.png'], jpeg: ['.jpg', '.jpeg'], webp: ['.webp'] } as const;

export type ImageFormat = keyof typeof FORMATS;

export interface EncodeOptions {
  /** Of JPEG and WebP, 1 to 100, default 90. PNG loses nothing. */
  quality?: number;
}

/** A picture in memory: 8-bit sRGB, no transparency. */
export class Image {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** Row-major [height, width, 3], R G B. Not copied on the way in or out. */
  readonly data: Uint8Array;
  /** By keyword: what a PNG of the image says about it. Pictures that were read have none. */
  readonly text: Readonly<Record<string, string>>;

  private constructor(data: Uint8Array, width: number, height: number, text: Readonly<Record<string, string>> = {}) {
    this.data = data;
    this.width = width;
    this.height = height;
    this.text = text;
  }

  /**
   * An image over existing pixels: u8 [height, width, 3]. The data is not copied.
   *
   * @throws HyperBagelError `BAD_IMAGE` when the size is not positive or the data does not have that many bytes.
   */
  static fromRaw(data: Uint8Array | Uint8ClampedArray, width: number, height: number): Image {
    const bad = (operand: string, expected: string, got: string) =>
      new HyperBagelError('BAD_IMAGE', `Image ${operand}: expected ${expected}, got ${got}`, {
        operand,
        expected,
        got,
      });
    for (const [operand, value] of Object.entries({ width, height })) {
      if (!Number.isSafeInteger(value) || value < 1) throw bad(operand, 'a positive integer', String(value));
    }
    if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
      throw bad('data', 'a Uint8Array', typeof data);
    }
    const bytes = width * height * 3;
    if (data.length !== bytes) throw bad('data', `${bytes} bytes for ${width}x${height} RGB`, `${data.length}`);
    // The plain type, so that a Buffer or clamped array does not bring its own arithmetic and methods along.
    return new Image(new Uint8Array(data.buffer, data.byteOffset, data.length), width, height);
  }

  /** The same pixels with these texts: keywords of 1 to 79 ASCII characters. */
  withText(text: Readonly<Record<string, string>>): Image {
    return new Image(this.data, this.width, this.height, text);
  }

  /**
   * The encoded image. A PNG holds {@link text}; the other formats do not.
   *
   * @throws HyperBagelError `BAD_OPTION` for an unknown format or quality, or a size the format cannot hold.
   */
  async toBuffer(format: ImageFormat = 'png', options: EncodeOptions = {}): Promise<Buffer> {
    const { quality = 90 } = options;
    if (!Object.hasOwn(FORMATS, format)) throw badOption('format', Object.keys(FORMATS).join(', '), String(format));
    if (!Number.isInteger(quality) || quality < 1 || quality > 100) {
      throw badOption('quality', 'an integer from 1 to 100', String(quality));
    }
    const { width, height } = this;
    const sharp = await loadSharp();
    const encoder = sharp(this.data, { raw: { width, height, channels: 3 }, limitInputPixels: false });
    // Edges between plain colours are where halved chroma shows: none for JPEG, the careful kind for WebP.
    const settings = {
      png: {},
      jpeg: { quality, chromaSubsampling: '4:4:4' },
      webp: { quality, smartSubsample: true },
    }[format];
    try {
      const encoded = await encoder.toFormat(format, settings).toBuffer();
      return format === 'png' && Object.keys(this.text).length > 0 ? addPngText(encoded, this.text) : encoded;
    } catch (cause) {
      if (HyperBagelError.isInstance(cause)) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new HyperBagelError('BAD_OPTION', `Cannot encode ${width}x${height} pixels as ${format}: ${reason}`, {
        operand: 'format',
        got: `${width}x${height}`,
        cause,
      });
    }
  }

  /**
   * Writes the image as PNG, JPEG or WebP, chosen by the ending of the name. Readers never see a partial file.
   *
   * @throws HyperBagelError `BAD_OPTION` for another ending, before any work, and as {@link toBuffer}; `IO` when the
   * file cannot be written.
   */
  async toFile(path: string, options: EncodeOptions = {}): Promise<void> {
    await writeFileAtomic(path, await this.toBuffer(imageFormatOf(path), options));
  }
}

/**
 * The format that the ending of a file name chooses.
 *
 * @throws HyperBagelError `BAD_OPTION` when it chooses none.
 */
export function imageFormatOf(path: string): ImageFormat {
  const ending = extname(path).toLowerCase();
  for (const [format, endings] of Object.entries(FORMATS)) {
    if ((endings as readonly string[]).includes(ending)) return format as ImageFormat;
  }
  throw badOption('path', `a file name ending in ${Object.values(FORMATS).flat().join(', ')}`, path);
}

function badOption(operand: string, expected: string, got: string): HyperBagelError {
  return new HyperBagelError('BAD_OPTION', `${operand}: expected ${expected}, got ${got}`, { operand, expected, got });
}
