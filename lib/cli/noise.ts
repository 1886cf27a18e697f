import { HyperBagelError } from '../errors.js';
import { readTensors } from '../io/safetensors.js';

const NAME = 'noise';

/**
 * Reads tensor `noise` of a safetensors file: packed initial noise, f32 [tokens, channels].
 *
 * @throws HyperBagelError IO, BAD_MODEL (not such a file, no such tensor), BAD_DTYPE, BAD_SHAPE, BAD_OPTION (NaN or infinite)
 */
export async function readNoise(file: string, channels: number): Promise<Float32Array> {
  const tensor = (await readTensors(file, [NAME])).get(NAME);
  const refuse = (code: 'BAD_DTYPE' | 'BAD_SHAPE' | 'BAD_OPTION', expected: string, got: string) =>
    new HyperBagelError(code, `${file}: tensor ${NAME} must be ${expected}, got ${got}`, {
      operand: NAME,
      expected,
      got,
    });
  if (tensor?.dtype !== 'F32') throw refuse('BAD_DTYPE', 'F32', String(tensor?.dtype));
  const { data, shape } = tensor;
  if (shape.length !== 2 || shape[1] !== channels) throw refuse('BAD_SHAPE', `[tokens, ${channels}]`, `[${shape}]`);
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw refuse('BAD_OPTION', 'finite everywhere', `${data[bad]} at element ${bad}`);
  return data;
}
