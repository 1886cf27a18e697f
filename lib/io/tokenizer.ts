import { join } from 'node:path';
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { HyperBagelError } from '../errors.js';
import { badModel } from './model-file.js';
import { readTokenizerFiles, SYMBOL_BYTES, type TokenizerFiles } from './tokenizer-files.js';

/** Text to token ids and back, for byte-level BPE vocabularies as Qwen2's. */
export class Tokenizer {
  /** `<|im_start|>`: opens every text segment and every generation. */
  readonly bos: number;
  /** `<|im_end|>`: closes a text segment; a generation stops there. */
  readonly eos: number;
  /** `<|vision_start|>`: opens every image segment. */
  readonly visionStart: number;
  /** `<|vision_end|>`: closes every image segment. */
  readonly visionEnd: number;
  /** Highest id plus one. A model may have more rows than this, never fewer. */
  readonly vocabSize: number;
  readonly #library: Library;
  /** Per id its token as the vocabulary spells it; undefined where an id is not used. */
  readonly #spellings: readonly (string | undefined)[];
  /** Per id the bytes it stands for, made when first asked for: most of a large vocabulary never is. */
  readonly #bytes: (Uint8Array | undefined)[] = [];
  readonly #files: TokenizerFiles;

  private constructor(library: Library, files: TokenizerFiles) {
    const id = (token: string): number => {
      const found = files.added.get(token);
      if (found === undefined) throw new HyperBagelError('BAD_MODEL', `no special token ${token}`, { operand: token });
      return found;
    };
    this.bos = id('<|im_start|>');
    this.eos = id('<|im_end|>');
    this.visionStart = id('<|vision_start|>');
    this.visionEnd = id('<|vision_end|>');
    const spellings: (string | undefined)[] = [];
    for (const [token, id] of [...files.vocab, ...files.added]) spellings[id] = token;
    this.vocabSize = spellings.length;
    this.#library = library;
    this.#spellings = spellings;
    this.#files = files;
  }

  /**
   * Loads the tokenizer of a model folder: `tokenizer.json` and `tokenizer_config.json` or, without a
   * `tokenizer.json`, the same from `vocab.json` and `merges.txt`.
   *
   * @throws HyperBagelError `BAD_MODEL` when a file is missing or malformed, the vocabulary is not a complete byte-level
   * one, or one of the four special tokens is missing; `IO` when a file cannot be read.
   */
  static async load(dir: string): Promise<Tokenizer> {
    const files = await readTokenizerFiles(dir);
    try {
      const config = { tokenizer_class: 'Qwen2Tokenizer', clean_up_tokenization_spaces: false };
      const library = new Library(files.definition, config);
      const tokenizer = new Tokenizer(library, files);
      tokenizer.#probe();
      return tokenizer;
    } catch (cause) {
      // The library reports what it cannot use by plain errors, some of them accidental.
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw badModel(join(dir, files.name), reason, {
        ...(HyperBagelError.isInstance(cause) && cause.operand !== undefined ? { operand: cause.operand } : {}),
        cause,
      });
    }
  }

  /**
   * Token ids of a text, without bos and eos. The text is NFC-normalised, and special tokens written in it become
   * their ids, as in the public implementation; lone surrogates become U+FFFD.
   */
  encode(text: string): number[] {
    if (typeof text !== 'string') {
      const got = typeof text;
      throw new HyperBagelError('BAD_OPTION', `encode expects text, got ${got}`, { operand: 'text', got });
    }
    return this.#library.encode(text, { add_special_tokens: false }).ids;
  }

  /**
   * Text of token ids. Invalid UTF-8 becomes U+FFFD; ids without a token (a model's padding rows) give nothing.
   *
   * @throws HyperBagelError `BAD_OPTION` for anything but non-negative integers.
   */
  decode(ids: Iterable<number>): string {
    const decoder = new StreamDecoder(this);
    return decoder.push(ids) + decoder.flush();
  }

  /** Whether an id is a special token: control, not text. */
  isSpecial(id: number): boolean {
    return this.#files.special.has(id);
  }

  /**
   * The bytes a token stands for; undefined for an id without a token.
   *
   * @throws HyperBagelError `BAD_OPTION` for anything but a non-negative integer.
   */
  tokenBytes(id: number): Uint8Array | undefined {
    if (!Number.isInteger(id) || id < 0) {
      throw new HyperBagelError('BAD_OPTION', `a token id must be a non-negative integer, got ${id}`, {
        operand: 'ids',
        got: String(id),
      });
    }
    const token = this.#spellings[id];
    if (token === undefined) return undefined;
    this.#bytes[id] ??= this.#files.added.has(token) ? Buffer.from(token) : bytesOf(token);
    return this.#bytes[id];
  }

  /** Normalisers and splitters come from the file: make sure that together they keep text, before a model runs on it. */
  #probe(): void {
    const text = ` It's 12 naïve\n\tСтроки, 日本語 🙂  (end)`;
    const back = this.decode(this.encode(text));
    if (back !== text) throw new Error(`encoding changes text: ${JSON.stringify(text)} became ${JSON.stringify(back)}`);
  }
}

/**
 * Decodes a stream of tokens. A character may be spread over several tokens, so its first bytes are held back until the
 * rest is there: the pieces joined equal `Tokenizer.decode` of all ids.
 */
export class StreamDecoder {
  readonly #tokenizer: Pick<Tokenizer, 'tokenBytes'>;
  /** Made at the first byte that is not ASCII: making one takes as long as choosing a token does. */
  #text: InstanceType<typeof TextDecoder> | undefined;

  constructor(tokenizer: Pick<Tokenizer, 'tokenBytes'>) {
    this.#tokenizer = tokenizer;
  }

  /** The text that is complete with these ids, possibly empty. Errors as `Tokenizer.decode`. */
  push(ids: Iterable<number>): string {
    let text = '';
    for (const id of ids) {
      const bytes = this.#tokenizer.tokenBytes(id);
      if (bytes === undefined) continue;
      // a token of a file may be longer than a call has arguments
      if (!this.#text && bytes.length < 256 && bytes.every((byte) => byte < 128)) {
        text += String.fromCharCode(...bytes);
        continue;
      }
      this.#text ??= new TextDecoder('utf-8', { ignoreBOM: true });
      text += this.#text.decode(bytes, { stream: true });
    }
    return text;
  }

  /** What was held back, as U+FFFD, at the end of a stream; the decoder can then be used for the next one. */
  flush(): string {
    return this.#text?.decode() ?? '';
  }
}

function bytesOf(token: string): Uint8Array {
  const bytes = [...token].map((symbol) => SYMBOL_BYTES.get(symbol));
  if (bytes.every((byte) => byte !== undefined)) return Uint8Array.from(bytes);
  return Buffer.from(token);
}
