import path from 'node:path';
import type { Image } from '../io/image.js';
import { writeFileAtomic } from '../io/output.js';
import type { Bagel } from '../models/bagel/bagel.js';
import { budgetTable } from './budget-table.js';
import { type Comparison, compareRecords, readRecorded } from './compare.js';
import { EDITS_SUITE, type EditsRecord, editsScores } from './edits.js';
import { Evaluation, type EvaluationPlan, type MethodPictures } from './evaluate.js';
import { qualityPlot } from './plot.js';
import { evaluationReport } from './report.js';
import { type MethodResult, measure, worldPictures } from './results.js';
import { SHAPES_SUITE, type ShapesRecord, shapesScores } from './shapes.js';
import { contactSheet } from './sheet.js';
import { type PictureTask, SUITES, type Suite, type SuiteName } from './suite.js';
import {
  comparisonTable,
  editsTable,
  fidelityTable,
  methodsTable,
  shapesTable,
  type Table,
  vqaTable,
} from './tables.js';
import { VQA_SUITE, type VqaRecord, type VqaScores, vqaScores } from './vqa.js';

/** A recorded evaluation to compare with; suites that it does not hold are absent. */
export interface Recorded {
  readonly shapes?: readonly ShapesRecord[];
  readonly edits?: readonly EditsRecord[];
  readonly vqa?: readonly VqaRecord[];
}

export interface EvaluationResult {
  readonly model: string;
  /** As "cpu (avx512, 2 threads), bf16". */
  readonly machine: string;
  /** What the methods' pictures were compared with; null when there was one method only. */
  readonly teacher: string | null;
  readonly methods: readonly MethodResult[];
  readonly vqa?: VqaScores;
  readonly comparison?: Readonly<Partial<Record<SuiteName, Comparison>>>;
  readonly files: readonly string[];
}

/** Prompts in the contact sheet. */
const SHEET_COLUMNS = 8;

/** Prompts of different categories and, where there are enough, from different noises. */
function sheetColumns<R>(tasks: readonly PictureTask<R>[]): PictureTask<R>[] {
  const items = tasks.filter(({ variant }) => variant === 0);
  // items take the seven categories in turn, so every eighth is of the next category and the next noise
  const stride = items.length >= SHEET_COLUMNS ** 2 ? SHEET_COLUMNS : 1;
  return items.filter((_, i) => i % stride === 0).slice(0, SHEET_COLUMNS);
}

/**
 * Reads `shapes.jsonl`, `edits.jsonl` and `vqa.jsonl` of a folder, as an evaluation leaves them or as test/golden/eval holds them.
 *
 * @throws HyperBagelError IO, also when the folder lacks a suite wanted
 */
export async function readRecordedFolder(folder: string, suites: readonly SuiteName[]): Promise<Recorded> {
  const result: { -readonly [K in keyof Recorded]: Recorded[K] } = {};
  const file = (suite: SuiteName) => path.join(folder, `${suite}.jsonl`);
  if (suites.includes('shapes')) result.shapes = await readRecorded(file('shapes'), SHAPES_SUITE);
  if (suites.includes('edits')) result.edits = await readRecorded(file('edits'), EDITS_SUITE);
  if (suites.includes('vqa')) result.vqa = await readRecorded(file('vqa'), VQA_SUITE);
  return result;
}

/**
 * Runs an evaluation, whose first method is what the others' pictures are compared with, and writes `report.html` and `results.json` to its folder, and with several methods `quality.svg` and `sheet.png`
 * too.
 *
 * @throws HyperBagelError as {@link Evaluation}
 */
export async function runEvaluation(
  bagel: Bagel,
  plan: EvaluationPlan,
  recorded: Recorded = {},
): Promise<{ result: EvaluationResult; tables: readonly { title: string; note?: string; table: Table }[] }> {
  const evaluation = new Evaluation(bagel, plan);
  // not before the first method is done: one that is refused is so at once
  let world: ReturnType<typeof worldPictures> | undefined;
  const columns = sheetColumns(evaluation.shapes);
  const rows: { label: string; pictures: (Uint8Array | undefined)[] }[] = [];
  const methods: MethodResult[] = [];
  let first: MethodPictures | undefined;
  for await (const made of evaluation.methods()) {
    first ??= made;
    if (plan.methods.length > 1) world ??= worldPictures(evaluation.shapes);
    methods.push(measure(made, world ? first : undefined, world));
    const own = new Map(
      made.shapes?.samples.filter(({ variant }) => variant === 0).map((each) => [each.key, each.pixels]),
    );
    rows.push({ label: made.method.name, pictures: columns.map(({ key }) => own.get(key)?.slice()) });
  }
  const answers = await evaluation.answers();
  const common = {
    ...(recorded.shapes ? { shapes: sameItems(SHAPES_SUITE, recorded.shapes, first?.shapes?.lines) } : {}),
    ...(recorded.edits ? { edits: sameItems(EDITS_SUITE, recorded.edits, first?.edits?.lines) } : {}),
    ...(recorded.vqa ? { vqa: sameItems(VQA_SUITE, recorded.vqa, answers) } : {}),
  };
  const comparison = compareAll(first, answers, common);
  const comparisons = SUITES.flatMap((suite) => {
    const each = comparison[suite];
    return each ? [[suite, each] as const] : [];
  });
  const vqa = answers.length > 0 ? vqaScores(answers) : undefined;
  const tables = tablesOf(methods, vqa, common, comparisons);
  const { device, isa, threads } = bagel.context;
  const model = bagel.modelHash ?? 'random weights';
  const machine = `${device} (${isa}, ${threads} threads), ${bagel.dtype}`;
  const hasSheet = rows.length > 1 && columns.length > 0;
  const plot = methods.length > 1 ? qualityPlot(methods) : undefined;
  const sheet = hasSheet ? contactSheet({ columns: columns.map(({ text }) => text), rows }) : undefined;
  const html = await evaluationReport({
    about: `${machine}; model ${model}`,
    tables,
    comparisons,
    ...(plot === undefined ? {} : { plot }),
    ...(sheet === undefined ? {} : { sheet }),
    gallery: {
      method: first?.method.name ?? '',
      ...(first?.shapes ? { shapes: first.shapes } : {}),
      ...(first?.edits ? { edits: first.edits } : {}),
    },
    editTasks: evaluation.edits,
    answers,
  });
  const inFolder = (name: string) => path.join(plan.out, name);
  const files = ['report.html', 'results.json', ...(plot ? ['quality.svg'] : []), ...(sheet ? ['sheet.png'] : [])];
  const result: EvaluationResult = {
    model,
    machine,
    teacher: world ? (first?.method.name ?? null) : null,
    methods,
    ...(vqa ? { vqa } : {}),
    ...(comparisons.length > 0 ? { comparison } : {}),
    files: files.map(inFolder),
  };
  await writeFiles(inFolder, { html, json: JSON.stringify(result), plot, sheet });
  return { result, tables };
}

async function writeFiles(
  inFolder: (name: string) => string,
  { html, json, plot, sheet }: { html: string; json: string; plot: string | undefined; sheet: Image | undefined },
): Promise<void> {
  await writeFileAtomic(inFolder('report.html'), html);
  await writeFileAtomic(inFolder('results.json'), `${json}\n`);
  if (plot !== undefined) await writeFileAtomic(inFolder('quality.svg'), plot);
  if (sheet !== undefined) await sheet.toFile(inFolder('sheet.png'));
}

/** The recorded items that this run has too: only they make scores comparable. */
function sameItems<R>(suite: Suite<R>, recorded: readonly R[], ours: readonly R[] = []): R[] {
  const keys = new Set(ours.map(suite.keyOf));
  return recorded.filter((record) => keys.has(suite.keyOf(record)));
}

function compareAll(
  first: MethodPictures | undefined,
  answers: readonly VqaRecord[],
  { shapes, edits, vqa }: Recorded,
): Partial<Record<SuiteName, Comparison>> {
  return {
    ...(shapes && first?.shapes ? { shapes: compareRecords(SHAPES_SUITE, first.shapes.lines, shapes) } : {}),
    ...(edits && first?.edits ? { edits: compareRecords(EDITS_SUITE, first.edits.lines, edits) } : {}),
    ...(vqa && answers.length > 0 ? { vqa: compareRecords(VQA_SUITE, answers, vqa) } : {}),
  };
}

function tablesOf(
  methods: readonly MethodResult[],
  vqa: VqaScores | undefined,
  recorded: Recorded,
  comparisons: readonly (readonly [suite: SuiteName, comparison: Comparison])[],
): { title: string; note?: string; table: Table }[] {
  const [first] = methods;
  const tables: { title: string; note?: string; table: Table }[] = [];
  if (methods.length > 1) {
    const note = methods.some(({ isReference }) => isReference)
      ? '* the undistilled model, plain Euler steps: the row to read the ones above it by'
      : undefined;
    const budgets = [
      budgetTable('ShapeEval, overall', methods, ({ shapes }) => shapes?.scores.overall.toFixed(3)),
      budgetTable('PSNR to the teacher, dB', methods, ({ shapes }) => shapes?.nearness?.psnr?.toFixed(1)),
    ];
    for (const table of budgets) {
      if (table) tables.push({ title: `${table[0]?.[0]}, by evaluations of each branch`, table });
    }
    tables.push({ title: 'Methods', table: methodsTable(methods), ...(note === undefined ? {} : { note }) });
    const fidelity = fidelityTable(methods);
    if ((fidelity[0]?.length ?? 0) > 1) tables.push({ title: 'Distribution and attributes', table: fidelity });
  }
  if (first?.shapes) {
    const theirs = recorded.shapes ? [['recorded', shapesScores(recorded.shapes)] as const] : [];
    tables.push({
      title: 'ShapeEval',
      table: shapesTable([...each(methods, ({ shapes }) => shapes?.scores), ...theirs]),
    });
  }
  if (first?.edits) {
    const theirs = recorded.edits ? [['recorded', editsScores(recorded.edits)] as const] : [];
    tables.push({ title: 'EditEval', table: editsTable([...each(methods, ({ edits }) => edits?.scores), ...theirs]) });
  }
  if (vqa) {
    const theirs = recorded.vqa ? [['recorded', vqaScores(recorded.vqa)] as const] : [];
    tables.push({ title: 'VQA', table: vqaTable([['accuracy', vqa], ...theirs]) });
  }
  if (comparisons.length > 0) {
    tables.push({ title: 'Agreement with the recorded evaluation', table: comparisonTable(comparisons) });
  }
  return tables;
}

function each<S>(
  methods: readonly MethodResult[],
  of: (result: MethodResult) => S | undefined,
): (readonly [string, S])[] {
  return methods.flatMap((result) => {
    const scores = of(result);
    return scores === undefined ? [] : [[result.method, scores] as const];
  });
}
