import { HyperBagelError } from '../../errors.js';
import * as ops from '../../generated/ops.js';
import { badModel } from '../../io/model-file.js';
import { type ModelFiles, openModelFiles } from '../../io/safetensors.js';
import type { Context } from '../../tensor/context.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { BagelConfig } from './config.js';
import { FileSource, type Float, type FloatTensor, type WeightSource } from './source.js';
import { type ExpectedTensor, expectedTensors, generationTensors, SCALE_EMBEDDERS } from './tensors.js';

/** Suffixes of a low-rank update B A of a matrix, in place of its `.weight`: [rank, inputs] and [outputs, rank]. */
const DOWN = '.lora_A.weight';
const UP = '.lora_B.weight';

const isEmbedder = (name: string) => Object.values(SCALE_EMBEDDERS).some((embedder) => name.startsWith(`${embedder}.`));

/** A low-rank update: weight + up down, the scale already in `down`. */
interface Update {
  /** Name of the [outputs, rank] factor. */
  up: string;
  /** The other factor, transposed: [inputs, rank]. */
  down: Tensor<'f32'>;
}

/**
 * The weights of a student. `full`: all are in its file. `low-rank`: matrices are the model's plus an update, other tensors of the
 * file replace the model's, and the rest is the model's own; merged once, at load. Everything is kept in the dtype that the model
 * stores its own in, since both experts run in one call.
 */
export class StudentSource implements WeightSource {
  private constructor(
    private readonly cx: Context,
    /** What the student's file holds. */
    private readonly own: FileSource,
    /** The model's own generation weights. */
    private readonly base: FileSource,
    private readonly updates: ReadonlyMap<string, Update>,
  ) {}

  /**
   * @param folder of the student
   * @param model folder of the model
   * @param scale of low-rank updates; absent for a full student
   * @throws HyperBagelError BAD_MODEL: a tensor is missing, unknown, of another shape or dtype, or half an update; IO
   */
  static async open(
    cx: Context,
    config: BagelConfig,
    folder: string,
    model: string,
    scale: number | undefined,
  ): Promise<StudentSource> {
    const files = await openModelFiles(folder, 'gen');
    const parts = { gen: files, ema: await openModelFiles(model, 'ema') };
    const all = generationTensors(config);
    const { given, factors } = sort(files, all, scale !== undefined);
    const names = new Set(all.map(({ name }) => name));
    const inModel = expectedTensors(config).filter(({ name }) => names.has(name));
    const base = new FileSource(cx, parts, inModel);
    let own: FileSource | undefined;
    const updates = new Map<string, Update>();
    try {
      own = new FileSource(cx, parts, [...given, ...factors]);
      for (const { name, shape } of factors.filter((factor) => factor.name.endsWith(DOWN))) {
        const stem = name.slice(0, -DOWN.length);
        const down = await transposed(cx, own.get(name), shape, scale as number);
        updates.set(`${stem}.weight`, { up: `${stem}${UP}`, down });
      }
      return new StudentSource(cx, own, base, updates);
    } catch (error) {
      for (const { down } of updates.values()) down.dispose();
      own?.close();
      base.close();
      throw error;
    }
  }

  dtype(name: string): Float {
    return (this.base.has(name) ? this.base : this.own).dtype(name);
  }

  get(name: string): FloatTensor {
    const update = this.updates.get(name);
    if (!update) return (this.own.has(name) ? this.own : this.base).get(name);
    const wide = (tensor: FloatTensor) => ops.cast(this.cx, { x: tensor, dtype: 'f32' });
    return ops.linear(this.cx, {
      x: wide(this.own.get(update.up)),
      weight: update.down,
      residual: wide(this.base.get(name)),
      dtype: 'f32',
    });
  }

  close(): void {
    for (const { down } of this.updates.values()) down.dispose();
    this.own.close();
    this.base.close();
  }
}

/** Sorts what a student's file holds into whole tensors and factors of updates, with the shapes that they must have. */
function sort(
  files: ModelFiles,
  all: readonly ExpectedTensor[],
  lowRank: boolean,
): { given: ExpectedTensor[]; factors: ExpectedTensor[] } {
  const bad = (name: string, problem: string) =>
    badModel(files.files[files.tensors.get(name)?.file ?? 0] as string, `tensor "${name}" ${problem}`, {
      operand: name,
    });
  const given = all.filter(({ name }) => !lowRank || isEmbedder(name) || files.tensors.has(name));
  const known = new Set(given.map(({ name }) => name));
  const factors: ExpectedTensor[] = [];
  for (const { name, shape } of lowRank ? all : []) {
    const [down, up] = [name.replace(/\.weight$/, DOWN), name.replace(/\.weight$/, UP)];
    const [outputs, inputs] = shape;
    if (outputs === undefined || inputs === undefined || isEmbedder(name)) continue;
    const found = [down, up].filter((factor) => files.tensors.has(factor));
    if (found.length === 0) continue;
    if (found.length === 1) throw bad(found[0] as string, 'is half a low-rank update: its other factor is missing');
    if (known.has(name)) throw bad(name, 'is given as a whole and as a low-rank update');
    const rank = files.tensors.get(down)?.shape[0] ?? 0;
    if (rank < 1) throw bad(down, 'must have at least one row');
    factors.push({ name: down, file: 'gen', shape: [rank, inputs] }, { name: up, file: 'gen', shape: [outputs, rank] });
    known.add(down).add(up);
  }
  for (const name of files.tensors.keys()) if (!known.has(name)) throw bad(name, 'is no tensor of a student');
  return { given, factors };
}

async function transposed(
  cx: Context,
  tensor: FloatTensor,
  [rank = 0, inputs = 0]: readonly number[],
  scale: number,
): Promise<Tensor<'f32'>> {
  const values = await tensor.floats();
  tensor.dispose();
  const out = new Float32Array(values.length);
  for (let r = 0; r < rank; r++)
    for (let i = 0; i < inputs; i++) out[i * rank + r] = (values[r * inputs + i] as number) * scale;
  return cx.tensor('f32', [inputs, rank], out);
}

/** Bytes that a student's weights take in memory. */
export function studentBytes(config: BagelConfig, dtypeBytes: number): number {
  const count = generationTensors(config).reduce((sum, { shape }) => sum + shape.reduce((n, dim) => n * dim, 1), 0);
  return count * dtypeBytes;
}

export function outOfMemory(name: string, needed: number, available: number): HyperBagelError {
  const gb = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  return new HyperBagelError('OUT_OF_MEMORY', `student ${name} needs ${gb(needed)}, ${gb(available)} are available`, {
    operand: 'student',
    expected: gb(needed),
    got: gb(available),
  });
}
