import { HyperBagelError } from '../errors.js';
import { readTensors } from './safetensors.js';

const NAME = 'noise';

/** Initial noise from a file. */
export interface Noise {
  /** Row-major. */
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/**
 * Reads tensor `noise` of a safetensors file: f32, finite, of these dims; a dim given by name may have any size.
 *
 * @throws HyperBagelError IO, BAD_MODEL (not such a file, no such tensor), BAD_DTYPE, BAD_SHAPE, BAD_OPTION (NaN or infinite)
 */
export async function readNoise(file: string, dims: readonly (number | string)[]): Promise<Noise> {
  const tensor = (await readTensors(file, [NAME])).get(NAME);
  const refuse = (code: 'BAD_DTYPE' | 'BAD_SHAPE' | 'BAD_OPTION', expected: string, got: string) =>
    new HyperBagelError(code, `${file}: tensor ${NAME} must be ${expected}, got ${got}`, {
      operand: NAME,
      expected,
      got,
    });
  if (tensor?.dtype !== 'F32') throw refuse('BAD_DTYPE', 'F32', String(tensor?.dtype));
  const { data, shape } = tensor;
  const fits = shape.length === dims.length && dims.every((dim, i) => typeof dim === 'string' || dim === shape[i]);
  if (!fits) throw refuse('BAD_SHAPE', `[${dims.join(', ')}]`, `[${shape}]`);
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw refuse('BAD_OPTION', 'finite everywhere', `${data[bad]} at element ${bad}`);
  return { data, shape };
}
