// Students as files: low-rank ones, and what is refused of weights, settings and names.
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { FileTensor } from '../../lib/io/safetensors.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { fromBf16 } from '../../lib/tensor/dtype.js';
import { seeded } from '../kit/cases.js';
import { failure } from '../kit/failure.js';
import { relativeL2 } from './golden.js';
import { f32, PROMPT, studentModel } from './student-kit.js';

const { folder, hash, bagel, shapes, size, plainWeights, randomWeights, settings, write, bf16, asFile, draw } =
  await studentModel();

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
