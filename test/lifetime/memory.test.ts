// A 1 GB checkpoint loads with a peak resident size below 1.25 GB in its own dtype: weights are read, packed group by group,
// and leave memory once packed. And memory() moves as the system's figure does.
import { execFile } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
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
import { fullTier } from '../kit/tier.js';
import { runMeasured } from './child.js';

const folder = mkdtempSync(path.join(tmpdir(), 'hyper-bagel-memory-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const full = fullTier(12, 'loading a checkpoint of 1 GB');

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

/** A model folder of zeros with the bundled tokenizer; returns the bytes of its tensors. */
async function writeModel(name: string, llm: Record<string, number>): Promise<{ model: string; bytes: number }> {
  const model = path.join(folder, name);
  mkdirSync(model);
  for (const file of ['config.json', 'vit_config.json', 'tokenizer.json', 'tokenizer_config.json']) {
    copyFileSync(path.join('models/tiny', file), path.join(model, file));
  }
  const bundled = JSON.parse(readFileSync('models/tiny/llm_config.json', 'utf8')) as Record<string, unknown>;
  writeFileSync(path.join(model, 'llm_config.json'), JSON.stringify({ ...bundled, ...llm }));
  const tensors = expectedTensors(await readConfig(model));
  const of = (file: string) => tensors.filter((t) => t.file === file);
  const bytes =
    writeZeros(path.join(model, 'ema.safetensors'), of('ema'), 'BF16') +
    writeZeros(path.join(model, 'ae.safetensors'), of('ae'), 'F32');
  return { model, bytes };
}

test.skipIf(!full)('a checkpoint of 1 GB peaks below 1.25 GB', { timeout: 300_000 }, async () => {
  const { model, bytes } = await writeModel('large', {
    hidden_size: 1536,
    intermediate_size: 4608,
    num_attention_heads: 12,
    num_hidden_layers: 9,
    vocab_size: 8192,
  });
  expect(bytes).toBeGreaterThan(1e9);
  expect(bytes).toBeLessThan(1.1e9);
  const program = `
    import { readFileSync } from 'node:fs';
    import { Bagel } from ${JSON.stringify(path.resolve('dist/index.js'))};
    const bagel = await Bagel.load(${JSON.stringify(model)}, { dtype: 'bf16', cacheTokens: 256 });
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

test('memory() and the resident size move alike: load, session, picture, dispose', { timeout: 120_000 }, async () => {
  const { model } = await writeModel('middle', {
    hidden_size: 512,
    intermediate_size: 1536,
    num_attention_heads: 8,
    num_key_value_heads: 8,
    num_hidden_layers: 12,
  });
  const { code, stdout, stderr } = await runMeasured(
    `
    import { readFileSync } from 'node:fs';
    // what the system says, without the heap that V8 says it has taken
    const resident = () =>
      Number(/VmRSS:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024 -
      process.memoryUsage().heapTotal;
    const settle = async () => {
      for (let i = 0; i < 5; i++) {
        globalThis.gc();
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const text = 'how many objects are there in the image? '.repeat(70);
    const work = async (bagel, step) => {
      await step('load');
      const session = bagel.session();
      await session.addText(text);
      await session.answer({ maxTokens: 4, ignoreStop: true, speculate: 'off' }).result;
      await step('session');
      await bagel.draw('a red circle', { steps: 1, seed: 1 });
      await step('picture');
      await bagel.dispose();
      await step('dispose');
      return session.tokens;
    };
    // code and heap of the work are there before anything is measured
    await work(await Bagel.load(), settle);
    await settle();
    const steps = {};
    let before = { rss: resident(), own: 0 };
    const bagel = await Bagel.load(${JSON.stringify(model)}, { cacheTokens: 4096 });
    const tokens = await work(bagel, async (name) => {
      await settle();
      const now = { rss: resident(), own: bagel.memory().residentBytes };
      steps[name] = { rss: now.rss - before.rss, own: now.own - before.own };
      before = now;
    });
    console.log(JSON.stringify({ steps, tokens, left: bagel.memory() }));`,
    110_000,
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { steps, tokens, left } = JSON.parse(stdout) as {
    steps: Record<string, { rss: number; own: number }>;
    tokens: number;
    left: { bytes: number; residentBytes: number };
  };
  for (const [name, { rss, own }] of Object.entries(steps)) {
    console.log(`${name}: resident ${(rss / 1e6).toFixed(1)} MB, memory() ${(own / 1e6).toFixed(1)} MB`);
  }
  expect(tokens).toBeGreaterThan(600);
  expect(left).toMatchObject({ bytes: 0, residentBytes: 0 });
  expect(steps.load?.own).toBeGreaterThan(150e6);
  expect(steps.session?.own).toBeGreaterThan(40e6);
  expect(steps.dispose?.own).toBeLessThan(-200e6);
  for (const { rss, own } of Object.values(steps)) {
    // 1 MB: code, stacks, the allocator's small change
    expect(Math.abs(rss - own)).toBeLessThan(0.05 * Math.abs(rss) + 1e6);
  }
});
