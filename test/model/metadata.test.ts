// What a picture says about how it came about.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { shiftedGrid } from '../../lib/denoise/grid.js';
import { decodeImage, Image } from '../../lib/io/image.js';
import { modelHash } from '../../lib/io/model-hash.js';
import { addPngText } from '../../lib/io/png-text.js';
import { Bagel, bundledModel } from '../../lib/models/bagel/bagel.js';
import type { DrawingMetadata } from '../../lib/models/bagel/draw-metadata.js';
import { version } from '../../lib/version.js';
import { temporaryFolder } from '../io/kit.js';
import { failure } from '../kit/failure.js';

const folder = temporaryFolder();
let bagel: Bagel;
beforeAll(async () => {
  bagel = await Bagel.load();
});
afterAll(() => bagel.dispose());

/** Text chunks as sharp reads them. */
async function comments(png: string | Uint8Array): Promise<Record<string, string>> {
  const { comments: list = [] } = await sharp(png).metadata();
  return Object.fromEntries(list.map(({ keyword, text }) => [keyword, text]));
}

test('a PNG of a drawing says all that makes it again', async () => {
  const drawing = await bagel.draw('a red circle', { steps: 6, seed: 12, solver: 'tcd', gamma: 0.5, guidance: 3 });
  const file = path.join(folder, 'drawing.png');
  await drawing.image.toFile(file);
  const text = await comments(file);
  expect(text.Software).toBe(`hyper-bagel ${version}`);
  const stored = JSON.parse(text['hyper-bagel'] as string) as DrawingMetadata;
  expect(stored).toEqual(drawing.metadata);
  expect(stored).toEqual({
    version,
    model: await modelHash(bundledModel()),
    student: null,
    kind: 'draw',
    grid: Array.from(shiftedGrid(6, 3), (t) => Number(t.toPrecision(9))),
    solver: 'tcd',
    gamma: 0.5,
    scales: { text: 3, image: 1 },
    interval: [0.4, 1],
    renorm: 'global',
    renormMin: 0,
    seed: 12,
    givenNoise: false,
    nfe: { full: 6, noText: 5, noImage: 0 },
    device: 'cpu',
    isa: bagel.context.isa,
    dtype: 'f32',
  });
  // it does, and pixels are untouched
  const { grid, solver, gamma, scales, seed } = stored;
  const again = await bagel.draw('a red circle', { grid, solver, gamma, guidance: scales.text, seed: seed as number });
  expect(again.latents).toEqual(drawing.latents);
  expect((await decodeImage(file)).data).toEqual(drawing.image.data);
});

test('evaluations are counted in each context; given noise leaves the seed without meaning', async () => {
  const edit = await bagel.edit('examples/scene.png', 'make it blue', { steps: 3, interval: [0.7, 1] });
  expect(edit.metadata).toMatchObject({ kind: 'edit', scales: { text: 4, image: 2 }, renorm: 'text_channel' });
  expect(edit.metadata.nfe).toEqual({ full: 3, noText: 2, noImage: 2 });
  expect(edit.nfe).toBe(7);
  const heun = await bagel.draw('x', { steps: 3, solver: 'heun' });
  expect(heun.metadata.nfe).toEqual({ full: 5, noText: 5, noImage: 0 });
  const noise = new Float32Array(64 * 16).fill(0.5);
  const given = await bagel.draw('x', { steps: 1, noise });
  expect(given.metadata).toMatchObject({ givenNoise: true, seed: null });
  const stochastic = await bagel.draw('x', { steps: 2, noise, seed: 4, solver: 'lcm' });
  expect(stochastic.metadata).toMatchObject({ givenNoise: true, seed: 4, gamma: 1 });
});

test('other formats and pictures that were read say nothing', async () => {
  const { image } = await bagel.draw('x', { steps: 1 });
  expect(Object.keys(image.text)).toEqual(['Software', 'hyper-bagel']);
  expect(await comments(await image.toBuffer('jpeg'))).toEqual({});
  expect((await decodeImage(await image.toBuffer('png'))).text).toEqual({});
});

test('text of any script, keywords that PNG cannot hold', async () => {
  const image = Image.fromRaw(new Uint8Array(12), 2, 2);
  const text = { Title: 'café', Comment: '画 \u{1f600}', Empty: '' };
  const png = await image.withText(text).toBuffer('png');
  expect(await comments(png)).toEqual(text);
  expect((await decodeImage(png)).data).toEqual(image.data);
  for (const keyword of ['', ' x', 'x ', 'a'.repeat(80), 'é', 'a\0b']) {
    expect((await failure(() => image.withText({ [keyword]: 'x' }).toBuffer('png'))).code, keyword).toBe('BAD_OPTION');
  }
  expect((await failure(() => addPngText(new Uint8Array(50), { a: 'b' }))).code).toBe('BAD_IMAGE');
  expect((await readFile('examples/scene.png')).length).toBeLessThan(
    addPngText(await readFile('examples/scene.png'), text).length,
  );
});
