import { describe, expect, test } from 'vitest';
import { ops } from '../../lib/index.js';
import { familyOf } from '../../lib/profile/events.js';
import { formatReport, summarize } from '../../lib/profile/report.js';
import { formatTable } from '../../lib/profile/table.js';
import { Context, opContracts } from '../../lib/tensor/context.js';
import { event, range } from './kit.js';

const costing = (flops: number, bytes: number) => ({ flops, bytes });

/** Two jobs of 100 and 60 ns with 20 ns between them; the first holds two ops, the second one. */
const EVENTS = [
  event('linear', 1010, 1050, costing(4000, 80)),
  event('rms_norm', 1050, 1070, costing(100, 200)),
  event('', 1000, 1100),
  event('linear', 1130, 1170, costing(4000, 80)),
  event('', 1120, 1180),
];

describe('report', () => {
  test('adds up calls by op and splits the executor time', () => {
    const { rows, timeline } = summarize(EVENTS);
    expect(rows.map(({ name, calls, flops, bytes }) => [name, calls, flops, bytes])).toEqual([
      ['linear', 2, 8000, 160],
      ['rms_norm', 1, 100, 200],
    ]);
    expect(rows[0]?.seconds).toBeCloseTo(80e-9, 15);
    expect(rows[0]?.share).toBeCloseTo(0.8, 12);
    expect(rows[0]?.ofRoofline).toBeUndefined();
    expect(timeline.span).toBeCloseTo(180e-9, 15);
    expect(timeline.ops).toBeCloseTo(100e-9, 15);
    expect(timeline.jobs).toBeCloseTo(60e-9, 15);
    expect(timeline.waiting).toBeCloseTo(20e-9, 15);
  });

  test('the share of the roofline takes the tighter bound of each call', () => {
    // 1e11 flop/s: 40 ns a linear; 5 GB/s: 16 ns a linear, 40 ns the norm, which took 20
    const { rows } = summarize(EVENTS, { flops: 1e11, bytesPerSecond: 5e9 });
    expect(rows.find(({ name }) => name === 'linear')?.ofRoofline).toBeCloseTo(1, 9);
    expect(rows.find(({ name }) => name === 'rms_norm')?.ofRoofline).toBeCloseTo(2, 9);
    expect(formatReport(summarize(EVENTS, { flops: 1e11, bytesPerSecond: 5e9 }))).toContain('of roofline');
  });

  test('a roofline may depend on the call', () => {
    const { rows } = summarize(EVENTS, ({ op }) => ({ flops: op === 'linear' ? 2e11 : 1e11, bytesPerSecond: 1e10 }));
    expect(rows.find(({ name }) => name === 'linear')?.ofRoofline).toBeCloseTo(0.5, 9);
    expect(rows.find(({ name }) => name === 'rms_norm')?.ofRoofline).toBeCloseTo(1, 9);
  });

  test('ranges of one kind are one row below the one that they are in', () => {
    const answer = range('answer');
    const round = range('round');
    const run = (start: number) => [
      event('linear', start, start + 4, { ...costing(100, 20), range: range('layer 0', round) }),
      event('linear', start + 5, start + 8, { ...costing(100, 20), range: range('layer 1', round) }),
      event('', start, start + 10, { activity: answer }),
    ];
    const { ranges } = summarize([...run(0), ...run(40)], { flops: 1e11, bytesPerSecond: 1e10 });
    expect(ranges.map(({ depth, name, calls, flops, bytes }) => [depth, name, calls, flops, bytes])).toEqual([
      [0, 'answer', 1, 400, 80],
      [1, 'round', 2, 400, 80],
      [2, 'layer', 4, 400, 80],
    ]);
    const round1 = ranges[1];
    expect(round1?.seconds).toBeCloseTo(20e-9, 15);
    expect(round1?.share).toBeCloseTo(20 / 50, 12);
    expect(round1?.ofRoofline).toBeCloseTo(8 / 20, 9); // 2 ns a call
  });

  test('no events are no division by zero', () => {
    const report = summarize([]);
    expect(report.timeline).toEqual({ span: 0, ops: 0, jobs: 0, waiting: 0 });
    expect(formatReport(report)).not.toContain('NaN');
  });

  test('a real context: ops within their jobs, nothing above the span', async () => {
    const cx = await Context.create({ device: 'cpu', threads: 1 });
    const x = cx.tensor('f32', [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]);
    const weight = cx.tensor('f32', [4], [1, 1, 1, 1]);
    await cx.sync();
    cx.profileStart();
    for (let i = 0; i < 3; i++) ops.rmsNorm(cx, { x, weight });
    await cx.sync();
    const events = cx.profileStop();
    await cx.dispose();
    const { rows, timeline } = summarize(events);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.calls).toBe(3);
    expect(rows[0]?.bytes).toBeGreaterThan(0);
    expect(timeline.ops).toBeGreaterThan(0);
    expect(timeline.ops + timeline.jobs + timeline.waiting).toBeCloseTo(timeline.span, 9);
  });
});

test('only ops that move or convert data have no family of their own', () => {
  const families = new Map([...opContracts().keys()].map((op) => [op, familyOf(op)]));
  expect([...new Set(families.values())].sort()).toEqual([
    'attention',
    'convolution and pixels',
    'embeddings',
    'linear',
    'norms and RoPE',
    'other',
    'sampling and solver',
    'speculation',
  ]);
  const others = [...families].filter(([, family]) => family === 'other').map(([op]) => op);
  expect(others.filter((op) => !/cast|concat|copy/i.test(op))).toEqual([]);
  expect(families.get('linear')).toBe('linear');
  expect([...families].filter(([op]) => /attention/i.test(op)).every(([, family]) => family === 'attention')).toBe(
    true,
  );
});

test('a table aligns text to the left and numbers to the right', () => {
  const text = formatTable([
    ['op', 'ms'],
    ['linear', '1.50'],
    ['norm', '12.25'],
  ]);
  expect(text).toBe('op         ms\n------  -----\nlinear   1.50\nnorm    12.25\n');
});
