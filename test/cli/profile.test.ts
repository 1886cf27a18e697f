import { describe, expect, test } from 'vitest';
import { barChart, type DemoResults, demoTable, renderReport } from '../../lib/cli/demo-report.js';
import { ops } from '../../lib/index.js';
import { Image } from '../../lib/io/image.js';
import { familyOf, type ProfileEvent } from '../../lib/profile/events.js';
import { formatReport, summarize } from '../../lib/profile/report.js';
import { formatTable } from '../../lib/profile/table.js';
import { traceChunks } from '../../lib/profile/trace.js';
import { Context, opContracts } from '../../lib/tensor/context.js';

const event = (op: string, startNs: number, endNs: number, flops = 0, bytes = 0): ProfileEvent => ({
  op,
  startNs,
  endNs,
  flops,
  bytes,
  threads: 1,
  shape: op === '' ? '' : 'x f32 [1, 4]',
});

/** Two jobs of 100 and 60 ns with 20 ns between them; the first holds two ops, the second one. */
const EVENTS = [
  event('linear', 1010, 1050, 4000, 80),
  event('rms_norm', 1050, 1070, 100, 200),
  event('', 1000, 1100),
  event('linear', 1130, 1170, 4000, 80),
  event('', 1120, 1180),
];

const traceOf = (events: readonly ProfileEvent[]) =>
  JSON.parse(Buffer.concat([...traceChunks(events, { device: 'cpu' })]).toString()) as {
    displayTimeUnit: string;
    otherData: Record<string, unknown>;
    traceEvents: { name: string; ph: string; tid: number; ts?: number; dur?: number; args?: Record<string, unknown> }[];
  };

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

  test('no events are no division by zero', () => {
    const report = summarize([]);
    expect(report.timeline).toEqual({ span: 0, ops: 0, jobs: 0, waiting: 0 });
    expect(formatReport(report)).not.toContain('NaN');
    expect(barChart(report)).not.toContain('NaN');
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
    const trace = traceOf(events);
    const jobs = trace.traceEvents.filter(({ ph, tid }) => ph === 'X' && tid === 1);
    const opEvents = trace.traceEvents.filter(({ ph, tid }) => ph === 'X' && tid === 2);
    expect(opEvents).toHaveLength(3);
    for (const op of opEvents) {
      const start = op.ts ?? Number.NaN;
      const end = start + (op.dur ?? Number.NaN);
      // microseconds as doubles: a nanosecond of slack
      const holder = jobs.find((job) => (job.ts ?? 0) <= start + 1e-3 && end <= (job.ts ?? 0) + (job.dur ?? 0) + 1e-3);
      expect(holder).toBeDefined();
    }
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

test('the trace has one process, two named tracks, times from the first event and the cost of each op', () => {
  const trace = traceOf(EVENTS);
  expect(trace.displayTimeUnit).toBe('ms');
  expect(trace.otherData).toEqual({ device: 'cpu' });
  const names = trace.traceEvents.filter(({ ph }) => ph === 'M').map(({ args }) => args?.name);
  expect(names).toEqual(['hyper-bagel', 'executor jobs', 'ops']);
  const spans = trace.traceEvents.filter(({ ph }) => ph === 'X');
  expect(spans).toHaveLength(EVENTS.length);
  expect(spans[0]).toMatchObject({
    name: 'linear',
    tid: 2,
    ts: 0.01,
    dur: 0.04,
    args: { shape: 'x f32 [1, 4]', flops: 4000, bytes: 80, threads: 1 },
  });
  expect(spans[2]).toMatchObject({ name: 'job', tid: 1, ts: 0, dur: 0.1 });
});

test('a trace of more events than one part holds is one JSON document', () => {
  const many = Array.from({ length: 10_000 }, (_, i) => event('linear', i * 10, i * 10 + 5));
  expect(traceOf(many).traceEvents).toHaveLength(10_003);
  expect(traceOf([]).traceEvents).toHaveLength(3);
});

test('a table aligns text to the left and numbers to the right', () => {
  const text = formatTable([
    ['op', 'ms'],
    ['linear', '1.50'],
    ['norm', '12.25'],
  ]);
  expect(text).toBe('op         ms\n------  -----\nlinear   1.50\nnorm    12.25\n');
});

describe('report.html', () => {
  const image = Image.fromRaw(new Uint8Array(2 * 2 * 3).fill(200), 2, 2);
  const results: DemoResults = {
    machine: 'cpu (scalar, 1 threads), f32',
    loadSeconds: 0.5,
    answers: [
      {
        image,
        question: 'is <b> bold & "quoted"?',
        answer: [
          { text: 'yes', drafted: true },
          { text: ' <script>', drafted: false },
        ],
      },
    ],
    drawings: [{ image, prompt: 'a circle' }],
    edits: [{ source: image, image, instruction: 'make it red' }],
    rows: [
      { task: 'ask', kind: 'ask', steps: 3, evaluations: 3, seconds: 0.25, tokensPerSecond: 12 },
      { task: 'draw', kind: 'draw', steps: 50, evaluations: 90, seconds: 1.5 },
    ],
    profiles: [{ title: 'answers', report: summarize(EVENTS) }],
  };

  test('needs no other file, and text in it is text', async () => {
    const html = await renderReport(results);
    const images = [...html.matchAll(/<img [^>]*src="data:image\/png;base64,([^"]+)"/g)].map(([, data]) => data ?? '');
    expect(images).toHaveLength(4);
    for (const data of images) expect(Buffer.from(data, 'base64').subarray(1, 4).toString()).toBe('PNG');
    expect(html.match(/(?:src|href)="(?!data:)/g)).toBeNull();
    expect(html).not.toContain('<script>');
    expect(html).toContain('is &lt;b&gt; bold &amp; &quot;quoted&quot;?');
    expect(html).toContain('<td class="n">90</td>');
  });

  test('has a bar for every family of ops and for the time outside ops', () => {
    const svg = barChart(summarize(EVENTS));
    const bars = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width));
    expect(bars).toHaveLength(4);
    expect(Math.max(...bars)).toBe(bars[0]);
    expect((bars[1] ?? 0) / (bars[0] ?? 1)).toBeCloseTo(20 / 80, 2);
    for (const label of ['linear', 'norms and RoPE', 'dispatch and copies', 'waiting for the host']) {
      expect(svg).toContain(label);
    }
  });

  test('the table leaves out tokens/s where there are no tokens', () => {
    expect(demoTable(results.rows)).toEqual([
      ['task', 'steps', 'network evaluations', 'time s', 'tokens/s'],
      ['ask', '3', '3', '0.25', '12.0'],
      ['draw', '50', '90', '1.50', ''],
    ]);
  });
});
