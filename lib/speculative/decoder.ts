import type { Context } from '../tensor/context.js';
import type { Tensor } from '../tensor/tensor.js';

/** Rows of a round, one per tree node: all of it data on the device. R rows, B sequences, P pages per sequence. */
export interface TreeRows {
  /** [R] */
  tokens: Tensor<'i32'>;
  /** [R] rotary position id. */
  positions: Tensor<'i32'>;
  /** [R] sequence of each row. */
  seq: Tensor<'i32'>;
  /** [R] cache slot that the row's key and value go to. */
  slots: Tensor<'i32'>;
  /** [R] committed slots that the row sees. */
  visible: Tensor<'i32'>;
  /** [R, 2] slots of the row's tree. */
  own: Tensor<'i32'>;
  /** [R, 4] which of them it sees. */
  ancestors: Tensor<'i32'>;
  /** [B, P] */
  pageTable: Tensor<'i32'>;
  /** [1] live rows. */
  rows: Tensor<'i32'>;
}

/** What decoding needs of a model. */
export interface Decoder {
  readonly cx: Context;
  /** Token ids are below it. */
  readonly vocabulary: number;
  /** Layers of the cache, whose tensors hold one layer's pages after another's. */
  readonly cacheLayers: number;
  readonly cache: { readonly keys: Tensor<'f32' | 'bf16'>; readonly values: Tensor<'f32' | 'bf16'> };
  /** Pages per sequence in a recorded step. */
  readonly tablePages: number;
  /** Most tokens of a sequence. */
  readonly maxPositions: number;
  /**
   * Logits [R, V] of live rows; appends their keys and values to the cache. Recorded.
   *
   * @param onStream sees the residual stream [R, hidden] that enters each layer, and the final one as layer `cacheLayers`
   */
  logits(rows: TreeRows, onStream?: (layer: number, x: Tensor<'f32' | 'bf16'>) => void): Tensor<'f32'>;
}
