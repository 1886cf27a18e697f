// The bundled model from end to end on the CUDA kernels, run by the emulator: the public implementation's tokens, speculation that
// changes nothing, denoising and decoding of pictures beside the CPU's.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SHORT_QUESTION_TYPES } from '../../lib/eval/world/index.js';
import type { Bagel } from '../../lib/models/bagel/bagel.js';
import type { DrawOptions } from '../../lib/models/bagel/draw-options.js';
import { answersOf, drawingDifference, goldenAnswer, openModel, PIXELS } from '../kit/model-checks.js';
import { fullTier } from '../kit/tier.js';

const full = fullTier(
  120,
  '9 of 10 questions, half of each answer, 37 of 40 golden tokens, drawings of full size and of six steps',
);
const QUESTIONS = full ? 10 : 1;
/** Of the golden answer, which has 40. */
const TOKENS = full ? 40 : 3;
const SIZE = full ? {} : { size: { width: 48, height: 32 } };

describe('f32', () => {
  let [simt, cpu]: Bagel[] = [];
  beforeAll(async () => {
    [simt, cpu] = [await openModel('simt', 'f32'), await openModel('cpu', 'f32')];
  });
  afterAll(async () => {
    await simt?.dispose();
    await cpu?.dispose();
  });

  test("greedy tokens of the public implementation's answer", { timeout: 300_000 }, async () => {
    const { got, want } = await goldenAnswer(simt as Bagel, TOKENS);
    expect(got).toEqual(want);
  });

  const drawings: [string, DrawOptions][] = [['one guided step and the picture', { steps: 1, guidance: 4, ...SIZE }]];
  if (full) drawings.push(['six unguided steps and the picture', { steps: 6, guidance: 1 }]);
  test.each(drawings)('%s', { timeout: 300_000 }, async (_, options) => {
    const { mean, max } = await drawingDifference(simt as Bagel, cpu as Bagel, options);
    expect(mean).toBeLessThan(PIXELS.f32.mean);
    expect(max).toBeLessThanOrEqual(PIXELS.f32.max);
  });
});

describe('bf16', () => {
  let simt: Bagel;
  beforeAll(async () => {
    simt = await openModel('simt', 'bf16');
  });
  afterAll(() => simt.dispose());

  test(`${QUESTIONS} short answers, speculation on and off`, { timeout: 600_000 }, async () => {
    for (const type of SHORT_QUESTION_TYPES.slice(0, QUESTIONS)) {
      const { plain, drafted } = await answersOf(simt, type, full ? 12 : 6);
      expect(drafted).toEqual(plain);
    }
  });

  test.runIf(full)('six fused steps', { timeout: 300_000 }, async () => {
    const cpu = await openModel('cpu', 'bf16');
    const { mean } = await drawingDifference(simt, cpu, { steps: 6, guidance: 1 });
    await cpu.dispose();
    expect(mean).toBeLessThan(PIXELS.bf16.mean);
  });
});
