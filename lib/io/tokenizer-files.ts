import { join } from 'node:path';
import { badModel, decodeText, fileExists, isObject, readJsonObject, readModelFile, shown } from './model-file.js';

/** Highest id accepted; the library keeps tables of that length. */
const MAX_ID = 2 ** 22;

/** Qwen2's pre-tokenisation: contractions, words, single digits, punctuation, line ends, spaces. */
const QWEN2_SPLIT =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** What a text may be split by: a regular expression of anybody's may take longer than anybody waits. */
const SPLITS: readonly unknown[] = [QWEN2_SPLIT, QWEN2_SPLIT.replace('|\\p{N}|', '|\\p{N}{1,3}|')];
const NORMALIZERS: readonly unknown[] = ['NFC', 'NFD', 'NFKC', 'NFKD'];

/** The printable character that stands for each byte in a byte-level vocabulary (GPT-2's table). */
export const BYTE_SYMBOLS: readonly string[] = byteSymbols();
export const SYMBOL_BYTES: ReadonlyMap<string, number> = new Map(BYTE_SYMBOLS.map((symbol, byte) => [symbol, byte]));

/** A checked tokenizer: what the library is built from, and its tables. */
export interface TokenizerFiles {
  /** The file that defines the vocabulary, for messages. */
  readonly name: string;
  /** A `tokenizer.json` object made of checked parts. */
  readonly definition: object;
  readonly vocab: ReadonlyMap<string, number>;
  /** Tokens that are matched as a whole before anything else, with their ids. */
  readonly added: ReadonlyMap<string, number>;
  /** Ids of those that are marked special. */
  readonly special: ReadonlySet<number>;
}

interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
}

/**
 * Reads and checks a folder's tokenizer: `tokenizer.json`, else `vocab.json` and `merges.txt`; in both cases
 * `tokenizer_config.json` adds its tokens.
 *
 * @throws HyperBagelError `BAD_MODEL`, `IO`.
 */
export async function readTokenizerFiles(dir: string): Promise<TokenizerFiles> {
  const fromJson = await fileExists(join(dir, 'tokenizer.json'));
  const name = fromJson ? 'tokenizer.json' : 'vocab.json';
  const path = join(dir, name);
  const configPath = join(dir, 'tokenizer_config.json');
  const root = fromJson ? await readJsonObject(path) : await qwen2Definition(dir);
  const config = await readJsonObject(configPath);

  if (!isObject(root.model) || (root.model.type ?? 'BPE') !== 'BPE') throw badModel(path, 'model must be of type BPE');
  if (!isObject(root.decoder) || root.decoder.type !== 'ByteLevel') {
    throw badModel(path, 'decoder must be of type ByteLevel', { operand: 'decoder' });
  }
  checkNormalizer(path, root.normalizer ?? null);
  checkSplitter(path, root.pre_tokenizer ?? null);
  const vocab = checkVocab(path, root.model.vocab);
  const merges = checkMerges(path, root.model.merges, vocab);
  const tokens = new Map<string, AddedToken>();
  collectAdded(path, root.added_tokens ?? [], tokens);
  collectAdded(configPath, listOf(configPath, config.added_tokens_decoder ?? {}), tokens);
  const added = new Map([...tokens].map(([content, token]) => [content, token.id]));
  checkIds(path, vocab, added);
  return {
    name,
    vocab,
    added,
    special: new Set([...tokens.values()].filter((token) => token.special).map((token) => token.id)),
    definition: {
      added_tokens: [...tokens.values()],
      normalizer: root.normalizer ?? null,
      pre_tokenizer: root.pre_tokenizer ?? null,
      // It would only add tokens of its own, and offsets, which nobody reads.
      post_processor: null,
      decoder: { type: 'ByteLevel' },
      model: {
        type: 'BPE',
        vocab: root.model.vocab,
        merges,
        unk_token: null,
        ignore_merges: root.model.ignore_merges === true,
      },
    },
  };
}

/** The `tokenizer.json` that Qwen2's plain files stand for. */
async function qwen2Definition(dir: string): Promise<Record<string, unknown>> {
  const path = join(dir, 'merges.txt');
  const vocab = await readJsonObject(join(dir, 'vocab.json'));
  const lines = decodeText(path, await readModelFile(path)).split('\n');
  const merges = lines
    .map((line) => line.trim())
    .filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version:')));
  return {
    model: { type: 'BPE', vocab, merges },
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: QWEN2_SPLIT }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    decoder: { type: 'ByteLevel' },
  };
}

/** The parts of a Sequence, or the one that is there. None of them is a Sequence itself. */
function partsOf(value: unknown, list: string): unknown[] {
  if (value === null) return [];
  if (!isObject(value) || value.type !== 'Sequence') return [value];
  const parts = value[list];
  return Array.isArray(parts) ? parts : [parts];
}

function checkNormalizer(path: string, value: unknown): void {
  for (const part of partsOf(value, 'normalizers')) {
    if (isObject(part) && NORMALIZERS.includes(part.type)) continue;
    throw badModel(path, `normalizer must be one of ${NORMALIZERS.join(' ')}, got ${shown(part)}`, {
      operand: 'normalizer',
    });
  }
}

function checkSplitter(path: string, value: unknown): void {
  for (const part of partsOf(value, 'pretokenizers')) {
    if (isObject(part) && part.type === 'ByteLevel') continue;
    if (isObject(part) && part.type === 'Split' && isObject(part.pattern)) {
      const { Regex: pattern, ...others } = part.pattern;
      if (SPLITS.includes(pattern) && Object.keys(others).length === 0) continue;
    }
    throw badModel(path, `pre_tokenizer must be ByteLevel or Split by the pattern of Qwen2, got ${shown(part)}`, {
      operand: 'pre_tokenizer',
    });
  }
}

function checkVocab(path: string, value: unknown): Map<string, number> {
  if (!isObject(value)) throw badModel(path, 'vocab must be an object', { operand: 'vocab' });
  const vocab = new Map<string, number>();
  for (const [token, id] of Object.entries(value)) {
    if (token === '' || !isId(id)) {
      throw badModel(path, `token '${token}' must have an id of 0 to ${MAX_ID}, got ${shown(id)}`, {
        operand: token,
      });
    }
    vocab.set(token, id);
  }
  // With these every text has ids, whatever the merges.
  const absent = BYTE_SYMBOLS.findIndex((symbol) => !vocab.has(symbol));
  if (absent >= 0) throw badModel(path, `vocab has no token for byte ${absent}`, { operand: 'vocab' });
  return vocab;
}

function checkMerges(path: string, value: unknown, vocab: Map<string, number>): [string, string][] {
  if (!Array.isArray(value)) throw badModel(path, 'merges must be a list', { operand: 'merges' });
  return value.map((merge: unknown, i) => {
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!isPair(pair) || !vocab.has(pair[0]) || !vocab.has(pair[1]) || !vocab.has(pair[0] + pair[1])) {
      const got = shown(merge);
      throw badModel(path, `merge ${i} must join two tokens to a third of the vocabulary, got ${got}`, {
        operand: 'merges',
      });
    }
    return pair;
  });
}

/** The entries of `added_tokens_decoder`, `{ "5": { content } }`, as those of `added_tokens`, `{ id: 5, content }`. */
function listOf(path: string, value: unknown): unknown[] {
  if (!isObject(value)) throw badModel(path, 'added_tokens_decoder must be an object');
  return Object.entries(value).map(([id, token]) => (isObject(token) ? { ...token, id: Number(id) } : token));
}

function collectAdded(path: string, value: unknown, into: Map<string, AddedToken>): void {
  if (!Array.isArray(value)) throw badModel(path, 'added_tokens must be a list');
  for (const token of value as unknown[]) {
    if (!isObject(token) || typeof token.content !== 'string' || token.content === '' || !isId(token.id)) {
      throw badModel(path, `an added token needs a content and an id, got ${shown(token)}`, {
        operand: 'added_tokens',
      });
    }
    const { content, id } = token;
    const known = into.get(content);
    if (known !== undefined && known.id !== id) {
      throw badModel(path, `'${content}' has the ids ${known.id} and ${id}`, { operand: content });
    }
    const flag = (name: string) => token[name] === true;
    into.set(content, {
      id,
      content,
      special: flag('special'),
      single_word: flag('single_word'),
      lstrip: flag('lstrip'),
      rstrip: flag('rstrip'),
      normalized: flag('normalized'),
    });
  }
}

function checkIds(path: string, vocab: ReadonlyMap<string, number>, added: ReadonlyMap<string, number>): void {
  // the library keeps tables as long as the highest id, which a few tokens must not make large
  const most = 65_536 + 4 * (vocab.size + added.size);
  const owner = new Map<number, string>();
  for (const [token, id] of [...vocab, ...added]) {
    if (id > most)
      throw badModel(path, `'${token}' has the id ${id}, far above the count of tokens`, { operand: token });
    const other = owner.get(id) ?? token;
    if (other !== token) throw badModel(path, `'${other}' and '${token}' have the same id ${id}`, { operand: token });
    owner.set(id, token);
  }
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_ID;
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === 'string' && part !== '');
}

function byteSymbols(): string[] {
  const symbols: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    symbols.push(String.fromCodePoint(printable ? byte : next++));
  }
  return symbols;
}
