import path from 'node:path';
import { HyperBagelError } from '../../errors.js';
import { fileExists, isObject, readJsonObject, shown } from '../../io/model-file.js';
import type { ResizeRule } from '../../io/resize.js';

/** Everything about a model that is not a weight. Sizes in elements or pixels. */
export interface BagelConfig {
  llm: {
    hidden: number;
    intermediate: number;
    layers: number;
    heads: number;
    kvHeads: number;
    headDim: number;
    vocab: number;
    ropeTheta: number;
    eps: number;
    /** Longest sequence, in rotary positions and cache slots. */
    maxPositions: number;
  };
  vit: {
    hidden: number;
    intermediate: number;
    /** Layers that the weights hold: one less than the file's number says. */
    layers: number;
    heads: number;
    patch: number;
    channels: number;
    eps: number;
    /** Side of the position tables, in patches. */
    side: number;
  };
  vae: {
    channels: number;
    multipliers: readonly number[];
    resBlocks: number;
    latentChannels: number;
    downsample: number;
    inChannels: number;
    outChannels: number;
    groups: number;
    eps: number;
    scale: number;
    shift: number;
  };
  latent: {
    /** Side of a latent token, in latent pixels. */
    patch: number;
    /** Side of the position table, in latent tokens. */
    side: number;
  };
  /** How pictures are resized for the autoencoder and for the vision encoder. */
  vaeTransform: ResizeRule;
  vitTransform: ResizeRule;
  /** Width and height of a drawing when nobody says otherwise, in pixels. */
  imageSize: number;
}

/**
 * The one table of what a public checkpoint's files leave out, because BAGEL's application writes it into its code:
 * BAGEL-7B-MoT's values. Keys as in the files.
 */
const DEFAULTS = {
  llm_config: { rms_norm_eps: 1e-6, rope_theta: 1e6, max_position_embeddings: 32768 },
  vit_config: { num_channels: 3, layer_norm_eps: 1e-6 },
  vae_config: {
    ch: 128,
    ch_mult: [1, 2, 4, 4],
    num_res_blocks: 2,
    z_channels: 16,
    downsample: 8,
    in_channels: 3,
    out_ch: 3,
    scale_factor: 0.3611,
    shift_factor: 0.1159,
  },
  config: { latent_patch_size: 2, max_latent_size: 64, vit_max_num_patch_per_side: 70 },
  vae_transform: { max_image_size: 1024, min_image_size: 512, image_stride: 16 },
  vit_transform: { max_image_size: 980, min_image_size: 224, image_stride: 14 },
  /** Fixed by the autoencoder's architecture. */
  vae_norm: { groups: 32, eps: 1e-6 },
} as const;

/** Reads checked values of one JSON object, with a table of defaults behind it. */
class Section {
  constructor(
    private readonly file: string,
    private readonly values: Record<string, unknown>,
    private readonly defaults: Record<string, unknown> = {},
  ) {}

  number(key: string, low: number, high: number): number {
    const value = this.values[key] ?? this.defaults[key];
    if (typeof value === 'number' && value >= low && value <= high) return value;
    throw this.bad(key, `a number from ${low} to ${high}`, value);
  }

  integer(key: string, low = 1, high = 1e7): number {
    const value = this.number(key, low, high);
    if (Number.isInteger(value)) return value;
    throw this.bad(key, 'an integer', value);
  }

  integers(key: string): number[] {
    const value = this.values[key] ?? this.defaults[key];
    const good = (n: unknown) => typeof n === 'number' && Number.isInteger(n) && n > 0 && n < 1000;
    if (Array.isArray(value) && value.length > 0 && value.length < 10 && value.every(good)) return value as number[];
    throw this.bad(key, 'a list of small positive integers', value);
  }

  /** A key that may only have one value here. */
  only(key: string, wanted: unknown): void {
    const value = this.values[key];
    if (value !== undefined && value !== wanted) throw this.bad(key, `${wanted}`, value);
  }

  bad(key: string, expected: string, got: unknown): HyperBagelError {
    const text = shown(got);
    return new HyperBagelError('BAD_MODEL', `${this.file}: "${key}" must be ${expected}, got ${text}`, {
      operand: key,
      expected,
      got: text,
    });
  }
}

function subsection(file: string, values: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = values[key] ?? {};
  if (isObject(value)) return value;
  throw new HyperBagelError('BAD_MODEL', `${file}: "${key}" must be an object`, { operand: key });
}

function transform(section: Section): ResizeRule {
  return {
    maxSize: section.integer('max_image_size', 1, 16384),
    minSize: section.integer('min_image_size', 1, 16384),
    stride: section.integer('image_stride', 1, 1024),
  };
}

/**
 * Reads `config.json`, `llm_config.json` and `vit_config.json` of a model folder.
 *
 * @param tables sides of the stored position tables, when the weights are at hand: they beat what the files say.
 * @throws HyperBagelError BAD_MODEL when a file is missing or a value is unusable, IO
 */
export async function readConfig(
  folder: string,
  tables: { latentSide?: number | undefined; vitSide?: number | undefined } = {},
): Promise<BagelConfig> {
  const file = (name: string) => path.join(folder, name);
  if (!(await fileExists(file('llm_config.json')))) {
    throw new HyperBagelError('BAD_MODEL', `${folder} is no BAGEL model folder: llm_config.json is missing`, {
      operand: folder,
      expected: 'a folder with llm_config.json, vit_config.json, ema.safetensors, ae.safetensors and tokenizer files',
    });
  }
  const top = (await fileExists(file('config.json'))) ? await readJsonObject(file('config.json')) : {};
  const topFile = file('config.json');
  const config = new Section(topFile, top, DEFAULTS.config);
  const vae = new Section(topFile, subsection(topFile, top, 'vae_config'), DEFAULTS.vae_config);
  const llm = new Section(file('llm_config.json'), await readJsonObject(file('llm_config.json')), DEFAULTS.llm_config);
  const vit = new Section(file('vit_config.json'), await readJsonObject(file('vit_config.json')), DEFAULTS.vit_config);
  llm.only('hidden_act', 'silu');
  llm.only('rope_scaling', null);
  vit.only('rope', false);

  const hidden = llm.integer('hidden_size');
  const heads = llm.integer('num_attention_heads', 1, 1024);
  const kvHeads = llm.integer('num_key_value_heads', 1, 1024);
  if (hidden % (2 * heads) !== 0) throw llm.bad('hidden_size', `a multiple of twice ${heads} heads`, hidden);
  if (heads % kvHeads !== 0) throw llm.bad('num_key_value_heads', `a divisor of ${heads} heads`, kvHeads);
  const intermediate = llm.integer('intermediate_size');
  if (intermediate % 16 !== 0) throw llm.bad('intermediate_size', 'a multiple of 16', intermediate);
  const vitHidden = vit.integer('hidden_size');
  const vitHeads = vit.integer('num_attention_heads', 1, 1024);
  if (vitHidden % vitHeads !== 0) throw vit.bad('hidden_size', `a multiple of ${vitHeads} heads`, vitHidden);

  const result: BagelConfig = {
    llm: {
      hidden,
      intermediate,
      layers: llm.integer('num_hidden_layers', 1, 1000),
      heads,
      kvHeads,
      headDim: hidden / heads,
      vocab: llm.integer('vocab_size'),
      ropeTheta: llm.number('rope_theta', 1, 1e12),
      eps: llm.number('rms_norm_eps', 0, 1),
      maxPositions: llm.integer('max_position_embeddings', 1, 1e6),
    },
    vit: {
      hidden: vitHidden,
      intermediate: vit.integer('intermediate_size'),
      // the loader of the public code drops the last layer, and the checkpoint does not hold it
      layers: vit.integer('num_hidden_layers', 2, 1000) - 1,
      heads: vitHeads,
      patch: vit.integer('patch_size', 1, 256),
      channels: vit.integer('num_channels', 3, 3),
      eps: vit.number('layer_norm_eps', 0, 1),
      side: tables.vitSide ?? config.integer('vit_max_num_patch_per_side', 1, 4096),
    },
    vae: {
      channels: vae.integer('ch', 1, 65536),
      multipliers: vae.integers('ch_mult'),
      resBlocks: vae.integer('num_res_blocks', 0, 16),
      latentChannels: vae.integer('z_channels', 1, 1024),
      downsample: vae.integer('downsample', 1, 256),
      inChannels: vae.integer('in_channels', 3, 3),
      outChannels: vae.integer('out_ch', 3, 3),
      groups: DEFAULTS.vae_norm.groups,
      eps: DEFAULTS.vae_norm.eps,
      scale: vae.number('scale_factor', 1e-6, 1e6),
      shift: vae.number('shift_factor', -1e6, 1e6),
    },
    latent: {
      patch: config.integer('latent_patch_size', 1, 64),
      side: tables.latentSide ?? config.integer('max_latent_size', 1, 4096),
    },
    vaeTransform: transform(new Section(topFile, subsection(topFile, top, 'vae_transform'), DEFAULTS.vae_transform)),
    vitTransform: transform(new Section(topFile, subsection(topFile, top, 'vit_transform'), DEFAULTS.vit_transform)),
    imageSize: 0,
  };
  const { multipliers, channels, downsample, groups } = result.vae;
  if (2 ** (multipliers.length - 1) !== downsample) {
    throw vae.bad('downsample', `${2 ** (multipliers.length - 1)} for ${multipliers.length} levels`, downsample);
  }
  for (const m of multipliers) {
    if ((channels * m) % groups !== 0) throw vae.bad('ch', `a multiple of ${groups} channels at every level`, channels);
  }
  const largest = stride(result) * result.latent.side;
  const wanted = top.image_size === undefined ? largest : config.integer('image_size', 1, largest);
  result.imageSize = Math.min(wanted, largest);
  return result;
}

/** Pixels per latent token. */
export function stride(config: BagelConfig): number {
  return config.vae.downsample * config.latent.patch;
}

/** Channels of a latent token. */
export function latentWidth(config: BagelConfig): number {
  return config.latent.patch ** 2 * config.vae.latentChannels;
}

/**
 * Latent tokens of a picture.
 *
 * @throws HyperBagelError BAD_OPTION when a side is off the stride or beyond the position table.
 */
export function latentGrid(
  config: BagelConfig,
  size: { width: number; height: number },
): { rows: number; columns: number } {
  const s = stride(config);
  const largest = s * config.latent.side;
  for (const [name, value] of Object.entries({ width: size.width, height: size.height })) {
    if (!Number.isInteger(value) || value < s || value > largest || value % s !== 0) {
      throw new HyperBagelError(
        'BAD_OPTION',
        `${name} must be a multiple of ${s} from ${s} to ${largest}, got ${value}`,
        {
          operand: 'size',
          expected: `a multiple of ${s} from ${s} to ${largest}`,
          got: `${value}`,
        },
      );
    }
  }
  return { rows: size.height / s, columns: size.width / s };
}
