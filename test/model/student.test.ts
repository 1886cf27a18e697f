// Students of random weights in a copy of the bundled model: where their weights act and where they must not.
import { cp, rm } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import type { DrawOptions } from '../../lib/models/bagel/draw-options.js';
import { layerCache } from '../../lib/models/bagel/mot-layer.js';
import { prepareImage } from '../../lib/models/bagel/session.js';
import { fromBf16, toBf16 } from '../../lib/tensor/dtype.js';
import { failure } from '../kit/failure.js';
import { relativeL2 } from './golden.js';
import { f32, GRID, PROMPT, studentModel } from './student-kit.js';

const SCENE = 'examples/scene.png';

const { folder, base, hash, bagel, shapes, randomWeights, write, draw } = await studentModel();

const finite = (values: Float32Array) => values.every(Number.isFinite);

describe('a student', () => {
  test('with the weights of the model and silent embedders is the unguided model', async () => {
    const student = await draw({ student: 'plain' });
    expect(student).toMatchObject({ steps: 6, nfe: 6 });
    expect(student.latents).toEqual((await draw({ steps: 6, guidance: 1 })).latents);
    const edit = { seed: 4, steps: 6 };
    const own = await bagel.edit(SCENE, 'make it blue', { ...edit, student: 'plain', guidance: 3, imageGuidance: 2 });
    expect(own.nfe).toBe(6);
    expect(own.latents).toEqual((await bagel.edit(SCENE, 'make it blue', { ...edit, guidance: 1 })).latents);
  });

  test('of random weights runs, one evaluation a step, and depends on its scales', async () => {
    const one = await draw({ student: 'one' });
    expect(one.nfe).toBe(6);
    expect(one.metadata).toMatchObject({
      student: { name: 'one', hash: await bagel.studentsOf.hashOf('one') },
      model: hash,
      interval: null,
      nfe: { full: 6, noText: 0, noImage: 0 },
    });
    expect(finite(one.latents)).toBe(true);
    const other = await draw({ student: 'one', guidance: 2 });
    expect(other.latents).not.toEqual(one.latents);
    expect((await draw({ student: 'one', imageGuidance: 2 })).latents).not.toEqual(one.latents);
    expect((await draw({ student: 'one', guidance: 4 })).latents).toEqual(one.latents);
  });

  test('its tokens are projection + time + text scale + image scale + position', async () => {
    await bagel.loadStudent('one');
    const { model } = bagel;
    const { cx } = model;
    const weights = randomWeights(1);
    for (const [name, values] of weights) weights.set(name, fromBf16(toBf16(values)));
    const of = (name: string) => weights.get(name) as Float32Array;
    const hidden = bagel.config.llm.hidden;
    const [time, text, image] = [0.6, 3.5, 2.25];
    const linear = (name: string, x: readonly number[]) =>
      Array.from(of(`${name}.bias`), (bias, o) =>
        x.reduce((sum, value, i) => sum + value * (of(`${name}.weight`)[o * x.length + i] as number), bias),
      );
    const embed = (name: string, number: number) => {
      const angles = Array.from({ length: 128 }, (_, i) => number * 10000 ** (-i / 128));
      const wave = [...angles.map(Math.cos), ...angles.map(Math.sin)];
      return linear(
        `${name}.mlp.2`,
        linear(`${name}.mlp.0`, wave).map((v) => v / (1 + Math.exp(-v))),
      );
    };
    const numbers = [
      ['time_embedder', time],
      ['text_scale_embedder', text],
      ['image_scale_embedder', image],
    ] as const;
    const latent = Array.from({ length: 16 }, (_, i) => Math.sin(i));
    const expected = linear('vae2llm', latent);
    const add = (values: ArrayLike<number>) => {
      for (let i = 0; i < hidden; i++) expected[i] = (expected[i] as number) + (values[i] as number);
    };
    for (const [name, number] of numbers) add(embed(name, number));
    const position = fromBf16(base.get('latent_pos_embed.pos_embed')?.data as Uint16Array).subarray(
      5 * hidden,
      6 * hidden,
    );
    add(position);

    const student = await bagel.studentsOf.get('one');
    const tokens = cx.scope(() =>
      model.latentTokens(
        cx.tensor('f32', [1, 16], latent),
        cx.tensor('f32', [1, 8], [time, 1, 0, 0, 0, text, image, 0]),
        cx.zeros('i32', [1]),
        cx.tensor('i32', [1], [5]),
        cx.zeros('i32', [1]),
        student.weights,
      ),
    );
    expect(relativeL2(await tokens.floats(), expected)).toBeLessThan(1e-5);
    tokens.dispose();
  });

  test('several live in one model; switching reads nothing again', async () => {
    const first = {
      one: await draw({ student: 'one' }),
      two: await draw({ student: 'two' }),
      none: await draw({ steps: 6 }),
    };
    expect(await bagel.students()).toEqual(['one', 'plain', 'two']);
    expect(first.one.latents).not.toEqual(first.two.latents);
    // loaded ones need their files no more
    const away = `${folder}/students/one`;
    await cp(away, `${folder}/kept`, { recursive: true });
    await rm(away, { recursive: true });
    const { bytes } = bagel.memory();
    for (let i = 0; i < 2; i++) {
      expect((await draw({ student: 'one' })).latents).toEqual(first.one.latents);
      expect((await draw({ student: 'two' })).latents).toEqual(first.two.latents);
      expect((await draw({ steps: 6 })).latents).toEqual(first.none.latents);
    }
    expect(bagel.memory().bytes - bytes).toBeLessThan(1e6);
    await cp(`${folder}/kept`, away, { recursive: true });
    const mixed = bagel.drawMany([
      { prompt: PROMPT, seed: 3, student: 'one' },
      { prompt: PROMPT, seed: 3, steps: 6 },
      { prompt: PROMPT, seed: 3, student: 'two' },
    ]);
    for await (const { index, latents } of mixed) {
      expect(latents).toEqual([first.one, first.none, first.two][index]?.latents);
    }
  });

  test('its solver and grid are the defaults; a part of its grid will do, another one only by force', async () => {
    const two = await draw({ student: 'two' });
    expect((await draw({ student: 'two', solver: 'tcd', gamma: 1 })).latents).toEqual(two.latents);
    expect((await draw({ student: 'two', solver: 'euler' })).latents).not.toEqual(two.latents);
    const three = await draw({ student: 'one', steps: 3 });
    expect(three).toMatchObject({ steps: 3, nfe: 3 });
    expect((await draw({ student: 'one', grid: [GRID[0], GRID[2], GRID[4], 0] as number[] })).latents).toEqual(
      three.latents,
    );
    expect((await draw({ student: 'one', solver: 'one-step' })).nfe).toBe(1);
    const bad: [DrawOptions, string][] = [
      [{ steps: 4 }, 'steps'],
      [{ grid: [1, 0.5, 0] }, 'grid'],
      [{ shift: 3 }, 'shift'],
      [{ guidance: 6 }, 'guidance'],
      [{ guidance: 0.5 }, 'guidance'],
      [{ imageGuidance: 3 }, 'imageGuidance'],
      [{ guidance: Number.NaN }, 'guidance'],
    ];
    for (const [options, operand] of bad) {
      expect(await failure(() => draw({ student: 'one', ...options }))).toMatchObject({ code: 'BAD_OPTION', operand });
    }
    expect((await draw({ student: 'one', steps: 4, forceGrid: true })).nfe).toBe(4);
    expect((await draw({ student: 'one', grid: [1, 0.5, 0], forceGrid: true })).nfe).toBe(2);
  });

  test('understanding and prefill do not know of it', async () => {
    const other = await Bagel.load(folder);
    const { model } = other;
    const image = await prepareImage(model, SCENE);
    const state = async () => {
      const sequence = model.sequence();
      model.appendLatents(sequence, image);
      model.appendVision(sequence, image);
      model.appendTokens(sequence, model.frame('make it blue'));
      await model.cx.sync();
      const pages: Float32Array[] = [];
      for (let layer = 0; layer < other.config.llm.layers; layer++) {
        const { keys, values } = layerCache(model.cache, layer, model.pool.total);
        for (const page of sequence.pages.slice(0, -1)) {
          pages.push(await keys.rows(page, page + 1).floats(), await values.rows(page, page + 1).floats());
        }
      }
      sequence.release();
      const answer = await other.ask('describe the image.', { images: [SCENE], maxTokens: 40 });
      return { pages, tokens: answer.tokens };
    };
    const before = await state();
    expect(before.pages.length).toBe(2 * other.config.llm.layers * 2);
    await other.draw(PROMPT, { student: 'one', seed: 1 });
    await other.edit(SCENE, 'make it blue', { student: 'two', seed: 1 });
    expect(await state()).toEqual(before);
    await other.dispose();
  });

  test('runs in bf16, and F32 files are taken too', async () => {
    const weights = randomWeights(1);
    // values that bf16 holds, so that both files mean the same
    const wide = Object.fromEntries(
      [...weights].map(([name, values]) => [name, f32(shapes.get(name) ?? [], fromBf16(toBf16(values)))]),
    );
    await write('wide', wide);
    expect((await draw({ student: 'wide' })).latents).toEqual((await draw({ student: 'one' })).latents);
    const other = await Bagel.load(folder, { dtype: 'bf16' });
    const drawing = await other.draw(PROMPT, { seed: 3, student: 'one' });
    expect(relativeL2(drawing.latents, (await draw({ student: 'one' })).latents)).toBeLessThan(0.1);
    await other.dispose();
    await rm(`${folder}/students/wide`, { recursive: true });
  });
});
