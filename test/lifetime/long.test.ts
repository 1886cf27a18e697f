// One process at work for long: every answer and picture as at the beginning, memory and queue bounded, no drift in time per token.
import { expect, test } from 'vitest';
import { seeded } from '../kit/cases.js';
import { fullTier } from '../kit/tier.js';
import { runMeasured } from './child.js';
import { drift, MOST_DRIFT } from './drift.js';

const full = fullTier(110, 'all but 160 of 10,000 answers and 8 of 500 pictures, the limit on drift');
const ANSWERS = full ? 10_000 : 160;
const PICTURES = ANSWERS / 20;

test('the measure of drift: noise is none, a fifth is one', () => {
  const rng = seeded(1);
  // two thirds of the time alone on the machine, else at half its speed
  const series = (slope: number, n = 2000) =>
    Array.from({ length: n }, (_, i) => (1 + (slope * i) / n) * (1 + 0.1 * rng()) * (rng() < 0.33 ? 2 : 1));
  for (let i = 0; i < 20; i++) {
    expect(drift(series(0))).toBeLessThan(MOST_DRIFT);
    // from the first quarter to the last, 0.2 of 0.75 of a slope
    expect(drift(series(0.2 / 0.75))).toBeGreaterThan(MOST_DRIFT);
  }
});

/** Calls at once, at most. */
const AT_ONCE = 11;

interface Report {
  times: number[];
  wrong: number[];
  answers: number;
  pictures: number;
  alone: number;
  marks: { resident: number; own: number; heap: number; peakQueued: number; queued: number; pages: number }[];
  seconds: number;
}

test(`${ANSWERS} answers and ${PICTURES} pictures in one process`, { timeout: 600_000 }, async () => {
  const { code, signal, stdout, stderr } = await runMeasured(
    `
    import { readFileSync } from 'node:fs';
    const start = performance.now();
    const resident = () => Number(/VmRSS:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    const bagel = await Bagel.load(undefined, { device: 'cpu', keepMeasurements: false });
    await bagel.calibrate();
    const scene = 'examples/scene.png';
    const asks = [
      ['how many objects are there?', { speculate: 'off' }],
      ['describe the image.', { speculate: 'ngram', treeNodes: 8 }],
      ['what color is the circle?', { temperature: 0.8, topP: 0.9, seed: 5, speculate: 'off' }],
      ['how many objects are there?', { images: [scene], speculate: 'auto' }],
      ['draw a plan.', { temperature: 1.2, topK: 20, seed: 9, speculate: 'off', repetitionPenalty: 1.1 }],
    ];
    const draws = [
      (bagel) => bagel.draw('a red circle', { steps: 2, seed: 1 }),
      (bagel) => bagel.draw('a blue square', { steps: 1, seed: 2, size: { width: 48, height: 64 } }),
      (bagel) => bagel.edit(scene, 'make it blue', { steps: 1, seed: 3 }),
    ];
    const answerOf = ({ tokens, text }) => tokens.join() + ' ' + text;
    const pictureOf = ({ image, latents }) =>
      Buffer.from(image.data).toString('base64') + Buffer.from(latents.buffer).toString('base64');
    const options = (rest) => ({ maxTokens: 10, ignoreStop: true, ...rest });
    const expectedAnswers = [], expectedPictures = [];
    const times = [], wrong = [], marks = [];
    let answers = 0, pictures = 0;
    const ask = async (i) => {
      const [question, rest] = asks[i % asks.length];
      const { timings, ...answer } = await bagel.ask(question, options(rest));
      answers++;
      if (answerOf(answer) !== (expectedAnswers[i % asks.length] ??= answerOf(answer))) wrong.push(i);
      return timings.answerMs / answer.tokens.length;
    };
    const draw = async (i) => {
      const picture = pictureOf(await draws[i % draws.length](bagel));
      pictures++;
      if (picture !== (expectedPictures[i % draws.length] ??= picture)) wrong.push(-1 - i);
    };
    const mark = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      globalThis.gc();
      const { queued, peakQueued } = bagel.context.counters();
      const { residentBytes: own } = bagel.memory();
      marks.push({ resident: resident(), own, heap: process.memoryUsage().heapUsed, queued, peakQueued, pages: bagel.model.pool.free });
    };
    // what each gives at the beginning, alone, and the longest queue that one alone makes
    for (let i = 0; i < asks.length; i++) await ask(i);
    for (let i = 0; i < draws.length; i++) await draw(i);
    const alone = bagel.context.counters().peakQueued;
    answers = pictures = 0;
    for (let i = 0; i < ${ANSWERS}; i += 20) {
      // ten alone, for the time of a token, then ten at once beside a picture
      for (let j = i; j < i + 10; j++) {
        const ms = await ask(j);
        if (j % asks.length === 0) times.push(ms);
      }
      await Promise.all([...Array.from({ length: 10 }, (_, j) => ask(i + 10 + j)), draw(i / 20)]);
      // a life of others beside them: given up half-way
      if (i % 200 === 0) await bagel.ask('x', { signal: AbortSignal.timeout(3), maxTokens: 300, ignoreStop: true }).catch(() => {});
      if ((i + 20) % ${ANSWERS / 4} === 0) await mark();
    }
    console.log(JSON.stringify({ times, wrong, marks, alone, answers, pictures, seconds: (performance.now() - start) / 1000 }));
    await bagel.dispose();`,
    590_000,
  );
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  const report = JSON.parse(stdout) as Report;
  const ratio = drift(report.times);
  const [early, , , late] = report.marks;
  if (!early || !late) throw new Error('no marks');
  const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
  console.log(
    `${report.answers} answers, ${report.pictures} pictures in ${report.seconds.toFixed(0)} s; time per token, last quarter over ` +
      `first: ${ratio.toFixed(3)}; longest queue: ${late.peakQueued} jobs, of one call alone ${report.alone}`,
  );
  const figures = report.marks.map(({ resident, own, heap }) => [resident, own, heap].map(mb).join(' '));
  console.log(`resident, memory() and heap in MB, after each quarter: ${figures.join('; ')}`);
  expect(report.wrong).toEqual([]);
  expect([report.answers, report.pictures]).toEqual([ANSWERS, PICTURES]);
  expect(late.resident - early.resident).toBeLessThan(16e6);
  expect(late.heap - early.heap).toBeLessThan(4e6);
  expect(late.own - early.own).toBeLessThan(4e6);
  expect(late.pages).toBe(early.pages);
  for (const { queued } of report.marks) expect(queued).toBe(0);
  expect(late.peakQueued).toBeLessThanOrEqual(AT_ONCE * report.alone);
  if (full) expect(ratio).toBeLessThan(MOST_DRIFT);
});
