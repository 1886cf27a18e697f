import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CommanderError, InvalidArgumentError } from 'commander';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { reportFailure, wantsJson } from '../../lib/cli/failure.js';
import { wanted } from '../../lib/cli/log.js';
import { readNoise } from '../../lib/cli/noise.js';
import { collect, defined, integer, interval, real, size, times } from '../../lib/cli/options.js';
import { checkOutputPath } from '../../lib/cli/output-path.js';
import { Progress } from '../../lib/cli/progress.js';
import { HyperBagelError } from '../../lib/errors.js';
import { writeSafetensors } from '../../lib/io/safetensors.js';
import { failure } from '../kit/failure.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('parsers', () => {
  test('take what they should', () => {
    expect(integer(1, 256)('16')).toBe(16);
    expect(integer(0)('0')).toBe(0);
    expect(real(0)('0.75')).toBe(0.75);
    expect(real(0, 1)('1e-2')).toBe(0.01);
    expect(size('64x32')).toEqual({ width: 64, height: 32 });
    expect(interval('0.4,1')).toEqual([0.4, 1]);
    expect(times('1,0.75,0')).toEqual([1, 0.75, 0]);
    expect(collect('b', collect('a'))).toEqual(['a', 'b']);
    expect(defined({ a: 1, b: undefined, c: false })).toEqual({ a: 1, c: false });
  });

  test.each([
    ['integer', integer(1), ['0', '-1', '1.5', '', ' ', 'x', '1e2', '0x10', 'NaN', '9007199254740992']],
    ['integer with a top', integer(1, 256), ['257']],
    ['real', real(0), ['-0.1', '', ' ', 'x', 'NaN', 'Infinity', '1e999', '0x1', '1,5']],
    ['real with a top', real(0, 1), ['1.01']],
    ['size', size, ['64', '64x', 'x64', '64x64x64', '-8x8', '64.5x64', '64*64', '1e2x8']],
    ['times', times, ['1', '', '1,x', '1,2,0', '1,-0.5,0', '1,,0', 'NaN,0']],
    ['interval', interval, ['0.4', '0.4,', ',1', '1,0.4', '-0.1,1', '0,1.1', '0,0.5,1', 'a,b', 'NaN,1']],
  ])('%s refuses the rest', (_name, parse: (text: string) => unknown, texts) => {
    for (const text of texts) expect(() => parse(text), JSON.stringify(text)).toThrow(InvalidArgumentError);
  });
});

describe('failures', () => {
  const run = (error: unknown, json: boolean) => {
    const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const status = reportFailure(error, json);
    const text = (spy: typeof out) => spy.mock.calls.map(([chunk]) => String(chunk)).join('');
    const result = { status, stdout: text(out), stderr: text(err) };
    vi.restoreAllMocks();
    return result;
  };

  test('bad options end with 2, other errors with 1, and the code is on stderr', () => {
    expect(run(new HyperBagelError('BAD_OPTION', 'no'), false)).toEqual({
      status: 2,
      stdout: '',
      stderr: 'hyper-bagel: no (BAD_OPTION)\n',
    });
    expect(run(new HyperBagelError('IO', 'gone'), false)).toMatchObject({ status: 1, stdout: '' });
  });

  test('with --json the error is an object on stdout, with its details', () => {
    const error = new HyperBagelError('BAD_SHAPE', 'wrong', { operand: 'noise', expected: '[64, 16]', got: '[1]' });
    const { status, stdout, stderr } = run(error, true);
    expect(status).toBe(1);
    expect(stderr).toContain('(BAD_SHAPE)');
    expect(JSON.parse(stdout)).toEqual({
      error: { code: 'BAD_SHAPE', message: 'wrong', operand: 'noise', expected: '[64, 16]', got: '[1]' },
    });
  });

  test('usage errors of the parser are BAD_OPTION; help is no error', () => {
    const { status, stdout } = run(
      new CommanderError(1, 'commander.unknownOption', "error: unknown option '--x'"),
      true,
    );
    expect(status).toBe(2);
    expect(JSON.parse(stdout)).toEqual({ error: { code: 'BAD_OPTION', message: "unknown option '--x'" } });
    expect(run(new CommanderError(0, 'commander.help', '(outputHelp)'), true)).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });

  test('what nobody expected is INTERNAL, with its stack', () => {
    const { status, stderr } = run(new TypeError('oops', { cause: new Error('deep') }), false);
    expect(status).toBe(1);
    expect(stderr).toContain('oops (INTERNAL)');
    expect(stderr).toContain('options.test.ts');
    expect(stderr).toContain('deep');
  });

  test('HYPER_BAGEL_LOG decides what is said', () => {
    vi.stubEnv('HYPER_BAGEL_LOG', 'silent');
    expect(run(new HyperBagelError('IO', 'gone'), false).stderr).toBe('');
    vi.stubEnv('HYPER_BAGEL_LOG', 'warn');
    expect([wanted('error'), wanted('warn'), wanted('info')]).toEqual([true, true, false]);
    vi.stubEnv('HYPER_BAGEL_LOG', 'loud');
    expect(() => wanted('info')).toThrow('HYPER_BAGEL_LOG');
    expect(run(new HyperBagelError('IO', 'gone'), false).stderr).toContain('gone');
  });

  test('--json counts only as an option', () => {
    expect(wantsJson(['ask', 'x', '--json'])).toBe(true);
    expect(wantsJson(['ask', '--', '--json'])).toBe(false);
  });
});

describe('--noise', () => {
  const noise = (shape: number[], data: number[]) => ({ dtype: 'F32' as const, shape, data: Float32Array.from(data) });
  const written = async (name: string, tensors: Parameters<typeof writeSafetensors>[1]) => {
    const file = path.join(folder, `${name}.safetensors`);
    await writeSafetensors(file, tensors);
    return file;
  };

  test('is read as it is', async () => {
    const file = await written('good', { noise: noise([2, 3], [1, -2, 3, 0.5, 0, -0]), other: noise([1], [9]) });
    expect([...(await readNoise(file, 3))]).toEqual([1, -2, 3, 0.5, 0, -0]);
  });

  test.each([
    ['NaN', { noise: noise([1, 2], [1, Number.NaN]) }, 'BAD_OPTION'],
    ['infinity', { noise: noise([1, 2], [Number.NEGATIVE_INFINITY, 0]) }, 'BAD_OPTION'],
    ['other channels', { noise: noise([2, 1], [1, 2]) }, 'BAD_SHAPE'],
    ['another rank', { noise: noise([1, 1, 2], [1, 2]) }, 'BAD_SHAPE'],
    ['another dtype', { noise: { dtype: 'F64' as const, shape: [1, 2], data: Float64Array.of(1, 2) } }, 'BAD_DTYPE'],
    ['another name', { x: noise([1, 2], [1, 2]) }, 'BAD_MODEL'],
  ])('%s is refused', async (name, tensors, code) => {
    const file = await written(name, tensors);
    expect((await failure(() => readNoise(file, 2))).code).toBe(code);
  });

  test('a file that is not there is IO', async () => {
    expect((await failure(() => readNoise(path.join(folder, 'absent'), 2))).code).toBe('IO');
  });
});

describe('output paths', () => {
  test('a new and an existing file are fine, and nothing is made by looking', async () => {
    const file = path.join(folder, 'new.png');
    await checkOutputPath(file);
    expect(existsSync(file)).toBe(false);
    writeFileSync(file, 'old');
    await checkOutputPath(file);
  });

  test.each([
    ['a missing folder', 'absent/out.png'],
    ['a folder', '.'],
    ['a file as folder', 'file.txt/out.png'],
  ])('%s is refused', async (_name, name) => {
    writeFileSync(path.join(folder, 'file.txt'), '');
    mkdirSync(folder, { recursive: true });
    const error = await failure(() => checkOutputPath(path.join(folder, name)));
    expect(error.code).toBe('IO');
    expect(error.message).toContain(name === '.' ? folder : name);
  });
});

describe('progress', () => {
  const CLEAR_LINE = '\r\x1b[K';
  const screen = (isTTY: boolean) => {
    const written: string[] = [];
    return { isTTY, columns: 60, written, write: (text: string) => written.push(text) };
  };

  test('on a terminal: nothing for a second, then a bar, then one plain line in its place', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const stream = screen(true);
    const progress = new Progress('drawing', stream);
    progress.update(10, 40);
    vi.advanceTimersByTime(900);
    expect(stream.written).toEqual([]);
    vi.advanceTimersByTime(1100);
    const [before, bar = ''] = (stream.written.at(-1) ?? '').split(CLEAR_LINE);
    expect(before).toBe('');
    expect(bar).toMatch(/^drawing \[#+\.+\] 25% 2 s, 6 s left$/);
    expect(bar.length).toBeLessThan(stream.columns);
    progress.finish();
    progress.stop();
    expect(stream.written.slice(-2)).toEqual([CLEAR_LINE, 'drawing: 2.0 s\n']);
    const count = stream.written.length;
    vi.advanceTimersByTime(5000);
    expect(stream.written).toHaveLength(count);
  });

  test('a terminal that says it has no columns gets a bar all the same', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const stream = { ...screen(true), columns: 0 };
    const progress = new Progress('drawing', stream);
    progress.update(1, 2);
    vi.advanceTimersByTime(2000);
    expect(stream.written.at(-1)).toContain('drawing [####');
    progress.stop();
  });

  test('without a total: how long it has been going', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const stream = screen(true);
    const progress = new Progress('answering', stream);
    vi.advanceTimersByTime(3000);
    expect(stream.written.at(-1)).toBe(`${CLEAR_LINE}answering ... 3 s`);
    progress.stop();
    expect(stream.written.at(-1)).toBe(CLEAR_LINE);
  });

  test('elsewhere: only the plain line, and none for short work', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const stream = screen(false);
    const long = new Progress('loading', stream);
    const short = new Progress('nothing', stream);
    vi.advanceTimersByTime(500);
    short.finish();
    vi.advanceTimersByTime(1000);
    long.finish();
    expect(stream.written).toEqual(['loading: 1.5 s\n']);
  });
});
