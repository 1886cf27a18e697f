import path from 'node:path';
import { HyperBagelError } from '../../errors.js';
import { isObject, readJsonObject, shown } from '../../io/model-file.js';

/** What a draft head must fit: sizes of the model that it drafts for. */
export interface EagleTarget {
  hidden: number;
  intermediate: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocab: number;
  ropeTheta: number;
  eps: number;
}

/** Everything about a draft head that is not a weight. */
export interface EagleConfig {
  /** The residual streams that are fused, by the layer that they enter; `layers` of the target is the end of its last one. */
  taps: readonly number[];
  /** Draft layers; the first takes embedding and feature side by side. */
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  intermediate: number;
  ropeTheta: number;
  eps: number;
  /** Rows of the head's own vocabulary. */
  vocab: number;
  /** Each tap is normed before the fusion (EAGLE-3.1). */
  fcNorm: boolean;
  /** All taps side by side are normed as one before the fusion. */
  normBeforeFc: boolean;
  /** From the second draft step on the feature is the output after the final norm (EAGLE-3.1), not before it. */
  normOutput: boolean;
  /** The residual of the first layer is the normed feature. */
  normBeforeResidual: boolean;
}

/** Taps of the public code: inputs of layers 2, L / 2 and L - 3; in small models of three layers around the middle. */
export function defaultTaps(layers: number): number[] {
  const middle = Math.floor(layers / 2);
  return [Math.max(0, Math.min(2, middle - 1)), middle, Math.min(layers, Math.max(layers - 3, middle + 1))];
}

/** Reads checked values of one JSON object. */
class Reader {
  constructor(
    private readonly file: string,
    private readonly values: Record<string, unknown>,
  ) {}

  integer(key: string, fallback: number, low: number, high: number): number {
    const value = this.values[key] ?? fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high) return value;
    throw this.bad(key, `an integer from ${low} to ${high}`);
  }

  number(key: string, fallback: number, low: number, high: number): number {
    const value = this.values[key] ?? fallback;
    if (typeof value === 'number' && value >= low && value <= high) return value;
    throw this.bad(key, `a number from ${low} to ${high}`);
  }

  flag(key: string): boolean {
    const value = this.values[key] ?? false;
    if (typeof value === 'boolean') return value;
    throw this.bad(key, 'true or false');
  }

  /** A key that may only have one value, if it is there. */
  only(key: string, wanted: string | number | null): void {
    const value = this.values[key];
    if (value !== undefined && value !== wanted) throw this.bad(key, String(wanted));
  }

  taps(layers: number): number[] {
    const key = 'eagle_aux_hidden_state_layer_ids';
    const nested = this.values.eagle_config;
    const value = this.values[key] ?? (isObject(nested) ? nested[key] : undefined) ?? defaultTaps(layers);
    const good = (tap: unknown) => typeof tap === 'number' && Number.isInteger(tap) && tap >= 0 && tap <= layers;
    if (Array.isArray(value) && value.length > 0 && value.length <= 8 && value.every(good)) return value as number[];
    throw this.bad(key, `1 to 8 integers from 0 to ${layers}`, value);
  }

  bad(key: string, expected: string, value: unknown = this.values[key]): HyperBagelError {
    const got = shown(value);
    return new HyperBagelError('BAD_MODEL', `${this.file}: "${key}" must be ${expected}, got ${got}`, {
      operand: key,
      expected,
      got,
    });
  }
}

/**
 * Reads `config.json` of a draft head's folder. Keys as in public EAGLE-3 heads; what is missing is as in the target.
 * `eagle_aux_hidden_state_layer_ids` names the layers whose inputs are tapped.
 *
 * @throws HyperBagelError BAD_MODEL when the file is missing, a value is unusable, or the head was made for a model with another
 * hidden size or vocabulary; IO
 */
export async function readEagleConfig(folder: string, target: EagleTarget): Promise<EagleConfig> {
  const file = path.join(folder, 'config.json');
  const reader = new Reader(file, await readJsonObject(file));
  reader.only('hidden_size', target.hidden);
  reader.only('target_hidden_size', target.hidden);
  reader.only('vocab_size', target.vocab);
  reader.only('hidden_act', 'silu');
  reader.only('rope_scaling', null);
  const heads = reader.integer('num_attention_heads', target.heads, 1, 1024);
  const kvHeads = reader.integer('num_key_value_heads', Math.min(heads, target.kvHeads), 1, 1024);
  if (heads % kvHeads !== 0) throw reader.bad('num_key_value_heads', `a divisor of ${heads} heads`, kvHeads);
  const headDim = reader.integer('head_dim', Math.floor(target.hidden / heads), 2, 4096);
  if (headDim % 2 !== 0) throw reader.bad('head_dim', 'an even number', headDim);
  const intermediate = reader.integer('intermediate_size', target.intermediate, 16, 1e6);
  if (intermediate % 16 !== 0) throw reader.bad('intermediate_size', 'a multiple of 16', intermediate);
  const config: EagleConfig = {
    taps: reader.taps(target.layers),
    layers: reader.integer('num_hidden_layers', 1, 1, 8),
    heads,
    kvHeads,
    headDim,
    intermediate,
    ropeTheta: reader.number('rope_theta', target.ropeTheta, 1, 1e12),
    eps: reader.number('rms_norm_eps', target.eps, 0, 1),
    vocab: reader.integer('draft_vocab_size', target.vocab, 1, target.vocab),
    fcNorm: reader.flag('fc_norm'),
    normBeforeFc: reader.flag('norm_before_fc'),
    normOutput: reader.flag('norm_output'),
    normBeforeResidual: reader.flag('norm_before_residual'),
  };
  if (config.fcNorm && config.normBeforeFc) throw reader.bad('norm_before_fc', 'false where fc_norm is true');
  return config;
}
