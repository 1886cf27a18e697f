// Draft heads for tests: random and constructed ones as files, and one in plain float64 loops that shares no code with the library.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type FileTensor, writeSafetensors } from '../../lib/io/safetensors.js';
import { type EagleConfig, type EagleTarget, readEagleConfig } from '../../lib/speculative/eagle/config.js';
import { normals, type Rng, seeded } from '../kit/cases.js';

export type HeadTensors = Record<string, FileTensor>;

export const f32 = (shape: number[], data: ArrayLike<number>): FileTensor => ({
  dtype: 'F32',
  shape,
  data: Float32Array.from(data),
});

/** A folder with this head. */
export async function writeHead(
  folder: string,
  config: Record<string, unknown>,
  tensors: HeadTensors,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'config.json'), JSON.stringify(config));
  await writeSafetensors(path.join(folder, 'model.safetensors'), tensors);
  return folder;
}

/** A folder with a head of random weights. */
export async function writeRandomHead(
  folder: string,
  target: EagleTarget,
  { json = {}, parts, seed = 1 }: { json?: Record<string, unknown>; parts?: HeadParts | undefined; seed?: number } = {},
): Promise<string> {
  await writeHead(folder, json, {});
  return writeHead(folder, json, headTensors(seeded(seed), await readEagleConfig(folder, target), target, parts));
}

/** Writes a head's folder, runs `use` on it and removes it. */
export async function withHead<R>(
  config: Record<string, unknown>,
  tensors: HeadTensors,
  use: (folder: string) => Promise<R>,
): Promise<R> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'hyper-bagel-eagle-'));
  try {
    return await use(await writeHead(folder, config, tensors));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a head's file may hold besides. */
export interface HeadParts {
  bias?: boolean;
  qkNorm?: boolean;
  /** Target id of each draft id; without it the vocabularies are the same. */
  ids?: readonly number[];
}

export function headTensors(rng: Rng, config: EagleConfig, target: EagleTarget, parts: HeadParts = {}): HeadTensors {
  const h = target.hidden;
  const matrix = (out: number, input: number) =>
    f32([out, input], normals(rng, 'f32', [out, input], { scale: 1 / Math.sqrt(input) }).data);
  const around = (mean: number, n: number) => f32([n], normals(rng, 'f32', [n], { mean, scale: 0.2 }).data);
  const tensors: HeadTensors = {
    'fc.weight': matrix(h, config.taps.length * h),
    'norm.weight': around(1, h),
    'lm_head.weight': matrix(config.vocab, h),
  };
  config.taps.forEach((_, i) => {
    if (config.fcNorm) tensors[`fc_norm.${i}.weight`] = around(1, h);
  });
  if (config.normBeforeFc) tensors['input_norm.weight'] = around(1, config.taps.length * h);
  for (let i = 0; i < config.layers; i++) {
    const layer = i === 0 ? 'midlayer' : `layers.${i}`;
    const input = i === 0 ? 2 * h : h;
    const widths = { q_proj: config.heads, k_proj: config.kvHeads, v_proj: config.kvHeads };
    tensors[`${layer}.input_layernorm.weight`] = around(1, h);
    if (i === 0) tensors[`${layer}.hidden_norm.weight`] = around(1, h);
    for (const [name, heads] of Object.entries(widths)) {
      tensors[`${layer}.self_attn.${name}.weight`] = matrix(heads * config.headDim, input);
      if (parts.bias) tensors[`${layer}.self_attn.${name}.bias`] = around(0, heads * config.headDim);
    }
    if (parts.qkNorm) {
      tensors[`${layer}.self_attn.q_norm.weight`] = around(1, config.headDim);
      tensors[`${layer}.self_attn.k_norm.weight`] = around(1, config.headDim);
    }
    tensors[`${layer}.self_attn.o_proj.weight`] = matrix(h, config.heads * config.headDim);
    tensors[`${layer}.post_attention_layernorm.weight`] = around(1, h);
    tensors[`${layer}.mlp.gate_proj.weight`] = matrix(config.intermediate, h);
    tensors[`${layer}.mlp.up_proj.weight`] = matrix(config.intermediate, h);
    tensors[`${layer}.mlp.down_proj.weight`] = matrix(h, config.intermediate);
  }
  if (parts.ids) Object.assign(tensors, vocabularyTables(parts.ids, target.vocab));
  return tensors;
}

/** d2t and t2d of a draft vocabulary. */
export function vocabularyTables(ids: readonly number[], vocab: number): HeadTensors {
  return {
    d2t: { dtype: 'I64', shape: [ids.length], data: BigInt64Array.from(ids, (id, j) => BigInt(id - j)) },
    t2d: {
      dtype: 'BOOL',
      shape: [vocab],
      data: Uint8Array.from({ length: vocab }, (_, id) => Number(ids.includes(id))),
    },
  };
}

/** An entry of the draft sequence: what it takes, and which entries it sees, itself included. */
export interface OracleEntry {
  embedding: ArrayLike<number>;
  feature: ArrayLike<number>;
  position: number;
  sees: readonly number[];
}

type Vector = number[];

/** A head in float64. Entries are numbered in the order in which they come. */
export class HeadOracle {
  readonly #keys: Vector[][] = [];
  readonly #values: Vector[][] = [];

  constructor(
    private readonly config: EagleConfig,
    private readonly tensors: HeadTensors,
  ) {}

  #data(name: string): Float32Array {
    const tensor = this.tensors[name];
    if (!tensor) throw new Error(`the head has no ${name}`);
    return tensor.data as Float32Array;
  }

  #times(name: string, x: Vector): Vector {
    const weight = this.#data(`${name}.weight`);
    const bias = this.tensors[`${name}.bias`]?.data as Float32Array | undefined;
    const out = weight.length / x.length;
    return Array.from({ length: out }, (_, o) => {
      let sum = bias ? (bias[o] as number) : 0;
      for (let i = 0; i < x.length; i++) sum += (weight[o * x.length + i] as number) * (x[i] as number);
      return sum;
    });
  }

  #norm(name: string, x: Vector): Vector {
    const weight = this.#data(`${name}.weight`);
    const root = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + this.config.eps);
    return x.map((v, i) => (v / root) * (weight[i] as number));
  }

  fuse(taps: readonly ArrayLike<number>[]): Vector {
    const parts = taps.map((tap, i) => {
      const x = Array.from(tap);
      return this.config.fcNorm ? this.#norm(`fc_norm.${i}`, x) : x;
    });
    const x = parts.flat();
    return this.#times('fc', this.config.normBeforeFc ? this.#norm('input_norm', x) : x);
  }

  /** What the last layer puts out for the next entry. */
  entry({ embedding, feature, position, sees }: OracleEntry): Vector {
    const { heads, kvHeads, headDim, layers } = this.config;
    let x = Array.from(feature);
    for (let i = 0; i < layers; i++) {
      const layer = i === 0 ? 'midlayer' : `layers.${i}`;
      let input = this.#norm(`${layer}.input_layernorm`, i === 0 ? Array.from(embedding) : x);
      if (i === 0) {
        const b = this.#norm(`${layer}.hidden_norm`, x);
        input = [...input, ...b];
        if (this.config.normBeforeResidual) x = b;
      }
      const split = (name: string, n: number) => {
        const all = this.#times(`${layer}.self_attn.${name}`, input);
        return Array.from({ length: n }, (_, j) => all.slice(j * headDim, (j + 1) * headDim));
      };
      const normed = (name: string, head: Vector) =>
        this.tensors[`${layer}.self_attn.${name}.weight`] ? this.#norm(`${layer}.self_attn.${name}`, head) : head;
      const q = split('q_proj', heads).map((head) => this.#rotate(normed('q_norm', head), position));
      const keys = split('k_proj', kvHeads).map((head) => this.#rotate(normed('k_norm', head), position));
      const values = split('v_proj', kvHeads);
      this.#keys[i] ??= [];
      this.#values[i] ??= [];
      this.#keys[i]?.push(keys.flat());
      this.#values[i]?.push(values.flat());
      const attended = q.flatMap((head, j) => {
        const at = Math.floor((j * kvHeads) / heads) * headDim;
        const scores = sees.map((entry) => {
          const key = this.#keys[i]?.[entry] as Vector;
          return head.reduce((sum, v, c) => sum + v * (key[at + c] as number), 0) / Math.sqrt(headDim);
        });
        const top = Math.max(...scores);
        const weights = scores.map((s) => Math.exp(s - top));
        const total = weights.reduce((a, b) => a + b, 0);
        return head.map((_, c) =>
          sees.reduce(
            (sum, entry, n) => sum + ((weights[n] as number) / total) * (this.#values[i]?.[entry]?.[at + c] as number),
            0,
          ),
        );
      });
      const mid = this.#times(`${layer}.self_attn.o_proj`, attended).map((v, c) => v + (x[c] as number));
      const h = this.#norm(`${layer}.post_attention_layernorm`, mid);
      const gate = this.#times(`${layer}.mlp.gate_proj`, h);
      const up = this.#times(`${layer}.mlp.up_proj`, h);
      const inner = gate.map((g, c) => (g / (1 + Math.exp(-g))) * (up[c] as number));
      x = this.#times(`${layer}.mlp.down_proj`, inner).map((v, c) => v + (mid[c] as number));
    }
    return x;
  }

  finish(x: Vector): { logits: Vector; feature: Vector } {
    const normed = this.#norm('norm', x);
    return { logits: this.#times('lm_head', normed), feature: this.config.normOutput ? normed : x };
  }

  #rotate(head: Vector, position: number): Vector {
    const half = head.length / 2;
    return head.map((v, c) => {
      const angle = position * this.config.ropeTheta ** ((-2 * (c % half)) / head.length);
      const pair = c < half ? -(head[c + half] as number) : (head[c - half] as number);
      return v * Math.cos(angle) + pair * Math.sin(angle);
    });
  }
}

/** Sizes of a head for the bundled model whose values hold a whole row of its width. */
export const wideHead = { num_attention_heads: 6, num_key_value_heads: 6, head_dim: 32 };

const identity = (n: number, factor = 1) =>
  f32(
    [n, n],
    Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? factor : 0)),
  );
const zeros = (...shape: number[]) => f32(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
const ones = (n: number) => f32([n], new Float32Array(n).fill(1));

/** A layer that adds nothing to the feature, behind a fusion that keeps the last of `taps` streams. */
function idleLayer(target: EagleTarget, taps: number): HeadTensors {
  const h = target.hidden;
  const fc = new Float32Array(h * taps * h);
  for (let i = 0; i < h; i++) fc[i * taps * h + (taps - 1) * h + i] = 1;
  return {
    'fc.weight': f32([h, taps * h], fc),
    'midlayer.input_layernorm.weight': ones(h),
    'midlayer.hidden_norm.weight': ones(h),
    'midlayer.self_attn.q_proj.weight': zeros(h, 2 * h),
    'midlayer.self_attn.k_proj.weight': zeros(h, 2 * h),
    'midlayer.self_attn.v_proj.weight': zeros(h, 2 * h),
    'midlayer.self_attn.o_proj.weight': zeros(h, h),
    'midlayer.post_attention_layernorm.weight': ones(h),
    'midlayer.mlp.gate_proj.weight': zeros(target.intermediate, h),
    'midlayer.mlp.up_proj.weight': zeros(target.intermediate, h),
    'midlayer.mlp.down_proj.weight': zeros(h, target.intermediate),
    'norm.weight': ones(h),
  };
}

/**
 * A head that says again what the target said last: its feature is the target's final stream, its norm and its vocabulary are the
 * target's. It drafts the root, over and over.
 */
export function echoHead(target: EagleTarget, finalNorm: ArrayLike<number>, taps = 3): HeadTensors {
  return { ...idleLayer(target, taps), 'norm.weight': f32([target.hidden], finalNorm) };
}

export const bigramConfig = { ...wideHead, norm_before_residual: true };

/**
 * A head that knows which token follows which: every entry attends to itself alone (queries and keys are one constant vector, so that
 * the rotary embedding prefers distance 0), its value is the token's embedding, and its vocabulary tells the known embeddings
 * apart. Its configuration is {@link bigramConfig}: the residual is the normed feature, and that norm is 0.
 *
 * @param embeddings [vocabulary, hidden] of the target
 * @param next pairs of a token and what follows it
 */
export function bigramHead(
  target: EagleTarget,
  embeddings: ArrayLike<number>,
  next: ReadonlyMap<number, number>,
): HeadTensors {
  const h = target.hidden;
  const known = [...next.keys()];
  // what the final norm makes of a token: its embedding, normed once and then once more
  const rows = known.map((token) => {
    const e = Array.from({ length: h }, (_, i) => embeddings[token * h + i] as number);
    const root = Math.sqrt(e.reduce((sum, v) => sum + v * v, 0) / h);
    return e.map((v) => v / root);
  });
  // rows . dual = identity, by Gauss and Jordan on the Gram matrix
  const gram = rows.map((a, i) => [
    ...rows.map((b) => a.reduce((sum, v, c) => sum + v * (b[c] as number), 0)),
    ...rows.map((_, j) => Number(i === j)),
  ]);
  gram.forEach((row, i) => {
    const pivot = row[i] as number;
    row.forEach((v, c) => {
      row[c] = v / pivot;
    });
    gram.forEach((other, j) => {
      if (j === i) return;
      const factor = other[i] as number;
      other.forEach((v, c) => {
        other[c] = v - factor * (row[c] as number);
      });
    });
  });
  const lmHead = new Float32Array(target.vocab * h);
  known.forEach((token, i) => {
    const follower = next.get(token) as number;
    rows.forEach((row, j) => {
      const weight = 40 * (gram[i]?.[known.length + j] as number);
      for (let c = 0; c < h; c++) (lmHead[follower * h + c] as number) += weight * (row[c] as number);
    });
  });
  const value = new Float32Array(h * 2 * h);
  for (let i = 0; i < h; i++) value[i * 2 * h + i] = 1;
  const constant = f32([h], new Float32Array(h).fill(30));
  return {
    ...idleLayer(target, 3),
    'fc.weight': zeros(h, 3 * h),
    'midlayer.hidden_norm.weight': zeros(h),
    'midlayer.self_attn.q_proj.bias': constant,
    'midlayer.self_attn.k_proj.bias': constant,
    'midlayer.self_attn.v_proj.bias': zeros(h),
    'midlayer.self_attn.v_proj.weight': f32([h, 2 * h], value),
    'midlayer.self_attn.o_proj.weight': identity(h),
    'lm_head.weight': f32([target.vocab, h], lmHead),
  };
}
