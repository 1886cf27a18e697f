// The bundled model with students of random weights, and the means to write more of them.
import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll } from 'vitest';
import { shiftedGrid } from '../../lib/denoise/grid.js';
import { modelHash } from '../../lib/io/model-hash.js';
import { type FileTensor, readTensors, writeSafetensors } from '../../lib/io/safetensors.js';
import { Bagel, bundledModel } from '../../lib/models/bagel/bagel.js';
import type { DrawOptions } from '../../lib/models/bagel/draw-options.js';
import { generationTensors } from '../../lib/models/bagel/tensors.js';
import { fromBf16, toBf16 } from '../../lib/tensor/dtype.js';
import { temporaryFolder } from '../io/kit.js';
import { seeded } from '../kit/cases.js';

export const PROMPT = 'a large red circle in the center on a white background';
/** The students' own. */
export const GRID = Array.from(shiftedGrid(6, 3));

export type Weights = Map<string, Float32Array>;

export const f32 = (shape: readonly number[], data: Float32Array): FileTensor => ({
  dtype: 'F32',
  shape,
  data: data as Float32Array<ArrayBuffer>,
});

/**
 * For one test file: a copy of the bundled model, loaded, with the students `plain`, which has the model's own weights, `one` and
 * `two`, which have random ones.
 */
export async function studentModel() {
  const folder = path.join(temporaryFolder(), 'model');
  await cp(bundledModel(), folder, { recursive: true });
  const base = await readTensors(path.join(folder, 'ema.safetensors'));
  const hash = await modelHash(folder);
  const bagel = await Bagel.load(folder);
  afterAll(() => bagel.dispose());
  /** Of the tensors that a full student has. */
  const shapes = new Map(generationTensors(bagel.config).map(({ name, shape }) => [name, shape]));
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
  const asFile = (weights: Weights) =>
    Object.fromEntries([...weights].map(([name, values]) => [name, bf16(name, values)]));

  await write('plain', asFile(plainWeights()));
  await write('one', asFile(randomWeights(1)));
  await write('two', asFile(randomWeights(2)), { solver: 'lcm' });

  const draw = (options: DrawOptions) => bagel.draw(PROMPT, { seed: 3, ...options });
  return { folder, base, hash, bagel, shapes, size, plainWeights, randomWeights, settings, write, bf16, asFile, draw };
}
