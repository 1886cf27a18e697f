import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import {
  FILE_DTYPES,
  type FileDtype,
  type FileTensor,
  openModelFiles,
  readHeader,
  readTensors,
  writeSafetensors,
} from '../../lib/io/safetensors.js';
import { seeded } from '../kit/cases.js';
import { failure, failureCode } from '../kit/failure.js';
import { damage, temporaryFolder } from './kit.js';

const folder = temporaryFolder();

/** A file from any header text and data, right or wrong. */
function fileOf(name: string, header: string | object, dataBytes: number, length?: bigint): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(length ?? BigInt(json.length));
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([head, json, Buffer.alloc(dataBytes, 7)]));
  return path;
}

const f32 = (shape: unknown, begin: unknown, end: unknown) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });

describe('reading the bundled checkpoint', () => {
  it('lists its tensors', async () => {
    const header = await readHeader('models/tiny/ema.safetensors');
    expect(header.fileBytes).toBe(statSync('models/tiny/ema.safetensors').size);
    expect(header.tensors.size).toBe(255);
    const embedding = header.tensors.get('language_model.model.embed_tokens.weight');
    expect(embedding).toMatchObject({ dtype: 'BF16', shape: [640, 192], bytes: 640 * 192 * 2 });
    expect(header.metadata).toEqual({ format: 'pt' });
  });

  it('reads the tensors that are asked for, of the right types', async () => {
    const path = 'test/golden/trained/image_scene.safetensors';
    const tensors = await readTensors(path, ['image', 'vit.packed_vit_position_ids', 'vae.input']);
    expect([...tensors.keys()]).toEqual(['image', 'vit.packed_vit_position_ids', 'vae.input']);
    expect(tensors.get('image')?.data).toBeInstanceOf(Uint8Array);
    expect(tensors.get('vit.packed_vit_position_ids')?.data).toBeInstanceOf(BigInt64Array);
    const input = tensors.get('vae.input');
    expect(input?.data).toBeInstanceOf(Float32Array);
    expect(input?.data.length).toBe(3 * 64 * 64);
    // Against the bytes of the file itself.
    const entry = (await readHeader(path)).tensors.get('vae.input');
    expect(input?.data[5]).toBe(readFileSync(path).readFloatLE((entry?.offset ?? 0) + 20));
  });

  it('BAD_MODEL for a tensor that is not there', async () => {
    const error = await failure(() => readTensors('models/tiny/ae.safetensors', ['nope']));
    expect([error.code, error.operand]).toEqual(['BAD_MODEL', 'nope']);
  });
});

describe('writing', () => {
  it('round-trips every dtype, odd sizes, empty and scalar tensors, and awkward names', async () => {
    const path = join(folder, 'all.safetensors');
    const tensors = new Map<string, FileTensor>();
    for (const dtype of Object.keys(FILE_DTYPES) as FileDtype[]) {
      const data = new FILE_DTYPES[dtype].array(3);
      if (data instanceof BigInt64Array || data instanceof BigUint64Array) data.set([1n, 2n ** 62n, 3n]);
      else data.set([1, 2, 3]);
      tensors.set(`${dtype} ü "q"`, { dtype, shape: [3, 1], data } as FileTensor);
    }
    tensors.set('__proto__', { dtype: 'F32', shape: [], data: new Float32Array([-0]) });
    tensors.set('constructor', { dtype: 'U8', shape: [4, 0, 2], data: new Uint8Array(0) });
    await writeSafetensors(path, tensors, { note: 'a\nb', __proto: 'x' });
    const header = await readHeader(path);
    expect(header.metadata).toEqual({ note: 'a\nb', __proto: 'x' });
    for (const [name, entry] of header.tensors) expect(entry.offset % FILE_DTYPES[entry.dtype].bytes, name).toBe(0);
    const back = await readTensors(path);
    expect(back.size).toBe(tensors.size);
    for (const [name, tensor] of tensors) expect(back.get(name), name).toEqual(tensor);
  });

  it('takes a plain object and a view into a larger buffer', async () => {
    const path = join(folder, 'view.safetensors');
    const data = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
    await writeSafetensors(path, { a: { dtype: 'F32', shape: [2], data } });
    expect([...((await readTensors(path)).get('a')?.data ?? [])]).toEqual([1, 2]);
  });

  it('refuses what would not read back', async () => {
    const path = join(folder, 'refused.safetensors');
    const write = (name: string, tensor: unknown) => () => writeSafetensors(path, { [name]: tensor as FileTensor });
    const good = { dtype: 'F32', shape: [2], data: new Float32Array(2) };
    expect(await failureCode(write('__metadata__', good))).toBe('BAD_OPTION');
    expect(await failureCode(write('a', { ...good, shape: [3] }))).toBe('BAD_SHAPE');
    expect(await failureCode(write('a', { ...good, shape: [-1, -2] }))).toBe('BAD_SHAPE');
    expect(await failureCode(write('a', { ...good, dtype: 'I32' }))).toBe('BAD_DTYPE');
    expect(await failureCode(write('a', { ...good, dtype: 'toString' }))).toBe('BAD_DTYPE');
    expect(await failureCode(() => writeSafetensors(join(folder, 'no', 'x'), {}))).toBe('IO');
    expect(() => statSync(path)).toThrow();
  });
});

describe('malformed files', () => {
  it('IO when the file is missing or not a file', async () => {
    const missing = join(folder, 'missing.safetensors');
    const error = await failure(() => readHeader(missing));
    expect([error.code, error.operand]).toEqual(['IO', missing]);
    expect(await failureCode(() => readHeader(folder))).toBe('IO');
  });

  const cases: [string, string | object, number, bigint?][] = [
    ['header length beyond the file', {}, 0, 3n],
    ['header length above the cap', {}, 0, 100_000_001n],
    ['header length of 2^64 - 1', {}, 0, 2n ** 64n - 1n],
    ['no header', '', 0],
    ['header that is not JSON', '{"a"', 0],
    ['header that is not UTF-8', '', 4, 4n],
    ['list as header', '[]', 0],
    ['null as header', 'null', 0],
    ['deep nesting', `${'['.repeat(200_000)}`, 0],
    ['entry that is not an object', { a: 3 }, 0],
    ['null entry', { a: null }, 0],
    ['entry without fields', { a: {} }, 0],
    ['unknown dtype', { a: { ...f32([1], 0, 4), dtype: 'F4' } }, 4],
    ['dtype named like a member of Object', { a: { ...f32([1], 0, 4), dtype: 'constructor' } }, 4],
    ['dtype that is not text', { a: { ...f32([1], 0, 4), dtype: 1 } }, 4],
    ['shape that is not a list', { a: f32('1', 0, 4) }, 4],
    ['negative dim', { a: f32([-1], 0, 4) }, 4],
    ['two negative dims', { a: f32([-1, -1], 0, 4) }, 4],
    ['fractional dim', { a: f32([0.5, 2], 0, 4) }, 4],
    ['dim beyond safe integers', { a: f32([2 ** 53], 0, 4) }, 4],
    ['product that overflows', { a: f32([2 ** 32, 2 ** 32], 0, 0) }, 0],
    [
      'product that overflows to infinity, then zero',
      `{"a":{"dtype":"F32","shape":[${Array(30).fill(2 ** 52)},0],"data_offsets":[0,0]}}`,
      0,
    ],
    ['one offset', { a: { ...f32([1], 0, 4), data_offsets: [0] } }, 4],
    ['three offsets', { a: { ...f32([1], 0, 4), data_offsets: [0, 4, 4] } }, 4],
    ['offsets as text', { a: f32([1], '0', '4') }, 4],
    ['negative offset', { a: f32([1], -4, 0) }, 4],
    ['fractional offset', { a: f32([1], 0.5, 4.5) }, 5],
    ['backward offsets', { a: f32([1], 4, 0) }, 4],
    ['too many bytes for the shape', { a: f32([1], 0, 8) }, 8],
    ['too few bytes for the shape', { a: f32([2], 0, 4) }, 4],
    ['data beyond the file', { a: f32([2], 0, 8) }, 7],
    ['overlap', { a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12],
    ['the same bytes twice', { a: f32([1], 0, 4), b: f32([1], 0, 4) }, 4],
    ['gap', { a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12],
    ['gap at the start', { a: f32([1], 4, 8) }, 8],
    ['bytes after the last tensor', { a: f32([1], 0, 4) }, 5],
    ['bytes without a tensor', {}, 1],
    ['metadata that is not an object', { __metadata__: [] }, 0],
    ['metadata that is not text', { __metadata__: { a: 1 } }, 0],
    ['the same name twice', `{"a":${JSON.stringify(f32([1], 0, 4))},"\\u0061" :${JSON.stringify(f32([1], 0, 4))}}`, 4],
    ['the same field twice', '{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4],
    ['the same metadata key twice', '{"__metadata__":{"k":"1","k":"2"}}', 0],
  ];
  it.each(cases)('BAD_MODEL for %s', async (name, header, dataBytes, length) => {
    const path = fileOf(`${name}.safetensors`, header, dataBytes, length);
    const error = await failure(() => readHeader(path));
    expect(error.code).toBe('BAD_MODEL');
    expect(error.message).toContain(path);
  });

  it('says of a tensor beyond the file that the file is truncated', async () => {
    const error = await failure(() =>
      readHeader(fileOf('cut.safetensors', { a: f32([1], 0, 4), b: f32([2], 4, 12) }, 11)),
    );
    expect(error.operand).toBe('b');
    expect(error.message).toContain('truncated');
  });

  it('BAD_MODEL for files of fewer than 8 bytes', async () => {
    const path = join(folder, 'short.safetensors');
    for (let bytes = 0; bytes < 8; bytes++) {
      writeFileSync(path, Buffer.alloc(bytes));
      expect(await failureCode(() => readHeader(path))).toBe('BAD_MODEL');
    }
  });

  it('accepts what the format allows: padding, equal keys in different objects, braces and quotes in names', async () => {
    const header = { 'a{"]': f32([1], 0, 4), shape: f32([0], 0, 0), __metadata__: { shape: '"x":[', b: '\\' } };
    const read = await readHeader(fileOf('good.safetensors', `${JSON.stringify(header, null, 2)}   `, 4));
    expect([...read.tensors.keys()]).toEqual(['a{"]', 'shape']);
    expect(read.metadata).toEqual({ shape: '"x":[', b: '\\' });
  });

  it('never anything but our error, and never an entry outside the file, for 2000 damaged files', async () => {
    const source = join(folder, 'source.safetensors');
    await writeSafetensors(
      source,
      {
        a: { dtype: 'F32', shape: [2, 3], data: new Float32Array(6) },
        b: { dtype: 'BF16', shape: [3], data: new Uint16Array(3) },
        c: { dtype: 'I64', shape: [], data: new BigInt64Array(1) },
      },
      { format: 'pt' },
    );
    const bytes = readFileSync(source);
    const path = join(folder, 'damaged.safetensors');
    const random = seeded(1);
    let refused = 0;
    for (let round = 0; round < 2000; round++) {
      // Mostly the header, which is what can mislead; the data is any bytes.
      writeFileSync(path, damage(bytes, random));
      try {
        const header = await readHeader(path);
        for (const { offset, bytes: length } of header.tensors.values()) {
          expect(offset + length).toBeLessThanOrEqual(header.fileBytes);
        }
        await readTensors(path);
      } catch (error) {
        if (!(error instanceof HyperBagelError)) throw new Error(`round ${round}`, { cause: error });
        expect(error.code).toBe('BAD_MODEL');
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe('openModelFiles', () => {
  const one = (value: number): FileTensor => ({ dtype: 'F32', shape: [1], data: new Float32Array([value]) });
  const index = (stem: string, content: unknown) =>
    writeFileSync(
      join(folder, `${stem}.safetensors.index.json`),
      typeof content === 'string' ? content : JSON.stringify(content),
    );

  it('takes a single file', async () => {
    const model = await openModelFiles('models/tiny', 'ae');
    expect(model.files).toEqual([join('models/tiny', 'ae.safetensors')]);
    expect(model.tensors.get('decoder.conv_in.weight')).toMatchObject({ file: 0, dtype: 'F32' });
  });

  it('merges shards, through links, and lets the index decide between them', async () => {
    await writeSafetensors(join(folder, 'm-1.safetensors'), { a: one(1), both: one(2) }, { x: '1' });
    await writeSafetensors(join(folder, 'blob'), { b: one(3), both: one(4), unlisted: one(5) });
    symlinkSync(join(folder, 'blob'), join(folder, 'm-2.safetensors'));
    index('m', {
      metadata: { total_size: 16 },
      weight_map: { a: 'm-1.safetensors', b: 'm-2.safetensors', both: 'm-2.safetensors' },
    });
    const model = await openModelFiles(folder, 'm');
    expect(model.files).toEqual(['m-1.safetensors', 'm-2.safetensors'].map((name) => join(folder, name)));
    expect([...model.tensors].map(([name, entry]) => [name, entry.file])).toEqual([
      ['a', 0],
      ['b', 1],
      ['both', 1],
    ]);
    expect(model.metadata).toEqual({ x: '1' });
    const both = model.tensors.get('both');
    expect(readFileSync(model.files[both?.file ?? 0] ?? '').readFloatLE(both?.offset)).toBe(4);
  });

  it('BAD_MODEL when nothing is there', async () => {
    expect(await failureCode(() => openModelFiles(folder, 'nothing'))).toBe('BAD_MODEL');
    expect(await failureCode(() => openModelFiles(join(folder, 'nowhere'), 'm'))).toBe('BAD_MODEL');
  });

  it.each([
    '../m-1.safetensors',
    '/etc/passwd',
    'sub/m-1.safetensors',
    'sub\\m-1.safetensors',
    '..safetensors',
    '.safetensors',
    'm-1.safetensors\0',
    'm-1.bin',
    '',
    7,
    null,
  ])('BAD_MODEL for a shard called %j', async (file) => {
    index('bad', { weight_map: { a: file } });
    const error = await failure(() => openModelFiles(folder, 'bad'));
    expect([error.code, error.operand]).toEqual(['BAD_MODEL', 'a']);
  });

  it.each([
    ['a missing shard', { weight_map: { a: 'gone.safetensors' } }],
    ['a tensor its shard does not hold', { weight_map: { zzz: 'm-1.safetensors' } }],
    ['no weight_map', {}],
    ['a list as weight_map', { weight_map: [] }],
    ['broken JSON', '{"weight_map":'],
    ['a tensor placed twice', '{"weight_map":{"a":"m-1.safetensors","a":"m-2.safetensors"}}'],
  ])('BAD_MODEL for an index with %s', async (_, content) => {
    index('odd', content);
    expect(await failureCode(() => openModelFiles(folder, 'odd'))).toBe('BAD_MODEL');
  });
});
