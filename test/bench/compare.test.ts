import { describe, expect, test } from 'vitest';
import { median, pairedRatio, quantile } from '../../bench/arithmetic.js';
import { peersChart, rowsChart } from '../../bench/charts.js';
import { compareCells } from '../../bench/compare.js';
import type { ContestResult } from '../../bench/peers/contests.js';
import { contestGate } from '../../bench/peers/main.js';
import { measured } from '../../bench/report.js';
import { barChart } from '../../bench/svg.js';
import { takeTurns } from '../../bench/turns.js';
import { processorList, Worker } from '../../bench/worker/child.js';

const turnsOf = (a: number[], b: number[]) => ({ a, b, ratio: pairedRatio(a, b) });

describe('paired ratios', () => {
  test('are of medians, with an interval that holds them and shrinks to nothing without noise', () => {
    const even = pairedRatio([2, 2, 2, 2], [1, 1, 1, 1]);
    expect(even).toEqual({ ratio: 2, low: 2, high: 2 });
    const b = Array.from({ length: 15 }, (_, i) => 1 + (i % 5) / 10);
    const noisy = pairedRatio(
      b.map((x, i) => x * (i % 3 ? 1.5 : 1.4)),
      b,
    );
    expect(noisy.low).toBeLessThanOrEqual(noisy.ratio);
    expect(noisy.high).toBeGreaterThanOrEqual(noisy.ratio);
    expect(noisy.low).toBeGreaterThan(1);
    expect(noisy.high).toBeLessThan(2.2);
  });

  test('a disturbance that meets both sides of a round leaves the interval narrow', () => {
    const disturbed = [1, 1, 9, 1, 8, 1, 1, 7, 1, 1, 1];
    const { low, high } = pairedRatio(
      disturbed.map((x) => 1.2 * x),
      disturbed,
    );
    expect([low, high]).toEqual([expect.closeTo(1.2, 9), expect.closeTo(1.2, 9)]);
  });

  test('are the same each time, and refuse samples of different length', () => {
    const [a, b] = [
      [3, 1, 2, 5],
      [2, 2, 1, 4],
    ];
    expect(pairedRatio(a, b)).toEqual(pairedRatio(a, b));
    expect(() => pairedRatio([1], [1, 2])).toThrow(RangeError);
  });

  test('turns alternate, the first of each does not count, seconds are handed on', async () => {
    const order: string[] = [];
    const side = (name: string, value: number) => async (seconds: number) => {
      order.push(`${name}${seconds}`);
      return value;
    };
    const { a, b, ratio } = await takeTurns(side('a', 3), side('b', 2), 2, 0.1);
    expect(order.join(' ')).toBe('a0.1 b0.1 a0.1 b0.1 a0.1 b0.1');
    expect([a, b, ratio.ratio]).toEqual([[3, 3], [2, 2], 1.5]);
  });

  test('a line says which build is faster, or that the interval holds 1', () => {
    const verdict = (b: number[]) => compareCells('cast', 'small', turnsOf(b, [1e-6, 1e-6, 1e-6]));
    expect(verdict([2e-6, 2e-6, 2e-6])).toEqual([
      'cast',
      'small',
      '1.00',
      '2.00',
      '2.000',
      '2.000 to 2.000',
      'B slower',
    ]);
    expect(verdict([5e-7, 5e-7, 5e-7]).at(-1)).toBe('B faster');
    expect(verdict([1e-6, 9e-7, 1.1e-6]).at(-1)).toBe('no difference seen');
  });
});

const contest: ContestResult = {
  name: 'linear <wide> & "tall"',
  threads: 1,
  isa: 'avx512bf16',
  turns: turnsOf([0.8, 0.8], [1, 1]),
  limit: 0.7,
  floor: { seconds: 0.4, bound: 'flops' },
  errors: { ours: 0, peer: 0 },
  about: '',
};

test('a contest without a promise has no gate, one above its limit fails', () => {
  expect(contestGate({ ...contest, limit: undefined })).toBeUndefined();
  expect(contestGate(contest)).toMatchObject({ passed: false, figure: 0.8, limit: 0.7 });
  expect(contestGate({ ...contest, limit: 0.8 })?.passed).toBe(true);
});

describe('charts', () => {
  const bar = (value: number) => ({ label: 'a', value, text: `${value} ms`, series: 0 });
  const widths = (svg: string) => [...svg.matchAll(/width="([\d.]+)" height="12" fill/g)].map((m) => Number(m[1]));

  test('bars are as long as their values; a mark beyond them sets the scale; what is no number is said', () => {
    const chart = { title: 't', axis: 'x', series: ['s'], bars: [bar(1), bar(0.25), bar(Number.NaN)] };
    expect(widths(barChart(chart))).toEqual([380, 95, 0]);
    expect(widths(barChart({ ...chart, mark: { value: 2, label: 'm' } }))).toEqual([190, 47.5, 0]);
    expect(barChart(chart)).toContain('no figure');
    expect(() => barChart({ ...chart, bars: [] })).not.toThrow();
  });

  test('are well-formed, with labels escaped, for rows and for peers', () => {
    const row = measured(
      { kind: 'op', name: 'linear', case: 'a < b & c' },
      { isa: 'scalar', threads: 1 },
      {
        samples: [2e-4],
        cost: { flops: 1, bytes: 1 },
        floor: { seconds: 1e-4, bound: 'bytes' },
        threads: 1,
        opsPerRun: 1,
        runsPerWait: 1,
        dtypes: {},
      },
    );
    const drawn = rowsChart([row], 'machine');
    expect(drawn).toContain('linear: a &lt; b &amp; c');
    expect(drawn).toContain('>50 %<');
    const peers = peersChart([contest], 'machine');
    expect(peers).toContain('&lt;wide&gt; &amp; &quot;tall&quot;');
    // ours 0.8 of the peer, the floor 0.4
    expect(widths(peers)).toEqual([304, 380, 152]);
    for (const svg of [drawn, peers]) {
      const tags = [...svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)];
      const open: string[] = [];
      for (const [, closing, name = '', single] of tags) {
        if (closing) expect(open.pop()).toBe(name);
        else if (!single) open.push(name);
      }
      expect(open).toEqual([]);
      expect(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg"')).toBe(true);
    }
  });
});

describe('child processes', () => {
  test('processors are listed one by one', () => {
    expect(processorList('0-2,5')).toEqual([0, 1, 2, 5]);
    expect(processorList('7')).toEqual([7]);
    expect(processorList('')).toEqual([]);
  });

  test('two of this build are measured in turns', async () => {
    const [a, b] = [0, 1].map(() => new Worker({ engine: 'ours', threads: 1 })) as [Worker, Worker];
    try {
      const row = { kind: 'op', op: 'linear', case: 'one row' } as const;
      await Promise.all([a.prepare('x', row), b.prepare('x', row)]);
      const [[first], [second]] = [await a.output('x', [0]), await b.output('x', [0])];
      expect(first?.length).toBe(48);
      expect(second).toEqual(first);
      const { a: samples, ratio } = await takeTurns(
        (s) => a.sample('x', s),
        (s) => b.sample('x', s),
        3,
        0.01,
      );
      expect(median(samples)).toBeGreaterThan(0);
      expect(median(samples)).toBeLessThan(0.01);
      expect(ratio.ratio).toBeGreaterThan(0);
      expect(quantile(samples, 1)).toBeLessThan(1);
      await expect(a.prepare('y', { ...row, case: 'none such' })).rejects.toThrow('linear has no case none such');
      await expect(a.sample('z', 1)).rejects.toThrow('nothing is prepared as z');
      await a.drop('x');
      await expect(a.sample('x', 1)).rejects.toThrow('nothing is prepared as x');
    } finally {
      await Promise.all([a.close(), b.close()]);
    }
    await expect(a.describe()).rejects.toThrow('ended');
  });
});
