import { describe, expect, test } from 'vitest';
import { barChart, type DemoResults, demoTable, renderReport } from '../../lib/cli/demo-report.js';
import { Image } from '../../lib/io/image.js';
import { summarize } from '../../lib/profile/report.js';
import { event } from '../profile/kit.js';

/** Two jobs of 100 and 60 ns with 20 ns between them; the first holds two ops, the second one. */
const EVENTS = [
  event('linear', 1010, 1050),
  event('rms_norm', 1050, 1070),
  event('', 1000, 1100),
  event('linear', 1130, 1170),
  event('', 1120, 1180),
];

test('no events are no division by zero', () => {
  expect(barChart(summarize([]))).not.toContain('NaN');
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
