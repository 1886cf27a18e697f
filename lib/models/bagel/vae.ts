import * as ops from '../../generated/ops.js';
import type { Context } from '../../tensor/context.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { BagelConfig } from './config.js';
import type { FloatTensor } from './source.js';
import type { AutoencoderWeights, ConvWeights, MiddleWeights, NormWeights, ResBlockWeights } from './weights.js';

/** The autoencoder (bagel.md 2.8), in f32 and channels last whatever the model's dtype: as the public application runs it. */
export class Autoencoder {
  constructor(
    private readonly cx: Context,
    private readonly config: BagelConfig,
    private readonly weights: AutoencoderWeights,
  ) {}

  /** Pixels [height, width, 3] in [-1, 1] -> mean and log-variance channels [h, w, 2 z]. */
  encode(pixels: Tensor<'f32'>): FloatTensor {
    const { encoder } = this.weights;
    let x: FloatTensor = this.#conv(pixels, encoder.convIn);
    encoder.levels.forEach((level, i) => {
      this.cx.range(`level ${i}`, () => {
        for (const block of level.blocks) x = this.#resBlock(x, block);
        // the reference pads one zero row below and one zero column to the right
        if (level.downsample) x = this.#conv(x, level.downsample, { stride: 2, padBegin: 0, padEnd: 1 });
      });
    });
    x = this.cx.range('middle', () => this.#middle(x, encoder.middle));
    return this.#conv(this.#norm(x, encoder.normOut, 'swish'), encoder.convOut);
  }

  /** Moments -> scaled latent [h, w, z]: the posterior's mean, or a sample of it with noise [h, w, z]. */
  latent(moments: FloatTensor, noise?: FloatTensor): FloatTensor {
    const { scale, shift } = this.config.vae;
    return ops.vaeLatent(this.cx, { moments, noise, scale, shift });
  }

  /** Unscaled latent [h, w, z] (latent / scale + shift) -> values [height, width, 3], [-1, 1] as a rule. */
  decode(z: FloatTensor): FloatTensor {
    const { decoder } = this.weights;
    let x: FloatTensor = this.#conv(z, decoder.convIn);
    x = this.cx.range('middle', () => this.#middle(x, decoder.middle));
    decoder.levels.forEach((level, i) => {
      this.cx.range(`level ${i}`, () => {
        for (const block of level.blocks) x = this.#resBlock(x, block);
        if (level.upsample) x = this.#conv(ops.upsampleNearest(this.cx, { x, factor: 2 }), level.upsample);
      });
    });
    return this.#conv(this.#norm(x, decoder.normOut, 'swish'), decoder.convOut);
  }

  #conv(
    x: FloatTensor,
    { weight, bias }: ConvWeights,
    {
      residual,
      ...place
    }: { residual?: FloatTensor; kernel?: number; stride?: number; padBegin?: number; padEnd?: number } = {},
  ): FloatTensor {
    return ops.conv2d(this.cx, { x, weight, bias, residual, ...place });
  }

  #norm(x: FloatTensor, { weight, bias }: NormWeights, activation: 'none' | 'swish'): FloatTensor {
    const { groups, eps } = this.config.vae;
    return ops.groupNorm(this.cx, { x, weight, bias, groups, eps, activation });
  }

  #resBlock(x: FloatTensor, block: ResBlockWeights): FloatTensor {
    const h = this.#conv(this.#norm(x, block.norm1, 'swish'), block.conv1);
    const residual = block.shortcut ? this.#conv(x, block.shortcut, { kernel: 1, padBegin: 0, padEnd: 0 }) : x;
    return this.#conv(this.#norm(h, block.norm2, 'swish'), block.conv2, { residual });
  }

  #middle(x: FloatTensor, { block1, attention, block2 }: MiddleWeights): FloatTensor {
    const h = this.#resBlock(x, block1);
    const [height = 0, width = 0, channels = 0] = h.shape;
    const pixels = height * width;
    const normed = this.#norm(h, attention.norm, 'none').reshape([pixels, channels]);
    const qkv = ops.linear(this.cx, { x: normed, weight: attention.qkv.weight, bias: attention.qkv.bias });
    const attended = ops.denseAttention(this.cx, {
      qkv: qkv.reshape([pixels, 3, 1, channels]),
      scale: 1 / Math.sqrt(channels),
    });
    const out = ops.linear(this.cx, {
      x: attended.reshape([pixels, channels]),
      weight: attention.out.weight,
      bias: attention.out.bias,
      residual: h.reshape([pixels, channels]),
    });
    return this.#resBlock(out.reshape([height, width, channels]), block2);
  }
}
