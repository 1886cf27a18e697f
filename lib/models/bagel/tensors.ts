import type { BagelConfig } from './config.js';
import { latentWidth } from './config.js';

/** A tensor that a checkpoint must hold, under its public name. */
export interface ExpectedTensor {
  name: string;
  file: 'ema' | 'ae' | 'gen';
  shape: readonly number[];
}

/** Width of the time embedder's sinusoid. */
export const TIME_DIM = 256;

/**
 * Every tensor of a model: the one list behind loading, `inspect` and random weights. Names and shapes as in the public
 * BAGEL checkpoint.
 */
export function expectedTensors(config: BagelConfig): ExpectedTensor[] {
  return [
    ...languageTensors(config),
    ...bridgeTensors(config),
    ...visionTensors(config),
    ...autoencoderTensors(config),
  ];
}

/** Names of the second expert's twins end like this. */
export const GEN = '_moe_gen';

/** Embedders of the guidance scales, which only students have. */
export const SCALE_EMBEDDERS = { text: 'text_scale_embedder', image: 'image_scale_embedder' } as const;

/**
 * Every tensor of a student: the generation expert, the latent projections and the time embedder under the model's own names, and
 * an embedder of each guidance scale, shaped as the time embedder.
 */
export function generationTensors(config: BagelConfig): ExpectedTensor[] {
  const own = expectedTensors(config).filter(
    ({ name, file }) => file === 'ema' && (name.includes(GEN) || /^(time_embedder|vae2llm|llm2vae)\./.test(name)),
  );
  const scales = own
    .filter(({ name }) => name.startsWith('time_embedder.'))
    .flatMap(({ name, shape }) =>
      Object.values(SCALE_EMBEDDERS).map((embedder) => ({ name: name.replace('time_embedder', embedder), shape })),
    );
  return [...own, ...scales].map(({ name, shape }) => ({ name, shape, file: 'gen' }));
}

function languageTensors({ llm }: BagelConfig): ExpectedTensor[] {
  const list: ExpectedTensor[] = [];
  const add = (name: string, ...shape: number[]) => list.push({ name: `language_model.${name}`, file: 'ema', shape });
  const qWidth = llm.heads * llm.headDim;
  const kvWidth = llm.kvHeads * llm.headDim;
  add('model.embed_tokens.weight', llm.vocab, llm.hidden);
  for (let i = 0; i < llm.layers; i++) {
    for (const twin of ['', GEN]) {
      const layer = `model.layers.${i}`;
      add(`${layer}.input_layernorm${twin}.weight`, llm.hidden);
      for (const [name, width] of [
        ['q_proj', qWidth],
        ['k_proj', kvWidth],
        ['v_proj', kvWidth],
      ] as const) {
        add(`${layer}.self_attn.${name}${twin}.weight`, width, llm.hidden);
        add(`${layer}.self_attn.${name}${twin}.bias`, width);
      }
      add(`${layer}.self_attn.q_norm${twin}.weight`, llm.headDim);
      add(`${layer}.self_attn.k_norm${twin}.weight`, llm.headDim);
      add(`${layer}.self_attn.o_proj${twin}.weight`, llm.hidden, qWidth);
      add(`${layer}.post_attention_layernorm${twin}.weight`, llm.hidden);
      add(`${layer}.mlp${twin}.gate_proj.weight`, llm.intermediate, llm.hidden);
      add(`${layer}.mlp${twin}.up_proj.weight`, llm.intermediate, llm.hidden);
      add(`${layer}.mlp${twin}.down_proj.weight`, llm.hidden, llm.intermediate);
    }
  }
  add('model.norm.weight', llm.hidden);
  add(`model.norm${GEN}.weight`, llm.hidden);
  add('lm_head.weight', llm.vocab, llm.hidden);
  return list;
}

function bridgeTensors(config: BagelConfig): ExpectedTensor[] {
  const { llm, vit, latent } = config;
  const list: ExpectedTensor[] = [];
  const add = (name: string, ...shape: number[]) => list.push({ name, file: 'ema', shape });
  const linear = (name: string, out: number, input: number) => {
    add(`${name}.weight`, out, input);
    add(`${name}.bias`, out);
  };
  linear('time_embedder.mlp.0', llm.hidden, TIME_DIM);
  linear('time_embedder.mlp.2', llm.hidden, llm.hidden);
  linear('vae2llm', llm.hidden, latentWidth(config));
  linear('llm2vae', latentWidth(config), llm.hidden);
  add('latent_pos_embed.pos_embed', latent.side ** 2, llm.hidden);
  linear('connector.fc1', llm.hidden, vit.hidden);
  linear('connector.fc2', llm.hidden, llm.hidden);
  add('vit_pos_embed.pos_embed', vit.side ** 2, llm.hidden);
  return list;
}

function visionTensors({ vit }: BagelConfig): ExpectedTensor[] {
  const list: ExpectedTensor[] = [];
  const prefix = 'vit_model.vision_model';
  const pair = (name: string, ...shape: number[]) => {
    list.push({ name: `${prefix}.${name}.weight`, file: 'ema', shape });
    list.push({ name: `${prefix}.${name}.bias`, file: 'ema', shape: [shape[0] as number] });
  };
  pair('embeddings.patch_embedding', vit.hidden, vit.patch ** 2 * vit.channels);
  list.push({
    name: `${prefix}.embeddings.position_embedding.weight`,
    file: 'ema',
    shape: [vit.side ** 2, vit.hidden],
  });
  for (let i = 0; i < vit.layers; i++) {
    const layer = `encoder.layers.${i}`;
    pair(`${layer}.layer_norm1`, vit.hidden);
    for (const name of ['q_proj', 'k_proj', 'v_proj', 'out_proj'])
      pair(`${layer}.self_attn.${name}`, vit.hidden, vit.hidden);
    pair(`${layer}.layer_norm2`, vit.hidden);
    pair(`${layer}.mlp.fc1`, vit.intermediate, vit.hidden);
    pair(`${layer}.mlp.fc2`, vit.hidden, vit.intermediate);
  }
  pair('post_layernorm', vit.hidden);
  return list;
}

/** Channels of every residual block of the autoencoder, in the order in which they run. */
export interface AutoencoderPlan {
  encoder: { in: number; out: number; blocks: { in: number; out: number }[]; downsample: boolean }[];
  decoder: { level: number; blocks: { in: number; out: number }[]; upsample: boolean; out: number }[];
  middle: number;
}

export function autoencoderPlan({ vae }: BagelConfig): AutoencoderPlan {
  const widths = vae.multipliers.map((m) => m * vae.channels);
  const last = widths.length - 1;
  let width = vae.channels;
  const chain = (count: number, to: number) => {
    const blocks: { in: number; out: number }[] = [];
    for (let i = 0; i < count; i++) {
      blocks.push({ in: width, out: to });
      width = to;
    }
    return blocks;
  };
  const encoder = widths.map((to, level) => {
    const from = width;
    const blocks = chain(vae.resBlocks, to);
    return { in: from, out: width, blocks, downsample: level < last };
  });
  const middle = width;
  const decoder: AutoencoderPlan['decoder'] = [];
  width = widths[last] as number;
  for (let level = last; level >= 0; level--) {
    const blocks = chain(vae.resBlocks + 1, widths[level] as number);
    decoder.push({ level, blocks, upsample: level > 0, out: width });
  }
  return { encoder, decoder, middle };
}

function autoencoderTensors(config: BagelConfig): ExpectedTensor[] {
  const { vae } = config;
  const plan = autoencoderPlan(config);
  const list: ExpectedTensor[] = [];
  const norm = (name: string, width: number) => {
    list.push({ name: `${name}.weight`, file: 'ae', shape: [width] });
    list.push({ name: `${name}.bias`, file: 'ae', shape: [width] });
  };
  const conv = (name: string, out: number, input: number, kernel: number) => {
    list.push({ name: `${name}.weight`, file: 'ae', shape: [out, input, kernel, kernel] });
    list.push({ name: `${name}.bias`, file: 'ae', shape: [out] });
  };
  const block = (name: string, input: number, out: number) => {
    norm(`${name}.norm1`, input);
    conv(`${name}.conv1`, out, input, 3);
    norm(`${name}.norm2`, out);
    conv(`${name}.conv2`, out, out, 3);
    if (input !== out) conv(`${name}.nin_shortcut`, out, input, 1);
  };
  const mid = (side: string, width: number) => {
    block(`${side}.mid.block_1`, width, width);
    norm(`${side}.mid.attn_1.norm`, width);
    for (const name of ['q', 'k', 'v', 'proj_out']) conv(`${side}.mid.attn_1.${name}`, width, width, 1);
    block(`${side}.mid.block_2`, width, width);
  };
  conv('encoder.conv_in', vae.channels, vae.inChannels, 3);
  for (const [i, level] of plan.encoder.entries()) {
    for (const [j, b] of level.blocks.entries()) block(`encoder.down.${i}.block.${j}`, b.in, b.out);
    if (level.downsample) conv(`encoder.down.${i}.downsample.conv`, level.out, level.out, 3);
  }
  mid('encoder', plan.middle);
  norm('encoder.norm_out', plan.middle);
  conv('encoder.conv_out', 2 * vae.latentChannels, plan.middle, 3);
  const top = plan.decoder[0]?.blocks[0]?.in ?? vae.channels;
  conv('decoder.conv_in', top, vae.latentChannels, 3);
  mid('decoder', top);
  for (const { level, blocks, upsample, out } of plan.decoder) {
    for (const [j, b] of blocks.entries()) block(`decoder.up.${level}.block.${j}`, b.in, b.out);
    if (upsample) conv(`decoder.up.${level}.upsample.conv`, out, out, 3);
  }
  norm('decoder.norm_out', vae.channels * (vae.multipliers[0] as number));
  conv('decoder.conv_out', vae.outChannels, vae.channels * (vae.multipliers[0] as number), 3);
  return list;
}
