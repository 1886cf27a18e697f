import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import { cacheFolder } from '../../lib/io/cache-folder.js';
import { CostCurve, type CostCurveInit } from '../../lib/speculative/cost-curve.js';
import { type CostCurveKey, loadCostCurve, storeCostCurve } from '../../lib/speculative/cost-curve-file.js';

const points = [
  { nodes: 1, ms: 2 },
  { nodes: 5, ms: 4 },
  { nodes: 9, ms: 3 },
  { nodes: 17, ms: 8 },
];

describe('curve', () => {
  test('is straight between points, never falls, and goes on behind the last', () => {
    const curve = new CostCurve({ stepMs: 1, points });
    const expected: [number, number][] = [
      [1, 2],
      [2, 2.5],
      [5, 4],
      [7, 4],
      [9, 4],
      [11, 5],
      [17, 8],
      [25, 12],
    ];
    for (const [nodes, ms] of expected) expect(curve.ms(nodes)).toBeCloseTo(ms, 12);
    expect(new CostCurve({ stepMs: 1, points: [{ nodes: 8, ms: 3 }] }).ms(100)).toBe(3);
    expect(new CostCurve({ stepMs: 1, points: points.slice(1) }).ms(1)).toBe(4);
  });

  test.each<[string, string, CostCurveInit]>([
    ['no points', 'points', { stepMs: 1, points: [] }],
    ['a step that takes no time', 'stepMs', { stepMs: 0, points }],
    ['a step that is no number', 'stepMs', { stepMs: Number.NaN, points }],
    ['points out of order', 'points', { stepMs: 1, points: [...points].reverse() }],
    ['no nodes', 'points', { stepMs: 1, points: [{ nodes: 0, ms: 1 }] }],
    ['half a node', 'points', { stepMs: 1, points: [{ nodes: 1.5, ms: 1 }] }],
    ['an endless time', 'points', { stepMs: 1, points: [{ nodes: 1, ms: Infinity }] }],
    ['a point that is nothing', 'points', { stepMs: 1, points: [null] as unknown as CostCurveInit['points'] }],
    ['points that are no list', 'points', { stepMs: 1, points: {} as unknown as CostCurveInit['points'] }],
  ])('refuses %s', (_, operand, init) => {
    try {
      new CostCurve(init);
    } catch (error) {
      expect(HyperBagelError.isInstance(error) && [error.code, error.operand]).toEqual(['BAD_OPTION', operand]);
      return;
    }
    throw new Error('it was not refused');
  });
});

describe('cache folder', () => {
  const home = () => '/home/u';
  test.each<[string, NodeJS.Platform, Record<string, string>, string]>([
    ['linux', 'linux', {}, '/home/u/.cache/hyper-bagel'],
    ['linux, XDG', 'linux', { XDG_CACHE_HOME: '/c' }, '/c/hyper-bagel'],
    ['linux, relative XDG', 'linux', { XDG_CACHE_HOME: 'c' }, '/home/u/.cache/hyper-bagel'],
    ['linux, empty XDG', 'linux', { XDG_CACHE_HOME: '' }, '/home/u/.cache/hyper-bagel'],
    ['macOS', 'darwin', {}, '/home/u/Library/Caches/hyper-bagel'],
    ['Windows', 'win32', { LOCALAPPDATA: 'C:\\L' }, 'C:\\L\\hyper-bagel\\Cache'],
  ])('%s', (_, platform, env, expected) => {
    expect(cacheFolder(env, platform, home)).toBe(expected);
  });

  test('a user without a home has none', () => {
    const none = () => {
      throw new Error('no such user');
    };
    expect(cacheFolder({}, 'linux', none)).toBeUndefined();
    expect(cacheFolder({}, 'linux', () => '')).toBeUndefined();
    expect(cacheFolder({}, 'win32', () => 'C:\\U')).toBe('C:\\U\\AppData\\Local\\hyper-bagel\\Cache');
  });
});

describe('stored curves', () => {
  const key: CostCurveKey = { model: 'abc', device: 'some cpu', isa: 'avx2', threads: 2, dtype: 'f32' };
  const curve = new CostCurve({ stepMs: 1.5, points });
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hyper-bagel-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const files = () => readdirSync(join(folder, 'cost-curves'));

  test('come back for their key only', async () => {
    expect(await loadCostCurve(key, folder)).toBeUndefined();
    expect(await storeCostCurve(key, curve, folder)).toBe(true);
    expect(await loadCostCurve(key, folder)).toEqual(curve);
    const others: Partial<CostCurveKey>[] = [
      { model: 'abd' },
      { device: 'other' },
      { isa: 'avx512' },
      { threads: 1 },
      { dtype: 'bf16' },
    ];
    for (const other of others) expect(await loadCostCurve({ ...key, ...other }, folder)).toBeUndefined();
    // a later measurement replaces the earlier one, and nothing is left beside it
    await storeCostCurve(key, new CostCurve({ stepMs: 2, points }), folder);
    expect((await loadCostCurve(key, folder))?.stepMs).toBe(2);
    expect(files()).toHaveLength(1);
  });

  test.each<[string, (text: string) => string | Buffer]>([
    ['cut short', (text) => text.slice(0, -20)],
    ['empty', () => ''],
    ['no JSON', () => 'curve'],
    ['null', () => 'null'],
    ['of another format', (text) => text.replace('cost curve 1', 'cost curve 2')],
    ['of another key', (text) => text.replace('"abc"', '"abd"')],
    ['of another version', (text) => text.replace(/"version":"[^"]*"/, '"version":"0.0.0"')],
    ['with a negative time', (text) => text.replace('"ms":2', '"ms":-2')],
    ['without points', (text) => text.replace(/"points":\[.*\]/, '"points":[]')],
    ['far too large', (text) => text.padEnd(2 ** 17)],
    ['binary', () => Buffer.from([0xff, 0xfe, 0, 1])],
  ])('a file that is %s is ignored and replaced', async (_, spoil) => {
    await storeCostCurve(key, curve, folder);
    const file = join(folder, 'cost-curves', files()[0] as string);
    const good = readFileSync(file, 'utf8');
    const bad = spoil(good);
    expect(bad).not.toBe(good);
    writeFileSync(file, bad);
    expect(await loadCostCurve(key, folder)).toBeUndefined();
    expect(await storeCostCurve(key, curve, folder)).toBe(true);
    expect(await loadCostCurve(key, folder)).toEqual(curve);
  });

  test('a folder in the place of the file, or no place to write, is no failure', async () => {
    await storeCostCurve(key, curve, folder);
    const file = join(folder, 'cost-curves', files()[0] as string);
    rmSync(file);
    mkdirSync(file);
    expect(await loadCostCurve(key, folder)).toBeUndefined();
    expect(await storeCostCurve(key, curve, folder)).toBe(false);
    const blocked = join(folder, 'a-file');
    writeFileSync(blocked, '');
    chmodSync(blocked, 0o400);
    expect(await storeCostCurve(key, curve, blocked)).toBe(false);
    expect(await loadCostCurve(key, blocked)).toBeUndefined();
  });
});
