// The engine beside the recorded evaluation of the bundled model, from the same noise. All of it in the full tier, a few items
// in the quick one.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EvaluationPlan } from '../../lib/eval/evaluate.js';
import { single } from '../../lib/eval/method.js';
import { readNoiseRows } from '../../lib/eval/noise-rows.js';
import { readRecordedFolder, runEvaluation } from '../../lib/eval/run.js';
import { SUITES } from '../../lib/eval/suite.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { fullTier } from '../kit/tier.js';

const FULL = fullTier(400, 'all but a few items');
const COUNTS = FULL ? { shapes: 350, edits: 210, vqa: 1300 } : { shapes: 7, edits: 2, vqa: 13 };
const GOLDEN = 'test/golden/eval';
const LATENTS = [64, 16] as const;

const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-eval-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let bagel: Bagel;
beforeAll(async () => {
  bagel = await Bagel.load(undefined, { device: 'cpu', dtype: 'f32' });
});
afterAll(() => bagel?.dispose());

async function plan(): Promise<EvaluationPlan> {
  return {
    out: path.join(folder, 'out'),
    counts: COUNTS,
    diverse: 0,
    methods: [single('euler:49')],
    references: false,
    noise: {
      shapes: await readNoiseRows(GOLDEN, 'shapes', LATENTS),
      edits: await readNoiseRows(GOLDEN, 'edits', LATENTS),
    },
    batch: 8,
    restart: false,
  };
}

describe('the recorded evaluation', { timeout: FULL ? 3_600_000 : 120_000 }, () => {
  test('at least 99 % of the items are the same, and no score is off by more than that allows', async () => {
    const recorded = await readRecordedFolder(GOLDEN, SUITES);
    const { result, tables } = await runEvaluation(bagel, await plan(), recorded);
    for (const suite of SUITES) {
      const comparison = result.comparison?.[suite];
      expect(comparison?.items).toBe(COUNTS[suite]);
      expect(comparison?.sameOutcome ?? 0).toBeGreaterThanOrEqual(0.99 * COUNTS[suite]);
      expect(comparison?.sameVerdict ?? 0).toBeGreaterThanOrEqual(0.99 * COUNTS[suite]);
    }
    const [only] = result.methods;
    expect(only?.shapes?.cost).toMatchObject({ steps: 49, nfe: 90 });
    expect(only?.edits?.cost).toMatchObject({ steps: 49, nfe: 147 });
    if (FULL) {
      expect(only?.shapes?.scores.overall).toBeCloseTo(0.337, 2);
      expect(only?.shapes?.scores.categories.dense).toBeCloseTo(0.86, 1);
      expect(only?.edits?.scores.overall.success).toBeCloseTo(0.629, 1);
      expect(only?.edits?.scores.overall.psnr).toBeCloseTo(35.2, 0);
      expect(result.vqa?.short).toBeCloseTo(0.725, 2);
      expect(result.vqa?.long).toBeCloseTo(0.3, 1);
    }
    const html = readFileSync(path.join(folder, 'out', 'report.html'), 'utf8');
    expect(html.match(/<img /g)?.length).toBe(COUNTS.shapes + 2 * COUNTS.edits);
    expect(html).not.toMatch(/src="(?!data:)|href=|<script/);
    expect(tables.map(({ title }) => title)).toEqual([
      'ShapeEval',
      'EditEval',
      'VQA',
      'Agreement with the recorded evaluation',
    ]);
  });

  test('a second run finds everything done and says the same', async () => {
    const before = readFileSync(path.join(folder, 'out', 'results.json'), 'utf8');
    const done: string[] = [];
    const again = { ...(await plan()), onProgress: ({ label }: { label: string }) => done.push(label) };
    const { result } = await runEvaluation(bagel, again, await readRecordedFolder(GOLDEN, SUITES));
    expect(done).toEqual([]);
    expect(`${JSON.stringify(result)}\n`).toBe(before);
  });

  test('other noise does not go on from there', async () => {
    await expect(runEvaluation(bagel, { ...(await plan()), noise: {} })).rejects.toMatchObject({
      code: 'BAD_OPTION',
      operand: 'noise',
    });
  });

  test('nor do other weights', async () => {
    const file = path.join(folder, 'out', 'vqa.jsonl');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, before.replace(/"model":"[0-9a-f]+"/, '"model":"0123"'));
    await expect(runEvaluation(bagel, await plan())).rejects.toMatchObject({ code: 'BAD_OPTION', operand: 'model' });
    writeFileSync(file, before);
  });

  test('an aborted run leaves whole items, and a later one ends as if nothing had happened', async () => {
    const short = { ...(await plan()), counts: { shapes: 6, edits: 0, vqa: 0 }, methods: [single('euler:4')] };
    const whole = await runEvaluation(bagel, { ...short, out: path.join(folder, 'whole') });
    const controller = new AbortController();
    const out = path.join(folder, 'parts');
    const stopped = runEvaluation(bagel, {
      ...short,
      out,
      signal: controller.signal,
      onProgress: ({ done }) => done === 3 && controller.abort(),
    });
    await expect(stopped).rejects.toMatchObject({ code: 'CANCELLED' });
    const lines = readFileSync(path.join(out, 'euler-4', 'shapes.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(1 + 3);
    let added = 0;
    const ended = await runEvaluation(bagel, { ...short, out, onProgress: () => added++ });
    expect(added).toBe(3);
    expect(ended.result.methods[0]?.shapes?.scores).toEqual(whole.result.methods[0]?.shapes?.scores);
    const pictures = (name: string) => readFileSync(path.join(folder, name, 'euler-4', 'shapes.pictures'));
    expect(pictures('parts').equals(pictures('whole'))).toBe(true);
  });
});
