import type { Image } from '../index.js';
import type { ProfileReport } from '../profile/report.js';

/** One line of the demo's table. */
export interface DemoRow {
  task: string;
  kind: 'ask' | 'draw' | 'edit';
  /** Decoding steps of an answer, solver steps of a picture. */
  steps: number;
  /** Evaluations of the network; guidance takes several per solver step. */
  evaluations: number;
  seconds: number;
  /** Of an answer. */
  tokensPerSecond?: number;
}

/** All that the demo did, for the report. */
export interface DemoResults {
  /** As "cpu (avx512, 2 threads), bf16". */
  machine: string;
  loadSeconds: number;
  answers: { image: Image; question: string; answer: string }[];
  drawings: { image: Image; prompt: string }[];
  edits: { source: Image; image: Image; instruction: string }[];
  rows: DemoRow[];
  /** Where the time went, by kind of task. */
  profiles: { title: string; report: ProfileReport }[];
}

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.25rem; } h2 { font-size: 1.1rem; margin: 2.25rem 0 0.75rem; }
p.about { color: #595959; margin-top: 0; }
.row { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; width: 192px; }
figure img { width: 192px; height: 192px; object-fit: contain; image-rendering: pixelated; border: 1px solid #d9d9d9; }
figcaption { font-size: 0.85rem; color: #404040; }
.edit { display: flex; gap: 0.75rem; align-items: center; }
dl { margin: 0; flex: 1; min-width: 16rem; } dt { font-weight: 600; } dd { margin: 0 0 0.75rem; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { padding: 0.3rem 0.75rem 0.3rem 0; border-bottom: 1px solid #e3e3e3; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; }
svg text { font: 13px system-ui, sans-serif; fill: #1c1c1c; }
h3 { font-size: 0.95rem; margin: 1rem 0 0.25rem; font-weight: 600; }
`;

/** The demo's results as one HTML page that needs no other file. */
export async function renderReport(results: DemoResults): Promise<string> {
  const answers = await Promise.all(results.answers.map(answerHtml));
  const drawings = await Promise.all(results.drawings.map(({ image, prompt }) => figure(image, prompt)));
  const edits = await Promise.all(results.edits.map(editHtml));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hyper-bagel demo</title>
<style>${STYLE}</style>
</head>
<body>
<h1>hyper-bagel demo</h1>
<p class="about">${escapeHtml(results.machine)}; loaded in ${results.loadSeconds.toFixed(2)} s</p>
<h2>Answers</h2>
${answers.join('\n')}
<h2>Drawings</h2>
<div class="row">${drawings.join('\n')}</div>
<h2>Edits</h2>
<div class="row">${edits.join('\n')}</div>
<h2>Timing</h2>
${timingTable(results.rows)}
<h2>Where the time went</h2>
${results.profiles.map(({ title, report }) => `<h3>${escapeHtml(title)}</h3>\n${barChart(report)}`).join('\n')}
</body>
</html>
`;
}

async function answerHtml({ image, question, answer }: DemoResults['answers'][number]): Promise<string> {
  const text = `<dl><dt>${escapeHtml(question)}</dt><dd>${escapeHtml(answer)}</dd></dl>`;
  return `<div class="row">${await figure(image, '')}${text}</div>`;
}

async function editHtml({ source, image, instruction }: DemoResults['edits'][number]): Promise<string> {
  return `<div class="edit">${await figure(source, 'source')}<span>&rarr;</span>${await figure(image, instruction)}</div>`;
}

async function figure(image: Image, caption: string): Promise<string> {
  const png = (await image.toBuffer('png')).toString('base64');
  const text = escapeHtml(caption);
  return (
    `<figure><img alt="${text}" src="data:image/png;base64,${png}">` +
    `${text === '' ? '' : `<figcaption>${text}</figcaption>`}</figure>`
  );
}

function timingTable(rows: readonly DemoRow[]): string {
  const [head = [], ...body] = demoTable(rows);
  const cell = (tag: string) => (text: string, i: number) =>
    `<${tag}${i === 0 ? '' : ' class="n"'}>${escapeHtml(text)}</${tag}>`;
  const lines = body.map((row) => `<tr>${row.map(cell('td')).join('')}</tr>`);
  return `<table><tr>${head.map(cell('th')).join('')}</tr>\n${lines.join('\n')}\n</table>`;
}

/** The demo's table as cells, its head first. */
export function demoTable(rows: readonly DemoRow[]): string[][] {
  return [
    ['task', 'steps', 'network evaluations', 'time s', 'tokens/s'],
    ...rows.map((row) => [
      row.task,
      String(row.steps),
      String(row.evaluations),
      row.seconds.toFixed(2),
      row.tokensPerSecond === undefined ? '' : row.tokensPerSecond.toFixed(1),
    ]),
  ];
}

/** Bars of the executor's time by family of ops, and of its time outside them, as an SVG element. */
export function barChart({ families, timeline }: ProfileReport): string {
  const bars = [
    ...families.map(({ name, seconds }) => ({ name, seconds, outside: false })),
    { name: 'dispatch and copies', seconds: timeline.jobs, outside: true },
    { name: 'waiting for the host', seconds: timeline.waiting, outside: true },
  ];
  const width = 720;
  const labelWidth = 160;
  const valueWidth = 130;
  const pitch = 24;
  const longest = Math.max(...bars.map((bar) => bar.seconds), Number.MIN_VALUE);
  const lines = bars.map(({ name, seconds, outside }, i) => {
    const length = ((width - labelWidth - valueWidth) * seconds) / longest;
    const share = timeline.span > 0 ? (100 * seconds) / timeline.span : 0;
    const y = i * pitch;
    return (
      `<text x="${labelWidth - 8}" y="${y + 16}" text-anchor="end">${escapeHtml(name)}</text>` +
      `<rect x="${labelWidth}" y="${y + 3}" width="${length.toFixed(1)}" height="18" rx="2" fill="${outside ? '#9a9a9a' : '#2f6db5'}"/>` +
      `<text x="${(labelWidth + length + 6).toFixed(1)}" y="${y + 16}">${(seconds * 1e3).toFixed(0)} ms, ${share.toFixed(1)}%</text>`
    );
  });
  const height = bars.length * pitch;
  return `<svg role="img" aria-label="time by family of ops" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n${lines.join('\n')}\n</svg>`;
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, (char) => entities[char] ?? char);
}
