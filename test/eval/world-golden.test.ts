// The recorded evaluation of the bundled model: what our prompts, instructions, questions and scores must agree with, item by item.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  answerMatches,
  CATEGORIES,
  type Category,
  checkPrompt,
  EDITS,
  type EditOp,
  editItems,
  judgeEdit,
  OVERALL_CATEGORIES,
  promptItems,
  QUESTION_TYPES,
  type QuestionType,
  questionItems,
  type SceneRecord,
  SHORT_QUESTION_TYPES,
  sceneFromRecord,
} from '../../lib/eval/world/index.js';

interface ShapesRow {
  category: Category;
  row: number;
  seed: number;
  prompt: string;
  parsed: SceneRecord;
  ok: boolean;
}
interface EditsRow {
  op: EditOp;
  row: number;
  seed: number;
  instruction: string;
  parsed: SceneRecord;
  success: boolean;
  instruct: boolean;
  keep: boolean;
  psnr: number | null;
}
interface VqaRow {
  type: QuestionType;
  seed: number;
  question: string;
  expected: string;
  answer: string;
  ok: boolean;
}

function recorded<T>(name: string): T[] {
  const lines = readFileSync(`test/golden/eval/${name}.jsonl`, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as T);
}

const mean = (values: readonly (boolean | number)[]) =>
  values.reduce((sum: number, value) => sum + Number(value), 0) / values.length;

describe('ShapeEval', () => {
  const rows = recorded<ShapesRow>('shapes');

  test.each(CATEGORIES)('%s: prompts and verdicts', (category) => {
    const expected = rows.filter((row) => row.category === category);
    const ours = promptItems(category, 50).map(({ row, seed, text, check }, i) => {
      const parsed = expected[i]?.parsed as SceneRecord;
      return { category, row, seed, prompt: text, parsed, ok: checkPrompt(check, sceneFromRecord(parsed)) };
    });
    expect(ours).toEqual(expected);
  });

  test('the overall score is the published one', () => {
    const items = OVERALL_CATEGORIES.flatMap((category) => promptItems(category, 50));
    const verdicts = items.map(({ category, row, check }) => {
      const parsed = rows.find((other) => other.category === category && other.row === row)?.parsed as SceneRecord;
      return checkPrompt(check, sceneFromRecord(parsed));
    });
    expect(mean(verdicts)).toBeCloseTo(0.337, 3);
  });
});

describe('EditEval', () => {
  const rows = recorded<EditsRow>('edits');

  test.each(EDITS)('%s: instructions and verdicts', (op) => {
    const expected = rows.filter((row) => row.op === op);
    const ours = editItems(op, 30).map((edit, i) => {
      const { parsed, psnr } = expected[i] as EditsRow;
      const { row, seed, instruction } = edit;
      return { op, row, seed, instruction, parsed, ...judgeEdit(edit, sceneFromRecord(parsed)), psnr };
    });
    expect(ours).toEqual(expected);
  });

  test('only background edits have no PSNR', () => {
    for (const { op, psnr } of rows) expect(psnr === null).toBe(op === 'background');
  });
});

describe('VQA', () => {
  const rows = recorded<VqaRow>('vqa');

  test.each(QUESTION_TYPES)('%s: questions, right answers and verdicts', (type) => {
    const expected = rows.filter((row) => row.type === type);
    const ours = questionItems(type, 100).map(({ seed, question, answer: right }, i) => {
      const answer = expected[i]?.answer as string;
      return { type, seed, question, expected: right, answer, ok: answerMatches(right, answer) };
    });
    expect(ours).toEqual(expected);
  });

  test('the score over the short types is the published one', () => {
    const answers = SHORT_QUESTION_TYPES.flatMap((type) => {
      const given = rows.filter((row) => row.type === type);
      return questionItems(type, 100).map(({ answer }, i) => answerMatches(answer, given[i]?.answer as string));
    });
    expect(mean(answers)).toBeCloseTo(0.725, 3);
  });
});
