// A student on the measuring stick: one that is the model's own generation weights with embedders that add nothing.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { shiftedGrid } from '../../lib/denoise/grid.js';
import type { EvaluationPlan } from '../../lib/eval/evaluate.js';
import { single } from '../../lib/eval/method.js';
import { runEvaluation } from '../../lib/eval/run.js';
import { modelHash } from '../../lib/io/model-hash.js';
import { type FileTensor, writeSafetensors } from '../../lib/io/safetensors.js';
import { Bagel, bundledModel } from '../../lib/models/bagel/bagel.js';
import { generationTensors, SCALE_EMBEDDERS } from '../../lib/models/bagel/tensors.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-stick-'));
const model = path.join(folder, 'model');
const student = path.join(model, 'students', 'plain');
let bagel: Bagel;

beforeAll(async () => {
  cpSync(bundledModel(), model, { recursive: true });
  bagel = await Bagel.load(model, { device: 'cpu' });
  mkdirSync(student, { recursive: true });
  const embedders = Object.values(SCALE_EMBEDDERS);
  const tensors: Record<string, FileTensor> = {};
  for (const { name, shape } of generationTensors(bagel.config)) {
    if (!embedders.some((embedder) => name.startsWith(`${embedder}.`))) continue;
    const count = shape.reduce((product, dim) => product * dim, 1);
    tensors[name] = { dtype: 'BF16', shape, data: new Uint16Array(count) };
  }
  await writeSafetensors(path.join(student, 'gen.safetensors'), tensors);
  const settings = {
    format: 1,
    base: await modelHash(model),
    kind: 'low-rank',
    lora_scale: 1,
    grid: [...shiftedGrid(3, 3)],
    text_scale: [1, 5],
    image_scale: [1, 2.5],
  };
  writeFileSync(path.join(student, 'student.json'), JSON.stringify(settings));
});
afterAll(async () => {
  await bagel?.dispose();
  rmSync(folder, { recursive: true });
});

const plan = (): EvaluationPlan => ({
  out: path.join(folder, 'out'),
  counts: { shapes: 3, edits: 2, vqa: 0 },
  diverse: 0,
  methods: ['euler:4', 'student=plain', 'euler:3:unguided'].map(single),
  references: true,
  noise: {},
  batch: 3,
  restart: false,
});

test('stands beside the undistilled model with as many steps, and from the same noise', async () => {
  const { result } = await runEvaluation(bagel, plan());
  expect(result.methods.map(({ method, isReference }) => [method, isReference])).toEqual([
    ['euler:4', false],
    ['student=plain', false],
    ['euler:3', true],
    ['euler:3:unguided', false],
  ]);
  const [, own, guided, unguided] = result.methods;
  expect(own?.shapes?.cost).toMatchObject({ steps: 3, nfe: 3 });
  expect(own?.edits?.cost).toMatchObject({ steps: 3, nfe: 3 });
  expect(guided?.shapes?.cost).toMatchObject({ steps: 3, nfe: 6 });
  // it is the undistilled model without guidance
  expect(own?.shapes?.nearness).toEqual(unguided?.shapes?.nearness);
  expect(own?.edits?.nearness).toEqual(unguided?.edits?.nearness);
  const pictures = (name: string) => readFileSync(path.join(folder, 'out', name, 'shapes.pictures'));
  expect(pictures('student_plain').equals(pictures('euler-3-unguided'))).toBe(true);
});

test('one that was trained on does not go on from the old one', async () => {
  const file = path.join(student, 'student.json');
  const before = readFileSync(file, 'utf8');
  writeFileSync(file, before.replace('"lora_scale":1', '"lora_scale":2'));
  await expect(runEvaluation(bagel, plan())).rejects.toMatchObject({ code: 'BAD_OPTION', operand: 'student' });
  writeFileSync(file, before);
  await expect(runEvaluation(bagel, plan())).resolves.toBeDefined();
});

test('one that is not there is refused before any work', async () => {
  const out = path.join(folder, 'never');
  const absent = { ...plan(), out, methods: ['euler:4', 'student=absent'].map(single) };
  await expect(runEvaluation(bagel, absent)).rejects.toMatchObject({ code: 'BAD_OPTION', operand: 'student' });
  const scaled = { ...plan(), out, methods: ['euler:4', 'student=plain:text=6'].map(single) };
  await expect(runEvaluation(bagel, scaled)).rejects.toMatchObject({ code: 'BAD_OPTION', operand: 'guidance' });
});
