import * as ops from '../../generated/ops.js';
import { throwIfAborted } from '../../io/abort.js';
import type { Context } from '../../tensor/context.js';
import type { BagelConfig } from './config.js';
import type { Float, FloatTensor, WeightSource } from './source.js';
import { autoencoderPlan, GEN, SCALE_EMBEDDERS } from './tensors.js';

/** A matrix in the packed layout and its bias. */
export interface LinearWeights {
  weight: FloatTensor;
  bias?: FloatTensor | undefined;
}

export interface NormWeights {
  weight: FloatTensor;
  bias: FloatTensor;
}

/** One expert's share of a decoder layer. */
export interface ExpertWeights {
  inputNorm: FloatTensor;
  /** q, k and v side by side. */
  qkv: Required<LinearWeights>;
  qNorm: FloatTensor;
  kNorm: FloatTensor;
  o: FloatTensor;
  postNorm: FloatTensor;
  /** Gate rows, then up rows. */
  gateUp: FloatTensor;
  down: FloatTensor;
}

export interface LayerWeights {
  und: ExpertWeights;
  gen: ExpertWeights;
}

export interface VisionLayerWeights {
  norm1: NormWeights;
  qkv: Required<LinearWeights>;
  out: LinearWeights;
  norm2: NormWeights;
  fc1: LinearWeights;
  fc2: LinearWeights;
}

export interface ConvWeights {
  weight: FloatTensor;
  bias: FloatTensor;
}

export interface ResBlockWeights {
  norm1: NormWeights;
  conv1: ConvWeights;
  norm2: NormWeights;
  conv2: ConvWeights;
  shortcut?: ConvWeights | undefined;
}

export interface MiddleWeights {
  block1: ResBlockWeights;
  attention: { norm: NormWeights; qkv: Required<LinearWeights>; out: Required<LinearWeights> };
  block2: ResBlockWeights;
}

export interface AutoencoderWeights {
  encoder: {
    convIn: ConvWeights;
    levels: { blocks: ResBlockWeights[]; downsample?: ConvWeights | undefined }[];
    middle: MiddleWeights;
    normOut: NormWeights;
    convOut: ConvWeights;
  };
  decoder: {
    convIn: ConvWeights;
    middle: MiddleWeights;
    /** In the order in which they run. */
    levels: { blocks: ResBlockWeights[]; upsample?: ConvWeights | undefined }[];
    normOut: NormWeights;
    convOut: ConvWeights;
  };
}

/** Two layers over the sinusoid of a number. */
export interface EmbedderWeights {
  fc1: LinearWeights;
  fc2: LinearWeights;
}

/** What the denoise forwards run on apart from the understanding expert. */
export interface GenerationWeights {
  layers: ExpertWeights[];
  norm: FloatTensor;
  time: EmbedderWeights;
  scales: { text: EmbedderWeights; image: EmbedderWeights };
  vae2llm: LinearWeights;
  llm2vae: LinearWeights;
}

export interface BagelWeights {
  embedTokens: FloatTensor;
  layers: LayerWeights[];
  norm: { und: FloatTensor; gen: FloatTensor };
  lmHead: FloatTensor;
  time: EmbedderWeights;
  /** Embedders of the guidance scales: a student's. */
  scales?: { text: EmbedderWeights; image: EmbedderWeights } | undefined;
  vae2llm: LinearWeights;
  llm2vae: LinearWeights;
  latentPositions: FloatTensor;
  connector: { fc1: LinearWeights; fc2: LinearWeights };
  vitPositions: FloatTensor;
  vit: { patch: LinearWeights; positions: FloatTensor; layers: VisionLayerWeights[]; postNorm: NormWeights };
  vae: AutoencoderWeights;
}

/** A model's weights with a student's in place of those that denoise. The understanding expert is the model's own. */
export function withGeneration(base: BagelWeights, generation: GenerationWeights): BagelWeights {
  const { layers, norm, ...rest } = generation;
  return {
    ...base,
    ...rest,
    layers: base.layers.map(({ und }, i) => ({ und, gen: layers[i] as ExpertWeights })),
    norm: { und: base.norm.und, gen: norm },
  };
}

/**
 * Brings weights into the form that the model reads, one small group after the other, so that memory peaks near one copy: the
 * original of a group, as it was read, leaves memory once its packed form is there.
 */
export class WeightLoader {
  constructor(
    private readonly cx: Context,
    private readonly source: WeightSource,
    private readonly mode: Float,
    private readonly options: { signal?: AbortSignal | undefined; onGroup?: ((bytes: number) => void) | undefined },
  ) {}

  async load(config: BagelConfig): Promise<BagelWeights> {
    const { llm, vit } = config;
    const lm = 'language_model';
    const vm = 'vit_model.vision_model';
    const layers: LayerWeights[] = [];
    for (let i = 0; i < llm.layers; i++) {
      layers.push({
        und: await this.#group(() => this.#expert(`${lm}.model.layers.${i}`, '')),
        gen: await this.#group(() => this.#expert(`${lm}.model.layers.${i}`, GEN)),
      });
    }
    const visionLayers: VisionLayerWeights[] = [];
    for (let i = 0; i < vit.layers; i++) {
      visionLayers.push(await this.#group(() => this.#visionLayer(`${vm}.encoder.layers.${i}`)));
    }
    const embedTokens = await this.#group(() => this.#own(`${lm}.model.embed_tokens.weight`));
    const lmHead = await this.#group(() => this.#packed([`${lm}.lm_head.weight`]));
    const rest = await this.#group(() => ({
      norm: { und: this.#own(`${lm}.model.norm.weight`), gen: this.#own(`${lm}.model.norm${GEN}.weight`) },
      time: this.#embedder('time_embedder'),
      vae2llm: this.#linear('vae2llm'),
      llm2vae: this.#linear('llm2vae'),
      latentPositions: this.#own('latent_pos_embed.pos_embed'),
      connector: { fc1: this.#linear('connector.fc1'), fc2: this.#linear('connector.fc2') },
      vitPositions: this.#own('vit_pos_embed.pos_embed'),
    }));
    const eyes = await this.#group(() => ({
      patch: this.#linear(`${vm}.embeddings.patch_embedding`),
      positions: this.#own(`${vm}.embeddings.position_embedding.weight`),
      postNorm: this.#norm(`${vm}.post_layernorm`),
    }));
    const vae = await this.#group(() => this.#autoencoder(config));
    return { embedTokens, layers, lmHead, ...rest, vit: { ...eyes, layers: visionLayers }, vae };
  }

  /** A student's weights; the source has the tensors of `generationTensors`. */
  async loadGeneration(config: BagelConfig): Promise<GenerationWeights> {
    const lm = 'language_model.model';
    const layers: ExpertWeights[] = [];
    for (let i = 0; i < config.llm.layers; i++) {
      layers.push(await this.#group(() => this.#expert(`${lm}.layers.${i}`, GEN)));
    }
    return {
      layers,
      ...(await this.#group(() => ({
        norm: this.#own(`${lm}.norm${GEN}.weight`),
        time: this.#embedder('time_embedder'),
        scales: { text: this.#embedder(SCALE_EMBEDDERS.text), image: this.#embedder(SCALE_EMBEDDERS.image) },
        vae2llm: this.#linear('vae2llm'),
        llm2vae: this.#linear('llm2vae'),
      }))),
    };
  }

  #embedder(name: string): EmbedderWeights {
    return { fc1: this.#linear(`${name}.mlp.0`), fc2: this.#linear(`${name}.mlp.2`) };
  }

  async #group<T>(build: () => T): Promise<T> {
    throwIfAborted(this.options.signal);
    const before = this.cx.counters().bytes;
    const result = this.cx.scope(build);
    await this.cx.sync();
    this.options.onGroup?.(Math.max(0, this.cx.counters().bytes - before));
    return result;
  }

  /** Dtype in which a weight is kept: as stored, but bf16 mode keeps nothing of the transformers wider. */
  #dtype(name: string): Float {
    const isAutoencoder = /^(encoder|decoder)\./.test(name);
    return this.mode === 'bf16' && !isAutoencoder ? 'bf16' : this.source.dtype(name);
  }

  #get(name: string): FloatTensor {
    const tensor = this.source.get(name);
    const dtype = this.#dtype(name);
    return tensor.dtype === dtype ? tensor : ops.cast(this.cx, { x: tensor, dtype });
  }

  #own(name: string): FloatTensor {
    return ops.cast(this.cx, { x: this.source.get(name), dtype: this.#dtype(name) });
  }

  #packed(names: readonly string[]): FloatTensor {
    const [weight, second, third] = names.map((name) => this.#get(name));
    return ops.packWeight(this.cx, { weight: weight as FloatTensor, second, third });
  }

  #linear(name: string): Required<LinearWeights> {
    return { weight: this.#packed([`${name}.weight`]), bias: this.#own(`${name}.bias`) };
  }

  #norm(name: string): NormWeights {
    return { weight: this.#own(`${name}.weight`), bias: this.#own(`${name}.bias`) };
  }

  /** Biases of matrices that run as one. */
  #biases(names: readonly string[]): FloatTensor {
    const columns = names.map((name) => {
      const bias = this.#get(name);
      return bias.reshape([bias.elements, 1]);
    });
    const joined = columns.reduce((a, b) => ops.concatRows(this.cx, { a, b }));
    return joined.reshape([joined.elements]);
  }

  #expert(layer: string, twin: string): ExpertWeights {
    const attention = (name: string) => `${layer}.self_attn.${name}${twin}`;
    const mlp = (name: string) => `${layer}.mlp${twin}.${name}.weight`;
    const qkv = ['q_proj', 'k_proj', 'v_proj'];
    return {
      inputNorm: this.#own(`${layer}.input_layernorm${twin}.weight`),
      qkv: {
        weight: this.#packed(qkv.map((n) => `${attention(n)}.weight`)),
        bias: this.#biases(qkv.map((n) => `${attention(n)}.bias`)),
      },
      qNorm: this.#own(`${attention('q_norm')}.weight`),
      kNorm: this.#own(`${attention('k_norm')}.weight`),
      o: this.#packed([`${attention('o_proj')}.weight`]),
      postNorm: this.#own(`${layer}.post_attention_layernorm${twin}.weight`),
      gateUp: this.#packed([mlp('gate_proj'), mlp('up_proj')]),
      down: this.#packed([mlp('down_proj')]),
    };
  }

  #visionLayer(layer: string): VisionLayerWeights {
    const qkv = ['q_proj', 'k_proj', 'v_proj'].map((n) => `${layer}.self_attn.${n}`);
    return {
      norm1: this.#norm(`${layer}.layer_norm1`),
      qkv: { weight: this.#packed(qkv.map((n) => `${n}.weight`)), bias: this.#biases(qkv.map((n) => `${n}.bias`)) },
      out: this.#linear(`${layer}.self_attn.out_proj`),
      norm2: this.#norm(`${layer}.layer_norm2`),
      fc1: this.#linear(`${layer}.mlp.fc1`),
      fc2: this.#linear(`${layer}.mlp.fc2`),
    };
  }

  #conv(name: string): ConvWeights {
    const weight = ops.convWeight(this.cx, { weight: this.#get(`${name}.weight`) });
    return { weight: ops.packWeight(this.cx, { weight }), bias: this.#own(`${name}.bias`) };
  }

  #resBlock(name: string, block: { in: number; out: number }): ResBlockWeights {
    return {
      norm1: this.#norm(`${name}.norm1`),
      conv1: this.#conv(`${name}.conv1`),
      norm2: this.#norm(`${name}.norm2`),
      conv2: this.#conv(`${name}.conv2`),
      shortcut: block.in === block.out ? undefined : this.#conv(`${name}.nin_shortcut`),
    };
  }

  #middle(side: string, width: number): MiddleWeights {
    const attention = `${side}.mid.attn_1`;
    // a 1x1 convolution over channels-last pixels is a linear
    const matrix = (name: string) => {
      const weight = this.#get(`${attention}.${name}.weight`);
      return weight.reshape([weight.shape[0] as number, weight.shape[1] as number]);
    };
    const [q, k, v] = ['q', 'k', 'v'].map(matrix) as [FloatTensor, FloatTensor, FloatTensor];
    return {
      block1: this.#resBlock(`${side}.mid.block_1`, { in: width, out: width }),
      attention: {
        norm: this.#norm(`${attention}.norm`),
        qkv: {
          weight: ops.packWeight(this.cx, { weight: q, second: k, third: v }),
          bias: this.#biases(['q', 'k', 'v'].map((n) => `${attention}.${n}.bias`)),
        },
        out: {
          weight: ops.packWeight(this.cx, { weight: matrix('proj_out') }),
          bias: this.#own(`${attention}.proj_out.bias`),
        },
      },
      block2: this.#resBlock(`${side}.mid.block_2`, { in: width, out: width }),
    };
  }

  #autoencoder(config: BagelConfig): AutoencoderWeights {
    const plan = autoencoderPlan(config);
    return {
      encoder: {
        convIn: this.#conv('encoder.conv_in'),
        levels: plan.encoder.map((level, i) => ({
          blocks: level.blocks.map((b, j) => this.#resBlock(`encoder.down.${i}.block.${j}`, b)),
          downsample: level.downsample ? this.#conv(`encoder.down.${i}.downsample.conv`) : undefined,
        })),
        middle: this.#middle('encoder', plan.middle),
        normOut: this.#norm('encoder.norm_out'),
        convOut: this.#conv('encoder.conv_out'),
      },
      decoder: {
        convIn: this.#conv('decoder.conv_in'),
        middle: this.#middle('decoder', plan.decoder[0]?.blocks[0]?.in ?? config.vae.channels),
        levels: plan.decoder.map(({ level, blocks, upsample }) => ({
          blocks: blocks.map((b, j) => this.#resBlock(`decoder.up.${level}.block.${j}`, b)),
          upsample: upsample ? this.#conv(`decoder.up.${level}.upsample.conv`) : undefined,
        })),
        normOut: this.#norm('decoder.norm_out'),
        convOut: this.#conv('decoder.conv_out'),
      },
    };
  }
}
