// Files that lie or lead astray, one by one: each is refused with a code, or does no harm, within the time and memory that it justifies.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodeImage } from '../../lib/io/image.js';
import { readNoise } from '../../lib/io/noise-file.js';
import { openModelFiles, readHeader, readTensors } from '../../lib/io/safetensors.js';
import { Tokenizer } from '../../lib/io/tokenizer.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { readConfig } from '../../lib/models/bagel/config.js';
import { readRgbMap } from '../../lib/models/bagel/preview.js';
import { readStudent } from '../../lib/models/bagel/student.js';
import { readEagleConfig } from '../../lib/speculative/eagle/config.js';
import { temporaryFolder } from '../io/kit.js';
import { failure, failureCode } from '../kit/failure.js';
import { fullTier } from '../kit/tier.js';
import { writeSeeds } from './targets.js';

const folder = temporaryFolder();
const seeds = path.join(folder, 'seeds');
const FULL = fullTier(20, 'most files for each kind of link, some keys, sizes and weights of a kind');
/** The first of a list; all of it in the full tier. */
const share = <T>(list: readonly T[], quick: number): readonly T[] => (FULL ? list : list.slice(0, quick));
const LOAD = { threads: 1, cacheTokens: 64, keepMeasurements: false } as const;
beforeAll(() => writeSeeds(seeds));

const copy = path.join(folder, 'model');
/** The file of the copy that is not as it was. */
let changed: string | undefined;

/** The copy of the small model, as it was but for one file. */
function modelAsWas(file: string): string {
  if (changed === undefined) cpSync(path.join(seeds, 'model'), copy, { recursive: true });
  else {
    rmSync(path.join(copy, changed), { force: true });
    copyFileSync(path.join(seeds, 'model', changed), path.join(copy, changed));
  }
  changed = file;
  return path.join(copy, file);
}

/** A copy of the small model in which one file is another: bytes, or what `change` makes of its JSON. */
function modelWith(file: string, change: Uint8Array | string | ((json: Record<string, unknown>) => unknown)): string {
  const to = modelAsWas(file);
  const content = typeof change === 'function' ? change(JSON.parse(readFileSync(to, 'utf8')) as never) : change;
  writeFileSync(to, content instanceof Uint8Array || typeof content === 'string' ? content : JSON.stringify(content));
  return copy;
}

/** A file in the model's place that is a link, or made by a command. */
function modelWhere(file: string, make: (to: string) => void): string {
  const to = modelAsWas(file);
  unlinkSync(to);
  make(to);
  return copy;
}

const load = async (model: string) => (await Bagel.load(model, LOAD)).dispose();
const arrayBytes = () => process.memoryUsage().arrayBuffers;

describe('headers', () => {
  /** A file that is `bytes` long and takes a few blocks on disk. */
  function sparse(header: string, bytes: number, length = BigInt(Buffer.byteLength(header))): string {
    const file = path.join(folder, 'sparse.safetensors');
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(length);
    writeFileSync(file, Buffer.concat([prefix, Buffer.from(header)]));
    truncateSync(file, bytes);
    return file;
  }

  test('of 1 GB, in a file that has as many bytes and in one that has not', async () => {
    const before = arrayBytes();
    for (const bytes of [100, 1.5e9]) {
      expect(await failureCode(() => readHeader(sparse('{}', bytes, 2n ** 30n)))).toBe('BAD_MODEL');
    }
    expect(arrayBytes() - before).toBeLessThan(1 << 20);
  });

  test('with a tensor of a tebibyte', async () => {
    const bytes = 2 ** 40;
    const header = JSON.stringify({ noise: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] } });
    const file = sparse(header, 8 + header.length + bytes);
    expect((await readHeader(file)).tensors.get('noise')?.bytes).toBe(bytes);
    expect(await failureCode(() => readTensors(file))).toBe('OUT_OF_MEMORY');
    expect(['OUT_OF_MEMORY', 'BAD_DTYPE']).toContain(await failureCode(() => readNoise(file, ['n', 8])));
  });

  test('with twenty thousand tensors of no bytes', async () => {
    const entries = Array.from({ length: 20_000 }, (_, i) => [i, { dtype: 'F32', shape: [0], data_offsets: [0, 0] }]);
    const header = JSON.stringify(Object.fromEntries(entries));
    expect((await readHeader(sparse(header, 8 + header.length))).tensors.size).toBe(20_000);
  });
});

describe('nesting beyond any stack', () => {
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
  /** A file of the model with the value of a key replaced. */
  const nested = (file: string, key: string) =>
    modelWith(file, (json) => JSON.stringify({ ...json, [key]: '<deep>' }).replace('"<deep>"', deep));

  test.each([
    ['config.json', 'latent_patch_size'],
    ['llm_config.json', 'hidden_size'],
    ['llm_config.json', 'hidden_act'],
    ['vit_config.json', 'rope'],
    ['ae.safetensors.index.json', 'weight_map'],
    ['tokenizer.json', 'added_tokens'],
    ['tokenizer.json', 'normalizer'],
    ['tokenizer.json', 'pre_tokenizer'],
    ['tokenizer.json', 'model'],
    ['tokenizer_config.json', 'added_tokens_decoder'],
    ['latent_rgb.json', 'weight'],
    ['draft/config.json', 'hidden_size'],
    ['draft/config.json', 'eagle_aux_hidden_state_layer_ids'],
  ])('%s, %s', async (file, key) => {
    expect(await failureCode(() => load(nested(file, key)))).toBe('BAD_MODEL');
  });

  test.each(['base', 'grid', 'solver', 'gamma', 'lora_scale', 'text_scale'])('student.json, %s', async (key) => {
    const file = 'students/low-rank/student.json';
    expect(await failureCode(() => readStudent(path.join(nested(file, key), file)))).toBe('BAD_MODEL');
  });

  test('inside entries of a header, a vocabulary, merges and a weight map', async () => {
    const header = `{"a":{"dtype":${deep},"shape":${deep},"data_offsets":[0,0]}}`;
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const file = path.join(folder, 'deep.safetensors');
    writeFileSync(file, Buffer.concat([length, Buffer.from(header)]));
    expect(await failureCode(() => readHeader(file))).toBe('BAD_MODEL');
    const index = modelWith('ae.safetensors.index.json', `{"weight_map":{"a":${deep}}}`);
    expect(await failureCode(() => openModelFiles(index, 'ae'))).toBe('BAD_MODEL');
    for (const replaced of ['vocab', 'merges', 'added_tokens']) {
      const tokens = modelWith('tokenizer.json', (json) => {
        const model = json.model as { vocab: object; merges: unknown[] };
        if (replaced === 'vocab') model.vocab = { ...model.vocab, x: '<deep>' };
        if (replaced === 'merges') model.merges = ['<deep>'];
        if (replaced === 'added_tokens') json.added_tokens = [{ content: 'x', id: '<deep>' }];
        return JSON.stringify(json).replace('"<deep>"', deep);
      });
      expect(await failureCode(() => Tokenizer.load(tokens)), replaced).toBe('BAD_MODEL');
    }
  });
});

describe('links and special files', () => {
  const FILES = share(
    ['ema.safetensors', 'llm_config.json', 'ae-1.safetensors', 'tokenizer.json', 'draft/config.json'],
    2,
  );

  // Links are followed, because the usual cache of checkpoints is made of them: what they lead to is checked as any file is.
  test.each(FILES)('%s that is a link to a file of something else', async (file) => {
    const model = modelWhere(file, (to) => symlinkSync('/etc/passwd', to));
    expect(await failureCode(() => load(model))).toBe('BAD_MODEL');
  });

  test.each(FILES)('%s that is a link to itself, to nothing or to a folder', async (file) => {
    // a head is there when its configuration is
    const missing = file.startsWith('draft/') ? [] : ['nowhere'];
    for (const target of [path.basename(file), ...missing, '/', '.']) {
      const code = await failureCode(() => load(modelWhere(file, (to) => symlinkSync(target, to))));
      expect(['IO', 'BAD_MODEL'], target).toContain(code);
    }
  });

  test.each(FILES)('%s that has no end, or no size', async (file) => {
    for (const target of ['/dev/zero', '/dev/stdin', '/proc/self/environ', '/proc/self/pagemap']) {
      const before = arrayBytes();
      const code = await failureCode(() => load(modelWhere(file, (to) => symlinkSync(target, to))));
      expect(['IO', 'BAD_MODEL'], target).toContain(code);
      expect(arrayBytes() - before, target).toBeLessThan(32 << 20);
    }
  });

  test('pipes, which would wait for their other end', async () => {
    const pipe = (to: string) => expect(spawnSync('mkfifo', [to]).status).toBe(0);
    for (const file of FILES) expect(await failureCode(() => load(modelWhere(file, pipe))), file).toBe('IO');
    const file = path.join(folder, 'pipe');
    pipe(file);
    for (const read of [
      () => decodeImage(file),
      () => readNoise(file, [1]),
      () => readHeader(file),
      () => readTensors(file),
    ]) {
      expect(await failureCode(read)).toBe('IO');
    }
  });

  test('pictures without an end', async () => {
    for (const file of ['/dev/zero', '/proc/self/pagemap', '/', folder]) {
      expect(['IO', 'BAD_IMAGE'], file).toContain(await failureCode(() => decodeImage(file)));
    }
  });

  test.each([
    '../ae-1.safetensors',
    '/dev/zero',
    'draft/model.safetensors',
    '..',
    'ae-1.safetensors/../../x.safetensors',
  ])('an index that leads to %s', async (shard) => {
    const model = modelWith('ae.safetensors.index.json', () => ({ weight_map: { a: shard } }));
    expect(await failureCode(() => load(model))).toBe('BAD_MODEL');
  });

  test('students whose names lead elsewhere', async () => {
    await using bagel = await Bagel.load(path.join(seeds, 'model'), LOAD);
    for (const name of ['../whole', '..', '.', '/etc', 'whole/../whole', 'a\0b', '', 'x'.repeat(65)]) {
      expect(await failureCode(() => bagel.loadStudent(name)), name).toBe('BAD_OPTION');
    }
  });
});

describe('sizes that the weights do not have', () => {
  const SIZES = [
    ['llm_config.json', { hidden_size: 1e7 }],
    ['llm_config.json', { num_hidden_layers: 1000 }],
    ['vit_config.json', { num_hidden_layers: 1000, hidden_size: 9_999_360 }],
    ['config.json', { vae_config: { ch: 65536, ch_mult: [999], downsample: 1, num_res_blocks: 16 } }],
    ['draft/config.json', { num_hidden_layers: 8, head_dim: 4096, intermediate_size: 999_984 }],
    ['llm_config.json', { hidden_size: 9_999_360, num_attention_heads: 1 }],
    ['llm_config.json', { vocab_size: 1e7 }],
    ['llm_config.json', { intermediate_size: 9_999_984 }],
    ['config.json', { latent_patch_size: 64 }],
  ] as const;
  test.each(share(SIZES, 5))('%s with %j', async (file, values) => {
    const before = process.memoryUsage.rss();
    const error = await failure(() => load(modelWith(file, (json) => ({ ...json, ...values }))));
    expect(['BAD_MODEL', 'OUT_OF_MEMORY']).toContain(error.code);
    expect(process.memoryUsage.rss() - before).toBeLessThan(128 << 20);
  });

  test('a longest sequence of a million tokens takes no memory that no session has reached', async () => {
    const model = modelWith('llm_config.json', (json) => ({ ...json, max_position_embeddings: 1e6 }));
    const before = process.memoryUsage.rss();
    const bagel = await Bagel.load(model, { threads: 1, keepMeasurements: false });
    await bagel.ask('how many?', { maxTokens: 2, speculate: 'off' });
    expect(process.memoryUsage.rss() - before).toBeLessThan(256 << 20);
    await bagel.dispose();
  });

  test('a draft head that was made for another model', async () => {
    const { llm } = await readConfig(path.join(seeds, 'model'));
    const head = path.join(
      modelWith('draft/config.json', (json) => ({ ...json, vocab_size: 641 })),
      'draft',
    );
    expect(await failureCode(() => readEagleConfig(head, llm))).toBe('BAD_MODEL');
  });

  test('a map of colours that is infinite', async () => {
    const model = modelWith('latent_rgb.json', '{"weight":[[1e999,0],[0,0],[0,0]],"bias":[0,0,0]}');
    expect(await failureCode(async () => readRgbMap(model, await readConfig(model)))).toBe('BAD_MODEL');
  });
});

describe('tokenizers', () => {
  const withModel = (change: (json: Record<string, unknown>) => unknown) => modelWith('tokenizer.json', change);
  const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });

  test('a splitter that takes exponential time', async () => {
    const model = withModel((json) => ({ ...json, pre_tokenizer: split('(\\p{L}+)+,$|(\\s|\\S)') }));
    expect(await failureCode(() => Tokenizer.load(model))).toBe('BAD_MODEL');
  });

  test('a normaliser that makes texts longer', async () => {
    const replace = { type: 'Replace', pattern: { Regex: '.' }, content: 'x'.repeat(1e6) };
    expect(await failureCode(() => Tokenizer.load(withModel((json) => ({ ...json, normalizer: replace }))))).toBe(
      'BAD_MODEL',
    );
  });

  test('an id far above the count of tokens', async () => {
    const model = withModel((json) => ({ ...json, added_tokens: [{ content: 'far', id: 4e6 }] }));
    expect(await failureCode(() => Tokenizer.load(model))).toBe('BAD_MODEL');
  });

  test('a token longer than a call has arguments decodes', async () => {
    const content = 'x'.repeat(200_000);
    const tokenizer = await Tokenizer.load(
      withModel((json) => ({ ...json, added_tokens: [...(json.added_tokens as unknown[]), { content, id: 4000 }] })),
    );
    expect(tokenizer.decode([4000])).toBe(content);
    expect(tokenizer.decode(tokenizer.encode(content))).toBe(content);
  });
});

describe('pictures', () => {
  /** A PNG of one colour: what its header says, and so many bytes of pixels. */
  function png(width: number, height: number, pixels: number): Buffer {
    const file = readFileSync(path.join(seeds, 'pictures', 'rgba.png'));
    const chunk = (type: string, data: Buffer) => {
      const body = Buffer.concat([Buffer.from(type), data]);
      const out = Buffer.alloc(8 + body.length);
      out.writeUInt32BE(data.length);
      body.copy(out, 4);
      out.writeUInt32BE(crc32(body), 4 + body.length);
      return out;
    };
    const header = Buffer.alloc(13);
    header.writeUInt32BE(width, 0);
    header.writeUInt32BE(height, 4);
    header.set([8, 0, 0, 0, 0], 8);
    const data = deflateSync(Buffer.alloc(pixels));
    return Buffer.concat([
      file.subarray(0, 8),
      chunk('IHDR', header),
      chunk('IDAT', data),
      chunk('IEND', Buffer.alloc(0)),
    ]);
  }

  test('that say they are huge, and hold little', async () => {
    for (const [width, height] of [
      [2 ** 31 - 1, 2 ** 31 - 1],
      [2 ** 31 - 1, 1],
      [100_001, 1000],
    ] as const) {
      expect(await failureCode(() => decodeImage(png(width, height, 100)))).toBe('BAD_IMAGE');
    }
    const before = process.memoryUsage.rss();
    expect(await failureCode(() => decodeImage(png(9000, 9000, 100)))).toBe('BAD_IMAGE');
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 << 20);
  });
});

describe('weights that are no numbers', () => {
  const NUMBERS = [
    ['NaN', 0x7fc0],
    ['infinity', 0x7f80],
    ['the largest number', 0x7f7f],
  ] as const;
  test.each(share(NUMBERS, 1))('%s everywhere: answers and pictures end', async (_, bits) => {
    const model = path.join(folder, 'numbers');
    rmSync(model, { recursive: true, force: true });
    cpSync(path.join(seeds, 'model'), model, { recursive: true });
    const file = path.join(model, 'ema.safetensors');
    const bytes = readFileSync(file);
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    for (let at = start; at + 2 <= bytes.length; at += 2) bytes.writeUInt16LE(bits, at);
    writeFileSync(file, bytes);
    copyFileSync(path.join(seeds, 'pictures', 'rgba.png'), path.join(folder, 'picture.png'));
    await using bagel = await Bagel.load(model, { ...LOAD, cacheTokens: 1024 });
    const image = path.join(folder, 'picture.png');
    for (const temperature of [0, 1]) {
      const answer = await bagel.ask('how many?', { images: [image], maxTokens: 4, ignoreStop: true, temperature });
      expect(answer.tokens).toHaveLength(4);
      for (const token of answer.tokens) expect(token).toBeLessThan(bagel.config.llm.vocab);
    }
    for (const solver of ['euler', 'heun'] as const) {
      const { image: drawn } = await bagel.draw('red', { steps: 2, seed: 1, solver, size: { width: 8, height: 8 } });
      expect(drawn.data).toHaveLength(8 * 8 * 3);
    }
    await bagel.edit(image, 'blue', { steps: 1, seed: 1 });
  });
});
