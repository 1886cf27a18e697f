// A 1 GB checkpoint loads with a peak resident size below 1.25 GB in its own dtype: weights are mapped, packed group by group,
// and leave memory once packed.
import { execFile } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { readConfig } from '../../lib/models/bagel/config.js';
import { expectedTensors } from '../../lib/models/bagel/tensors.js';

const folder = mkdtempSync(path.join(tmpdir(), 'hyper-bagel-memory-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const full = process.env.HB_TEST_FULL !== undefined;
if (!full) console.log('skipped without HB_TEST_FULL: loading a checkpoint of 1 GB');

/** Writes the tensors of one file, all zeros, as a sparse file: only the header takes room on disk. */
function writeZeros(
  file: string,
  tensors: readonly { name: string; shape: readonly number[] }[],
  dtype: 'BF16' | 'F32',
): number {
  const size = dtype === 'BF16' ? 2 : 4;
  let offset = 0;
  const header: Record<string, unknown> = {};
  for (const { name, shape } of tensors) {
    const end = offset + shape.reduce((a, b) => a * b, 1) * size;
    header[name] = { dtype, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(padded.length));
  const handle = openSync(file, 'w');
  writeSync(handle, prefix);
  writeSync(handle, padded);
  ftruncateSync(handle, 8 + padded.length + offset);
  closeSync(handle);
  return offset;
}

test.skipIf(!full)('a checkpoint of 1 GB peaks below 1.25 GB', { timeout: 300_000 }, async () => {
  for (const file of ['config.json', 'vit_config.json', 'tokenizer.json', 'tokenizer_config.json']) {
    copyFileSync(path.join('models/tiny', file), path.join(folder, file));
  }
  const llm = JSON.parse(readFileSync('models/tiny/llm_config.json', 'utf8')) as Record<string, unknown>;
  const larger = {
    ...llm,
    hidden_size: 1536,
    intermediate_size: 4608,
    num_attention_heads: 12,
    num_hidden_layers: 9,
    vocab_size: 8192,
  };
  writeFileSync(path.join(folder, 'llm_config.json'), JSON.stringify(larger));
  const tensors = expectedTensors(await readConfig(folder));
  const bytes =
    writeZeros(
      path.join(folder, 'ema.safetensors'),
      tensors.filter((t) => t.file === 'ema'),
      'BF16',
    ) +
    writeZeros(
      path.join(folder, 'ae.safetensors'),
      tensors.filter((t) => t.file === 'ae'),
      'F32',
    );
  expect(bytes).toBeGreaterThan(1e9);
  expect(bytes).toBeLessThan(1.1e9);
  const program = `
    import { readFileSync } from 'node:fs';
    import { Bagel } from ${JSON.stringify(path.resolve('dist/index.js'))};
    const bagel = await Bagel.load(${JSON.stringify(folder)}, { dtype: 'bf16', cacheTokens: 256 });
    const peak = Number(/VmHWM:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    console.log(JSON.stringify({ peak, ...bagel.memory() }));
    await bagel.dispose();`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  const { peak } = JSON.parse(stdout) as { peak: number };
  console.log(
    `checkpoint ${(bytes / 1e9).toFixed(3)} GB, peak resident ${(peak / 1e9).toFixed(3)} GB, ratio ${(peak / bytes).toFixed(3)}`,
  );
  expect(peak).toBeLessThan(1.25 * bytes);
});
