// Students of random weights in a copy of the bundled model: where their weights act and where they must not, and what is refused.
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shiftedGrid } from '../../lib/denoise/grid.js';
import { modelHash } from '../../lib/io/model-hash.js';
import { type FileTensor, readTensors, writeSafetensors } from '../../lib/io/safetensors.js';
import { Bagel, bundledModel } from '../../lib/models/bagel/bagel.js';
import type { DrawOptions } from '../../lib/models/bagel/draw-options.js';
import { layerCache } from '../../lib/models/bagel/mot-layer.js';
import { prepareImage } from '../../lib/models/bagel/session.js';
import { generationTensors } from '../../lib/models/bagel/tensors.js';
import { fromBf16, toBf16 } from '../../lib/tensor/dtype.js';
import { temporaryFolder } from '../io/kit.js';
import { seeded } from '../kit/cases.js';
import { failure } from '../kit/failure.js';
import { relativeL2 } from './golden.js';

const PROMPT = 'a large red circle in the center on a white background';
const SCENE = 'examples/scene.png';
const GRID = Array.from(shiftedGrid(6, 3));

const folder = path.join(temporaryFolder(), 'model');
let base: Map<string, FileTensor>;
let hash: string;
let bagel: Bagel;

type Weights = Map<string, Float32Array>;
const shapes = new Map<string, readonly number[]>();
const size = (name: string) => (shapes.get(name) ?? []).reduce((n, dim) => n * dim, 1);

/** The model's own generation weights in f32, and embedders that add nothing. */
function plainWeights(): Weights {
  return new Map(
    [...shapes.keys()].map((name) => {
      const own = base.get(name)?.data;
      return [name, own ? fromBf16(own as Uint16Array) : new Float32Array(size(name))];
    }),
  );
}

/** Random weights: the model's own, disturbed, and embedders of their own. */
function randomWeights(seed: number): Weights {
  const rng = seeded(seed);
  const weights = plainWeights();
  for (const [name, values] of weights) {
    const scale = /norm/.test(name) ? 0.02 : 0.05;
    for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + scale * (rng() - 0.5);
  }
  return weights;
}

const settings = (over: object = {}) => ({
  format: 1,
  base: hash,
  kind: 'full',
  grid: GRID,
  text_scale: [1, 5],
  image_scale: [1, 2.5],
  ...over,
});

async function write(name: string, tensors: Record<string, FileTensor>, over: object = {}): Promise<string> {
  const to = path.join(folder, 'students', name);
  await mkdir(to, { recursive: true });
  await writeSafetensors(path.join(to, 'gen.safetensors'), tensors);
  await writeFile(path.join(to, 'student.json'), JSON.stringify(settings(over)));
  return name;
}

const bf16 = (name: string, values: Float32Array): FileTensor => ({
  dtype: 'BF16',
  shape: shapes.get(name) ?? [],
  data: toBf16(values) as Uint16Array<ArrayBuffer>,
});
const f32 = (shape: readonly number[], data: Float32Array): FileTensor => ({
  dtype: 'F32',
  shape,
  data: data as Float32Array<ArrayBuffer>,
});
const asFile = (weights: Weights) =>
  Object.fromEntries([...weights].map(([name, values]) => [name, bf16(name, values)]));

beforeAll(async () => {
  await cp(bundledModel(), folder, { recursive: true });
  base = await readTensors(path.join(folder, 'ema.safetensors'));
  hash = await modelHash(folder);
  bagel = await Bagel.load(folder);
  for (const { name, shape } of generationTensors(bagel.config)) shapes.set(name, shape);
  await write('plain', asFile(plainWeights()));
  await write('one', asFile(randomWeights(1)));
  await write('two', asFile(randomWeights(2)), { solver: 'lcm' });
});
afterAll(() => bagel.dispose());

const draw = (options: DrawOptions) => bagel.draw(PROMPT, { seed: 3, ...options });
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

describe('low-rank students', () => {
  const RANK = 3;
  const SCALE = 0.5;
  const matrices = [
    'language_model.model.layers.0.self_attn.q_proj_moe_gen',
    'language_model.model.layers.5.mlp_moe_gen.down_proj',
    'vae2llm',
  ];

  function factors(): Record<string, FileTensor> {
    const rng = seeded(11);
    const random = (n: number) => Float32Array.from({ length: n }, () => 0.4 * (rng() - 0.5));
    return Object.fromEntries(
      matrices.flatMap((stem) => {
        const [out = 0, input = 0] = shapes.get(`${stem}.weight`) ?? [];
        return [
          [`${stem}.lora_A.weight`, f32([RANK, input], random(RANK * input))],
          [`${stem}.lora_B.weight`, f32([out, RANK], random(out * RANK))],
        ];
      }),
    );
  }
  const embedders = () =>
    Object.fromEntries(Object.entries(asFile(randomWeights(1))).filter(([name]) => /scale_embedder/.test(name)));

  test('are the full student of the merged weights', async () => {
    const low = { ...embedders(), ...factors() };
    const norm = 'language_model.model.norm_moe_gen.weight';
    low[norm] = bf16(norm, randomWeights(1).get(norm) as Float32Array);
    await write('low', low, { kind: 'low-rank', lora_scale: SCALE });

    const merged = plainWeights();
    for (const [name, tensor] of Object.entries({ ...embedders(), [norm]: low[norm] as FileTensor })) {
      merged.set(name, fromBf16(tensor.data as Uint16Array));
    }
    for (const stem of matrices) {
      const weight = merged.get(`${stem}.weight`) as Float32Array;
      const a = low[`${stem}.lora_A.weight`]?.data as Float32Array;
      const b = low[`${stem}.lora_B.weight`]?.data as Float32Array;
      const input = a.length / RANK;
      for (let i = 0; i < weight.length; i++) {
        let sum = 0;
        for (let r = 0; r < RANK; r++)
          sum += (b[Math.floor(i / input) * RANK + r] as number) * (a[r * input + (i % input)] as number);
        weight[i] = (weight[i] as number) + SCALE * sum;
      }
    }
    await write('merged', asFile(merged));
    const [got, want] = [await draw({ student: 'low' }), await draw({ student: 'merged' })];
    // weights may round to neighbouring bf16 values where sums tie
    expect(relativeL2(got.latents, want.latents)).toBeLessThan(2e-3);
    expect(relativeL2(got.latents, (await draw({ student: 'plain' })).latents)).toBeGreaterThan(0.01);
    for (const name of ['low', 'merged']) await rm(`${folder}/students/${name}`, { recursive: true });
  });

  test('with wrong factors are refused', async () => {
    const good = { ...embedders(), ...factors() };
    const stem = matrices[0] as string;
    const [a, b] = [`${stem}.lora_A.weight`, `${stem}.lora_B.weight`];
    const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
    const bad: [string, Record<string, FileTensor>, RegExp][] = [
      ['half', without(b), /half a low-rank update/],
      ['narrow', { ...good, [a]: f32([RANK, 7], new Float32Array(RANK * 7)) }, /shape/],
      ['ranks', { ...good, [b]: f32([192, RANK + 1], new Float32Array(192 * (RANK + 1))) }, /shape/],
      [
        'both',
        { ...good, [`${stem}.weight`]: bf16(`${stem}.weight`, new Float32Array(size(`${stem}.weight`))) },
        /as a whole and/,
      ],
      ['bias', { ...good, [`${stem}.lora_A.bias`]: f32([1], new Float32Array(1)) }, /no tensor of a student/],
      ['silent', factors(), /text_scale_embedder.*missing/],
    ];
    for (const [name, tensors, message] of bad) {
      await write(name, tensors, { kind: 'low-rank', lora_scale: 1 });
      const error = await failure(() => draw({ student: name }));
      expect(error.code, name).toBe('BAD_MODEL');
      expect(error.message).toMatch(message);
      await rm(`${folder}/students/${name}`, { recursive: true });
    }
  });
});

describe('what is refused', () => {
  test('files of full students', async () => {
    const good = asFile(plainWeights());
    const embedder = 'image_scale_embedder.mlp.2.weight';
    const layer = 'language_model.model.layers.3.mlp_moe_gen.up_proj.weight';
    const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
    const bad: [string, Record<string, FileTensor>, RegExp][] = [
      ['no embedder', without(embedder), /image_scale_embedder.mlp.2.weight" is missing/],
      ['no layer', without(layer), /up_proj.weight" is missing/],
      [
        'shape',
        { ...good, [layer]: f32([512, 191], new Float32Array(512 * 191)) },
        /shape \[512,191\], not \[512,192\]/,
      ],
      ['dtype', { ...good, 'vae2llm.bias': { dtype: 'I32', shape: [192], data: new Int32Array(192) } }, /dtype I32/],
      [
        'unknown',
        { ...good, 'language_model.lm_head.weight': f32([2], new Float32Array(2)) },
        /no tensor of a student/,
      ],
      ['factors', { ...good, 'vae2llm.lora_A.weight': f32([1, 16], new Float32Array(16)) }, /no tensor of a student/],
    ];
    for (const [what, tensors, message] of bad) {
      await write('bad', tensors);
      const error = await failure(() => draw({ student: 'bad' }));
      expect(error.code, what).toBe('BAD_MODEL');
      expect(error.message, what).toMatch(message);
    }
    // what was mended is taken
    await write('bad', good);
    expect((await draw({ student: 'bad', steps: 1 })).nfe).toBe(1);
    await rm(`${folder}/students/bad`, { recursive: true });
  });

  test('a student of another model, and settings that make no sense', async () => {
    const good = asFile(plainWeights());
    const bad: [object, string][] = [
      [{ base: '0'.repeat(64) }, 'base'],
      [{ base: 'mine' }, 'base'],
      [{ format: 2 }, 'format'],
      [{ kind: 'half' }, 'kind'],
      [{ kind: 'low-rank' }, 'lora_scale'],
      [{ grid: [1, 0.5] }, 'grid'],
      [{ grid: [1, 0.5, 0.6, 0] }, 'grid'],
      [{ grid: 6 }, 'grid'],
      [{ solver: 'magic' }, 'solver'],
      [{ solver: 'euler', gamma: 0.5 }, 'grid'],
      [{ gamma: 2 }, 'gamma'],
      [{ text_scale: [5, 1] }, 'text_scale'],
      [{ text_scale: 4 }, 'text_scale'],
      [{ image_scale: ['1', 2] }, 'image_scale'],
      [{ image_scale: undefined }, 'image_scale'],
    ];
    for (const [over, operand] of bad) {
      await write('odd', good, over);
      const error = await failure(() => draw({ student: 'odd' }));
      expect(error, JSON.stringify(over)).toMatchObject({ code: 'BAD_MODEL', operand });
    }
    await writeFile(path.join(folder, 'students/odd/student.json'), '{"format": 1');
    expect((await failure(() => draw({ student: 'odd' }))).code).toBe('BAD_MODEL');
    await writeFile(path.join(folder, 'students/odd/gen.safetensors'), 'no weights');
    await writeFile(path.join(folder, 'students/odd/student.json'), JSON.stringify(settings()));
    expect((await failure(() => draw({ student: 'odd' }))).code).toBe('BAD_MODEL');
    await rm(`${folder}/students/odd`, { recursive: true });
  });

  test('names that are not there, or lead out of the folder', async () => {
    const names = [
      'absent',
      '',
      '.',
      '..',
      '../one',
      'students/one',
      '../students/one',
      '/etc',
      'one/',
      'one\0',
      '.one',
      'a'.repeat(100),
    ];
    for (const name of [...names, 7 as unknown as string, null as unknown as string]) {
      const error = await failure(() => draw({ student: name }));
      expect(error, String(name)).toMatchObject({
        code: 'BAD_OPTION',
        operand: 'student',
        expected: 'one, plain, two',
      });
    }
    const plain = await Bagel.load();
    const error = await failure(() => plain.draw(PROMPT, { student: 'one' }));
    expect(error).toMatchObject({ code: 'BAD_OPTION', operand: 'student' });
    expect(error.message).toMatch(/no students/);
    await plain.dispose();
    const items = [{ prompt: PROMPT }, { prompt: PROMPT, student: 'absent' }];
    expect((await failure(() => bagel.drawMany(items).next())).message).toMatch(/^item 1: .*one, plain, two/);
    expect(await readFile(path.join(folder, 'students/one/student.json'), 'utf8')).toContain(hash);
  });
});
