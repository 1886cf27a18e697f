// The library as a service uses it: streams, seeds, stop strings, cancellation, limits, errors that leave the model usable.
import { createReadStream, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { readConfig } from '../../lib/models/bagel/config.js';
import type { DrawStep } from '../../lib/models/bagel/draw-options.js';

const SCENE = 'examples/scene.png';

async function failure(work: Promise<unknown>): Promise<HyperBagelError> {
  try {
    await work;
  } catch (error) {
    if (HyperBagelError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

let bagel: Bagel;
beforeAll(async () => {
  bagel = await Bagel.load();
});
afterAll(() => bagel.dispose());

describe('answers', () => {
  test('stream in pieces that join to the text', async () => {
    const session = bagel.session();
    await session.addImage(SCENE);
    await session.addText('describe the image.');
    const stream = session.answer({ maxTokens: 100 });
    let text = '';
    let pieces = 0;
    const tokens: number[] = [];
    for await (const piece of stream) {
      pieces++;
      text += piece.text;
      tokens.push(...piece.tokens);
    }
    const answer = await stream.result;
    expect(answer).toMatchObject({ text, tokens, finishReason: 'stop' });
    expect(pieces).toBeGreaterThan(20);
    expect(text).toMatch(/^The image shows/);

    // the answer is part of the conversation
    const before = session.tokens;
    expect(before).toBe(answer.promptTokens + tokens.length + 2);
    await session.addText('how many objects are there?');
    const next = await session.answer().result;
    expect(next.promptTokens).toBe(before + 2 + bagel.model.encode('how many objects are there?').length);
    session.dispose();
  });

  test('images come as paths, buffers and streams, with the same answer', async () => {
    const ask = async (image: string | Buffer | ReturnType<typeof createReadStream>) =>
      (await bagel.ask('describe the image.', { images: [image], maxTokens: 30 })).tokens;
    const expected = await ask(SCENE);
    expect(await ask(readFileSync(SCENE))).toEqual(expected);
    expect(await ask(createReadStream(SCENE))).toEqual(expected);
  });

  test('a seed repeats a sampled answer; threads and other sessions change nothing', async () => {
    const options = { images: [SCENE], temperature: 1, seed: 12345, maxTokens: 40, topP: 0.95 };
    const first = await bagel.ask('describe the image.', options);
    const [again, other] = await Promise.all([
      bagel.ask('describe the image.', options),
      bagel.ask('describe the image.', { ...options, seed: 54321 }),
    ]);
    expect(again.tokens).toEqual(first.tokens);
    expect(other.tokens).not.toEqual(first.tokens);
    const single = await Bagel.load(undefined, { threads: 1 });
    expect((await single.ask('describe the image.', options)).tokens).toEqual(first.tokens);
    await single.dispose();
    const random = await bagel.ask('describe the image.', { images: [SCENE], temperature: 1, maxTokens: 5 });
    expect(Number.isSafeInteger(random.seed)).toBe(true);
  });

  test('stop strings end before themselves, also across tokens', async () => {
    const whole = await bagel.ask('describe the image.', { images: [SCENE] });
    const stop = 'on a white';
    const cut = await bagel.ask('describe the image.', { images: [SCENE], stop: [stop] });
    expect(cut.finishReason).toBe('stop_string');
    expect(cut.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
  });

  test('length limit, and going on past the end', async () => {
    expect((await bagel.ask('describe the image.', { images: [SCENE], maxTokens: 7 })).tokens).toHaveLength(7);
    const long = await bagel.ask('how many objects are there?', { images: [SCENE], maxTokens: 20, ignoreStop: true });
    expect(long).toMatchObject({ finishReason: 'length' });
    expect(long.tokens).toHaveLength(20);
  });

  test('thinking adds the system prompt', async () => {
    const plain = await bagel.ask('describe the image.', { images: [SCENE], maxTokens: 2 });
    const thought = await bagel.ask('describe the image.', { images: [SCENE], maxTokens: 2, think: true });
    expect(thought.promptTokens - plain.promptTokens).toBe(127);
  });

  test('a busy session refuses a second call; leaving a stream early gives the context back', async () => {
    const session = bagel.session();
    await session.addText('describe the image.');
    const before = session.tokens;
    const stream = session.answer({ maxTokens: 200, ignoreStop: true });
    for await (const _ of stream) {
      expect((await failure(session.addText('x'))).code).toBe('BUSY');
      expect((await failure(session.answer().result)).code).toBe('BUSY');
      break;
    }
    expect(session.tokens).toBe(before);
    expect((await session.answer({ maxTokens: 3 }).result).tokens.length).toBeGreaterThan(0);
    session.dispose();
    expect((await failure(session.addText('x'))).code).toBe('DISPOSED');
  });

  test('cancellation in the middle, and before any work', async () => {
    const controller = new AbortController();
    const session = bagel.session();
    await session.addText('describe the image.');
    const before = session.tokens;
    const stream = session.answer({ maxTokens: 400, ignoreStop: true, signal: controller.signal });
    let pieces = 0;
    const consume = async () => {
      for await (const _ of stream) if (++pieces === 3) controller.abort(new Error('enough'));
    };
    const error = await failure(consume());
    expect(error.code).toBe('CANCELLED');
    expect(pieces).toBe(3);
    expect(session.tokens).toBe(before);
    expect((await failure(session.addText('x', { signal: AbortSignal.abort() }))).code).toBe('CANCELLED');
    expect(session.tokens).toBe(before);
    await session.addText('go on');
    session.dispose();
  });

  test('what does not fit is refused before any work, and nothing leaks', async () => {
    const { pool } = bagel.model;
    const free = pool.free;
    const session = bagel.session();
    const limit = bagel.config.llm.maxPositions;
    const error = await failure(session.addText('a red circle '.repeat(limit)));
    expect(error.code).toBe('CONTEXT_FULL');
    expect(session.tokens).toBe(0);
    await session.addText('a red circle');
    session.dispose();
    expect(pool.free).toBe(free);
    const small = await Bagel.load(undefined, { cacheTokens: 128 });
    expect((await failure(small.ask('describe the image.', { maxTokens: 200 }))).code).toBe('CONTEXT_FULL');
    expect((await small.ask('describe the image.', { maxTokens: 20, ignoreStop: true })).tokens).toHaveLength(20);
    await small.dispose();
  });
});

describe('drawings', () => {
  test('progress, previews, seeds', async () => {
    const steps: DrawStep[] = [];
    const drawing = await bagel.draw('a large red circle in the center on a white background', {
      steps: 10,
      seed: 3,
      onStep: (step) => steps.push(step),
    });
    expect(steps.map((s) => s.step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(steps.at(-1)?.nfe).toBe(drawing.nfe);
    expect((await (steps.at(-1) as DrawStep).preview()).data).toEqual(drawing.image.data);
    const early = await (steps[2] as DrawStep).preview();
    expect([early.width, early.height]).toEqual([64, 64]);
    expect(early.data).not.toEqual(drawing.image.data);
    const [again, other] = await Promise.all([
      bagel.draw('a large red circle in the center on a white background', { steps: 10, seed: 3 }),
      bagel.draw('a large red circle in the center on a white background', { steps: 10, seed: 4 }),
    ]);
    expect(again.image.data).toEqual(drawing.image.data);
    expect(other.image.data).not.toEqual(drawing.image.data);
  });

  test('evaluations are counted per branch', async () => {
    const nfe = async (options: Parameters<Bagel['draw']>[1]) =>
      (await bagel.draw('a red circle', { steps: 50, seed: 1, size: { width: 32, height: 32 }, ...options })).nfe;
    expect(await nfe({})).toBe(91);
    expect(await nfe({ interval: [0, 1] })).toBe(100);
    expect(await nfe({ guidance: 1 })).toBe(50);
    expect(await nfe({ imageGuidance: 1.5 })).toBe(91);
    const edit = await bagel.edit(SCENE, 'make the circle green', { steps: 50, seed: 1, interval: [0.4, 1] });
    expect(edit.nfe).toBe(132);
  });

  test('other sizes, thinking, and a picture edited again', async () => {
    const wide = await bagel.draw('a red circle', { steps: 2, size: { width: 128, height: 48 } });
    expect([wide.image.width, wide.image.height]).toEqual([128, 48]);
    const thought = await bagel.draw('a red circle', { steps: 2, think: true, imageGuidance: 1.5 });
    expect(typeof thought.thought).toBe('string');
    expect(thought.nfe).toBe(2 * 3);
    const edited = await bagel.edit(thought.image, 'make it blue', { steps: 2, think: true });
    expect(edited.nfe).toBe(2 * 3);
  });

  test('cancellation leaves nothing behind', async () => {
    const { pool } = bagel.model;
    const free = pool.free;
    const controller = new AbortController();
    const work = bagel.draw('a red circle', {
      steps: 500,
      signal: controller.signal,
      onStep: ({ step }) => {
        if (step === 5) controller.abort();
      },
    });
    expect((await failure(work)).code).toBe('CANCELLED');
    expect(pool.free).toBe(free);
    const thrown = bagel.draw('a red circle', {
      steps: 5,
      onStep: () => {
        throw new Error('mine');
      },
    });
    await expect(thrown).rejects.toThrow('mine');
    expect(pool.free).toBe(free);
    expect((await bagel.draw('a red circle', { steps: 1 })).image.width).toBe(64);
  });

  test('bad options are refused, each with its code, and the model goes on', async () => {
    const draw = (options: object) => failure(bagel.draw('a red circle', { steps: 1, ...options }));
    const bad: [object, string][] = [
      [{ steps: 0 }, 'steps'],
      [{ steps: -1 }, 'steps'],
      [{ steps: 1.5 }, 'steps'],
      [{ steps: 1e6 }, 'steps'],
      [{ shift: 0 }, 'shift'],
      [{ size: { width: 60, height: 64 } }, 'size'],
      [{ size: { width: 256, height: 64 } }, 'size'],
      [{ guidance: Number.NaN }, 'guidance'],
      [{ interval: [0.5, 0.4] }, 'interval'],
      [{ renorm: 'local' }, 'renorm'],
      [{ renormMin: 2 }, 'renormMin'],
      [{ noise: new Float32Array(10) }, 'noise'],
      [{ noise: new Float32Array(64 * 16).fill(Number.NaN) }, 'noise'],
      [{ seed: -1 }, 'seed'],
    ];
    for (const [options, operand] of bad) expect(await draw(options)).toMatchObject({ code: 'BAD_OPTION', operand });
    expect((await failure(bagel.draw(''))).code).toBe('BAD_OPTION');
    expect((await failure(bagel.edit(Buffer.from('no picture'), 'x'))).code).toBe('BAD_IMAGE');
    expect((await failure(bagel.edit('absent.png', 'x'))).code).toBe('IO');
    const answers: object[] = [
      { temperature: -1 },
      { topP: 2 },
      { minP: -1 },
      { topK: 1.5 },
      { maxTokens: 0 },
      { seed: 1.5 },
    ];
    for (const options of answers) expect((await failure(bagel.ask('x', options))).code).toBe('BAD_OPTION');
    expect((await bagel.draw('a red circle', { steps: 1 })).nfe).toBe(2);
  });
});

describe('models of any shape', () => {
  test('random weights draw and edit; the same seed gives the same picture', async () => {
    const config = await readConfig('test/golden/random-a/model');
    const paint = async () => {
      const model = await Bagel.random(config, { seed: 9, dtype: 'f32' });
      const sequence = model.model.sequence();
      model.model.appendTokens(sequence, [1, 2, 3]);
      await model.context.sync();
      expect(sequence.length).toBe(3);
      expect((await failure(model.draw('a red circle'))).code).toBe('NOT_SUPPORTED');
      const weight = model.model.weights.layers[0]?.und.qNorm;
      const values = await weight?.floats();
      await model.dispose();
      return values;
    };
    const values = await paint();
    expect(await paint()).toEqual(values);
    expect(values?.some((v) => v !== 1)).toBe(true);
  });

  test('a model that cannot fit is refused before anything is allocated', async () => {
    const config = await readConfig('test/configs/bagel-7b-mot');
    const huge = { ...config, llm: { ...config.llm, layers: 900 } };
    const before = process.memoryUsage().rss;
    const error = await failure(Bagel.random(huge, { seed: 1, dtype: 'bf16' }));
    expect(error.code).toBe('OUT_OF_MEMORY');
    expect(error.message).toMatch(/needs .* GB .* are available/);
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
  });
});
