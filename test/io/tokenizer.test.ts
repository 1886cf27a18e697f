import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import { StreamDecoder, Tokenizer } from '../../lib/io/tokenizer.js';
import { seeded } from '../kit/cases.js';
import { failure, failureCode } from '../kit/failure.js';
import { damage, temporaryFolder } from './kit.js';

const TINY = 'models/tiny';
const folder = temporaryFolder();

interface Case {
  text: string;
  ids: number[];
  decoded: string;
}
interface Layout {
  mode: string;
  segments: { text: string; ids: number[] }[];
  start_token: number;
  end_token: number;
}
const golden = (name: string): unknown => JSON.parse(readFileSync(join('test/golden/trained', name), 'utf8'));
const cases = golden('tokenizer.json') as Case[];
const layouts = golden('think_layout.json') as Layout[];

/** A model folder with the tiny tokenizer's files, some of them replaced (an object is a JSON file) or left out. */
let folders = 0;
function variant(files: string[], replaced: Record<string, string | Uint8Array | object> = {}): string {
  const dir = join(folder, String(folders++));
  mkdirSync(dir);
  for (const file of files) copyFileSync(join(TINY, file), join(dir, file));
  for (const [file, content] of Object.entries(replaced)) {
    const raw = typeof content === 'string' || content instanceof Uint8Array;
    writeFileSync(join(dir, file), raw ? content : JSON.stringify(content));
  }
  return dir;
}
const JSON_FILES = ['tokenizer.json', 'tokenizer_config.json'];
const PLAIN_FILES = ['vocab.json', 'merges.txt', 'tokenizer_config.json'];

let tokenizer: Tokenizer;
let plain: Tokenizer;
beforeAll(async () => {
  tokenizer = await Tokenizer.load(TINY);
  plain = await Tokenizer.load(variant(PLAIN_FILES));
});

describe('against the public tokenizer', () => {
  it.each(cases)('ids and text of $text', ({ text, ids, decoded }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(decoded);
    expect(plain.encode(text)).toEqual(ids);
    expect(plain.decode(ids)).toBe(decoded);
  });

  it('has enough cases', () => expect(cases.length).toBeGreaterThan(30));

  it.each(layouts)('segments of the $mode think mode', ({ segments, start_token, end_token }) => {
    expect([tokenizer.bos, tokenizer.eos]).toEqual([start_token, end_token]);
    for (const { text, ids } of segments) {
      expect([tokenizer.bos, ...tokenizer.encode(text), tokenizer.eos]).toEqual(ids);
    }
  });

  it('finds the special ids', () => {
    const { special } = golden('load_report.json') as { special: Record<string, number> };
    for (const t of [tokenizer, plain]) {
      expect(t.bos).toBe(special.bos_token_id);
      expect(t.eos).toBe(special.eos_token_id);
      expect(t.visionStart).toBe(special.start_of_image);
      expect(t.visionEnd).toBe(special.end_of_image);
      expect(t.vocabSize).toBe(640);
      expect(t.isSpecial(t.bos)).toBe(true);
      expect(t.isSpecial(0)).toBe(false);
    }
  });

  it('looks the special ids up by their text', async () => {
    const config = JSON.parse(readFileSync(join(TINY, 'tokenizer_config.json'), 'utf8')) as {
      added_tokens_decoder: Record<string, { content: string }>;
    };
    const moved = Object.entries(config.added_tokens_decoder).map(([id, token]) => [Number(id) + 1000, token]);
    const dir = variant(PLAIN_FILES, { 'tokenizer_config.json': { added_tokens_decoder: Object.fromEntries(moved) } });
    const other = await Tokenizer.load(dir);
    expect([other.bos, other.eos, other.visionStart, other.visionEnd]).toEqual([1636, 1637, 1638, 1639]);
    expect(other.encode('<|im_start|>a<|im_end|>')).toEqual([1636, 64, 1637]);
    expect(other.decode([1636, 64, 700, 1637])).toBe('<|im_start|>a<|im_end|>');
  });
});

describe('round trips', () => {
  it('both ways to load give the same ids for random text, which decodes to its NFC form', () => {
    const random = seeded(3);
    const alphabet = [..." \n\r\tabcEIST'019.,;{}_é\u0301日🙂\u00a0\u2003\ud83d\udc69\u200d"];
    for (let round = 0; round < 500; round++) {
      const length = Math.floor(random() * 30);
      const text = Array.from({ length }, () => alphabet[Math.floor(random() * alphabet.length)]).join('');
      const ids = tokenizer.encode(text);
      expect(plain.encode(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(text.normalize('NFC'));
    }
  });

  it('lone surrogates become U+FFFD', () => {
    expect(tokenizer.decode(tokenizer.encode('a\ud800b'))).toBe('a\ufffdb');
  });

  it('a long text takes seconds at most', { timeout: 60_000 }, () => {
    const text = 'A large red circle left of a blue square. '.repeat(5000) + ' '.repeat(50_000);
    const start = performance.now();
    const ids = tokenizer.encode(text);
    // a quarter of a second on a quiet machine; minutes if it were quadratic
    expect(performance.now() - start).toBeLessThan(30_000);
    expect(tokenizer.decode(ids)).toBe(text);
  });

  it('BAD_OPTION for anything but text and ids', async () => {
    expect(await failureCode(() => tokenizer.encode(undefined as unknown as string))).toBe('BAD_OPTION');
    for (const id of [-1, 0.5, Number.NaN, '3']) {
      expect(await failureCode(() => tokenizer.decode([id as number]))).toBe('BAD_OPTION');
    }
    expect(tokenizer.decode([64, 640, 151_999])).toBe('a');
  });
});

describe('StreamDecoder', () => {
  it('holds back the first bytes of a character', () => {
    const ids = tokenizer.encode('a🙂b');
    const stream = new StreamDecoder(tokenizer);
    const pieces = ids.map((id) => stream.push([id]));
    expect(pieces.join('')).toBe('a🙂b');
    expect(pieces.every((piece) => !piece.includes('\ufffd'))).toBe(true);
    expect(pieces.filter((piece) => piece === '').length).toBeGreaterThan(0);
    expect(stream.flush()).toBe('');
  });

  it('gives what it held back at the end, then starts afresh', () => {
    const [first = 0] = tokenizer.encode('🙂');
    const stream = new StreamDecoder(tokenizer);
    expect(stream.push([first])).toBe('');
    expect(stream.flush()).toBe('\ufffd');
    expect(stream.push(tokenizer.encode('ok'))).toBe('ok');
    expect(stream.flush()).toBe('');
  });

  it('keeps a byte order mark, at the start and inside', () => {
    const text = '\ufeffa\ufeff';
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it('in any pieces equals decoding the bytes at once, for random ids', () => {
    const random = seeded(4);
    for (let round = 0; round < 1000; round++) {
      const ids = Array.from({ length: 12 }, () => Math.floor(random() * (round % 2 ? 640 : 256)));
      const stream = new StreamDecoder(tokenizer);
      let text = '';
      for (let i = 0; i < ids.length; ) {
        const next = i + Math.floor(random() * 4);
        text += stream.push(ids.slice(i, next));
        i = next;
      }
      text += stream.flush();
      const bytes = Buffer.concat(ids.map((id) => tokenizer.tokenBytes(id) ?? Buffer.alloc(0)));
      expect(text).toBe(bytes.toString('utf8'));
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });
});

describe('malformed files', () => {
  it('BAD_MODEL for each missing file, naming it', async () => {
    for (const [files, missing] of [
      [[], 'vocab.json'],
      [['tokenizer.json'], 'tokenizer_config.json'],
      [['vocab.json', 'tokenizer_config.json'], 'merges.txt'],
      [['merges.txt', 'tokenizer_config.json'], 'vocab.json'],
      [['vocab.json', 'merges.txt'], 'tokenizer_config.json'],
    ] as const) {
      const error = await failure(() => Tokenizer.load(variant([...files])));
      expect(error.code).toBe('BAD_MODEL');
      expect(error.message).toContain(missing);
    }
    expect(await failureCode(() => Tokenizer.load(join(folder, 'nowhere')))).toBe('BAD_MODEL');
  });

  it.each(['<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|vision_end|>'])(
    'BAD_MODEL without %s',
    async (token) => {
      const without = (text: string) => text.replaceAll(`"${token}"`, '"<|other|>"');
      const [definition = '', config = ''] = JSON_FILES.map((file) => without(readFileSync(join(TINY, file), 'utf8')));
      const dir = variant([], { 'tokenizer.json': definition, 'tokenizer_config.json': config });
      const error = await failure(() => Tokenizer.load(dir));
      expect([error.code, error.operand]).toEqual(['BAD_MODEL', token]);
    },
  );

  /** What is put over a good tokenizer.json, over its model and over its vocab; undefined removes. */
  interface Change {
    root?: object;
    model?: object;
    vocab?: object;
  }
  const brokenSplit = { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' };
  const changes: [string, Change][] = [
    ['another model type', { model: { type: 'WordPiece' } }],
    ['no model', { root: { model: undefined } }],
    ['a list as vocab', { model: { vocab: [] } }],
    ['a negative id', { vocab: { '!': -1 } }],
    ['a huge id', { vocab: { '!': 2 ** 40 } }],
    ['an id that is text', { vocab: { '!': '0' } }],
    ['one id for two tokens', { vocab: { '!': 1 } }],
    ['a byte without a token', { vocab: { '!': undefined } }],
    ['no merges', { model: { merges: undefined } }],
    ['a merge of three', { model: { merges: [['a', 'b', 'c']] } }],
    ['a merge to nothing known', { model: { merges: ['z q'] } }],
    ['a merge that is a number', { model: { merges: [1] } }],
    ['added tokens that are no list', { root: { added_tokens: {} } }],
    ['an added token without an id', { root: { added_tokens: [{ content: '<|im_start|>' }] } }],
    ['an added token with two ids', { root: { added_tokens: [{ id: 7000, content: '<|im_end|>' }] } }],
    ['an added token with the id of another', { root: { added_tokens: [{ id: 7, content: '<x>' }] } }],
    ['an unknown normalizer', { root: { normalizer: { type: 'Nope' } } }],
    ['a normalizer that changes text', { root: { normalizer: { type: 'Lowercase' } } }],
    ['an unknown pre-tokenizer', { root: { pre_tokenizer: { type: 'Nope' } } }],
    ['a splitter that drops text', { root: { pre_tokenizer: { type: 'WhitespaceSplit' } } }],
    ['a broken regular expression', { root: { pre_tokenizer: brokenSplit } }],
    ['another decoder', { root: { decoder: { type: 'WordPiece' } } }],
    ['no decoder', { root: { decoder: null } }],
  ];
  it.each(changes)('BAD_MODEL for %s', async (_, { root, model, vocab }) => {
    const good = JSON.parse(readFileSync(join(TINY, 'tokenizer.json'), 'utf8')) as { model: { vocab: object } };
    const changedModel = { ...good.model, vocab: { ...good.model.vocab, ...vocab }, ...model };
    const definition = { ...good, model: changedModel, ...root };
    const dir = variant(['tokenizer_config.json'], { 'tokenizer.json': definition });
    expect(await failureCode(() => Tokenizer.load(dir))).toBe('BAD_MODEL');
  });

  it('never anything but our error for 400 damaged files', async () => {
    const random = seeded(5);
    let refused = 0;
    for (let round = 0; round < 400; round++) {
      const files = round % 2 ? JSON_FILES : PLAIN_FILES;
      const file = files[Math.floor(random() * files.length)] ?? '';
      const dir = variant(files, { [file]: damage(readFileSync(join(TINY, file)), random) });
      try {
        (await Tokenizer.load(dir)).encode('some text 🙂');
      } catch (error) {
        if (!(error instanceof HyperBagelError)) throw new Error(`round ${round} in ${dir}`, { cause: error });
        expect(error.code).toBe('BAD_MODEL');
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(200);
  });
});
