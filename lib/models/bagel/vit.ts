import * as ops from '../../generated/ops.js';
import type { Context } from '../../tensor/context.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { BagelConfig } from './config.js';
import type { Float, FloatTensor } from './source.js';
import type { BagelWeights, VisionLayerWeights } from './weights.js';

/** Sees named intermediates, for tests. */
export type Probe = (name: string, value: FloatTensor) => void;

/**
 * The vision encoder and its connector (bagel.md 2.4): what enters the language model for one picture.
 *
 * @param patches [n, patch * patch * 3] f32, in [-1, 1], columns (row in patch, column in patch, channel)
 * @param ids [n] row * side + column in the position tables
 * @returns [n, hidden of the language model]
 */
export function visionTokens(
  cx: Context,
  config: BagelConfig,
  weights: BagelWeights,
  patches: Tensor<'f32'>,
  ids: Tensor<'i32'>,
  dtype: Float,
  probe?: Probe,
): FloatTensor {
  const { vit } = config;
  const n = patches.shape[0] as number;
  const headDim = vit.hidden / vit.heads;
  const { patch, positions, layers, postNorm } = weights.vit;
  const embedded: FloatTensor = ops.linear(cx, { x: patches, weight: patch.weight, bias: patch.bias, dtype });
  let x: FloatTensor = ops.embedAdd(cx, { x: embedded, table: positions, ids });
  probe?.('embeddings', x);
  const run = (layer: VisionLayerWeights) => {
    const h = ops.layerNorm(cx, { x, weight: layer.norm1.weight, bias: layer.norm1.bias, eps: vit.eps });
    const qkv = ops.linear(cx, { x: h, weight: layer.qkv.weight, bias: layer.qkv.bias });
    const attended = ops.denseAttention(cx, {
      qkv: qkv.reshape([n, 3, vit.heads, headDim]),
      scale: 1 / Math.sqrt(headDim),
    });
    x = ops.linear(cx, {
      x: attended.reshape([n, vit.hidden]),
      weight: layer.out.weight,
      bias: layer.out.bias,
      residual: x,
    });
    const h2 = ops.layerNorm(cx, { x, weight: layer.norm2.weight, bias: layer.norm2.bias, eps: vit.eps });
    const inner = ops.linear(cx, { x: h2, weight: layer.fc1.weight, bias: layer.fc1.bias, activation: 'gelu_tanh' });
    x = ops.linear(cx, { x: inner, weight: layer.fc2.weight, bias: layer.fc2.bias, residual: x });
  };
  layers.forEach((layer, i) => {
    cx.range(`vision layer ${i}`, () => run(layer));
    probe?.(`layer${String(i).padStart(2, '0')}`, x);
  });
  const normed = ops.layerNorm(cx, { x, weight: postNorm.weight, bias: postNorm.bias, eps: vit.eps });
  probe?.('post_layernorm', normed);
  const { fc1, fc2 } = weights.connector;
  const inner = ops.linear(cx, { x: normed, weight: fc1.weight, bias: fc1.bias, activation: 'gelu_tanh' });
  const connected = ops.linear(cx, { x: inner, weight: fc2.weight, bias: fc2.bias });
  probe?.('connector', connected);
  const tokens = ops.embedAdd(cx, { x: connected, table: weights.vitPositions, ids });
  probe?.('embed', tokens);
  return tokens;
}
