// From events to ranges, and from ranges to a trace: by hand.
import { describe, expect, test } from 'vitest';
import { flameChart } from '../../lib/profile/flame.js';
import { lanesOf, rangeTree, titled } from '../../lib/profile/ranges.js';
import { event, range, readTrace, traceOf } from './kit.js';

const answer = range('answer');
const program = range('round');
const layers = [range('layer 0', program), range('layer 1', program)] as const;

/** A run of a program with two layers of an op each, and an op behind them. */
const run = (start: number, activity = answer) => [
  event('linear', start + 10, start + 20, { range: layers[0], flops: 8 }),
  event('linear', start + 22, start + 30, { range: layers[1], flops: 8 }),
  event('emit', start + 30, start + 35, { range: program }),
  event('', start, start + 40, { activity }),
];

describe('ranges', () => {
  test('each run of a program has its own, in the ranges that its job was queued in', () => {
    const text = range('text');
    const eager = [
      event('embedding', 0, 10),
      event('', 0, 12, { activity: answer, range: text }),
      event('linear', 14, 20),
      event('', 13, 22, { activity: answer, range: range('layer 0', text) }),
    ];
    const { slices } = traceOf(rangeTree([...eager, ...run(100), ...run(200)]));
    expect(slices.map(({ path }) => path.join(' > '))).toEqual([
      'answer',
      'answer > text',
      'answer > text > embedding',
      'answer > text > layer 0',
      'answer > text > layer 0 > linear',
      ...[1, 2].flatMap(() => [
        'answer > round',
        'answer > round > layer 0',
        'answer > round > layer 0 > linear',
        'answer > round > layer 1',
        'answer > round > layer 1 > linear',
        'answer > round > emit',
      ]),
    ]);
    // a program's range is as long as its job, a layer's as its ops
    expect(slices.filter(({ name }) => name === 'round').map(({ ts, dur }) => [ts, dur])).toEqual([
      [0.1, 0.04],
      [0.2, 0.04],
    ]);
    expect(slices.find(({ name }) => name === 'layer 1')).toMatchObject({ ts: 0.122, dur: 0.008 });
  });

  test('two entries into a range of one name are two ranges', () => {
    const jobs = [0, 100].flatMap((start) => [
      event('linear', start, start + 5),
      event('', start, start + 6, { range: range('text') }),
    ]);
    expect(rangeTree(jobs).map(({ startNs, endNs }) => [startNs, endNs])).toEqual([
      [0, 5],
      [100, 105],
    ]);
  });

  test('activities that take turns are on tracks of their own', () => {
    const other = range('drawing');
    const top = rangeTree([...run(0), ...run(100, other), ...run(200), ...run(300, other), ...run(400, range('next'))]);
    expect(lanesOf(top).map((lane) => lane.length)).toEqual([2, 1]);
    const { slices, tracks } = traceOf(titled('all', top));
    expect(tracks).toEqual(['executor', 'executor, taking turns (2)']);
    expect(slices.filter(({ tid }) => tid === 2).every(({ path }) => path[0] === 'drawing')).toBe(true);
    expect(slices.filter(({ name }) => name === 'emit').map(({ path }) => path.slice(0, -2).join(' > '))).toEqual([
      'all > answer',
      'all > answer',
      'all > next',
      'drawing',
      'drawing',
    ]);
  });

  test('ops of a job that the profile ends in, jobs without ops, and nothing at all', () => {
    const top = rangeTree([event('', 0, 5, { activity: answer }), ...run(10).slice(0, 2)]);
    expect(traceOf(top).slices.map(({ path }) => path.join(' > '))).toEqual([
      'answer',
      'answer > copy',
      'round',
      'round > layer 0',
      'round > layer 0 > linear',
      'round > layer 1',
      'round > layer 1 > linear',
    ]);
    expect(titled('all', rangeTree([]))).toEqual([]);
    expect(traceOf([]).slices).toEqual([]);
  });
});

describe('trace', () => {
  test('times are from the first event, and ops have their cost', () => {
    const { slices, about, tracks } = traceOf(rangeTree(run(1000)), { device: 'cpu' });
    expect(about).toEqual({ device: 'cpu' });
    expect(tracks).toEqual(['executor']);
    expect(slices[0]).toMatchObject({ name: 'answer', cat: 'range', ts: 0, dur: 0.04 });
    expect(slices[3]).toMatchObject({
      name: 'linear',
      cat: 'op',
      ts: 0.01,
      dur: 0.01,
      args: { shape: 'x f32 [1, 4]', flops: 8, bytes: 0, threads: 1 },
    });
  });

  test('more events than one piece holds are one JSON document', () => {
    const many = Array.from({ length: 3000 }, (_, i) => run(i * 100)).flat();
    expect(traceOf(rangeTree(many)).slices).toHaveLength(1 + 3000 * 6);
  });

  test('the validator refuses what overlaps, and what is no event', () => {
    const slice = (ts: number, dur: number) => ({ name: 'x', cat: 'op', ph: 'X', pid: 1, tid: 1, ts, dur });
    const read = (...traceEvents: object[]) =>
      readTrace(JSON.stringify({ traceEvents, displayTimeUnit: 'ms', otherData: {} })).slices;
    expect(read(slice(0, 10), slice(2, 8), slice(10, 1)).map(({ within }) => within)).toEqual([[], [0], []]);
    expect(() => read(slice(0, 10), slice(2, 9))).toThrow('overlaps');
    expect(() => read(slice(5, 10), slice(2, 1))).toThrow('before');
    expect(() => read(slice(0, -1))).toThrow('no time');
    expect(() => read({ ...slice(0, 1), ph: 'B' })).toThrow('neither');
  });
});

test('a flame chart shows everything, and the middle one of what comes often', () => {
  const svg = flameChart(titled('ask <what?>', rangeTree([0, 100, 200].flatMap((start) => run(start)))));
  expect(svg).toMatch(/^<svg xmlns=[^>]* viewBox="0 0 1200 \d+">/);
  expect(svg).toContain('ask &lt;what?&gt;');
  expect(svg).toContain('one of these: round, 0.0 us');
  // title, answer, 3 rounds of 2 layers and 3 ops; then one of the rounds; the ground and a key per family
  const boxes = svg.match(/<rect /g)?.length;
  expect(boxes).toBe(2 + 3 * 6 + 6 + 1 + 2);
  expect(svg).not.toContain('NaN');
});
