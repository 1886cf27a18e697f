import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeFileAtomic } from '../../lib/io/output.js';
import { failure, failureCode } from '../kit/failure.js';
import { temporaryFolder } from './kit.js';

const folder = temporaryFolder();

describe('writeFileAtomic', () => {
  it('writes text, bytes and pieces, and replaces what was there', async () => {
    const path = join(folder, 'a.txt');
    await writeFileAtomic(path, 'täxt');
    expect(readFileSync(path, 'utf8')).toBe('täxt');
    await writeFileAtomic(path, new Uint8Array([1, 2, 3]).subarray(1));
    expect([...readFileSync(path)]).toEqual([2, 3]);
    await writeFileAtomic(path, [new Uint8Array([1]), new Uint8Array(0), new Uint8Array([2, 3])]);
    expect([...readFileSync(path)]).toEqual([1, 2, 3]);
    expect(readdirSync(folder)).toEqual(['a.txt']);
  });

  it('writes under the longest name a file may have', async () => {
    const path = join(folder, 'n'.repeat(255));
    await writeFileAtomic(path, 'x');
    expect(readFileSync(path, 'utf8')).toBe('x');
  });

  it('keeps the old file and leaves nothing behind when the content fails half-way', async () => {
    const inner = join(folder, 'inner');
    mkdirSync(inner);
    const path = join(inner, 'kept');
    writeFileSync(path, 'old');
    const failing = async function* () {
      yield Buffer.from('new');
      throw new RangeError('stop');
    };
    await expect(writeFileAtomic(path, failing())).rejects.toThrow(RangeError);
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(inner)).toEqual(['kept']);
  });

  it('follows a link to a file', async () => {
    const real = join(folder, 'real');
    const link = join(folder, 'link');
    writeFileSync(real, 'old');
    symlinkSync(real, link);
    await writeFileAtomic(link, 'new');
    expect(readFileSync(real, 'utf8')).toBe('new');
  });

  it.each([
    ['a missing folder', () => join(folder, 'missing', 'x')],
    ['a folder', () => folder],
    ['a device', () => '/dev/null'],
    ['a path through a file', () => join(folder, 'a.txt', 'x')],
    ['a name with a zero byte', () => join(folder, 'a\0b')],
  ])('IO with the path for %s', async (_, path) => {
    const error = await failure(() => writeFileAtomic(path(), 'x'));
    expect(error.code).toBe('IO');
    expect(error.operand).toBe(path());
    expect(error.message).toContain(path());
  });

  it('leaves no temporary file when the rename fails', async () => {
    const inner = join(folder, 'rename');
    mkdirSync(inner);
    const path = join(inner, 'target');
    const swap = async function* () {
      yield Buffer.from('new');
      mkdirSync(path); // appears after the check, so that only the rename can notice
    };
    expect(await failureCode(() => writeFileAtomic(path, swap()))).toBe('IO');
    expect(readdirSync(inner)).toEqual(['target']);
  });
});
