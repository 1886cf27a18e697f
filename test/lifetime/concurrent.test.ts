// Work side by side on one context, and on two: every answer and every picture has the bits that it has alone.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HyperBagelError } from '../../lib/errors.js';
import { type AskOptions, Bagel } from '../../lib/models/bagel/bagel.js';
import type { DrawOptions } from '../../lib/models/bagel/draw-options.js';
import { fullTier } from '../kit/tier.js';

const full = fullTier(25, '9 of 10 rounds of each');
const ROUNDS = full ? 10 : 1;

const TOKENS = 24;
const SCENE = 'examples/scene.png';

/** Eight sessions: greedy and sampled, with and without drafts, with and without a picture. */
const ANSWERS: [string, AskOptions][] = [
  ['how many objects are there?', { speculate: 'off' }],
  ['how many objects are there?', { speculate: 'ngram', treeNodes: 8 }],
  ['describe the image.', { images: [SCENE], speculate: 'off' }],
  ['describe the image.', { images: [SCENE], speculate: 'ngram', treeNodes: 16 }],
  ['what color is the circle?', { temperature: 0.8, topP: 0.9, seed: 5, speculate: 'off' }],
  ['what color is the circle?', { temperature: 0.8, topP: 0.9, seed: 5, speculate: 'ngram', treeNodes: 12 }],
  ['draw a plan.', { think: true, repetitionPenalty: 1.2, speculate: 'off' }],
  ['draw a plan.', { temperature: 1.2, topK: 20, seed: 9, speculate: 'auto' }],
];

const PICTURES: [string, DrawOptions & { image?: string }][] = [
  ['a red circle', { steps: 4, seed: 1 }],
  ['a blue square', { steps: 3, seed: 2, guidance: 1 }],
  ['make it blue', { steps: 3, seed: 3, image: SCENE }],
];

let one: Bagel;
let other: Bagel;
/** What each gives alone. */
let answers: string[];
let pictures: string[];

const options = (rest: AskOptions): AskOptions => ({ maxTokens: TOKENS, ignoreStop: true, ...rest });

async function answer(bagel: Bagel, [question, rest]: (typeof ANSWERS)[number]): Promise<string> {
  const { tokens, text } = await bagel.ask(question, options(rest));
  return `${tokens.join(' ')} ${text}`;
}

async function picture(bagel: Bagel, [prompt, { image, ...rest }]: (typeof PICTURES)[number]): Promise<string> {
  const { image: drawn, latents } = await (image ? bagel.edit(image, prompt, rest) : bagel.draw(prompt, rest));
  return `${Buffer.from(drawn.data).toString('base64')} ${Buffer.from(latents.buffer).toString('base64')}`;
}

beforeAll(async () => {
  // the second has other threads: bits do not depend on them
  one = await Bagel.load(undefined, { device: 'cpu' });
  other = await Bagel.load(undefined, { device: 'cpu', threads: 1 });
  answers = [];
  pictures = [];
  for (const each of ANSWERS) answers.push(await answer(one, each));
  for (const each of PICTURES) pictures.push(await picture(one, each));
});
afterAll(async () => {
  await one.dispose();
  await other.dispose();
});

test('alone, they are not all the same', () => {
  expect(new Set(answers).size).toBe(5); // drafts change nothing
  expect(new Set(pictures).size).toBe(PICTURES.length);
});

const all = (bagel: Bagel) => Promise.all(ANSWERS.map((each) => answer(bagel, each)));
const drawAll = (bagel: Bagel) => Promise.all(PICTURES.map((each) => picture(bagel, each)));

describe('on one context', () => {
  test('eight sessions at once', async () => {
    for (let i = 0; i < ROUNDS; i++) expect(await all(one)).toEqual(answers);
  });

  test('eight sessions while it draws and edits', async () => {
    for (let i = 0; i < ROUNDS; i++) expect(await Promise.all([all(one), drawAll(one)])).toEqual([answers, pictures]);
  });

  test('eight sessions in one batch while it draws', async () => {
    for (let i = 0; i < ROUNDS; i++) {
      const sessions = ANSWERS.map(() => one.session());
      const items = await Promise.all(
        ANSWERS.map(async ([question, { images, think, ...rest }], i) => {
          const session = sessions[i] ?? one.session();
          if (think) return undefined; // it has a prompt of its own: see ask()
          for (const image of images ?? []) await session.addImage(image);
          await session.addText(question);
          return { session, ...options(rest), index: i };
        }),
      );
      const given = items.filter((item) => item !== undefined);
      const drawing = drawAll(one);
      for await (const part of one.answerMany(given)) {
        if ('error' in part) throw part.error;
        if (!('answer' in part)) continue;
        const { tokens, text } = part.answer;
        expect(`${tokens.join(' ')} ${text}`).toBe(answers[given[part.index]?.index ?? -1]);
      }
      expect(await drawing).toEqual(pictures);
      for (const session of sessions) session.dispose();
    }
  });

  test('while others are cancelled, left or fail', async () => {
    const free = one.model.pool.free;
    for (let i = 0; i < ROUNDS; i++) {
      const cancelled = ANSWERS.map(([question, rest], j) =>
        one.ask(question, { ...options(rest), maxTokens: 500, signal: AbortSignal.timeout(2 + 9 * j) }),
      );
      const drawings = PICTURES.map(([prompt, { image, ...rest }], j) =>
        one.draw(prompt, { ...rest, steps: 900, signal: AbortSignal.timeout(5 + 20 * j) }),
      );
      const ended = Promise.allSettled([...cancelled, ...drawings]);
      const left = (async () => {
        using session = one.session();
        await session.addText('how many objects are there?');
        for await (const _ of session.answer(options({}))) break;
      })();
      const failing = one.ask('x '.repeat(3000) + '.'.repeat(3000), {}).then(
        () => 'answered',
        (error: HyperBagelError) => error.code,
      );
      expect(await Promise.all([all(one), drawAll(one)])).toEqual([answers, pictures]);
      for (const { status, ...rest } of await ended) {
        expect(status).toBe('rejected');
        expect((rest as PromiseRejectedResult).reason).toMatchObject({ code: 'CANCELLED' });
      }
      await left;
      expect(await failing).toBe('CONTEXT_FULL');
    }
    expect(one.model.pool.free).toBe(free);
  });
});

test('on two contexts of one process, each with other threads', async () => {
  for (let i = 0; i < ROUNDS; i++) {
    const results = await Promise.all([all(one), all(other), drawAll(one), drawAll(other)]);
    expect(results).toEqual([answers, answers, pictures, pictures]);
  }
});

test('on two contexts while a third comes and goes', async () => {
  const coming = (async () => {
    for (let i = 0; i < 2 * ROUNDS; i++) {
      const third = await Bagel.load(undefined, { device: 'cpu', cacheTokens: 1024 });
      const work = third.draw('a red circle', { steps: 900, seed: 1 });
      const code = work.then(
        () => 'drawn',
        (error: HyperBagelError) => error.code,
      );
      await third.ask('how many objects are there?', { maxTokens: 2 });
      await third.dispose();
      expect(await code).toMatch(/^(DISPOSED|CANCELLED)$/);
    }
  })();
  for (let i = 0; i < ROUNDS; i++) {
    expect(await Promise.all([all(one), all(other), drawAll(one)])).toEqual([answers, answers, pictures]);
  }
  await coming;
});
