import { HyperBagelError } from '../../errors.js';
import * as ops from '../../generated/ops.js';
import type { ModelFiles } from '../../io/safetensors.js';
import type { Context } from '../../tensor/context.js';
import type { Tensor } from '../../tensor/tensor.js';
import { WeightFile } from '../../tensor/weight-file.js';
import type { ExpectedTensor } from './tensors.js';

/** Dtypes of weights and activations. */
export type Float = 'f32' | 'bf16';
export type FloatTensor = Tensor<Float>;

/** Purpose number of random weights, as in csrc/core/noise.h. */
const PURPOSE_WEIGHT = 7;

/** Where weights come from: files, or random numbers. */
export interface WeightSource {
  /** Dtype in which a tensor is stored. */
  dtype(name: string): Float;
  /** The tensor as stored; for the current scope only. */
  get(name: string): FloatTensor;
  close(): void;
}

const DTYPES: Record<string, Float | undefined> = { F32: 'f32', BF16: 'bf16' };

/**
 * Weights of a checkpoint, each read when an op first wants it. Unknown tensors are ignored, as the public loader does.
 *
 * @throws HyperBagelError BAD_MODEL when a tensor is missing, has another shape, or a dtype other than F32 or BF16; IO
 */
export class FileSource implements WeightSource {
  readonly #context: Context;
  readonly #files = new Map<string, WeightFile>();
  readonly #places = new Map<string, { path: string; offset: number; dtype: Float; shape: readonly number[] }>();

  constructor(
    context: Context,
    parts: { [file in ExpectedTensor['file']]?: ModelFiles },
    expected: readonly ExpectedTensor[],
  ) {
    this.#context = context;
    for (const tensor of expected) {
      const files = parts[tensor.file];
      if (!files) throw new HyperBagelError('INTERNAL', `no files for "${tensor.name}"`, { operand: tensor.name });
      const entry = files.tensors.get(tensor.name);
      const bad = (problem: string, wanted: string, got: string) =>
        new HyperBagelError('BAD_MODEL', `${files.files[entry?.file ?? 0]}: tensor "${tensor.name}" ${problem}`, {
          operand: tensor.name,
          expected: wanted,
          got,
        });
      if (!entry) throw bad('is missing', `shape [${tensor.shape}]`, 'nothing');
      if (entry.shape.length !== tensor.shape.length || entry.shape.some((n, i) => n !== tensor.shape[i])) {
        throw bad(`has shape [${entry.shape}], not [${tensor.shape}]`, `[${tensor.shape}]`, `[${entry.shape}]`);
      }
      const dtype = DTYPES[entry.dtype];
      if (!dtype) throw bad(`has dtype ${entry.dtype}, not F32 or BF16`, 'F32 or BF16', entry.dtype);
      const path = files.files[entry.file] as string;
      this.#places.set(tensor.name, { path, offset: entry.offset, dtype, shape: entry.shape });
    }
    for (const { path } of this.#places.values()) {
      if (!this.#files.has(path)) this.#files.set(path, new WeightFile(path));
    }
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  dtype(name: string): Float {
    return this.#place(name).dtype;
  }

  get(name: string): FloatTensor {
    const { path, offset, dtype, shape } = this.#place(name);
    return this.#context.fromFile(this.#files.get(path) as WeightFile, offset, dtype, shape);
  }

  close(): void {
    for (const file of this.#files.values()) file.dispose();
  }

  #place(name: string) {
    const place = this.#places.get(name);
    if (!place) throw new HyperBagelError('INTERNAL', `no weight is called "${name}"`, { operand: name });
    return place;
  }
}

/**
 * Philox weights of the right shapes: linear weights with deviation 1 / sqrt(inputs), norms around 1, the rest small. The same
 * seed gives the same bits everywhere.
 */
export class RandomSource implements WeightSource {
  readonly #context: Context;
  readonly #seed: Tensor<'i32'>;
  readonly #dtype: Float;
  readonly #shapes: Map<string, { shape: readonly number[]; number: number; file: ExpectedTensor['file'] }>;

  constructor(context: Context, expected: readonly ExpectedTensor[], seed: number, dtype: Float) {
    this.#context = context;
    this.#dtype = dtype;
    this.#seed = context.tensor('i32', [1, 2], [seed | 0, Math.floor(seed / 2 ** 32) | 0]);
    this.#shapes = new Map(expected.map(({ name, shape, file }, number) => [name, { shape, number, file }]));
  }

  dtype(name: string): Float {
    return this.#shapes.get(name)?.file === 'ae' ? 'f32' : this.#dtype;
  }

  get(name: string): FloatTensor {
    const entry = this.#shapes.get(name);
    if (!entry) throw new HyperBagelError('INTERNAL', `no weight is called "${name}"`, { operand: name });
    const [out = 1, ...inner] = entry.shape;
    const inputs = inner.reduce((product, n) => product * n, 1);
    const isNorm = entry.shape.length === 1 && /norm/.test(name) && !name.endsWith('.bias');
    const flat = ops.philoxNormal(this.#context, {
      seed: this.#seed,
      position: this.#context.tensor('i32', [1], [entry.number]),
      rowsCount: out,
      columns: inputs,
      purpose: PURPOSE_WEIGHT,
      mean: isNorm ? 1 : 0,
      deviation: entry.shape.length === 1 ? 0.02 : 1 / Math.sqrt(inputs),
      dtype: this.dtype(name),
    });
    return flat.reshape(entry.shape);
  }

  close(): void {
    this.#seed.dispose();
  }
}
