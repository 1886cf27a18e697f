import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type FileTensor, readTensors } from '../../lib/io/safetensors.js';
import { bundledModel } from '../../lib/models/bagel/bagel.js';
import { packageRoot } from '../../lib/native/load.js';

/** Outputs of the public implementation: see test/golden/README.md. */
const folder = path.join(packageRoot(), 'test', 'golden');

export const tensors = (name: string): Promise<Map<string, FileTensor>> =>
  readTensors(path.join(folder, `${name}.safetensors`));

export const json = <T>(name: string): T => JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8')) as T;

export const modelFolder = (name: 'trained' | 'random-a'): string =>
  name === 'trained' ? bundledModel() : path.join(folder, 'random-a', 'model');

/** The tensor's f32 values. */
export function floats(file: Map<string, FileTensor>, name: string): Float32Array {
  const tensor = file.get(name);
  if (!(tensor?.data instanceof Float32Array)) throw new Error(`no f32 tensor "${name}"`);
  return tensor.data;
}

export function bytes(file: Map<string, FileTensor>, name: string): Uint8Array {
  const tensor = file.get(name);
  if (!(tensor?.data instanceof Uint8Array)) throw new Error(`no u8 tensor "${name}"`);
  return tensor.data;
}

/** ||a - b|| / ||b|| */
export function relativeL2(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`lengths ${a.length} and ${b.length}`);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] as number) - (b[i] as number)) ** 2;
    norm += (b[i] as number) ** 2;
  }
  return Math.sqrt(difference) / Math.max(Math.sqrt(norm), 1e-30);
}

/** Mean and largest absolute difference. */
export function pixelDifference(a: Uint8Array, b: Uint8Array): { mean: number; max: number } {
  if (a.length !== b.length) throw new Error(`lengths ${a.length} and ${b.length}`);
  let sum = 0;
  let max = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs((a[i] as number) - (b[i] as number));
    sum += d;
    max = Math.max(max, d);
  }
  return { mean: sum / a.length, max };
}

/** [1, c, h, w] -> [h, w, c] */
export function channelsLast(tensor: FileTensor): Float32Array {
  const [, c = 0, h = 0, w = 0] = tensor.shape;
  const from = tensor.data as Float32Array;
  const to = new Float32Array(from.length);
  for (let k = 0; k < c; k++) for (let i = 0; i < h * w; i++) to[i * c + k] = from[k * h * w + i] as number;
  return to;
}
