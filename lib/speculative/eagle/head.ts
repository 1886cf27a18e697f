import { PAGE_SLOTS } from '../../cache/pages.js';
import * as ops from '../../generated/ops.js';
import type { Context } from '../../tensor/context.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { EagleConfig } from './config.js';
import type { EagleLayerWeights, EagleWeights, Float, FloatTensor } from './weights.js';

/**
 * Entries of the draft cache on their way: all of it data on the device. N entries, B sequences, P pages per sequence. Entry t of
 * a sequence lies in slot t, where the target keeps token t; it takes the feature of token t and the embedding of token t + 1.
 */
export interface DraftRows {
  /** [N] rotary position of the target's row in that slot. */
  positions: Tensor<'i32'>;
  /** [N] */
  seq: Tensor<'i32'>;
  /** [N] */
  slots: Tensor<'i32'>;
  /** [N] leading slots that the entry sees. */
  visible: Tensor<'i32'>;
  /** [N, 2] slots of a tree behind them, and [N, 4] which of those. */
  own?: Tensor<'i32'> | undefined;
  ancestors?: Tensor<'i32'> | undefined;
  /** [B, P] as the target's. */
  pageTable: Tensor<'i32'>;
  /** [1] live entries; without it all live. */
  rows?: Tensor<'i32'> | undefined;
}

/** What a head shares with the model that it drafts for. */
export interface EagleHost {
  readonly cx: Context;
  readonly dtype: Float;
  /** [vocabulary, hidden] */
  readonly embedTokens: FloatTensor;
  /** [vocabulary, hidden] packed */
  readonly lmHead: FloatTensor;
  /** Pages of a cache layer. */
  readonly pages: number;
}

/**
 * Inference of an EAGLE-3 head (arXiv 2503.01840): a fusion of residual streams of the target, and a few decoder layers of its own with
 * a cache of their own, slot for slot that of the target. All methods work recorded and eager.
 */
export class EagleHead {
  readonly config: EagleConfig;
  readonly host: EagleHost;
  readonly #weights: EagleWeights;
  /** [layers * pages, kv heads, head dim, 64] and [layers * pages, kv heads, 64, head dim]. */
  readonly #keys: FloatTensor;
  readonly #values: FloatTensor;

  constructor(host: EagleHost, config: EagleConfig, weights: EagleWeights) {
    this.host = host;
    this.config = config;
    this.#weights = weights;
    const { layers, kvHeads, headDim } = config;
    const pages = layers * host.pages;
    this.#keys = host.cx.tensor(host.dtype, [pages, kvHeads, headDim, PAGE_SLOTS]);
    this.#values = host.cx.tensor(host.dtype, [pages, kvHeads, PAGE_SLOTS, headDim]);
    // no entry reads a slot before it was written, so the memory may hold anything; but it must be there
    this.#keys.rows(0, Math.min(1, pages)).clear();
    this.#values.rows(0, Math.min(1, pages)).clear();
  }

  /** [draft vocabulary] target ids; undefined: the same. */
  get ids(): Tensor<'i32'> | undefined {
    return this.#weights.ids;
  }

  /** The feature of each row [N, hidden] from its tapped residual streams, each [N, hidden]. */
  fuse(taps: readonly FloatTensor[], rows?: Tensor<'i32'>): FloatTensor {
    const { cx } = this.host;
    const { eps } = this.config;
    const { fc, fcNorms, fcInputNorm } = this.#weights;
    const parts = taps.map((x, i) => {
      const weight = fcNorms?.[i];
      return weight ? ops.rmsNorm(cx, { x, weight, rows, eps }).out : x;
    });
    let x = parts[0] as FloatTensor;
    for (let i = 1; i < parts.length; i += 2) {
      x = ops.concatColumns(cx, { a: x, b: parts[i] as FloatTensor, c: parts[i + 1], rows });
    }
    if (fcInputNorm) x = ops.rmsNorm(cx, { x, weight: fcInputNorm, rows, eps }).out;
    return ops.linear(cx, { x, weight: fc.weight, bias: fc.bias, rows, dtype: this.host.dtype });
  }

  /** Embeddings of tokens. */
  embed(ids: Tensor<'i32'>, rows?: Tensor<'i32'>): FloatTensor {
    return ops.embedding(this.host.cx, { table: this.host.embedTokens, ids, rows, dtype: this.host.dtype });
  }

  /** Appends entries to the cache; [N, hidden] what the last layer puts out, before the final norm. */
  layers(embedded: FloatTensor, feature: FloatTensor, state: DraftRows): FloatTensor {
    const { cx, pages } = this.host;
    const { eps, headDim, ropeTheta, normBeforeResidual } = this.config;
    const { rows } = state;
    const rope = ops.ropeTable(cx, { positions: state.positions, rows, dim: headDim, theta: ropeTheta });
    let x = feature;
    this.#weights.layers.forEach((layer, i) => {
      const cache = {
        keys: this.#keys.rows(i * pages, (i + 1) * pages),
        values: this.#values.rows(i * pages, (i + 1) * pages),
      };
      let input: FloatTensor;
      if (layer.hiddenNorm) {
        const a = ops.rmsNorm(cx, { x: embedded, weight: layer.inputNorm, rows, eps }).out;
        const b = ops.rmsNorm(cx, { x, weight: layer.hiddenNorm, rows, eps }).out;
        if (normBeforeResidual) x = b;
        input = ops.concatColumns(cx, { a, b, rows });
      } else {
        input = ops.rmsNorm(cx, { x, weight: layer.inputNorm, rows, eps }).out;
      }
      x = this.#layer(layer, { input, residual: x, rope, cache }, state);
    });
    return x;
  }

  #layer(
    layer: EagleLayerWeights,
    flow: {
      input: FloatTensor;
      residual: FloatTensor;
      rope: Tensor<'f32'>;
      cache: { keys: FloatTensor; values: FloatTensor };
    },
    state: DraftRows,
  ): FloatTensor {
    const { cx } = this.host;
    const { eps, heads, headDim } = this.config;
    const { rows, seq, slots, pageTable } = state;
    const { keys: kCache, values: vCache } = flow.cache;
    const { weight, bias } = layer.qkv;
    const qkv = ops.linear(cx, { x: flow.input, weight, bias, rows });
    const { qNorm, kNorm } = layer;
    const { rope } = flow;
    const q = ops.qkNormRopeAppend(cx, { qkv, qNorm, kNorm, rope, seq, slots, pageTable, kCache, vCache, rows, eps });
    const attended = ops.pagedAttention(cx, {
      q,
      kCache,
      vCache,
      pageTable,
      seq,
      visible: state.visible,
      own: state.own,
      ancestors: state.ancestors,
      rows,
      scale: 1 / Math.sqrt(headDim),
    });
    const flat = attended.reshape([attended.shape[0] as number, heads * headDim]);
    const mid = ops.linear(cx, { x: flat, weight: layer.o, residual: flow.residual, rows });
    const normed = ops.rmsNorm(cx, { x: mid, weight: layer.postNorm, rows, eps }).out;
    const inner = ops.linear(cx, { x: normed, weight: layer.gateUp, activation: 'swiglu', rows });
    return ops.linear(cx, { x: inner, weight: layer.down, residual: mid, rows });
  }

  /**
   * What the last layer's output means.
   *
   * @param x [N, hidden] of {@link layers}
   * @returns logits [N, draft vocabulary] of the token after the next, and the feature [N, hidden] that the entry after this one takes
   */
  finish(x: FloatTensor, rows?: Tensor<'i32'>): { logits: Tensor<'f32'>; feature: FloatTensor } {
    const { cx, lmHead } = this.host;
    const { norm } = this.#weights;
    const normed = ops.rmsNorm(cx, { x, weight: norm, rows, eps: this.config.eps }).out;
    const logits = ops.linear(cx, { x: normed, weight: this.#weights.lmHead ?? lmHead, rows, dtype: 'f32' });
    return { logits, feature: this.config.normOutput ? normed : x };
  }

  /** Copies entries along with the target's pages. Queues work. */
  copyPages(pairs: readonly (readonly [number, number])[]): void {
    const { cx, pages } = this.host;
    const all = pairs.flatMap(([from, to]) =>
      Array.from({ length: this.config.layers }, (_, i) => [from + i * pages, to + i * pages]).flat(),
    );
    if (all.length === 0) return;
    cx.scope(() => {
      const list = cx.tensor('i32', [all.length / 2, 2], all);
      ops.copyPages(cx, { kCache: this.#keys, vCache: this.#values, pairs: list });
    });
  }
}
