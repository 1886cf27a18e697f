// Files that change while they are in use: an access to memory over a file that has shrunk would be SIGBUS, the end of the process.
import { copyFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as ops from '../../lib/generated/ops.js';
import { openModelFiles, readTensors } from '../../lib/io/safetensors.js';
import { FileSource } from '../../lib/models/bagel/source.js';
import type { ExpectedTensor } from '../../lib/models/bagel/tensors.js';
import { Context } from '../../lib/tensor/context.js';
import { WeightFile } from '../../lib/tensor/weight-file.js';
import { temporaryFolder } from '../io/kit.js';
import { failure, failureCode } from '../kit/failure.js';
import { fullTier } from '../kit/tier.js';
import { runChild } from '../lifetime/child.js';

const FULL = fullTier(10, '11 of 15 moments at which a checkpoint shrinks');
/** Moments within 60 ms at which a file shrinks. */
const MOMENTS = FULL ? 15 : 4;
const folder = temporaryFolder();
let cx: Context;
beforeAll(async () => {
  cx = await Context.create({ threads: 1 });
});
afterAll(() => cx.dispose());

/** A file of these floats. */
function floats(name: string, count: number): string {
  const file = path.join(folder, name);
  writeFileSync(file, new Uint8Array(Float32Array.from({ length: count }, (_, i) => i).buffer));
  return file;
}

const sum = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);

describe('a tensor of a file', () => {
  test.each([0, 4, 4096, 4097, 300_000])('fails with IO when %i bytes are left of its file', async (left) => {
    const file = floats('shrinks', 100_000);
    const opened = new WeightFile(file);
    const x = cx.fromFile(opened, 0, 'f32', [100_000]);
    truncateSync(file, left);
    const y = ops.cast(cx, { x, dtype: 'bf16' });
    const error = await failure(() => cx.sync());
    expect([error.code, error.message]).toEqual(['IO', expect.stringContaining(file)]);
    expect(await failureCode(() => y.data())).toBe('IO');
    expect(await failureCode(() => x.data())).toBe('IO');
    for (const each of [x, y, opened]) each.dispose();
  });

  test('holds what was read when the file shrinks afterwards', async () => {
    const file = floats('shrinks-late', 5000);
    const opened = new WeightFile(file);
    const x = cx.fromFile(opened, 4, 'f32', [4999]);
    expect(sum(await x.data())).toBe((4999 * 5000) / 2);
    truncateSync(file, 0);
    expect(sum(await ops.cast(cx, { x, dtype: 'f32' }).data())).toBe((4999 * 5000) / 2);
  });

  test('is that of the file that was opened, whatever has its name since', async () => {
    const file = floats('renamed', 5000);
    const opened = new WeightFile(file);
    renameSync(floats('other', 1), file);
    expect(sum(await cx.fromFile(opened, 0, 'f32', [5000]).data())).toBe((4999 * 5000) / 2);
  });

  test('needs no alignment', async () => {
    const file = path.join(folder, 'odd');
    writeFileSync(file, Buffer.concat([Buffer.from([1]), new Uint8Array(Float32Array.of(1, 2, 3).buffer)]));
    const x = cx.fromFile(new WeightFile(file), 1, 'f32', [3]);
    expect([...(await x.data())]).toEqual([1, 2, 3]);
  });

  test.each([
    [0, [101]],
    [1, [100]],
    [401, []],
    [2 ** 53, [1]],
    [1e300, [0]],
    [-4, [1]],
    [0.5, [1]],
    [Number.NaN, [1]],
    [0, [2 ** 32, 2 ** 32, 0]],
    [0, [2 ** 40, 2 ** 40]],
    [0, [-1]],
  ])('at byte %d of shape %j is refused', (offset, shape) => {
    const opened = new WeightFile(floats('short', 100));
    expect(() => cx.fromFile(opened, offset, 'f32', shape)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^BAD_(MODEL|SHAPE)$/) as unknown }) as Error,
    );
    opened.dispose();
  });

  test('IO for what is no file', () => {
    expect(() => new WeightFile(folder)).toThrow(expect.objectContaining({ code: 'IO' }) as Error);
    expect(() => new WeightFile(path.join(folder, 'missing'))).toThrow(
      expect.objectContaining({ code: 'IO' }) as Error,
    );
  });
});

describe('a checkpoint that shrinks', () => {
  test('between its header and its data', async () => {
    const file = path.join(folder, 'ema.safetensors');
    copyFileSync('models/tiny/ema.safetensors', file);
    const ema = await openModelFiles(folder, 'ema');
    const name = 'language_model.model.embed_tokens.weight';
    const expected: ExpectedTensor = { name, file: 'ema', shape: [640, 192] };
    const opened = new FileSource(cx, { ema }, [expected]);
    truncateSync(file, 50_000);
    expect(await failureCode(() => opened.get(name).data())).toBe('IO');
    opened.close();
    const late = new FileSource(cx, { ema }, [expected]);
    expect(() => late.get(name)).toThrow(expect.objectContaining({ code: 'BAD_MODEL' }) as Error);
    late.close();
    expect(await failureCode(() => readTensors(file))).toBe('BAD_MODEL');
  });

  test('in a process that loads it, at any moment', { timeout: 60_000 }, async () => {
    const { code, signal, stdout, stderr } = await runChild(`
      import { cpSync, copyFileSync, truncateSync } from 'node:fs';
      const folder = ${JSON.stringify(path.join(folder, 'model'))};
      cpSync('models/tiny', folder, { recursive: true });
      for (let delay = 0; delay < 60; delay += ${60 / MOMENTS}) {
        copyFileSync('models/tiny/ema.safetensors', folder + '/ema.safetensors');
        const cut = new Promise((done) => setTimeout(() => {
          truncateSync(folder + '/ema.safetensors', 40_000);
          done();
        }, delay));
        let outcome = 'loaded';
        try {
          await (await Bagel.load(folder, { threads: 1, cacheTokens: 64, keepMeasurements: false })).dispose();
        } catch (error) {
          outcome = error instanceof HyperBagelError ? error.code : String(error);
        }
        await cut;
        console.log(outcome);
      }`);
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    const outcomes = stdout.trim().split('\n');
    expect(outcomes).toHaveLength(MOMENTS);
    for (const outcome of outcomes) expect(['IO', 'BAD_MODEL', 'loaded']).toContain(outcome);
    expect(outcomes.some((outcome) => outcome !== 'loaded')).toBe(true);
  });
});
