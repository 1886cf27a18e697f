import { describe, expect, test } from 'vitest';
import {
  floorOf,
  median,
  outsideForward,
  outsideOps,
  quantile,
  ratioOfMedians,
  repeatsFor,
  workOf,
} from '../../bench/arithmetic.js';
import { gateLine, judge } from '../../bench/gates.js';
import { interleave, QUICK, time } from '../../bench/harness.js';
import { rotationOf } from '../../bench/op-row.js';
import { digits, measured, table } from '../../bench/report.js';
import { byteRate, flopRate, type MachineRoofline } from '../../lib/profile/roofline.js';
import { event } from '../profile/kit.js';

const MB = 2 ** 20;
const machine: MachineRoofline = {
  isa: 'avx512bf16',
  threads: 2,
  f32Flops: { one: 1e11, all: 2e11 },
  dotFlops: { one: 2e11, all: 4e11 },
  l2BytesPerSecond: { one: 1e11, all: 2e11 },
  memoryBytesPerSecond: { one: 1e10, all: 1.5e10 },
  l2Buffer: MB,
  memoryBuffer: 1024 * MB,
  cacheBytes: 512 * MB,
  seconds: 1,
};

describe('samples', () => {
  test('quantiles interpolate between order statistics and leave the sample as it was', () => {
    const sample = [40, 10, 30, 20];
    expect([0, 0.25, 0.5, 0.75, 1].map((p) => quantile(sample, p))).toEqual([10, 17.5, 25, 32.5, 40]);
    expect(quantile(sample, 0.99)).toBeCloseTo(39.7, 12);
    expect(sample).toEqual([40, 10, 30, 20]);
    expect(median([3])).toBe(3);
    expect(quantile([], 0.5)).toBeNaN();
  });

  test('the ratio is of medians: one slow sample changes nothing', () => {
    expect(ratioOfMedians([3, 3, 300], [2, 2, 2])).toBe(1.5);
  });

  test('short work is repeated until it fills the time, within bounds', () => {
    expect(repeatsFor(1e-4, 1e-3, 64)).toBe(10);
    expect(repeatsFor(1, 1e-3, 64)).toBe(1);
    expect(repeatsFor(0, 1e-3, 64)).toBe(64);
  });
});

describe('floors', () => {
  test('the larger of arithmetic and movement', () => {
    const cost = { flops: 4e6, bytes: 3e6 };
    // 4e6 / 2e11 = 20 us; 3e6 / 1.5e10 = 200 us
    expect(floorOf(workOf(cost, 2e11, 1.5e10))).toEqual({ seconds: 2e-4, bound: 'bytes' });
    expect(floorOf(workOf({ ...cost, flops: 1e8 }, 2e11, 1.5e10))).toEqual({ seconds: 5e-4, bound: 'flops' });
  });

  test('dot products count at their rate where the machine has them, small data at the rate of the second level', () => {
    expect(flopRate(machine, true)).toBe(4e11);
    expect(flopRate(machine, false)).toBe(2e11);
    expect(flopRate({ ...machine, dotFlops: { one: 0, all: 0 } }, true)).toBe(2e11);
    expect(byteRate(machine, 2 * MB)).toBe(2e11);
    expect(byteRate(machine, 2 * MB + 1)).toBe(1.5e10);
  });

  test('rotated weights go beyond twice the cache and 512 MB, and stay within a third of the free memory', () => {
    const weight = 25 * MB;
    const beyond = (r: { bytes: number }, bytes: number) => r.bytes >= bytes && r.bytes < bytes + weight;
    expect(beyond(rotationOf(weight, 0, 64 * 1024 * MB), 512 * MB)).toBe(true);
    expect(beyond(rotationOf(weight, 480 * MB, 64 * 1024 * MB), 960 * MB)).toBe(true);
    expect(beyond(rotationOf(weight, 480 * MB, 900 * MB), 300 * MB)).toBe(true);
    expect(rotationOf(weight, 0, 0).copies).toBe(1);
  });
});

describe('time outside ops', () => {
  test('from the first op to the last, jobs before and after do not count', () => {
    const events = [
      event('', 0, 90),
      event('embedding', 100, 140),
      event('linear', 150, 190),
      event('', 95, 195),
      event('linear', 280, 300),
      event('', 270, 900),
    ];
    // ops take 100 of 200
    expect(outsideOps(events)).toBeCloseTo(0.5, 12);
  });

  test('noise, update and what follows are outside a forward, until the next begins', () => {
    const step = (at: number) => [
      event('', at, at + 100),
      event('time_embedding', at, at + 10),
      event('linear', at + 10, at + 60),
      event('philox_normal', at + 60, at + 65),
      event('guided_update', at + 65, at + 75),
      event('linear', at + 80, at + 90),
      event('emit', at + 90, at + 95),
    ];
    // of each step 60 inside and 30 outside; the first noise before them 10
    const events = [event('philox_normal', 0, 10), ...step(100), ...step(300)];
    expect(outsideForward(events)).toBeCloseTo(70 / 190, 12);
    expect(outsideForward([])).toBeNaN();
  });

  test('no ops give no figure, and a gate without a figure does not pass', () => {
    expect(outsideOps([event('', 0, 5)])).toBeNaN();
    expect(judge('x', Number.NaN, 0.15, '').passed).toBe(false);
    expect(judge('x', 0.16, 0.15, '').passed).toBe(false);
    expect(judge('x', 0.83, 0.84, '', 'least').passed).toBe(false);
    expect(judge('x', Number.NaN, 0.84, '', 'least').passed).toBe(false);
    expect(gateLine(judge('x', 0.84, 0.84, 'why', 'least'))).toBe('pass  x: 0.840, at least 0.84 (why)');
    expect(gateLine(judge('x', 0.15, 0.15, 'why'))).toBe('pass  x: 0.150, at most 0.15 (why)');
  });
});

describe('rows', () => {
  const row = measured(
    { kind: 'op', name: 'linear', case: 'one row' },
    { isa: 'scalar', threads: 2 },
    {
      samples: [2e-4, 1e-4, 3e-4],
      cost: { flops: 2e7, bytes: 1e6 },
      floor: { seconds: 1e-4, bound: 'flops' },
      threads: 1,
      opsPerRun: 42,
      runsPerWait: 3,
      weights: { copies: 42, bytes: 1050 * MB },
      dtypes: { x: 'bf16', weight: 'bf16' },
    },
  );

  test('median, percentiles and ratio come from the samples', () => {
    expect(row).toMatchObject({ median: 2e-4, samples: 3, ratio: 2, share: 0.5, threads: 1 });
    expect(row.p10).toBeCloseTo(1.2e-4, 12);
    expect(row.p90).toBeCloseTo(2.8e-4, 12);
    expect(row.notes).toEqual({ opsPerRun: 42, runsPerWait: 3, weights: 42, weightBytes: 1050 * MB });
  });

  test('the table has microseconds, the ratio, rates and what was rotated', () => {
    const line = table([row]).split('\n')[2];
    // 2e7 flops in 200 us: 100 Gflop/s; 1e6 bytes: 5 GB/s
    expect(line?.split(/\s{2,}/)).toEqual([
      'linear',
      'one row',
      '1',
      '200',
      '120',
      '280',
      '298',
      '100',
      '50.0 %',
      'flops',
      '100',
      '5.00',
      '42 weights in turn, 1050 MB',
    ]);
  });

  test('three digits, never an exponent', () => {
    expect([1234.5, 12.345, 0.12345, 0.00001234, 0].map(digits)).toEqual(['1235', '12.3', '0.123', '0.0000123', '0']);
  });
});

describe('the harness', () => {
  const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

  test('gives seconds per call of a promise', async () => {
    let calls = 0;
    const samples = await time(
      'waits 5 ms',
      async () => {
        calls++;
        await wait(5);
      },
      QUICK,
    );
    expect(samples.length).toBeGreaterThanOrEqual(QUICK.minSamples);
    expect(calls).toBeGreaterThanOrEqual(samples.length);
    // a timer may fire a millisecond early; no upper bound: the machine may be busy
    for (const s of samples) expect(s).toBeGreaterThan(0.0035);
  });

  test('hands on an error that the package would swallow', async () => {
    let calls = 0;
    const failing = async () => {
      if (++calls === 3) throw new Error('the third call failed');
    };
    await expect(time('fails', failing, QUICK)).rejects.toThrow('the third call failed');
  });

  test('takes turns', async () => {
    const order: string[] = [];
    const { a, b } = await interleave(
      3,
      async () => void order.push('a'),
      async () => void order.push('b'),
    );
    expect(order.join('')).toBe('abababab');
    expect([a.length, b.length]).toEqual([3, 3]);
  });
});
