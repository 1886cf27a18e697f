// Models of random weights whose steps are timed: the public checkpoint's shape, and one for the emulator.
import type { BagelConfig } from '../../lib/models/bagel/config.js';

/** BAGEL-7B-MoT, drawing 1024 x 1024. */
export const SEVEN_B: BagelConfig = {
  llm: {
    hidden: 3584,
    intermediate: 18944,
    layers: 28,
    heads: 28,
    kvHeads: 4,
    headDim: 128,
    vocab: 152064,
    ropeTheta: 1e6,
    eps: 1e-6,
    maxPositions: 32768,
  },
  vit: { hidden: 1152, intermediate: 4304, layers: 26, heads: 16, patch: 14, channels: 3, eps: 1e-6, side: 70 },
  vae: {
    channels: 128,
    multipliers: [1, 2, 4, 4],
    resBlocks: 2,
    latentChannels: 16,
    downsample: 8,
    inChannels: 3,
    outChannels: 3,
    groups: 32,
    eps: 1e-6,
    scale: 0.3611,
    shift: 0.1159,
  },
  latent: { patch: 2, side: 64 },
  vaeTransform: { stride: 16, maxSize: 1024, minSize: 512 },
  vitTransform: { stride: 14, maxSize: 980, minSize: 224 },
  imageSize: 1024,
};

/** The same in small: grouped heads, two experts, every kind of layer. */
export const SMALL: BagelConfig = {
  ...SEVEN_B,
  llm: {
    ...SEVEN_B.llm,
    hidden: 64,
    intermediate: 96,
    layers: 1,
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    vocab: 200,
    maxPositions: 512,
  },
  vit: { ...SEVEN_B.vit, hidden: 32, intermediate: 48, layers: 1, heads: 2, side: 8 },
  vae: { ...SEVEN_B.vae, channels: 8, multipliers: [1, 1], resBlocks: 1, latentChannels: 4, downsample: 2, groups: 4 },
  latent: { patch: 2, side: 4 },
  imageSize: 16,
};
