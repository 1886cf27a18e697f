import { resizeRule } from '../../io/resize.js';
import { BYTES } from '../../tensor/dtype.js';
import { type BagelConfig, latentGrid } from './config.js';
import { autoencoderPlan, type ExpectedTensor, expectedTensors, GEN } from './tensors.js';

/** The least work that one step can do: multiply-adds count as 2 flops, bytes are those that must cross memory once. */
export interface StepCost {
  name: string;
  flops: number;
  bytes: number;
}

export interface ModelCosts {
  /** Parameters by part; `total` is their sum. */
  parameters: {
    /** Decoder layers of the first expert (text and vision tokens), with its final norm. */
    understanding: number;
    /** Decoder layers of the second expert (latent tokens), with its final norm. */
    generation: number;
    /** Token embedding and head. */
    vocabulary: number;
    vision: number;
    /** Connector, time embedder, latent projections, position tables. */
    bridges: number;
    autoencoder: number;
    total: number;
  };
  /** Weights as the public checkpoint stores them: bf16, the autoencoder f32. */
  weightBytes: number;
  cacheBytesPerToken: number;
  steps: StepCost[];
}

/** Bytes of a stored weight: see {@link ModelCosts.weightBytes}. */
const WEIGHT_BYTES = BYTES.bf16;
/** Tokens of a typical prompt, in the contexts of the denoise steps. */
const PROMPT_TOKENS = 64;
const EDIT_PROMPT_TOKENS = 32;
/** Context of the decode steps, when the model's limit allows it. */
const DECODE_CONTEXT = 512;
/** Frame tokens of a picture; they run through the first expert. */
const FRAME = 2;

/** Bytes of keys and values per token, over all layers. */
export function cacheBytesPerToken({ llm }: BagelConfig, dtype: keyof typeof BYTES): number {
  return llm.layers * 2 * llm.kvHeads * llm.headDim * BYTES[dtype];
}

/**
 * Parameters, memory and the floors of one step of each kind, from the configuration alone (bagel.md 5). Steps are named with
 * what they assume; pictures have the model's own size.
 *
 * @param dtype of activations and cache
 */
export function modelCosts(config: BagelConfig, dtype: keyof typeof BYTES = 'f32'): ModelCosts {
  const { llm } = config;
  const parameters = countParameters(config);
  const perToken = cacheBytesPerToken(config, dtype);
  const weightBytes = (parameters.total - parameters.autoencoder) * WEIGHT_BYTES + parameters.autoencoder * BYTES.f32;

  /** Decoder layers over rows that each see `context` cached tokens and `own` rows of this pass. */
  const layerFlops = (rows: number, context: number, own: number) =>
    llm.layers * (2 * layerMatrices(config) * rows + 4 * llm.heads * llm.headDim * rows * (context + own));
  const head = llm.vocab * llm.hidden;

  const decode = (rows: number): StepCost => {
    const context = Math.min(DECODE_CONTEXT, llm.maxPositions / 2);
    return {
      name: `decode, ${rows} row${rows === 1 ? '' : 's'}, context ${context}`,
      flops: layerFlops(rows, context, 0) + 2 * head * rows,
      bytes: (parameters.understanding + head) * WEIGHT_BYTES + (context + rows) * perToken,
    };
  };

  const side = config.imageSize;
  const picture = { width: side, height: side };
  const { rows, columns } = latentGrid(config, picture);
  const latents = rows * columns + FRAME;
  const patches = visionPatches(config, picture);
  const sources = latents + patches + FRAME;
  const denoise = (name: string, contexts: readonly number[]): StepCost => ({
    name: `denoise ${side}x${side}, ${name}`,
    flops: contexts.reduce((sum, context) => sum + layerFlops(latents, context, latents), 0),
    bytes:
      (parameters.understanding + parameters.generation) * WEIGHT_BYTES +
      contexts.reduce((sum, context) => sum + context, 0) * perToken,
  });

  return {
    parameters,
    weightBytes,
    cacheBytesPerToken: perToken,
    steps: [
      decode(1),
      decode(16),
      denoise('no guidance', [PROMPT_TOKENS]),
      denoise('guided by text', [PROMPT_TOKENS, 0]),
      denoise('edit guided by text and image', [sources + EDIT_PROMPT_TOKENS, sources, EDIT_PROMPT_TOKENS]),
      visionCost(config, patches, parameters),
      ...autoencoderCosts(config, picture),
    ],
  };
}

function countParameters(config: BagelConfig): ModelCosts['parameters'] {
  const parts = { understanding: 0, generation: 0, vocabulary: 0, vision: 0, bridges: 0, autoencoder: 0 };
  let total = 0;
  for (const { name, file, shape } of expectedTensors(config)) {
    const count = shape.reduce((product, dim) => product * dim, 1);
    parts[partOf(name, file)] += count;
    total += count;
  }
  return { ...parts, total };
}

function partOf(name: string, file: ExpectedTensor['file']): Exclude<keyof ModelCosts['parameters'], 'total'> {
  if (file === 'ae') return 'autoencoder';
  if (name.startsWith('vit_model.')) return 'vision';
  if (/embed_tokens|lm_head/.test(name)) return 'vocabulary';
  if (!name.startsWith('language_model.')) return 'bridges';
  return name.includes(GEN) ? 'generation' : 'understanding';
}

/** Elements of the matrices of one decoder layer of one expert. */
function layerMatrices({ llm }: BagelConfig): number {
  const q = llm.heads * llm.headDim;
  const kv = llm.kvHeads * llm.headDim;
  return llm.hidden * (2 * q + 2 * kv + 3 * llm.intermediate);
}

/** Patches of a picture that comes out of the autoencoder's resize rule. */
function visionPatches(config: BagelConfig, picture: { width: number; height: number }): number {
  const { width, height } = resizeRule(picture.width, picture.height, config.vitTransform);
  return Math.floor(width / config.vit.patch) * Math.floor(height / config.vit.patch);
}

function visionCost({ vit, llm }: BagelConfig, patches: number, parameters: ModelCosts['parameters']): StepCost {
  const layer = 4 * vit.hidden ** 2 + 2 * vit.hidden * vit.intermediate;
  const ends = vit.patch ** 2 * vit.channels * vit.hidden + llm.hidden * (vit.hidden + llm.hidden);
  return {
    name: `vision encoder, ${patches} patches`,
    flops: 2 * patches * (vit.layers * layer + ends) + vit.layers * 4 * vit.hidden * patches ** 2,
    bytes: parameters.vision * WEIGHT_BYTES,
  };
}

/** Encoder and decoder of the autoencoder, in the order in which pixels pass. */
function autoencoderCosts(config: BagelConfig, picture: { width: number; height: number }): StepCost[] {
  const { vae } = config;
  const plan = autoencoderPlan(config);
  const conv = (pixels: number, input: number, out: number, kernel: number) => 2 * pixels * input * out * kernel ** 2;
  const block = (pixels: number, b: { in: number; out: number }) =>
    conv(pixels, b.in, b.out, 3) + conv(pixels, b.out, b.out, 3) + (b.in === b.out ? 0 : conv(pixels, b.in, b.out, 1));
  const middle = (pixels: number, width: number) =>
    2 * block(pixels, { in: width, out: width }) + 4 * conv(pixels, width, width, 1) + 4 * pixels ** 2 * width;

  const image = picture.width * picture.height;
  const latent = image / vae.downsample ** 2;
  let pixels = image;
  let encode = conv(pixels, vae.inChannels, vae.channels, 3);
  for (const level of plan.encoder) {
    for (const b of level.blocks) encode += block(pixels, b);
    if (level.downsample) {
      pixels /= 4;
      encode += conv(pixels, level.out, level.out, 3);
    }
  }
  encode += middle(pixels, plan.middle) + conv(pixels, plan.middle, 2 * vae.latentChannels, 3);

  pixels = latent;
  const top = plan.decoder[0]?.blocks[0]?.in ?? vae.channels;
  let decode = conv(pixels, vae.latentChannels, top, 3) + middle(pixels, top);
  let width = top;
  for (const level of plan.decoder) {
    for (const b of level.blocks) decode += block(pixels, b);
    if (level.upsample) {
      pixels *= 4;
      decode += conv(pixels, level.out, level.out, 3);
    }
    width = level.out;
  }
  decode += conv(pixels, width, vae.outChannels, 3);

  const weights = (side: string) =>
    expectedTensors(config)
      .filter(({ file, name }) => file === 'ae' && name.startsWith(side))
      .reduce((sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1), 0) * BYTES.f32;
  const ends = (image * vae.outChannels + latent * vae.latentChannels) * BYTES.f32;
  const size = `${picture.width}x${picture.height}`;
  return [
    { name: `autoencoder encode ${size}`, flops: encode, bytes: weights('encoder') + ends },
    { name: `autoencoder decode ${size}`, flops: decode, bytes: weights('decoder') + ends },
  ];
}
