import { createHash } from 'node:crypto';
import path from 'node:path';
import { HyperBagelError } from '../errors.js';
import { readNoise } from '../io/noise-file.js';
import type { SuiteName } from './suite.js';

/** Initial noises of a suite: item `row` of every group begins at the same one. */
export interface NoiseRows {
  /** Says which noises these are. */
  readonly hash: string;
  /** @throws HyperBagelError BAD_OPTION beyond the last row */
  row(row: number): Float32Array;
}

/**
 * `noise_<suite>.safetensors` in a folder: f32 [rows, tokens, channels].
 *
 * @throws HyperBagelError as `readNoise`
 */
export async function readNoiseRows(
  folder: string,
  suite: SuiteName,
  [tokens, channels]: readonly [number, number],
): Promise<NoiseRows> {
  const file = path.join(folder, `noise_${suite}.safetensors`);
  const { data, shape } = await readNoise(file, ['rows', tokens, channels]);
  const [rows = 0] = shape;
  const width = tokens * channels;
  return {
    hash: createHash('sha256').update(data).digest('hex').slice(0, 16),
    row: (row) => {
      if (row < rows) return data.subarray(row * width, (row + 1) * width);
      throw new HyperBagelError('BAD_OPTION', `${file} holds ${rows} noises: no more than ${rows} items of a group`, {
        operand: 'noise',
        expected: `more than ${row} rows`,
        got: `${rows}`,
      });
    },
  };
}
