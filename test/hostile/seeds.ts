// The files that are mutated: a model folder of the smallest shapes that load, made from the bundled model's configuration and
// tokenizer, with a student and a draft head; and pictures of every format that is read.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { modelHash } from '../../lib/io/model-hash.js';
import { type FileTensor, writeSafetensors } from '../../lib/io/safetensors.js';
import { readConfig } from '../../lib/models/bagel/config.js';
import { type ExpectedTensor, expectedTensors, generationTensors } from '../../lib/models/bagel/tensors.js';
import { seeded } from '../kit/cases.js';

const TINY = 'models/tiny';

/** Sizes that replace the bundled model's. */
const SIZES = {
  'config.json': {
    max_latent_size: 4,
    vit_max_num_patch_per_side: 4,
    image_size: 8,
    vae_config: {
      in_channels: 3,
      downsample: 1,
      ch: 32,
      out_ch: 3,
      ch_mult: [1],
      num_res_blocks: 0,
      z_channels: 2,
      scale_factor: 0.5,
      shift_factor: 0,
    },
    vae_transform: { max_image_size: 8, min_image_size: 4, image_stride: 4 },
    vit_transform: { max_image_size: 16, min_image_size: 8, image_stride: 4 },
  },
  'llm_config.json': {
    hidden_size: 32,
    intermediate_size: 32,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    num_hidden_layers: 2,
    max_position_embeddings: 256,
  },
  'vit_config.json': {
    hidden_size: 32,
    intermediate_size: 32,
    num_attention_heads: 2,
    num_hidden_layers: 2,
    patch_size: 4,
    image_size: 16,
  },
} as const;

const json = (value: unknown) => `${JSON.stringify(value, null, 1)}\n`;

function tensor(shape: readonly number[], random: () => number, dtype: 'F32' | 'BF16'): FileTensor {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const values = Float32Array.from({ length: count }, () => (random() - 0.5) / 4);
  if (dtype === 'F32') return { dtype, shape, data: values };
  const words = new Uint32Array(values.buffer);
  return { dtype, shape, data: Uint16Array.from(words, (word) => word >>> 16) };
}

function tensors(list: readonly ExpectedTensor[], dtype: 'F32' | 'BF16', seed: number): Record<string, FileTensor> {
  const random = seeded(seed);
  return Object.fromEntries(list.map(({ name, shape }) => [name, tensor(shape, random, dtype)]));
}

/** Writes the model with its shards, student and head. */
export async function writeModel(folder: string): Promise<void> {
  mkdirSync(path.join(folder, 'draft'), { recursive: true });
  for (const [name, sizes] of Object.entries(SIZES)) {
    const values = JSON.parse(readFileSync(path.join(TINY, name), 'utf8')) as object;
    writeFileSync(path.join(folder, name), json({ ...values, ...sizes }));
  }
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    writeFileSync(path.join(folder, name), readFileSync(path.join(TINY, name)));
  }
  writeFileSync(
    path.join(folder, 'latent_rgb.json'),
    json({
      weight: [
        [0.1, 0.2],
        [0.3, 0.4],
        [0.5, 0.6],
      ],
      bias: [0, 0, 0],
    }),
  );
  const config = await readConfig(folder);
  const all = expectedTensors(config);
  await writeSafetensors(
    path.join(folder, 'ema.safetensors'),
    tensors(
      all.filter(({ file }) => file === 'ema'),
      'BF16',
      1,
    ),
    { format: 'pt' },
  );
  // the other part in two shards
  const ae = Object.entries(
    tensors(
      all.filter(({ file }) => file === 'ae'),
      'F32',
      2,
    ),
  );
  const shard = (name: string) => (name.startsWith('encoder.') ? 'ae-1.safetensors' : 'ae-2.safetensors');
  for (const name of ['ae-1.safetensors', 'ae-2.safetensors']) {
    await writeSafetensors(path.join(folder, name), Object.fromEntries(ae.filter(([key]) => shard(key) === name)));
  }
  writeFileSync(
    path.join(folder, 'ae.safetensors.index.json'),
    json({ metadata: { total_size: 1 }, weight_map: Object.fromEntries(ae.map(([key]) => [key, shard(key)])) }),
  );
  await writeStudents(folder, generationTensors(config));
  await writeHead(path.join(folder, 'draft'), config.llm);
}

async function writeStudents(folder: string, list: readonly ExpectedTensor[]): Promise<void> {
  const settings = {
    format: 1,
    base: await modelHash(folder),
    kind: 'full',
    grid: [1, 0.75, 0.5, 0.25, 0],
    text_scale: [1, 4],
    image_scale: [1, 2],
  };
  const whole = tensors(list, 'BF16', 3);
  const { ...lowRank } = whole;
  const random = seeded(4);
  for (const { name, shape } of list) {
    if (shape.length !== 2 || !name.includes('_proj') || name.includes('embedder')) continue;
    delete lowRank[name];
    const [outputs = 0, inputs = 0] = shape;
    lowRank[name.replace(/\.weight$/, '.lora_A.weight')] = tensor([2, inputs], random, 'F32');
    lowRank[name.replace(/\.weight$/, '.lora_B.weight')] = tensor([outputs, 2], random, 'F32');
  }
  for (const [name, weights, over] of [
    ['whole', whole, {}],
    ['low-rank', lowRank, { kind: 'low-rank', lora_scale: 0.5 }],
  ] as const) {
    const to = path.join(folder, 'students', name);
    mkdirSync(to, { recursive: true });
    await writeSafetensors(path.join(to, 'gen.safetensors'), weights);
    writeFileSync(path.join(to, 'student.json'), json({ ...settings, ...over }));
  }
}

/** An EAGLE-3 head of one layer and half the vocabulary. */
async function writeHead(
  folder: string,
  llm: { hidden: number; intermediate: number; heads: number; kvHeads: number; headDim: number; vocab: number },
): Promise<void> {
  const { hidden, intermediate, vocab } = llm;
  const [q, kv] = [llm.heads * llm.headDim, llm.kvHeads * llm.headDim];
  const half = vocab / 2;
  const shapes: Record<string, readonly number[]> = {
    'fc.weight': [hidden, 3 * hidden],
    'midlayer.input_layernorm.weight': [hidden],
    'midlayer.hidden_norm.weight': [hidden],
    'midlayer.self_attn.q_proj.weight': [q, 2 * hidden],
    'midlayer.self_attn.k_proj.weight': [kv, 2 * hidden],
    'midlayer.self_attn.v_proj.weight': [kv, 2 * hidden],
    'midlayer.self_attn.o_proj.weight': [hidden, q],
    'midlayer.post_attention_layernorm.weight': [hidden],
    'midlayer.mlp.gate_proj.weight': [intermediate, hidden],
    'midlayer.mlp.up_proj.weight': [intermediate, hidden],
    'midlayer.mlp.down_proj.weight': [hidden, intermediate],
    'norm.weight': [hidden],
    'lm_head.weight': [half, hidden],
  };
  const random = seeded(5);
  const weights = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, tensor(shape, random, 'BF16')]),
  );
  await writeSafetensors(path.join(folder, 'model.safetensors'), {
    ...weights,
    // every second id
    d2t: { dtype: 'I64', shape: [half], data: BigInt64Array.from({ length: half }, (_, j) => BigInt(j)) },
    t2d: { dtype: 'BOOL', shape: [vocab], data: Uint8Array.from({ length: vocab }, (_, id) => 1 - (id % 2)) },
  });
  writeFileSync(
    path.join(folder, 'config.json'),
    json({
      architectures: ['LlamaForCausalLMEagle3'],
      hidden_size: hidden,
      vocab_size: vocab,
      draft_vocab_size: half,
      num_hidden_layers: 1,
      rms_norm_eps: 1e-6,
    }),
  );
}

/** Writes a small file with every kind of tensor, for the reader alone, and one of noise. */
export async function writeTensors(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const random = seeded(6);
  await writeSafetensors(
    path.join(folder, 'some.safetensors'),
    {
      a: tensor([2, 3], random, 'F32'),
      b: tensor([3], random, 'BF16'),
      c: { dtype: 'I64', shape: [], data: new BigInt64Array(1) },
      d: { dtype: 'U8', shape: [4, 0, 2], data: new Uint8Array(0) },
    },
    { format: 'pt' },
  );
  await writeSafetensors(path.join(folder, 'noise.safetensors'), { noise: tensor([16, 8], random, 'F32') });
}

/** Encoded pictures by file name. */
export async function writePictures(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const [width, height] = [24, 17];
  const pixels = Uint8Array.from({ length: width * height * 4 }, (_, i) => (i * i * 31 + i) >> 3);
  const picture = () => sharp(pixels, { raw: { width, height, channels: 4 } });
  const files = {
    'rgba.png': picture().png(),
    'palette.png': picture().png({ palette: true }),
    'adam7.png': picture().flatten().withIccProfile('p3').png({ progressive: true }),
    'baseline.jpg': picture()
      .jpeg()
      .withExif({ IFD0: { Orientation: '6' } }),
    'progressive.jpg': picture().jpeg({ progressive: true }),
    'lossy.webp': picture().webp(),
    'lossless.webp': picture().webp({ lossless: true }),
    'image.gif': picture().gif(),
    'lzw.tiff': picture().tiff({ compression: 'lzw' }),
    'tiled.tiff': picture().tiff({ tile: true, tileWidth: 16, tileHeight: 16, compression: 'deflate' }),
    'image.avif': picture().avif({ effort: 0 }),
  };
  for (const [name, encoder] of Object.entries(files)) {
    writeFileSync(path.join(folder, name), await encoder.toBuffer());
  }
}
