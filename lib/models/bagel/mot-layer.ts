import * as ops from '../../generated/ops.js';
import type { Context } from '../../tensor/context.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { BagelConfig } from './config.js';
import type { FloatTensor } from './source.js';
import type { BagelWeights, LayerWeights } from './weights.js';

/**
 * What a batch of rows means to the decoder layers: all of it data on the device, so that a recorded step can be replayed with
 * other values. N rows, B sequences, P pages per sequence.
 */
export interface RowState {
  /** [N] rotary position id. */
  positions: Tensor<'i32'>;
  /** [N] sequence of each row: row of `pageTable`. */
  seq: Tensor<'i32'>;
  /** [N] cache slot that the row's key and value go to. */
  slots: Tensor<'i32'>;
  /** [N] leading slots that the row sees. */
  visible: Tensor<'i32'>;
  /** [N, 2] a second range of slots that it sees. */
  own?: Tensor<'i32'> | undefined;
  /** [N, 4] which of those, as 128 bits; without it all of them. */
  ancestors?: Tensor<'i32'> | undefined;
  /** [B, P] */
  pageTable: Tensor<'i32'>;
  /** [1] rows at or beyond it belong to the generation expert; without it all belong to the understanding expert. */
  split?: Tensor<'i32'> | undefined;
  /** [1] live rows; without it all live. */
  rows?: Tensor<'i32'> | undefined;
}

/** Keys [layers * pages, kv heads, head dim, 64] and values [layers * pages, kv heads, 64, head dim] of every layer. */
export interface LayerCache {
  keys: FloatTensor;
  values: FloatTensor;
}

/** A view of one layer's pages. */
export function layerCache(cache: LayerCache, layer: number, pages: number): LayerCache {
  return {
    keys: cache.keys.rows(layer * pages, (layer + 1) * pages),
    values: cache.values.rows(layer * pages, (layer + 1) * pages),
  };
}

/**
 * One decoder layer of the mixture of transformers: both experts share the attention, everything else runs on the row's own
 * weights (bagel.md 2.2). x [N, hidden] -> [N, hidden].
 */
function motLayer(
  cx: Context,
  config: BagelConfig,
  { und, gen }: LayerWeights,
  x: FloatTensor,
  state: RowState & { rope: Tensor<'f32'> },
  cache: LayerCache,
): FloatTensor {
  const { llm } = config;
  const { split, rows } = state;
  const other = split ? gen : undefined;
  const n = x.shape[0] as number;
  const eps = llm.eps;
  const h = ops.rmsNorm(cx, { x, weight: und.inputNorm, weightGen: other?.inputNorm, split, rows, eps }).out;
  const qkv = ops.linear(cx, {
    x: h,
    weight: und.qkv.weight,
    bias: und.qkv.bias,
    weightGen: other?.qkv.weight,
    biasGen: other?.qkv.bias,
    split,
    rows,
  });
  const q = ops.qkNormRopeAppend(cx, {
    qkv,
    qNorm: und.qNorm,
    kNorm: und.kNorm,
    qNormGen: other?.qNorm,
    kNormGen: other?.kNorm,
    rope: state.rope,
    seq: state.seq,
    slots: state.slots,
    pageTable: state.pageTable,
    kCache: cache.keys,
    vCache: cache.values,
    split,
    rows,
    eps,
  });
  const attended = ops.pagedAttention(cx, {
    q,
    kCache: cache.keys,
    vCache: cache.values,
    pageTable: state.pageTable,
    seq: state.seq,
    visible: state.visible,
    own: state.own,
    ancestors: state.ancestors,
    rows,
    scale: 1 / Math.sqrt(llm.headDim),
  });
  const flat = attended.reshape([n, llm.heads * llm.headDim]);
  const mid = ops.linear(cx, { x: flat, weight: und.o, weightGen: other?.o, residual: x, split, rows });
  const h2 = ops.rmsNorm(cx, { x: mid, weight: und.postNorm, weightGen: other?.postNorm, split, rows, eps }).out;
  const inner = ops.linear(cx, {
    x: h2,
    weight: und.gateUp,
    weightGen: other?.gateUp,
    activation: 'swiglu',
    split,
    rows,
  });
  return ops.linear(cx, { x: inner, weight: und.down, weightGen: other?.down, residual: mid, split, rows });
}

/**
 * All decoder layers, without the final norm. x [N, hidden] -> [N, hidden]; appends keys and values at `state.slots`.
 *
 * @param onLayer sees the residual stream after each layer; for tests and draft heads.
 */
export function decoderLayers(
  cx: Context,
  config: BagelConfig,
  weights: BagelWeights,
  x: FloatTensor,
  state: RowState,
  cache: LayerCache,
  pages: number,
  onLayer?: (layer: number, x: FloatTensor) => void,
): FloatTensor {
  const { llm } = config;
  const rope = ops.ropeTable(cx, {
    positions: state.positions,
    rows: state.rows,
    dim: llm.headDim,
    theta: llm.ropeTheta,
  });
  let h = x;
  weights.layers.forEach((layer, i) => {
    h = cx.range(`layer ${i}`, () => motLayer(cx, config, layer, h, { ...state, rope }, layerCache(cache, i, pages)));
    onLayer?.(i, h);
  });
  return h;
}
