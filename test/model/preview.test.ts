// The linear map of latents to colours: what the bundled model brings is the fit to scenes of the world that it was trained on.
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CATEGORIES, genT2I, IMAGE_SIDE, renderScene, STREAMS, start } from '../../lib/eval/world/index.js';
import { Image } from '../../lib/io/image.js';
import { Bagel, bundledModel } from '../../lib/models/bagel/bagel.js';
import { fitRgbMap, plainPictures, RGB_FILE, readRgbMap } from '../../lib/models/bagel/preview.js';
import { largestError } from '../denoise/fields.js';
import { temporaryFolder } from '../io/kit.js';
import { failure } from '../kit/failure.js';
import { modelFolder } from './golden.js';

let bagel: Bagel;
beforeAll(async () => {
  bagel = await Bagel.load();
});
afterAll(() => bagel.dispose());

/** Scenes of training seeds. */
function scenes(): Image[] {
  return Array.from({ length: 105 }, (_, seed) => {
    const { scene } = genT2I(start(STREAMS.textToImage, seed), CATEGORIES[seed % CATEGORIES.length] as never);
    return Image.fromRaw(renderScene(scene), IMAGE_SIDE, IMAGE_SIDE);
  });
}

test('the map of the bundled model is the least-squares fit', async () => {
  const stored = await readRgbMap(bundledModel(), bagel.config);
  const { weight, bias } = await fitRgbMap(bagel.model, scenes());
  const rows = [0, 1, 2].map((c) => Array.from(weight).slice(4 * c, 4 * c + 4));
  const text = JSON.stringify({ weight: rows, bias: Array.from(bias) }, (_, v) =>
    typeof v === 'number' ? Number(v.toFixed(4)) : v,
  );
  expect(stored, `${RGB_FILE} should be ${text}`).toBeDefined();
  expect(largestError(stored?.weight ?? [], weight), text).toBeLessThan(1e-3);
  expect(largestError(stored?.bias ?? [], bias), text).toBeLessThan(1e-3);
});

test('a model without a map gets one from plain pictures', async () => {
  const other = await Bagel.load(modelFolder('random-a'));
  expect(await readRgbMap(modelFolder('random-a'), other.config)).toBeUndefined();
  const { weight, bias } = await fitRgbMap(other.model, plainPictures(other.model));
  expect([weight.length, bias.length]).toEqual([3 * other.config.vae.latentChannels, 3]);
  expect([...Array.from(weight), ...Array.from(bias)].every(Number.isFinite)).toBe(true);
  let thumbnail: Image | undefined;
  await other.draw('a', {
    steps: 1,
    seed: 1,
    previews: true,
    size: { width: 16, height: 24 },
    onStep: (s) => {
      thumbnail = s.thumbnail;
    },
  });
  const { downsample } = other.config.vae;
  expect([thumbnail?.width, thumbnail?.height]).toEqual([16 / downsample, 24 / downsample]);
  await other.dispose();
});

test('a map that is none is refused', async () => {
  const folder = temporaryFolder();
  const file = path.join(folder, RGB_FILE);
  await copyFile(path.join(bundledModel(), RGB_FILE), file);
  expect((await readRgbMap(folder, bagel.config))?.weight).toHaveLength(12);
  const good = JSON.parse(await readFile(file, 'utf8')) as { weight: number[][]; bias: number[] };
  for (const bad of [
    { ...good, weight: good.weight.slice(1) },
    { ...good, weight: good.weight.map((row) => row.slice(1)) },
    { ...good, weight: good.weight.map((row) => row.map(String)) },
    { ...good, bias: [1, 2] },
    { ...good, bias: [1, 2, null] },
    { bias: good.bias },
    [],
  ]) {
    await writeFile(file, JSON.stringify(bad));
    expect((await failure(() => readRgbMap(folder, bagel.config))).code).toBe('BAD_MODEL');
  }
});
