import type { Comparison } from './compare.js';
import type { EditFigures, EditsScores } from './edits.js';
import type { MethodResult } from './results.js';
import type { ShapesScores } from './shapes.js';
import type { VqaScores } from './vqa.js';
import { ATTRIBUTES, CATEGORIES, EDITS, QUESTION_TYPES } from './world/index.js';

/** Rows of cells; the first is the head. */
export type Table = readonly (readonly string[])[];

/** Shares of right pictures by category, one row for each evaluation given. */
export function shapesTable(rows: readonly (readonly [name: string, scores: ShapesScores])[]): Table {
  return [
    ['ShapeEval', ...CATEGORIES, 'overall (first six)'],
    ...rows.map(([name, { categories, overall }]) => [
      name,
      ...CATEGORIES.map((category) => share(categories[category])),
      share(overall),
    ]),
  ];
}

/** Success by op; and what instruction, preservation and PSNR are over all. */
export function editsTable(rows: readonly (readonly [name: string, scores: EditsScores])[]): Table {
  const figures: readonly [string, (of: EditFigures | undefined) => string][] = [
    ['success', (of) => share(of?.success)],
    ['instruction', (of) => share(of?.instruct)],
    ['preservation', (of) => share(of?.keep)],
    ['PSNR outside, dB', (of) => number(of?.psnr, 1)],
  ];
  return [
    ['EditEval', 'figure', ...EDITS, 'overall'],
    ...rows.flatMap(([name, { ops, overall }]) =>
      figures.map(([figure, text]) => [name, figure, ...EDITS.map((op) => text(ops[op])), text(overall)]),
    ),
  ];
}

/** Shares of right answers, a row for each type of question and a column for each evaluation given. */
export function vqaTable(columns: readonly (readonly [name: string, scores: VqaScores])[]): Table {
  const row = (name: string, of: (scores: VqaScores) => number | undefined) => [
    name,
    ...columns.map(([, scores]) => share(of(scores))),
  ];
  return [
    ['VQA', ...columns.map(([name]) => name)],
    ...QUESTION_TYPES.map((type) => row(type, ({ types }) => types[type])),
    row('mean of the short types', ({ short }) => short),
    row('mean of describe and json', ({ long }) => long),
  ];
}

/** How many items agree with the recorded evaluation. */
export function comparisonTable(comparisons: readonly (readonly [suite: string, comparison: Comparison])[]): Table {
  return [
    ['item by item', 'items', 'same scene or answer', 'same verdict', 'share the same'],
    ...comparisons.map(([suite, { items, sameOutcome, sameVerdict }]) => [
      suite,
      String(items),
      String(sameOutcome),
      String(sameVerdict),
      share(items === 0 ? undefined : sameOutcome / items),
    ]),
  ];
}

/** The measuring stick: scores, nearness to the teacher, and cost of each method. */
export function methodsTable(results: readonly MethodResult[]): Table {
  const columns: readonly Column[] = [
    ['method', ({ method, isReference }) => (isReference ? `${method} *` : method)],
    ['NFE', ({ shapes }) => number(shapes?.cost.nfe, 0)],
    ['ms', ({ shapes }) => number(shapes?.cost.ms, 0)],
    ['shapes', ({ shapes }) => share(shapes?.scores.overall)],
    ['dense', ({ shapes }) => share(shapes?.scores.categories.dense)],
    ['PSNR dB', ({ shapes }) => near(shapes?.nearness?.psnr, 1)],
    ['latents', ({ shapes }) => number(shapes?.nearness?.latents, 3)],
    ['edit NFE', ({ edits }) => number(edits?.cost.nfe, 0)],
    ['edit ms', ({ edits }) => number(edits?.cost.ms, 0)],
    ['success', ({ edits }) => share(edits?.scores.overall.success)],
    ['instruction', ({ edits }) => share(edits?.scores.overall.instruct)],
    ['preservation', ({ edits }) => share(edits?.scores.overall.keep)],
    ['outside dB', ({ edits }) => number(edits?.scores.overall.psnr, 1)],
    ['edit PSNR dB', ({ edits }) => near(edits?.nearness?.psnr, 1)],
    ['edit latents', ({ edits }) => number(edits?.nearness?.latents, 3)],
  ];
  return filled(columns, results);
}

/** The distribution of the drawings: few-step-denoising 5.6. */
export function fidelityTable(results: readonly MethodResult[]): Table {
  const of = ({ shapes }: MethodResult) => shapes?.distribution;
  const teacher = results.find(({ shapes }) => shapes !== undefined && shapes.nearness === undefined);
  const most = teacher && of(teacher)?.diversity;
  const columns: readonly Column[] = [
    ['method', ({ method, isReference }) => (isReference ? `${method} *` : method)],
    ['KID', (result) => number(of(result)?.kid, 3)],
    ['+-', (result) => number(of(result)?.kidError, 3)],
    ['channels %', ({ shapes }) => number(scaled(shapes?.nearness?.channels, 100), 1)],
    ['colours', ({ shapes }) => number(shapes?.nearness?.colours, 3)],
    ['diversity', (result) => number(of(result)?.diversity, 1)],
    ['of teacher', (result) => (most ? share(scaled(of(result)?.diversity, 1 / most)) : '')],
    ['precision', (result) => share(of(result)?.precision)],
    ['recall', (result) => share(of(result)?.recall)],
    ['density', (result) => share(of(result)?.density)],
    ['coverage', (result) => share(of(result)?.coverage)],
    ...ATTRIBUTES.map((name): Column => [name, ({ shapes }) => share(shapes?.scores.attributes[name])]),
  ];
  return filled(columns, results);
}

type Column = readonly [head: string, text: (result: MethodResult) => string];

/** Without columns that have nothing to say. */
function filled(columns: readonly Column[], results: readonly MethodResult[]): Table {
  const shown = columns.filter(([, text]) => results.some((result) => text(result) !== ''));
  return [shown.map(([head]) => head), ...results.map((result) => shown.map(([, text]) => text(result)))];
}

function scaled(value: number | null | undefined, factor: number): number | undefined {
  return value === null || value === undefined ? undefined : value * factor;
}

function share(value: number | undefined): string {
  return number(value, 3);
}

function number(value: number | null | undefined, digits: number): string {
  return value === null || value === undefined || Number.isNaN(value) ? '' : value.toFixed(digits);
}

/** As {@link number}; null is no difference at all. */
function near(value: number | null | undefined, digits: number): string {
  return value === null ? 'equal' : number(value, digits);
}
