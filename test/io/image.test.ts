import { createReadStream, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import { decodeImage, Image, type ImageFormat, type ImageSource } from '../../lib/io/image.js';
import { readTensors } from '../../lib/io/safetensors.js';
import { seeded } from '../kit/cases.js';
import { failure, failureCode } from '../kit/failure.js';
import { damage, temporaryFolder } from './kit.js';

const folder = temporaryFolder();
const WIDTH = 40;
const HEIGHT = 30;

/** Every pixel different, so that a shifted or turned image cannot pass. */
const pixels = new Uint8Array(WIDTH * HEIGHT * 3).map((_, i) => {
  const pixel = Math.floor(i / 3);
  return [pixel % WIDTH, Math.floor(pixel / WIDTH) * 8, (pixel * 7) & 255][i % 3] ?? 0;
});
const picture = Image.fromRaw(pixels, WIDTH, HEIGHT);
const raw = () => sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
/** What lossy formats are good at. */
const smooth = pixels.map((_, i) => Math.floor(i / 3 / WIDTH) * 4 + (i % 3) * 20);
const smoothPicture = Image.fromRaw(smooth, WIDTH, HEIGHT);
const png = await picture.toBuffer('png');

function worst(a: Uint8Array, b: Uint8Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((max, value, i) => Math.max(max, Math.abs(value - (b[i] ?? 0))), 0);
}

describe('sources', () => {
  it('reads the example images as the golden tensors', async () => {
    for (const [file, golden] of [
      ['scene', 'image_scene'],
      ['edit-source', 'image_edit_source'],
    ]) {
      const image = await decodeImage(`examples/${file}.png`);
      const tensor = (await readTensors(`test/golden/trained/${golden}.safetensors`, ['image'])).get('image');
      expect([image.height, image.width, 3]).toEqual(tensor?.shape);
      expect(image.data).toEqual(tensor?.data);
    }
  });

  it('takes a path, bytes of every kind, Node and web streams, and an image', async () => {
    const path = join(folder, 'source.png');
    writeFileSync(path, png);
    const plain = Uint8Array.from(png);
    const sources: ImageSource[] = [
      path,
      png,
      plain,
      plain.buffer,
      createReadStream(path, { highWaterMark: 100 }),
      Readable.from([png.subarray(0, 50), png.subarray(50)]),
      new Blob([plain]).stream(),
      picture,
    ];
    for (const source of sources) {
      const image = await decodeImage(source);
      expect([image.width, image.height]).toEqual([WIDTH, HEIGHT]);
      expect(image.data).toEqual(pixels);
    }
  });

  it('IO for a missing file, a folder and a failing stream', async () => {
    const missing = join(folder, 'missing.png');
    const error = await failure(() => decodeImage(missing));
    expect([error.code, error.operand]).toEqual(['IO', missing]);
    expect(await failureCode(() => decodeImage(folder))).toBe('IO');
    expect(await failureCode(() => decodeImage('/dev/zero'))).toBe('IO');
    expect(await failureCode(() => decodeImage(createReadStream(missing)))).toBe('IO');
  });

  it('BAD_OPTION for what is no source', async () => {
    for (const source of [undefined, null, 5, {}]) {
      expect(await failureCode(() => decodeImage(source as unknown as ImageSource))).toBe('BAD_OPTION');
    }
    for (const maxPixels of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await failureCode(() => decodeImage(png, { maxPixels }))).toBe('BAD_OPTION');
    }
  });
});

describe('conversion to 8-bit RGB', () => {
  const decode = async (image: Sharp) => decodeImage(await image.toBuffer());

  it('lossless formats keep every pixel', async () => {
    for (const image of [raw().png(), raw().webp({ lossless: true }), raw().tiff({ compression: 'lzw' })]) {
      expect((await decode(image)).data).toEqual(pixels);
    }
  });

  it('lossy formats come close', async () => {
    const source = () => sharp(smooth, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
    for (const image of [
      source().jpeg({ quality: 95 }),
      source().webp({ quality: 95 }),
      source().avif({ quality: 90 }),
    ]) {
      expect(worst((await decode(image)).data, smooth)).toBeLessThan(16);
    }
  });

  it('applies the EXIF orientation', async () => {
    const turned = await decode(raw().png().withMetadata({ orientation: 6 })); // to be shown turned clockwise
    expect([turned.width, turned.height]).toEqual([HEIGHT, WIDTH]);
    const expected = await raw().rotate(90).raw().toBuffer();
    expect(turned.data).toEqual(new Uint8Array(expected));
  });

  it('composites transparency on white, rounding as Pillow', async () => {
    // Every alpha against several colours.
    const rgba = new Uint8Array(256 * 4 * 4).map((_, i) => [(i * 13) & 255, 0, 255, (i >> 2) & 255][i & 3] ?? 0);
    const image = await decode(sharp(rgba, { raw: { width: 256, height: 4, channels: 4 } }).png());
    const expected = new Uint8Array(256 * 4 * 3).map((_, i) => {
      const pixel = Math.floor(i / 3) * 4;
      const alpha = rgba[pixel + 3] ?? 0;
      // To the nearest, which is what Pillow's shifts amount to.
      return Math.round(((rgba[pixel + (i % 3)] ?? 0) * alpha + 255 * (255 - alpha)) / 255);
    });
    expect(image.data).toEqual(expected);
  });

  it('composites gray with alpha, and a transparent palette', async () => {
    const two = sharp(Buffer.from([100, 0, 100, 255, 100, 51]), { raw: { width: 3, height: 1, channels: 2 } });
    const gray = await decode(two.toColourspace('b-w').png());
    expect([...gray.data]).toEqual([255, 255, 255, 100, 100, 100, 224, 224, 224]);
    const clear = sharp(Buffer.from([9, 9, 9, 0, 200, 0, 0, 255]), { raw: { width: 2, height: 1, channels: 4 } });
    const palette = await clear.png({ palette: true }).toBuffer();
    expect((await sharp(palette).metadata()).isPalette).toBe(true);
    expect([...(await decodeImage(palette)).data]).toEqual([255, 255, 255, 200, 0, 0]);
    expect([...(await decode(clear.gif())).data]).toEqual([255, 255, 255, 200, 0, 0]);
  });

  it('expands gray, 16 bits and CMYK', async () => {
    const gray = await decode(sharp(Buffer.from([0, 7, 255]), { raw: { width: 3, height: 1, channels: 1 } }).png());
    expect([...gray.data]).toEqual([0, 0, 0, 7, 7, 7, 255, 255, 255]);

    const wide = Uint16Array.from([0, 0x12ff, 0xffff, 0x8000, 0x7fff, 0x00ff]);
    const rgb16 = sharp(wide, { raw: { width: 2, height: 1, channels: 3 } })
      .toColourspace('rgb16')
      .png();
    expect((await sharp(await rgb16.toBuffer()).metadata()).depth).toBe('ushort');
    expect([...(await decode(rgb16)).data]).toEqual([0, 0x12, 0xff, 0x80, 0x7f, 0]);
    const gray16 = sharp(wide.slice(0, 3), { raw: { width: 3, height: 1, channels: 1 } })
      .toColourspace('grey16')
      .png();
    expect((await sharp(await gray16.toBuffer()).metadata()).depth).toBe('ushort');
    expect([...(await decode(gray16)).data]).toEqual([0, 0, 0, 0x12, 0x12, 0x12, 0xff, 0xff, 0xff]);

    const cmyk = await raw().toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer();
    expect((await sharp(cmyk).metadata()).space).toBe('cmyk');
    const back = await decodeImage(cmyk);
    expect(back.data.length).toBe(pixels.length);
    const white = sharp({ create: { width: 8, height: 8, channels: 3, background: '#fff' } });
    expect(worst((await decode(white.toColourspace('cmyk').jpeg())).data, new Uint8Array(192).fill(255))).toBeLessThan(
      8,
    );
  });

  it('16 bits with alpha', async () => {
    const wide = Uint16Array.from([0x1200, 0x3400, 0x5600, 0xffff, 0, 0, 0, 0]);
    const image = sharp(wide, { raw: { width: 2, height: 1, channels: 4 } })
      .toColourspace('rgb16')
      .png();
    expect((await sharp(await image.toBuffer()).metadata()).depth).toBe('ushort');
    expect([...(await decode(image)).data]).toEqual([0x12, 0x34, 0x56, 255, 255, 255]);
  });

  it('converts an embedded profile, and leaves sRGB alone', async () => {
    expect((await decode(raw().withIccProfile('srgb').png())).data).toEqual(pixels);
    const p3 = await decode(raw().withIccProfile('p3').png());
    expect(worst(p3.data, pixels)).toBeLessThan(24);
  });

  it('lets pass what other readers let pass: stray bytes between segments and after the end', async () => {
    const jpeg = await smoothPicture.toBuffer('jpeg');
    const afterHeader = 2 + 2 + jpeg.readUInt16BE(4); // past the start marker and the JFIF segment
    const stray = Buffer.from([1, 2, 3]);
    const odd = Buffer.concat([jpeg.subarray(0, afterHeader), stray, jpeg.subarray(afterHeader), stray]);
    expect((await decodeImage(odd)).data).toEqual((await decodeImage(jpeg)).data);
  });

  it('takes the first frame of an animation', async () => {
    const frames = Buffer.concat([Buffer.alloc(12, 255), Buffer.alloc(12, 0)]);
    const animation = sharp(frames, { raw: { width: 2, height: 4, channels: 3, pageHeight: 2 } });
    const gif = await animation.gif().toBuffer();
    expect((await sharp(gif).metadata()).pages).toBe(2);
    const image = await decodeImage(gif);
    expect([image.width, image.height, ...image.data]).toEqual([2, 2, ...Buffer.alloc(12, 255)]);
  });
});

describe('what is refused', () => {
  it('BAD_IMAGE for what is not a raster image', async () => {
    const svg = Buffer.from(
      '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4"/></svg>',
    );
    for (const bytes of [Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(1000), svg, Buffer.from('GIF89a')]) {
      expect(await failureCode(() => decodeImage(bytes))).toBe('BAD_IMAGE');
    }
    const path = join(folder, 'text.png');
    writeFileSync(path, 'not a png');
    expect((await failure(() => decodeImage(path))).message).toContain(path);
  });

  it('BAD_IMAGE for an image of zero width', async () => {
    const zero = Buffer.from(png);
    zero.writeUInt32BE(0, 16);
    expect(await failureCode(() => decodeImage(zero))).toBe('BAD_IMAGE');
  });

  it('BAD_IMAGE for too many pixels, from the header alone', async () => {
    expect(await failureCode(() => decodeImage(png, { maxPixels: WIDTH * HEIGHT - 1 }))).toBe('BAD_IMAGE');
    expect((await decodeImage(png, { maxPixels: WIDTH * HEIGHT })).width).toBe(WIDTH);
    expect(await failureCode(() => decodeImage(picture, { maxPixels: 10 }))).toBe('BAD_IMAGE');
    // one that says that it is larger
    const bomb = Buffer.from(png);
    bomb.writeUInt32BE(16_000, 16);
    bomb.writeUInt32BE(16_000, 20);
    bomb.writeUInt32BE(crc32(bomb.subarray(12, 29)), 29);
    const error = await failure(() => decodeImage(bomb));
    expect([error.code, error.got]).toEqual(['BAD_IMAGE', '16000x16000']);
  });

  it.each(['png', 'jpeg', 'webp'] as const)('BAD_IMAGE for a %s cut anywhere', async (format) => {
    const whole = await picture.toBuffer(format);
    // A PNG's last 12 bytes are the end chunk, which adds no pixels.
    const last = format === 'png' ? whole.length - 13 : whole.length - 3;
    for (let length = 1; length <= last; length += 7) {
      expect(await failureCode(() => decodeImage(whole.subarray(0, length))), `${length}`).toBe('BAD_IMAGE');
    }
    expect(await failureCode(() => decodeImage(whole.subarray(0, last)))).toBe('BAD_IMAGE');
  });

  it('never anything but our error for 600 damaged images', async () => {
    const random = seeded(6);
    const formats: ImageFormat[] = ['png', 'jpeg', 'webp'];
    const encoded = await Promise.all(formats.map((format) => picture.toBuffer(format)));
    encoded.push(await raw().gif().toBuffer(), await raw().tiff().toBuffer());
    for (let round = 0; round < 600; round++) {
      const bytes = damage(encoded[round % encoded.length] as Buffer, random);
      try {
        await decodeImage(bytes);
      } catch (error) {
        if (!(error instanceof HyperBagelError)) throw new Error(`round ${round}`, { cause: error });
        expect(error.code).toBe('BAD_IMAGE');
      }
    }
  });
});

describe('cancelling', () => {
  it('rejects before any work, with the reason', async () => {
    const reason = new Error('client left');
    const error = await failure(() => decodeImage(join(folder, 'missing'), { signal: AbortSignal.abort(reason) }));
    expect([error.code, error.cause]).toEqual(['CANCELLED', reason]);
  });

  it('rejects while a stream is silent, and closes the stream', async () => {
    const controller = new AbortController();
    const silent = new PassThrough();
    silent.write(png.subarray(0, 10));
    const pending = failure(() => decodeImage(silent, { signal: controller.signal }));
    setTimeout(() => controller.abort(), 20);
    expect((await pending).code).toBe('CANCELLED');
    expect(silent.destroyed).toBe(true);
  });

  it('a signal that is not used changes nothing', async () => {
    const { signal } = new AbortController();
    expect((await decodeImage(png, { signal })).data).toEqual(pixels);
  });
});

describe('writing', () => {
  it.each([
    ['a.png', 'png', 0],
    ['b.jpg', 'jpeg', 8],
    ['c.JPEG', 'jpeg', 8],
    ['d.webp', 'webp', 8],
  ])('%s', async (name, format, tolerance) => {
    const path = join(folder, name);
    await smoothPicture.toFile(path);
    expect((await sharp(readFileSync(path)).metadata()).format).toBe(format);
    expect(worst((await decodeImage(path)).data, smooth)).toBeLessThanOrEqual(tolerance);
  });

  it('quality decides the size', async () => {
    const small = await picture.toBuffer('jpeg', { quality: 10 });
    expect(small.length).toBeLessThan((await picture.toBuffer('jpeg', { quality: 95 })).length);
  });

  it('BAD_OPTION for unknown endings, formats and qualities; IO where nothing can be written', async () => {
    const inner = join(folder, 'inner');
    mkdirSync(inner);
    for (const name of ['x', 'x.bmp', 'x.png.txt', '.png']) {
      expect(await failureCode(() => picture.toFile(join(inner, name))), name).toBe('BAD_OPTION');
    }
    for (const quality of [0, 101, 1.5, Number.NaN]) {
      expect(await failureCode(() => picture.toBuffer('jpeg', { quality }))).toBe('BAD_OPTION');
    }
    for (const format of ['gif', 'toString']) {
      expect(await failureCode(() => picture.toBuffer(format as ImageFormat))).toBe('BAD_OPTION');
    }
    expect(await failureCode(() => picture.toFile(join(inner, 'missing', 'x.png')))).toBe('IO');
    const wide = Image.fromRaw(new Uint8Array(17_000 * 3), 17_000, 1);
    expect(await failureCode(() => wide.toBuffer('webp'))).toBe('BAD_OPTION');
    expect(readdirSync(inner)).toEqual([]);
  });

  it('fromRaw checks its arguments and does not copy', async () => {
    const data = Buffer.alloc(12);
    const image = Image.fromRaw(data, 2, 2);
    data[3] = 9;
    expect(image.data[3]).toBe(9);
    expect(image.data.constructor).toBe(Uint8Array);
    expect(Image.fromRaw(new Uint8ClampedArray(3), 1, 1).data).toBeInstanceOf(Uint8Array);
    for (const [bytes, width, height] of [
      [data, 2, 3],
      [data, 0, 2],
      [data, -2, -2],
      [data, 0.5, 8],
      [data, Number.NaN, 2],
      [[0, 0, 0], 1, 1],
      [new Float32Array(3), 1, 1],
      [undefined, 1, 1],
    ] as [Uint8Array, number, number][]) {
      expect(await failureCode(() => Image.fromRaw(bytes, width, height))).toBe('BAD_IMAGE');
    }
  });
});
