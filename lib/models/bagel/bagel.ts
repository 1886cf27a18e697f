import path from 'node:path';
import { HyperBagelError } from '../../errors.js';
import { throwIfAborted } from '../../io/abort.js';
import type { ImageSource } from '../../io/image.js';
import { modelHash } from '../../io/model-hash.js';
import { openModelFiles } from '../../io/safetensors.js';
import { Tokenizer } from '../../io/tokenizer.js';
import { packageRoot } from '../../native/load.js';
import { Context, type ContextOptions } from '../../tensor/context.js';
import { BYTES } from '../../tensor/dtype.js';
import type { Answer, AnswerOptions } from './answer.js';
import { type AnswerManyItem, type AnswerManyOptions, type AnswerManyResult, answerMany } from './answer-many.js';
import { type BagelConfig, latentGrid, readConfig } from './config.js';
import { ContextBuilder, THINK_PROMPTS } from './contexts.js';
import { cacheBytesPerToken } from './costs.js';
import { findDraftHead, loadDraftHead } from './draft-head.js';
import { Painter, type PictureJob } from './draw.js';
import { DEFAULT_BATCH, type DrawingOf, drawInBatches, type ManyOptions } from './draw-many.js';
import { checkDrawing, type Drawing, type DrawOptions, type DrawSettings } from './draw-options.js';
import { Editor } from './editor.js';
import { Decoders } from './generate.js';
import { planMemory } from './memory-plan.js';
import { BagelModel } from './model.js';
import { checkInteger, checkText } from './options.js';
import { type RgbMap, readRgbMap } from './preview.js';
import { prepareImage, requireOpen, Session } from './session.js';
import { FileSource, type Float, RandomSource, type WeightSource } from './source.js';
import { Speculator } from './speculate.js';
import { Students } from './student.js';
import { type ExpectedTensor, expectedTensors } from './tensors.js';
import { WeightLoader } from './weights.js';

export interface LoadOptions extends ContextOptions {
  /** f32 (default): parity with the public code in full precision. bf16: activations and cache are bf16 too. */
  dtype?: Float | undefined;
  /** Tokens that the cache holds, over all sessions. Default: from free memory and the model's limit. */
  cacheTokens?: number | undefined;
  /**
   * Folder of an EAGLE-3 draft head: `model.safetensors` and `config.json` as public heads have them. Default: `draft/` in the
   * model's folder, if there is one; false: none.
   */
  draft?: string | false | undefined;
  /** Keeps measurements of this machine in the user's cache folder. Default true. */
  keepMeasurements?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Bytes of weights that are in place. */
  onProgress?: ((progress: { phase: 'weights'; loaded: number; total: number }) => void) | undefined;
}

export interface AskOptions extends AnswerOptions {
  images?: readonly ImageSource[] | undefined;
  /** Lets the model reason first; the answer then holds its reasoning too. */
  think?: boolean | undefined;
}

/** One picture of `drawMany`: drawn from `prompt`, or `image` edited as `prompt` says. */
export type DrawItem = DrawOptions & { prompt: string; image?: ImageSource | undefined };

/** What a model folder holds besides configuration and weights. */
interface ModelExtras {
  keepMeasurements?: boolean | undefined;
  folder?: string;
  hash?: string;
  tokenizer?: Tokenizer;
  rgb?: RgbMap | undefined;
}

/** The folder of the bundled miniature. */
export function bundledModel(): string {
  return path.join(packageRoot(), 'models', 'tiny');
}

/** A loaded model: answers, draws and edits. */
export class Bagel {
  readonly config: BagelConfig;
  readonly dtype: Float;
  readonly context: Context;
  /** @internal */
  readonly model: BagelModel;
  readonly #decoders: Decoders;
  readonly #speculator: Speculator;
  readonly #painter: Painter;

  /** @internal */
  readonly studentsOf: Students;
  /** Identifies the weights: see the function `modelHash`. Undefined for a model of random weights. */
  readonly modelHash: string | undefined;

  private constructor(model: BagelModel, { rgb, folder, hash, keepMeasurements }: ModelExtras) {
    this.model = model;
    this.config = model.config;
    this.dtype = model.dtype;
    this.context = model.cx;
    this.#decoders = new Decoders(model);
    this.#speculator = new Speculator(model, keepMeasurements === false ? undefined : hash);
    this.#painter = new Painter(model, this.#decoders, rgb, hash);
    this.modelHash = hash;
    this.studentsOf = new Students(model, folder, hash);
  }

  /**
   * Loads a model folder in the public layout: `ema.safetensors` and `ae.safetensors` (or shards with an index), `config.json`,
   * `llm_config.json`, `vit_config.json` and the tokenizer's files.
   *
   * @param folder default: the bundled miniature
   * @throws HyperBagelError BAD_MODEL, BAD_OPTION, OUT_OF_MEMORY (before anything is allocated), BACKEND_MISSING, CANCELLED, IO
   */
  static async load(folder: string = bundledModel(), options: LoadOptions = {}): Promise<Bagel> {
    const dtype = checkDtype(options.dtype);
    throwIfAborted(options.signal);
    // the configuration first: it says what is wrong with a folder that is no model
    await readConfig(folder);
    const parts = { ema: await openModelFiles(folder, 'ema'), ae: await openModelFiles(folder, 'ae') };
    const side = (name: string) => {
      const rows = parts.ema.tensors.get(name)?.shape[0];
      return rows === undefined ? undefined : Math.round(Math.sqrt(rows));
    };
    const config = await readConfig(folder, {
      latentSide: side('latent_pos_embed.pos_embed'),
      vitSide: side('vit_pos_embed.pos_embed'),
    });
    const tokenizer = await Tokenizer.load(folder);
    if (tokenizer.vocabSize > config.llm.vocab) {
      throw new HyperBagelError('BAD_MODEL', `${folder}: the tokenizer has more tokens than the model`, {
        operand: 'tokenizer',
        expected: `at most ${config.llm.vocab}`,
        got: `${tokenizer.vocabSize}`,
      });
    }
    const stored = (tensor: ExpectedTensor) =>
      parts[tensor.file as keyof typeof parts].tensors.get(tensor.name)?.dtype === 'F32' ? 'f32' : 'bf16';
    return Bagel.#build(
      config,
      dtype,
      stored,
      { folder, hash: await modelHash(folder), tokenizer, rgb: await readRgbMap(folder, config) },
      options,
      (cx, expected) => new FileSource(cx, parts, expected),
    );
  }

  /** A model of any shape with Philox weights, for benches and tests. It has no tokenizer: only token ids go in. */
  static async random(config: BagelConfig, options: LoadOptions & { seed: number }): Promise<Bagel> {
    const dtype = checkDtype(options.dtype);
    const seed = checkInteger('seed', options.seed, 0, Number.MAX_SAFE_INTEGER);
    const stored = (tensor: ExpectedTensor): Float => (tensor.file === 'ae' ? 'f32' : dtype);
    return Bagel.#build(
      config,
      dtype,
      stored,
      {},
      options,
      (cx, expected) => new RandomSource(cx, expected, seed, dtype),
    );
  }

  static async #build(
    config: BagelConfig,
    dtype: Float,
    stored: (tensor: ExpectedTensor) => Float,
    extras: ModelExtras,
    options: LoadOptions,
    open: (cx: Context, expected: ExpectedTensor[]) => WeightSource,
  ): Promise<Bagel> {
    const { tokenizer } = extras;
    const expected = expectedTensors(config);
    let weightBytes = 0;
    for (const tensor of expected) {
      const kept = dtype === 'bf16' && tensor.file === 'ema' ? 'bf16' : stored(tensor);
      weightBytes += tensor.shape.reduce((product, n) => product * n, 1) * BYTES[kept];
    }
    const draft = await findDraftHead(extras.folder, options.draft, config, dtype);
    const cx = await Context.create(options);
    try {
      const cacheTokens = await planMemory(
        cx,
        {
          weights: weightBytes + (draft?.weights ?? 0),
          perToken: cacheBytesPerToken(config, dtype) + (draft?.perToken ?? 0),
        },
        config,
        options.cacheTokens,
      );
      const source = open(cx, expected);
      try {
        let loaded = 0;
        const loader = new WeightLoader(cx, source, dtype, {
          signal: options.signal,
          onGroup: (bytes) => {
            loaded = Math.min(weightBytes, loaded + bytes);
            options.onProgress?.({ phase: 'weights', loaded, total: weightBytes });
          },
        });
        const weights = await loader.load(config);
        options.onProgress?.({ phase: 'weights', loaded: weightBytes, total: weightBytes });
        const last = config.llm.vocab - 1;
        const special = tokenizer ?? { bos: last - 3, eos: last - 2, visionStart: last - 1, visionEnd: last };
        const model = new BagelModel({ cx, config, weights, dtype, cacheTokens, tokenizer, special });
        if (draft) await loadDraftHead(model, draft);
        return new Bagel(model, { ...extras, keepMeasurements: options.keepMeasurements });
      } finally {
        source.close();
      }
    } catch (error) {
      await cx.dispose();
      throw error;
    }
  }

  /** Names of the students in the model's folder: what `student` of draw and edit takes. */
  students(): Promise<string[]> {
    return this.studentsOf.list();
  }

  /**
   * Loads a student now rather than at its first use.
   *
   * @throws HyperBagelError BAD_OPTION when there is none of that name, BAD_MODEL, OUT_OF_MEMORY, IO
   */
  async loadStudent(name: string): Promise<void> {
    requireOpen(this.model);
    await this.studentsOf.get(name);
  }

  /**
   * Measures what decode rounds cost on this machine, unless that is known. The first answer that speculates does it otherwise; a
   * service may want it done before.
   */
  async calibrate(): Promise<void> {
    await this.#speculator.curve();
  }

  /** Whether a draft head is loaded, for `speculate: 'eagle'`. */
  get hasDraftHead(): boolean {
    return this.model.drafter !== undefined;
  }

  /**
   * Opens a conversation.
   *
   * @throws HyperBagelError DISPOSED
   */
  session(): Session {
    requireOpen(this.model);
    return new Session(this.model, this.#decoders, this.#speculator);
  }

  /**
   * One question, with pictures to look at, and its whole answer.
   *
   * @throws HyperBagelError BAD_OPTION, BAD_IMAGE, CONTEXT_FULL, CANCELLED, IO
   */
  async ask(question: string, options: AskOptions = {}): Promise<Answer> {
    checkText('question', question);
    using session = this.session();
    const { signal } = options;
    if (options.think) await session.addText(THINK_PROMPTS.understanding, { signal });
    for (const image of options.images ?? []) await session.addImage(image, { signal });
    await session.addText(question, { signal });
    return await session.answer(options).result;
  }

  /**
   * Answers in several sessions at once, as one batch: pieces and whole answers as they come. Each answer is the one that the
   * session would give alone, token by token.
   *
   * @throws HyperBagelError BAD_OPTION at the call; from the iterator CANCELLED and what stops the whole batch. What stops one answer
   * is its result.
   */
  answerMany(items: readonly AnswerManyItem[], options: AnswerManyOptions = {}): AsyncIterable<AnswerManyResult> {
    if (!Array.isArray(items) || items.some((item) => !(item?.session instanceof Session))) {
      throw new HyperBagelError('BAD_OPTION', 'answerMany wants a list of { session, ...options }', {
        operand: 'items',
      });
    }
    checkInteger('batch', options.batch ?? 8, 1, 64);
    return answerMany(this.model, this.#decoders, items, options);
  }

  /**
   * Draws a picture.
   *
   * @throws HyperBagelError BAD_OPTION, CONTEXT_FULL, CANCELLED
   */
  async draw(prompt: string, options: DrawOptions = {}): Promise<Drawing> {
    const item = { ...options, prompt };
    return this.#painter.paint(await this.#job(item, await this.#check(item)));
  }

  /**
   * Edits a picture by an instruction. The result has the size of the picture after the model's resize rule.
   *
   * @throws HyperBagelError BAD_OPTION, BAD_IMAGE, CONTEXT_FULL, CANCELLED, IO
   */
  async edit(image: ImageSource, instruction: string, options: DrawOptions = {}): Promise<Drawing> {
    const item = { ...options, prompt: instruction, image };
    return this.#painter.paint(await this.#job(item, await this.#check(item)));
  }

  /**
   * Keeps a picture for several edits. Dispose the editor to give its share of the cache back.
   *
   * @throws HyperBagelError BAD_OPTION, BAD_IMAGE, CANCELLED, IO, DISPOSED
   */
  async editor(source: ImageSource, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<Editor> {
    requireOpen(this.model);
    const image = await prepareImage(this.model, source, signal);
    const contexts = new ContextBuilder(this.model, [image], true);
    return new Editor(image, contexts, async (instruction, options) => {
      const item = { ...options, prompt: instruction, image };
      const job = await this.#job(item, await this.#check(item));
      return this.#painter.paint({ ...job, contexts });
    });
  }

  /**
   * Draws and edits many pictures, those with the same schedule and guidance together in one forward, whatever their sizes and
   * seeds. Each result has the bits that it has alone. They come as they are done; `index` says which item it is.
   *
   * @throws HyperBagelError BAD_OPTION for any item, before any work; then as draw and edit. A signal, be it an item's, ends the
   * whole call
   */
  async *drawMany(items: readonly DrawItem[], options: ManyOptions = {}): AsyncGenerator<DrawingOf, void, undefined> {
    const batch = checkInteger('batch', options.batch ?? DEFAULT_BATCH, 1, 1024);
    const signals = [options.signal, ...items.map((item) => item.signal)].filter((s) => s !== undefined);
    const signal = signals.length === 0 ? undefined : AbortSignal.any(signals);
    const makers: (() => Promise<PictureJob>)[] = [];
    for (const [index, item] of items.entries()) {
      try {
        const settings = await this.#check(item);
        makers.push(() => this.#job({ ...item, signal }, settings));
      } catch (error) {
        if (!HyperBagelError.isInstance(error)) throw error;
        throw new HyperBagelError(error.code, `item ${index}: ${error.message}`, { ...error, cause: error });
      }
    }
    yield* drawInBatches(this.model, this.#painter, makers, batch, signal);
  }

  async #check(item: DrawItem): Promise<DrawSettings> {
    const { image, prompt, size } = item;
    checkText(image === undefined ? 'prompt' : 'instruction', prompt);
    if (image === undefined && size) latentGrid(this.config, size);
    const student = item.student === undefined ? undefined : await this.studentsOf.get(item.student);
    return checkDrawing(item, image === undefined ? 'draw' : 'edit', student);
  }

  async #job(item: DrawItem, settings: DrawSettings): Promise<PictureJob> {
    const { prompt: text, image: source, ...options } = item;
    const { imageSize } = this.config;
    if (source === undefined) {
      const size = options.size ?? { width: imageSize, height: imageSize };
      return { text, size, contexts: new ContextBuilder(this.model, [], false), fromText: true, options, settings };
    }
    const image = await prepareImage(this.model, source, options.signal);
    const { size } = options;
    if (size && (size.width !== image.width || size.height !== image.height)) {
      throw new HyperBagelError('BAD_OPTION', `an edit keeps the picture's size, ${image.width}x${image.height}`, {
        operand: 'size',
        expected: `${image.width}x${image.height}`,
        got: `${size.width}x${size.height}`,
      });
    }
    const contexts = new ContextBuilder(this.model, [image], false);
    return { text, size: image, contexts, fromText: false, options, settings };
  }

  /**
   * Memory of the model where it computes: `bytes` that it holds now, `peakBytes` that it held at most, and `residentBytes`, what the
   * system has given for it. These leave out the part of the cache that no session has reached yet (on a card, nothing is left
   * out) and count freed blocks that are kept for the next work. `hostBytes`: host memory beside a card's.
   */
  memory(): { bytes: number; peakBytes: number; residentBytes: number; hostBytes: number } {
    const { bytes, peakBytes, hostBytes } = this.context.counters();
    return { bytes, peakBytes, residentBytes: this.context.residentBytes(), hostBytes };
  }

  /** Cancels what runs, frees everything. Idempotent. */
  async dispose(): Promise<void> {
    await this.context.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

function checkDtype(dtype: Float | undefined): Float {
  if (dtype === undefined || dtype === 'f32' || dtype === 'bf16') return dtype ?? 'f32';
  throw new HyperBagelError('BAD_OPTION', `dtype must be f32 or bf16, got ${String(dtype)}`, {
    operand: 'dtype',
    expected: 'f32 or bf16',
    got: String(dtype),
  });
}
