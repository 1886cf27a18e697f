import { PAGE_SLOTS, PagePool, pagesFor, Sequence } from '../../cache/pages.js';
import { IMAGE_SCALE_COLUMN, TEXT_SCALE_COLUMN } from '../../denoise/schedule.js';
import { HyperBagelError } from '../../errors.js';
import * as ops from '../../generated/ops.js';
import type { Image } from '../../io/image.js';
import { gridPositions, patchifyViT } from '../../io/image-tensor.js';
import { resizeToRule } from '../../io/resize.js';
import type { Tokenizer } from '../../io/tokenizer.js';
import type { Decoder, TreeRows } from '../../speculative/decoder.js';
import type { EagleDrafter } from '../../speculative/eagle/drafter.js';
import type { Context } from '../../tensor/context.js';
import type { Tensor } from '../../tensor/tensor.js';
import { type BagelConfig, latentGrid } from './config.js';
import { decoderLayers, type LayerCache, type RowState } from './mot-layer.js';
import type { Float, FloatTensor } from './source.js';
import { TIME_DIM } from './tensors.js';
import { Autoencoder } from './vae.js';
import { type Probe, visionTokens } from './vit.js';
import type { BagelWeights, EmbedderWeights } from './weights.js';

/** Ids of the four tokens that frame segments. */
export interface SpecialTokens {
  bos: number;
  eos: number;
  visionStart: number;
  visionEnd: number;
}

/** Rows of one segment on their way into the cache. */
interface Segment {
  x: FloatTensor;
  positions: readonly number[];
  /** Slots relative to the sequence's end. */
  slots: readonly number[];
  /** Causal: a row sees itself and what is before it. Else it sees the whole segment. */
  causal: boolean;
  /** Rows of the understanding expert when the rest belongs to the other one. */
  split?: number;
  /** How far the segment moves the sequence's position. */
  advance: number;
}

/**
 * Weights, cache and the forward passes that fill it. Sequences, decoding and denoising stand on this; it knows no sessions and
 * no options.
 */
export class BagelModel implements Decoder {
  readonly cx: Context;
  readonly config: BagelConfig;
  readonly weights: BagelWeights;
  readonly dtype: Float;
  readonly tokenizer: Tokenizer | undefined;
  readonly vae: Autoencoder;
  readonly pool: PagePool;
  readonly cache: LayerCache;
  /** Has a cache of its own, which prefill fills along with the model's. */
  drafter: EagleDrafter | undefined;
  readonly #special: SpecialTokens | undefined;

  constructor(parts: {
    cx: Context;
    config: BagelConfig;
    weights: BagelWeights;
    dtype: Float;
    cacheTokens: number;
    tokenizer?: Tokenizer | undefined;
    special?: SpecialTokens | undefined;
  }) {
    this.cx = parts.cx;
    this.config = parts.config;
    this.weights = parts.weights;
    this.dtype = parts.dtype;
    this.tokenizer = parts.tokenizer;
    this.#special = parts.special ?? parts.tokenizer;
    this.vae = new Autoencoder(this.cx, this.config, this.weights.vae);
    const { layers, kvHeads, headDim } = this.config.llm;
    this.pool = new PagePool(pagesFor(parts.cacheTokens));
    const pages = layers * this.pool.total;
    this.cache = {
      keys: this.cx.tensor(this.dtype, [pages, kvHeads, headDim, PAGE_SLOTS]),
      values: this.cx.tensor(this.dtype, [pages, kvHeads, PAGE_SLOTS, headDim]),
    };
    // no row reads a slot before it was written, so the memory may hold anything; but it must be there
    this.cache.keys.rows(0, Math.min(1, pages)).clear();
    this.cache.values.rows(0, Math.min(1, pages)).clear();
  }

  get special(): SpecialTokens {
    if (this.#special) return this.#special;
    throw new HyperBagelError('NOT_SUPPORTED', 'this model has no tokenizer');
  }

  /** Pages per sequence in a recorded step: the longest context and one picture's latents behind it. */
  get tablePages(): number {
    const { llm, latent } = this.config;
    return pagesFor(llm.maxPositions) + pagesFor(latent.side ** 2 + 2);
  }

  get vocabulary(): number {
    return this.config.llm.vocab;
  }

  get cacheLayers(): number {
    return this.config.llm.layers;
  }

  get maxPositions(): number {
    return this.config.llm.maxPositions;
  }

  sequence(): Sequence {
    return new Sequence(this.pool, this.config.llm.maxPositions);
  }

  encode(text: string): number[] {
    if (!this.tokenizer) throw new HyperBagelError('NOT_SUPPORTED', 'this model has no tokenizer');
    return Array.from(this.tokenizer.encode(text));
  }

  /** Ids of a text segment: the text between its frame tokens. */
  frame(text: string): number[] {
    return [this.special.bos, ...this.encode(text), this.special.eos];
  }

  /** Makes room, copying a shared last page if need be. Queues work. */
  reserve(sequence: Sequence, slots: number): void {
    const pairs = sequence.reserve(slots);
    if (pairs.length === 0) return;
    const { layers } = this.config.llm;
    const all = pairs.flatMap(([from, to]) =>
      Array.from({ length: layers }, (_, layer) => [
        from + layer * this.pool.total,
        to + layer * this.pool.total,
      ]).flat(),
    );
    this.cx.scope(() => {
      const list = this.cx.tensor('i32', [all.length / 2, 2], all);
      ops.copyPages(this.cx, { kCache: this.cache.keys, vCache: this.cache.values, pairs: list });
    });
    this.drafter?.head.copyPages(pairs);
  }

  /**
   * Appends token ids, causally. Queues work.
   *
   * @param onLayer sees the residual stream after each layer, and the final one as layer `layers`.
   */
  appendTokens(sequence: Sequence, ids: readonly number[], onLayer?: (layer: number, x: FloatTensor) => void): void {
    if (ids.length === 0) return;
    this.#stretch('text', () => {
      const x = ops.embedding(this.cx, {
        table: this.weights.embedTokens,
        ids: this.cx.tensor('i32', [ids.length], [...ids]),
        dtype: this.dtype,
      });
      return this.#append(
        sequence,
        {
          x,
          positions: ids.map((_, i) => sequence.position + i),
          slots: ids.map((_, i) => i),
          causal: true,
          advance: ids.length,
        },
        onLayer,
      );
    });
  }

  /** Appends a picture as the vision encoder sees it (bagel.md 3.2). `image` has passed the autoencoder's transform. Queues work. */
  appendVision(sequence: Sequence, image: Image, probe?: Probe): void {
    const { vit, vitTransform } = this.config;
    const resized = resizeToRule(image, vitTransform);
    const { patches, rows, cols } = patchifyViT(resized, vit.patch);
    if (rows > vit.side || cols > vit.side) {
      throw new HyperBagelError('BAD_IMAGE', `a picture of ${resized.width}x${resized.height} has too many patches`, {
        expected: `at most ${vit.side} per side`,
        got: `${cols}x${rows}`,
      });
    }
    const n = rows * cols;
    this.#stretch('vision', () => {
      const ids = this.cx.tensor('i32', [n], gridPositions(rows, cols, vit.side));
      const input = this.cx.tensor('f32', [n, patches.length / n], patches);
      const tokens = visionTokens(this.cx, this.config, this.weights, input, ids, this.dtype, probe);
      const start = this.#markers([this.special.visionStart]);
      const end = this.#markers([this.special.visionEnd]);
      const x = ops.concatRows(this.cx, { a: ops.concatRows(this.cx, { a: start, b: tokens }), b: end });
      return this.#append(sequence, {
        x,
        positions: Array.from({ length: n + 2 }, () => sequence.position),
        slots: Array.from({ length: n + 2 }, (_, i) => i),
        causal: false,
        advance: 1,
      });
    });
  }

  /** Appends a picture as clean latents at time 0. `image` has passed the autoencoder's transform. Queues work. */
  appendLatents(sequence: Sequence, image: Image): void {
    const grid = latentGrid(this.config, image);
    const n = grid.rows * grid.columns;
    this.#stretch('latents', () => {
      const latent = this.encodeImage(image);
      const tokens = ops.patchify(this.cx, { x: latent, patch: this.config.latent.patch });
      const times = this.cx.zeros('f32', [1, 1]);
      const step = this.cx.zeros('i32', [1]);
      const embedded = this.latentTokens(tokens, times, step, this.latentIds([grid]), this.cx.zeros('i32', [n]));
      const markers = this.#markers([this.special.visionStart, this.special.visionEnd]);
      const x = ops.concatRows(this.cx, { a: markers, b: embedded });
      return this.#append(sequence, {
        x,
        positions: Array.from({ length: n + 2 }, () => sequence.position),
        slots: [0, n + 1, ...Array.from({ length: n }, (_, i) => i + 1)],
        causal: false,
        split: 2,
        advance: 1,
      });
    });
  }

  /** Pixels -> scaled latent [h, w, z]: the posterior's mean. Queues work. */
  encodeImage(image: Image, probe?: Probe): FloatTensor {
    const pixels = this.cx.tensor('u8', [image.height, image.width, 3], image.data);
    const moments = this.vae.encode(ops.normalizePixels(this.cx, { x: pixels }));
    probe?.('moments', moments);
    return this.vae.latent(moments);
  }

  /** Latent tokens [n, p p z] of a grid -> pixels [height, width, 3]. Queues work. */
  decodeLatents(tokens: FloatTensor, grid: { rows: number; columns: number }, probe?: Probe): Tensor<'u8'> {
    const { latent, vae } = this.config;
    const z = ops.unpatchify(this.cx, {
      x: tokens,
      patch: latent.patch,
      height: grid.rows,
      scale: 1 / vae.scale,
      shift: vae.shift,
    });
    const values = this.vae.decode(z);
    probe?.('decoded', values);
    return ops.denormalizePixels(this.cx, { x: values });
  }

  /** [n] ids in the latent position table, row-major, one picture after the other. */
  latentIds(grids: readonly { rows: number; columns: number }[]): Tensor<'i32'> {
    const ids = grids.flatMap(({ rows, columns }) => [...gridPositions(rows, columns, this.config.latent.side)]);
    return this.cx.tensor('i32', [ids.length], ids);
  }

  /**
   * What latents are to the language model (bagel.md 2.6, 2.7): projection + time + position. Works recorded and eager.
   *
   * @param tokens [n, p p z]
   * @param times [S, C] column 0 holds the times; `step` [1] picks the row
   * @param positionIds [n]
   * @param zeros [n] zeros: every token has the same time
   * @param weights whose time embedder and projection it takes; a student's also embed the guidance scales of the schedule
   */
  latentTokens(
    tokens: FloatTensor,
    times: Tensor<'f32'>,
    step: Tensor<'i32'>,
    positionIds: Tensor<'i32'>,
    zeros: Tensor<'i32'>,
    weights: BagelWeights = this.weights,
  ): FloatTensor {
    const { time, scales, vae2llm, latentPositions } = weights;
    let embedded = this.#embedNumber(time, times, step, 0);
    if (scales) {
      embedded = this.#embedNumber(scales.text, times, step, TEXT_SCALE_COLUMN, embedded);
      embedded = this.#embedNumber(scales.image, times, step, IMAGE_SCALE_COLUMN, embedded);
    }
    const x = ops.linear(this.cx, { x: tokens, weight: vae2llm.weight, bias: vae2llm.bias, dtype: this.dtype });
    return ops.embedAdd(this.cx, { x, table: latentPositions, ids: positionIds, table2: embedded, ids2: zeros });
  }

  /** A column of the schedule as the embedders see it: sinusoid, two layers; added to `residual`. [1, hidden] */
  #embedNumber(
    { fc1, fc2 }: EmbedderWeights,
    times: Tensor<'f32'>,
    step: Tensor<'i32'>,
    column: number,
    residual?: FloatTensor,
  ): FloatTensor {
    const wave = ops.timeEmbedding(this.cx, { times, step, dim: TIME_DIM, column, dtype: this.dtype });
    const inner = ops.linear(this.cx, { x: wave, weight: fc1.weight, bias: fc1.bias, activation: 'silu' });
    return ops.linear(this.cx, { x: inner, weight: fc2.weight, bias: fc2.bias, residual });
  }

  /** Queues a part of a context, by its name for the profiler, and lets go of what `queue` does not return. */
  #stretch<R>(name: string, queue: () => R): R {
    return this.cx.range(name, () => this.cx.scope(queue));
  }

  /** Embeddings of frame tokens. */
  #markers(ids: readonly number[]): FloatTensor {
    return this.embed(this.cx.tensor('i32', [ids.length], [...ids]));
  }

  embed(ids: Tensor<'i32'>, rows?: Tensor<'i32'>): FloatTensor {
    return ops.embedding(this.cx, { table: this.weights.embedTokens, ids, rows, dtype: this.dtype });
  }

  /** Decoder layers over rows whose state is on the device. */
  layers(
    x: FloatTensor,
    state: RowState,
    onLayer?: (layer: number, x: FloatTensor) => void,
    weights: BagelWeights = this.weights,
  ): FloatTensor {
    return decoderLayers(this.cx, this.config, weights, x, state, this.cache, this.pool.total, onLayer);
  }

  /** Scores of the next token after each row. Works recorded and eager. */
  logits(rows: TreeRows, onStream?: (layer: number, x: FloatTensor) => void): Tensor<'f32'> {
    const { cx, config, weights } = this;
    const embedded = this.embed(rows.tokens, rows.rows);
    onStream?.(0, embedded);
    const h = this.layers(embedded, rows, onStream && ((layer, x) => onStream(layer + 1, x)));
    const x = ops.rmsNorm(cx, { x: h, weight: weights.norm.und, rows: rows.rows, eps: config.llm.eps }).out;
    return ops.linear(cx, { x, weight: weights.lmHead, rows: rows.rows, dtype: 'f32' });
  }

  /** @returns what the sequence keeps of it */
  #append(
    sequence: Sequence,
    segment: Segment,
    onLayer?: (layer: number, x: FloatTensor) => void,
  ): FloatTensor | undefined {
    const n = segment.positions.length;
    this.reserve(sequence, n);
    const base = sequence.length;
    const ints = (values: readonly number[]) => this.cx.tensor('i32', [values.length], values);
    const slots = segment.slots.map((slot) => base + slot);
    const state: RowState = {
      positions: ints(segment.positions),
      seq: this.cx.zeros('i32', [n]),
      slots: ints(slots),
      visible: ints(slots.map((slot) => (segment.causal ? slot + 1 : base + n))),
      pageTable: this.cx.tensor('i32', [1, sequence.pages.length], [...sequence.pages]),
      split: segment.split === undefined ? undefined : ints([segment.split]),
    };
    const streams = [segment.x];
    const out = this.layers(segment.x, state, (layer, x) => {
      streams.push(x);
      onLayer?.(layer, x);
    });
    onLayer?.(this.config.llm.layers, out);
    const kept = this.drafter?.append(sequence, {
      x: segment.x,
      taps: this.drafter.taps.map((layer) => streams[layer] as FloatTensor),
      slots: segment.slots,
      positions: segment.positions,
    });
    sequence.length += n;
    sequence.position += segment.advance;
    return kept;
  }
}
