import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { FEATURES } from '../../lib/eval/features.js';
import { Journal } from '../../lib/eval/journal.js';
import { PictureStore } from '../../lib/eval/picture-store.js';
import { IMAGE_BYTES } from '../../lib/eval/world/index.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-journal-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const fresh = () => path.join(folder, `${files++}.jsonl`);
const SETTINGS = { suite: 'shapes', steps: 6, dtype: 'f32' };
const readNumber = (value: unknown) => {
  const { n } = value as { n?: unknown };
  return typeof n === 'number' ? { n } : undefined;
};
const openIt = (file: string, settings: Record<string, string | number> = SETTINGS, restart = false) =>
  Journal.open(file, settings, readNumber, restart);

/** A file with two records. */
async function written(): Promise<string> {
  const file = fresh();
  const journal = await openIt(file);
  await journal.append([{ n: 1 }]);
  await journal.append([{ n: 2 }]);
  await journal.close();
  return file;
}

describe('journal', () => {
  test('finished items come back, and more are added', async () => {
    const file = await written();
    const again = await openIt(file);
    expect(again.records).toEqual([{ n: 1 }, { n: 2 }]);
    await again.append([{ n: 3 }, { n: 4 }]);
    await again.close();
    const third = await openIt(file);
    expect(third.records.map(({ n }) => n)).toEqual([1, 2, 3, 4]);
    await third.close();
  });

  test.each([1, 5, 8])('a last line that lost %i bytes is dropped, and the next one is whole', async (lost) => {
    const file = await written();
    truncateSync(file, readFileSync(file).length - lost);
    const again = await openIt(file);
    expect(again.records).toEqual([{ n: 1 }]);
    await again.append([{ n: 7 }]);
    await again.close();
    const third = await openIt(file);
    expect(third.records).toEqual([{ n: 1 }, { n: 7 }]);
    await third.close();
  });

  test('a file cut off in its settings starts anew', async () => {
    const file = await written();
    truncateSync(file, 10);
    const again = await openIt(file);
    expect(again.records).toEqual([]);
    await again.append([{ n: 9 }]);
    await again.close();
    const third = await openIt(file);
    expect(third.records).toEqual([{ n: 9 }]);
    await third.close();
  });

  test.each([
    [{ ...SETTINGS, steps: 7 }, 'steps'],
    [{ ...SETTINGS, isa: 'avx2' }, 'isa'],
    [{ suite: 'shapes', steps: 6 }, 'dtype'],
  ])('other settings %j are refused, and the file stays', async (settings, operand) => {
    const file = await written();
    const before = readFileSync(file, 'utf8');
    await expect(openIt(file, settings)).rejects.toMatchObject({ code: 'BAD_OPTION', operand });
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  test('restart drops what is there', async () => {
    const file = await written();
    const again = await openIt(file, { ...SETTINGS, steps: 7 }, true);
    expect(again.records).toEqual([]);
    await again.append([{ n: 5 }]);
    await again.close();
    const third = await openIt(file, { ...SETTINGS, steps: 7 });
    expect(third.records).toEqual([{ n: 5 }]);
    await third.close();
  });

  test.each(['no json\n', '{"n":"two"}\n', '[]\n', '\n', '{"n":1}{"n":2}\n'])(
    'a line %j in the middle is damage, and the file stays',
    async (line) => {
      const file = await written();
      appendFileSync(file, `${line}{"n":3}\n`);
      const before = readFileSync(file, 'utf8');
      await expect(openIt(file)).rejects.toMatchObject({ code: 'IO', operand: file });
      expect(readFileSync(file, 'utf8')).toBe(before);
    },
  );

  test('a file of something else, and a folder, are refused', async () => {
    const file = fresh();
    writeFileSync(file, 'shopping list\nbagels\n');
    await expect(openIt(file)).rejects.toMatchObject({ code: 'IO' });
    const directory = fresh();
    mkdirSync(directory);
    await expect(openIt(directory)).rejects.toMatchObject({ code: 'IO' });
    await expect(openIt(path.join(folder, 'absent', 'x.jsonl'))).rejects.toMatchObject({ code: 'IO' });
  });
});

describe('picture store', () => {
  const picture = (seed: number) => ({
    pixels: Uint8Array.from({ length: IMAGE_BYTES }, (_, i) => (i * seed) % 251),
    latents: Float32Array.from({ length: 12 }, (_, i) => Math.sin(i * seed)),
    features: Float32Array.from({ length: FEATURES }, (_, i) => Math.cos(i * seed)),
  });

  test('slots keep what was written, in any order, over several openings', async () => {
    const file = fresh();
    const store = await PictureStore.open(file, 12);
    await store.write(5, picture(5));
    await store.write(0, picture(3));
    await store.close();
    const again = await PictureStore.open(file, 12);
    await again.write(2, picture(7));
    expect(await again.read(5)).toEqual(picture(5));
    expect(await again.read(0)).toEqual(picture(3));
    expect(await again.read(2)).toEqual(picture(7));
    await expect(again.read(6)).rejects.toMatchObject({ code: 'IO' });
    await expect(again.write(1, { ...picture(1), latents: new Float32Array(3) })).rejects.toThrow();
    await again.close();
  });
});
