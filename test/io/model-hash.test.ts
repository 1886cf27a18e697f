import { copyFile, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { modelHash } from '../../lib/io/model-hash.js';
import { type FileTensor, readHeader, writeSafetensors } from '../../lib/io/safetensors.js';

const TINY = 'models/tiny';
let root: string;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'hb-hash-'));
});
afterAll(() => rm(root, { recursive: true }));

async function folder(): Promise<string> {
  return mkdtemp(path.join(root, `${count++}-`));
}

async function copy(): Promise<string> {
  const to = await folder();
  for (const name of ['ema.safetensors', 'ae.safetensors']) await copyFile(path.join(TINY, name), path.join(to, name));
  return to;
}

/** Adds 1 to a byte of a file. */
async function disturb(file: string, at: number): Promise<void> {
  const handle = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  byte[0] = ((byte[0] as number) + 1) & 255;
  await handle.write(byte, 0, 1, at);
  await handle.close();
}

const small = (value: number): FileTensor => ({ dtype: 'F32', shape: [4], data: new Float32Array(4).fill(value) });

test('64 hex digits, the same for a copy, and of the weights alone', async () => {
  const hash = await modelHash(TINY);
  expect(hash).toMatch(/^[0-9a-f]{64}$/);
  const to = await copy();
  await writeFile(path.join(to, 'config.json'), '{"notes": "another configuration"}');
  expect(await modelHash(to)).toBe(hash);
});

test('shards and metadata do not matter; names, shapes and dtypes do', async () => {
  const whole = await folder();
  await writeSafetensors(
    path.join(whole, 'ema.safetensors'),
    { a: small(1), b: small(2), c: small(3) },
    { when: 'now' },
  );
  await writeSafetensors(path.join(whole, 'ae.safetensors'), { a: small(4) });
  const sharded = await folder();
  await writeSafetensors(path.join(sharded, 'one.safetensors'), { c: small(3), a: small(1) });
  await writeSafetensors(path.join(sharded, 'two.safetensors'), { b: small(2), spare: small(9) });
  const weight_map = { a: 'one.safetensors', b: 'two.safetensors', c: 'one.safetensors' };
  await writeFile(path.join(sharded, 'ema.safetensors.index.json'), JSON.stringify({ weight_map }));
  await writeSafetensors(path.join(sharded, 'ae.safetensors'), { a: small(4) });
  const hash = await modelHash(whole);
  expect(await modelHash(sharded)).toBe(hash);

  const seen = new Set([hash]);
  const variants: Record<string, FileTensor>[] = [
    { a: small(1), b: small(2), d: small(3) },
    { a: { ...small(1), shape: [2, 2] } as FileTensor, b: small(2), c: small(3) },
    { a: { dtype: 'I32', shape: [4], data: new Int32Array(small(1).data.buffer) }, b: small(2), c: small(3) },
    { a: small(1), b: small(2) },
    { a: small(2), b: small(1), c: small(3) },
  ];
  for (const tensors of variants) {
    await writeSafetensors(path.join(whole, 'ema.safetensors'), tensors);
    seen.add(await modelHash(whole));
  }
  expect(seen.size).toBe(1 + variants.length);
});

test('one changed byte at the begin, middle or end of any tensor shows', async () => {
  const hash = await modelHash(TINY);
  const to = await copy();
  for (const name of ['ema.safetensors', 'ae.safetensors']) {
    const file = path.join(to, name);
    const entries = [...(await readHeader(file)).tensors.values()].sort((a, b) => a.bytes - b.bytes);
    for (const entry of [entries[0], entries.at(-1)]) {
      if (!entry) throw new Error('no tensors');
      for (const at of [0, Math.floor(entry.bytes / 2), entry.bytes - 1]) {
        await disturb(file, entry.offset + at);
        expect(await modelHash(to), `${name}, byte ${at} of ${entry.bytes}`).not.toBe(hash);
        await copyFile(path.join(TINY, name), file);
      }
    }
  }
  expect(await modelHash(to)).toBe(hash);
});

test('a folder without weights is refused', async () => {
  await expect(modelHash(await folder())).rejects.toMatchObject({ code: 'BAD_MODEL' });
  const broken = await copy();
  await writeFile(path.join(broken, 'ae.safetensors'), 'not a model');
  await expect(modelHash(broken)).rejects.toMatchObject({ code: 'BAD_MODEL' });
});
