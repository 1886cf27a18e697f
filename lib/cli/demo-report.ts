import type { Image } from '../index.js';
import { escapeHtml, htmlPage, htmlTable } from '../io/html.js';
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
  /** An answer as runs of text, drafted ones and those of the model's own steps. */
  answers: { image: Image; question: string; answer: { text: string; drafted: boolean }[] }[];
  drawings: { image: Image; prompt: string }[];
  edits: { source: Image; image: Image; instruction: string }[];
  rows: DemoRow[];
  /** Where the time went, by kind of task. */
  profiles: { title: string; report: ProfileReport }[];
}

const STYLE = `
.row { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; width: 192px; }
figure img { width: 192px; height: 192px; object-fit: contain; image-rendering: pixelated; border: 1px solid #d9d9d9; }
figcaption { font-size: 0.85rem; color: #404040; }
.edit { display: flex; gap: 0.75rem; align-items: center; }
dl { margin: 0; flex: 1; min-width: 16rem; } dt { font-weight: 600; } dd { margin: 0 0 0.75rem; }
mark { background: #cfe6cf; color: inherit; }
svg text { font: 13px system-ui, sans-serif; fill: #1c1c1c; }
`;

/** The demo's results as one HTML page that needs no other file. */
export async function renderReport(results: DemoResults): Promise<string> {
  const answers = await Promise.all(results.answers.map(answerHtml));
  const drawings = await Promise.all(results.drawings.map(({ image, prompt }) => figure(image, prompt)));
  const edits = await Promise.all(results.edits.map(editHtml));
  return htmlPage(
    'hyper-bagel demo',
    STYLE,
    `<h1>hyper-bagel demo</h1>
<p class="about">${escapeHtml(results.machine)}; loaded in ${results.loadSeconds.toFixed(2)} s</p>
<h2>Answers</h2>
<p class="about"><mark>Drafted</mark> text was guessed ahead and confirmed by the model, several tokens per step.</p>
${answers.join('\n')}
<h2>Drawings</h2>
<div class="row">${drawings.join('\n')}</div>
<h2>Edits</h2>
<div class="row">${edits.join('\n')}</div>
<h2>Timing</h2>
${htmlTable(demoTable(results.rows))}
<h2>Where the time went</h2>
${results.profiles.map(({ title, report }) => `<h3>${escapeHtml(title)}</h3>\n${barChart(report)}`).join('\n')}`,
  );
}

async function answerHtml({ image, question, answer }: DemoResults['answers'][number]): Promise<string> {
  const text = `<dl><dt>${escapeHtml(question)}</dt><dd>${answer.map(runHtml).join('')}</dd></dl>`;
  return `<div class="row">${await figure(image, '')}${text}</div>`;
}

function runHtml({ text, drafted }: { text: string; drafted: boolean }): string {
  return drafted ? `<mark>${escapeHtml(text)}</mark>` : escapeHtml(text);
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
