import { HyperBagelError } from '../../errors.js';
import * as ops from '../../generated/ops.js';
import { badModel } from '../../io/model-file.js';
import { type FileTensor, type ModelFiles, openModelFiles, readTensors } from '../../io/safetensors.js';
import type { Context } from '../../tensor/context.js';
import { BYTES } from '../../tensor/dtype.js';
import type { Tensor } from '../../tensor/tensor.js';
import { WeightFile } from '../../tensor/weight-file.js';
import type { EagleConfig, EagleTarget } from './config.js';

export type Float = 'f32' | 'bf16';
export type FloatTensor = Tensor<Float>;

/** A draft layer: understanding-type, with or without biases and norms of the heads. */
export interface EagleLayerWeights {
  inputNorm: FloatTensor;
  /** Of the first layer: norm of the feature beside the embedding. */
  hiddenNorm?: FloatTensor | undefined;
  /** q, k and v side by side; of the first layer over embedding and feature side by side. */
  qkv: { weight: FloatTensor; bias?: FloatTensor | undefined };
  qNorm?: FloatTensor | undefined;
  kNorm?: FloatTensor | undefined;
  o: FloatTensor;
  postNorm: FloatTensor;
  /** Gate rows, then up rows. */
  gateUp: FloatTensor;
  down: FloatTensor;
}

export interface EagleWeights {
  /** [hidden, taps * hidden] packed. */
  fc: { weight: FloatTensor; bias?: FloatTensor | undefined };
  /** One per tap. */
  fcNorms?: FloatTensor[] | undefined;
  /** Over all taps. */
  fcInputNorm?: FloatTensor | undefined;
  layers: EagleLayerWeights[];
  norm: FloatTensor;
  /** [draft vocabulary, hidden] packed; undefined: the target's. */
  lmHead?: FloatTensor | undefined;
  /** [draft vocabulary] target ids; undefined: the same as the draft's. */
  ids?: Tensor<'i32'> | undefined;
}

/** A tensor that a head's file must or may hold. */
interface Expected {
  name: string;
  shape: readonly number[];
  optional?: boolean;
}

/** Names of the first layer, which public heads call so, and of those after it. */
const layerNames = (layer: number) => (layer === 0 ? ['midlayer', 'layers.0'] : [`layers.${layer}`]);

function layerTensors(config: EagleConfig, hidden: number, layer: number, prefix: string): Expected[] {
  const q = config.heads * config.headDim;
  const kv = config.kvHeads * config.headDim;
  const inputs = layer === 0 ? 2 * hidden : hidden;
  const tensor = (name: string, ...shape: number[]): Expected => ({ name: `${prefix}.${name}`, shape });
  const optional = (name: string, ...shape: number[]): Expected => ({ ...tensor(name, ...shape), optional: true });
  return [
    tensor('input_layernorm.weight', hidden),
    ...(layer === 0 ? [tensor('hidden_norm.weight', hidden)] : []),
    tensor('self_attn.q_proj.weight', q, inputs),
    tensor('self_attn.k_proj.weight', kv, inputs),
    tensor('self_attn.v_proj.weight', kv, inputs),
    optional('self_attn.q_proj.bias', q),
    optional('self_attn.k_proj.bias', kv),
    optional('self_attn.v_proj.bias', kv),
    optional('self_attn.q_norm.weight', config.headDim),
    optional('self_attn.k_norm.weight', config.headDim),
    tensor('self_attn.o_proj.weight', hidden, q),
    tensor('post_attention_layernorm.weight', hidden),
    tensor('mlp.gate_proj.weight', config.intermediate, hidden),
    tensor('mlp.up_proj.weight', config.intermediate, hidden),
    tensor('mlp.down_proj.weight', hidden, config.intermediate),
  ];
}

function headTensors(config: EagleConfig, hidden: number, prefixes: readonly string[]): Expected[] {
  const taps = config.taps.length;
  return [
    { name: 'fc.weight', shape: [hidden, taps * hidden] },
    { name: 'fc.bias', shape: [hidden], optional: true },
    ...(config.fcNorm ? config.taps.map((_, i) => ({ name: `fc_norm.${i}.weight`, shape: [hidden] })) : []),
    ...(config.normBeforeFc ? [{ name: 'input_norm.weight', shape: [taps * hidden] }] : []),
    ...prefixes.flatMap((prefix, layer) => layerTensors(config, hidden, layer, prefix)),
    { name: 'norm.weight', shape: [hidden] },
    { name: 'lm_head.weight', shape: [config.vocab, hidden], optional: true },
  ];
}

/** Bytes that a head takes at most: of its weights, and of its cache per token. */
export function eagleBytes(
  config: EagleConfig,
  target: EagleTarget,
  mode: Float,
): { weights: number; perToken: number } {
  const prefixes = Array.from({ length: config.layers }, (_, layer) => layerNames(layer)[0] as string);
  const elements = headTensors(config, target.hidden, prefixes).reduce(
    (sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1),
    config.vocab,
  );
  return {
    weights: elements * 4,
    perToken: config.layers * 2 * config.kvHeads * config.headDim * BYTES[mode],
  };
}

const DTYPES: Record<string, Float | undefined> = { F32: 'f32', BF16: 'bf16' };

/** The tensors of a head's folder, checked against what they must be before anything is read. */
class EagleFiles {
  readonly #files: ModelFiles;
  readonly #opened = new Map<string, WeightFile>();
  /** Prefix of each layer's names. */
  readonly prefixes: string[];

  constructor(folder: string, files: ModelFiles, config: EagleConfig, hidden: number) {
    this.#files = files;
    this.prefixes = Array.from({ length: config.layers }, (_, layer) => {
      const names = layerNames(layer);
      return names.find((name) => files.tensors.has(`${name}.input_layernorm.weight`)) ?? (names[0] as string);
    });
    this.#check(folder, headTensors(config, hidden, this.prefixes));
    for (const prefix of this.prefixes) {
      this.#together(
        folder,
        ['q_proj.bias', 'k_proj.bias', 'v_proj.bias'].map((n) => `${prefix}.self_attn.${n}`),
      );
      this.#together(
        folder,
        ['q_norm.weight', 'k_norm.weight'].map((n) => `${prefix}.self_attn.${n}`),
      );
    }
  }

  has(name: string): boolean {
    return this.#files.tensors.has(name);
  }

  /** The tensor as stored; for the current scope only. */
  get(cx: Context, name: string): FloatTensor {
    const entry = this.#files.tensors.get(name);
    const dtype = entry && DTYPES[entry.dtype];
    if (!entry || !dtype) throw new HyperBagelError('INTERNAL', `no weight is called "${name}"`, { operand: name });
    const file = this.#files.files[entry.file] as string;
    let opened = this.#opened.get(file);
    if (!opened) {
      opened = new WeightFile(file);
      this.#opened.set(file, opened);
    }
    return cx.fromFile(opened, entry.offset, dtype, entry.shape);
  }

  /** A table of integers of known length. */
  async integers(name: string, length: number): Promise<FileTensor | undefined> {
    const entry = this.#files.tensors.get(name);
    if (!entry) return undefined;
    const file = this.#files.files[entry.file] as string;
    if (entry.shape.length !== 1 || entry.shape[0] !== length || !/^(I64|I32|BOOL|U8)$/.test(entry.dtype)) {
      throw badModel(file, `tensor '${name}' must hold ${length} integers, got ${entry.dtype} [${entry.shape}]`, {
        operand: name,
      });
    }
    return (await readTensors(file, [name])).get(name);
  }

  close(): void {
    for (const file of this.#opened.values()) file.dispose();
  }

  #check(folder: string, expected: readonly Expected[]): void {
    for (const { name, shape, optional } of expected) {
      const entry = this.#files.tensors.get(name);
      if (!entry && optional) continue;
      const bad = (problem: string, wanted: string, got: string) =>
        new HyperBagelError(
          'BAD_MODEL',
          `${this.#files.files[entry?.file ?? 0] ?? folder}: tensor "${name}" ${problem}`,
          {
            operand: name,
            expected: wanted,
            got,
          },
        );
      if (!entry) throw bad('is missing', `shape [${shape}]`, 'nothing');
      if (entry.shape.length !== shape.length || entry.shape.some((n, i) => n !== shape[i])) {
        throw bad(`has shape [${entry.shape}], not [${shape}]`, `[${shape}]`, `[${entry.shape}]`);
      }
      if (!DTYPES[entry.dtype]) {
        throw bad(`has dtype ${entry.dtype}, not F32 or BF16`, 'F32 or BF16', entry.dtype);
      }
    }
  }

  /** Tensors that come all or none. */
  #together(folder: string, names: readonly string[]): void {
    const missing = names.find((name) => !this.has(name));
    if (missing === undefined || names.every((name) => !this.has(name))) return;
    throw badModel(folder, `tensor "${missing}" is missing, others of its kind are there`, { operand: missing });
  }
}

/**
 * Target ids of the draft vocabulary: draft id j is target id j + d2t[j] (offsets, as public heads store them). `t2d`, if it is
 * there, must mark the same ids.
 *
 * @throws HyperBagelError BAD_MODEL when an id is out of range or occurs twice, or d2t is missing and the vocabularies differ
 */
export function targetIds(
  folder: string,
  d2t: ArrayLike<number | bigint> | undefined,
  t2d: ArrayLike<number | bigint> | undefined,
  sizes: { draft: number; target: number },
): Int32Array | undefined {
  const marked = new Uint8Array(sizes.target);
  let ids: Int32Array | undefined;
  if (d2t) {
    ids = new Int32Array(sizes.draft);
    for (let j = 0; j < sizes.draft; j++) {
      const id = j + Number(d2t[j]);
      if (!Number.isInteger(id) || id < 0 || id >= sizes.target || marked[id]) {
        const problem = marked[id] ? 'occurs twice' : `lies outside [0, ${sizes.target})`;
        throw badModel(folder, `d2t: target id ${id} of draft id ${j} ${problem}`, { operand: 'd2t' });
      }
      ids[j] = id;
      marked[id] = 1;
    }
  } else if (sizes.draft === sizes.target) {
    marked.fill(1);
  } else {
    throw badModel(folder, `d2t is missing: which of ${sizes.target} ids are the ${sizes.draft} of the head?`, {
      operand: 'd2t',
    });
  }
  const differs = t2d ? marked.findIndex((mark, id) => mark !== (Number(t2d[id]) === 0 ? 0 : 1)) : -1;
  if (differs >= 0) throw badModel(folder, `t2d and d2t disagree about target id ${differs}`, { operand: 't2d' });
  return ids;
}

/**
 * Loads the weights of a draft head, `model.safetensors` of its folder, in the form in which the head reads them. Unknown tensors
 * are ignored: public heads carry a copy of the embedding table, which is the target's here.
 *
 * @param mode bf16 keeps nothing wider
 * @throws HyperBagelError BAD_MODEL when a tensor is missing, or has another shape or dtype; IO
 */
export async function loadEagleWeights(
  cx: Context,
  folder: string,
  config: EagleConfig,
  target: EagleTarget,
  mode: Float,
): Promise<EagleWeights> {
  const files = new EagleFiles(folder, await openModelFiles(folder, 'model'), config, target.hidden);
  if (!files.has('lm_head.weight') && config.vocab !== target.vocab) {
    throw badModel(folder, 'tensor "lm_head.weight" is missing, and the target has another vocabulary', {
      operand: 'lm_head.weight',
    });
  }
  const d2t = await files.integers('d2t', config.vocab);
  const t2d = await files.integers('t2d', target.vocab);
  const ids = targetIds(folder, d2t?.data, t2d?.data, { draft: config.vocab, target: target.vocab });
  try {
    const weights = cx.scope(() => build(cx, files, config, mode, ids));
    await cx.sync();
    return weights;
  } finally {
    files.close();
  }
}

function build(
  cx: Context,
  files: EagleFiles,
  config: EagleConfig,
  mode: Float,
  ids: Int32Array | undefined,
): EagleWeights {
  const get = (name: string) => {
    const tensor = files.get(cx, name);
    return mode === 'bf16' && tensor.dtype !== 'bf16' ? ops.cast(cx, { x: tensor, dtype: 'bf16' }) : tensor;
  };
  const own = (name: string): FloatTensor => {
    const tensor = get(name);
    return ops.cast(cx, { x: tensor, dtype: tensor.dtype });
  };
  const optional = (name: string) => (files.has(name) ? own(name) : undefined);
  /** Tensors that become one: in one dtype. */
  const several = (names: readonly string[]) => {
    const tensors = names.map(get);
    const dtype = tensors.some((t) => t.dtype === 'f32') ? 'f32' : 'bf16';
    return tensors.map((x): FloatTensor => (x.dtype === dtype ? x : ops.cast(cx, { x, dtype })));
  };
  const packed = (...names: string[]): FloatTensor => {
    const [weight, second, third] = several(names);
    return ops.packWeight(cx, { weight: weight as FloatTensor, second, third });
  };
  const biases = (names: readonly string[]): FloatTensor | undefined => {
    if (!names.every((name) => files.has(name))) return undefined;
    const columns = several(names).map((bias) => bias.reshape([bias.elements, 1]));
    const joined = columns.reduce((a, b) => ops.concatRows(cx, { a, b }));
    return joined.reshape([joined.elements]);
  };
  const layers = files.prefixes.map((prefix, layer): EagleLayerWeights => {
    const attention = (name: string) => `${prefix}.self_attn.${name}`;
    const qkv = ['q_proj', 'k_proj', 'v_proj'];
    return {
      inputNorm: own(`${prefix}.input_layernorm.weight`),
      hiddenNorm: layer === 0 ? own(`${prefix}.hidden_norm.weight`) : undefined,
      qkv: {
        weight: packed(...qkv.map((n) => attention(`${n}.weight`))),
        bias: biases(qkv.map((n) => attention(`${n}.bias`))),
      },
      qNorm: optional(attention('q_norm.weight')),
      kNorm: optional(attention('k_norm.weight')),
      o: packed(attention('o_proj.weight')),
      postNorm: own(`${prefix}.post_attention_layernorm.weight`),
      gateUp: packed(`${prefix}.mlp.gate_proj.weight`, `${prefix}.mlp.up_proj.weight`),
      down: packed(`${prefix}.mlp.down_proj.weight`),
    };
  });
  return {
    fc: { weight: packed('fc.weight'), bias: optional('fc.bias') },
    fcNorms: config.fcNorm ? config.taps.map((_, i) => own(`fc_norm.${i}.weight`)) : undefined,
    fcInputNorm: config.normBeforeFc ? own('input_norm.weight') : undefined,
    layers,
    norm: own('norm.weight'),
    lmHead: files.has('lm_head.weight') ? packed('lm_head.weight') : undefined,
    ids: ids && cx.tensor('i32', [ids.length], ids),
  };
}
