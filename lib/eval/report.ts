import { escapeHtml, htmlPage, htmlTable } from '../io/html.js';
import { Image } from '../io/image.js';
import type { Comparison } from './compare.js';
import type { EditsLine } from './edits.js';
import { EDITS_SUITE } from './edits.js';
import type { SuitePictures } from './evaluate.js';
import type { Sample } from './fidelity.js';
import type { ShapesLine } from './shapes.js';
import { SHAPES_SUITE } from './shapes.js';
import type { PictureTask } from './suite.js';
import type { Table } from './tables.js';
import type { VqaRecord } from './vqa.js';
import { CATEGORIES, EDITS, IMAGE_SIDE, QUESTION_TYPES } from './world/index.js';

/** All that the report shows. */
export interface ReportContent {
  /** As "cpu (avx512, 2 threads), bf16; euler:50". */
  readonly about: string;
  readonly tables: readonly { readonly title: string; readonly note?: string; readonly table: Table }[];
  readonly comparisons: readonly (readonly [suite: string, comparison: Comparison])[];
  /** SVG, and the sheet beside it, when methods were compared. */
  readonly plot?: string;
  readonly sheet?: Image;
  /** Pictures of one method. */
  readonly gallery: {
    readonly method: string;
    readonly shapes?: SuitePictures<ShapesLine>;
    readonly edits?: SuitePictures<EditsLine>;
  };
  readonly editTasks: readonly PictureTask<unknown>[];
  readonly answers: readonly VqaRecord[];
}

const STYLE = `
.wide { overflow-x: auto; font-size: 0.85rem; }
.sheet { display: flex; flex-wrap: wrap; gap: 6px; }
.item { line-height: 0; } .item img { width: 64px; height: 64px; border: 2px solid #2c7d4f; }
.item.fail img { border-color: #c0392b; border-style: dashed; }
td { vertical-align: top; } pre { white-space: pre-wrap; margin: 0; font-size: 0.8rem; }
`;
/** Wrong answers shown of each type, and differences from a recorded evaluation shown of each suite. */
const SHOWN_ANSWERS = 3;
const SHOWN_DIFFERENCES = 50;

/** One HTML page that needs no other file. */
export async function evaluationReport(content: ReportContent): Promise<string> {
  const { about, tables, comparisons, plot, sheet, gallery, editTasks, answers } = content;
  const parts = [`<h1>hyper-bagel evaluation</h1>\n<p class="about">${escapeHtml(about)}</p>`];
  for (const { title, note, table } of tables) {
    const names = table[0]?.[1] === 'figure' ? 2 : 1;
    parts.push(`<h2>${escapeHtml(title)}</h2>\n<div class="wide">${htmlTable(table, names)}</div>`);
    if (note !== undefined) parts.push(`<p class="about">${escapeHtml(note)}</p>`);
  }
  if (plot !== undefined) parts.push(`<h2>Quality against network evaluations</h2>\n<div class="wide">${plot}</div>`);
  if (sheet) {
    parts.push(
      `<h2>The same prompts by every method</h2>\n<div class="wide"><img alt="contact sheet" src="${await dataUri(sheet)}"></div>`,
    );
  }
  for (const [suite, comparison] of comparisons) parts.push(differencesHtml(suite, comparison));
  if (gallery.shapes) parts.push(await shapesHtml(gallery.method, gallery.shapes));
  if (gallery.edits) parts.push(await editsHtml(gallery.method, gallery.edits, editTasks));
  if (answers.length > 0) parts.push(answersHtml(answers));
  return htmlPage('hyper-bagel evaluation', STYLE, parts.join('\n'));
}

async function shapesHtml(method: string, { lines, samples }: SuitePictures<ShapesLine>): Promise<string> {
  const found = items(samples);
  const sections = CATEGORIES.map(async (category) => {
    const own = lines.filter((line) => line.category === category);
    if (own.length === 0) return '';
    const pictures = own.map((line) => itemHtml(found.get(SHAPES_SUITE.keyOf(line)), line.prompt, line.ok));
    return `<h3>${category}: ${own.filter(({ ok }) => ok).length} of ${own.length}</h3>\n<div class="sheet">${(await Promise.all(pictures)).join('')}</div>`;
  });
  const note = 'Solid frames: the picture shows what the prompt says. Hover for the prompt.';
  return `<h2>Drawings by ${escapeHtml(method)}</h2>\n<p class="about">${note}</p>\n${(await Promise.all(sections)).join('\n')}`;
}

async function editsHtml(
  method: string,
  { lines, samples }: SuitePictures<EditsLine>,
  tasks: readonly PictureTask<unknown>[],
): Promise<string> {
  const found = items(samples);
  const sources = new Map(tasks.map(({ key, source }) => [key, source?.data]));
  const sections = EDITS.map(async (op) => {
    const own = lines.filter((line) => line.op === op);
    if (own.length === 0) return '';
    const pictures = own.map(async (line) => {
      const key = EDITS_SUITE.keyOf(line);
      const pair = [sources.get(key), found.get(key)].map((pixels) => itemHtml(pixels, line.instruction, line.success));
      return `<div>${(await Promise.all(pair)).join('')}</div>`;
    });
    return `<h3>${op}: ${own.filter(({ success }) => success).length} of ${own.length}</h3>\n<div class="sheet">${(await Promise.all(pictures)).join('')}</div>`;
  });
  const note = 'Source above, result below. Hover for the instruction.';
  return `<h2>Edits by ${escapeHtml(method)}</h2>\n<p class="about">${note}</p>\n${(await Promise.all(sections)).join('\n')}`;
}

function items(samples: readonly Sample[]): Map<string, Uint8Array> {
  return new Map(samples.filter(({ variant }) => variant === 0).map(({ key, pixels }) => [key, pixels]));
}

async function itemHtml(pixels: Uint8Array | undefined, text: string, ok: boolean): Promise<string> {
  if (pixels === undefined) return '';
  const title = escapeHtml(text);
  const source = await dataUri(Image.fromRaw(pixels, IMAGE_SIDE, IMAGE_SIDE));
  return `<div class="item${ok ? '' : ' fail'}"><img alt="${title}" title="${title}" src="${source}"></div>`;
}

async function dataUri(image: Image): Promise<string> {
  return `data:image/png;base64,${(await image.toBuffer('png')).toString('base64')}`;
}

function differencesHtml(suite: string, { differences }: Comparison): string {
  if (differences.length === 0) return '';
  const rows = differences
    .slice(0, SHOWN_DIFFERENCES)
    .map(({ item, recorded, ours, sameVerdict }) => [item, recorded, ours, sameVerdict ? 'same' : 'other']);
  const more = differences.length > rows.length ? `, ${rows.length} of them here` : '';
  const table = htmlTable([['item', 'recorded', 'here', 'verdict'], ...rows], 4);
  return `<h2>${escapeHtml(suite)}: ${differences.length} items differ from the recorded evaluation${more}</h2>\n<div class="wide">${table}</div>`;
}

function answersHtml(answers: readonly VqaRecord[]): string {
  const rows = QUESTION_TYPES.flatMap((type) =>
    answers
      .filter((record) => record.type === type && !record.ok)
      .slice(0, SHOWN_ANSWERS)
      .map(({ question, expected, answer }) => [type, question, expected, answer]),
  );
  if (rows.length === 0) return '';
  return `<h2>Some wrong answers</h2>\n<div class="wide">${htmlTable([['type', 'question', 'right', 'answer'], ...rows], 4)}</div>`;
}
