/** Uniform numbers in [0, 1), from a seed. */
export type Rng = () => number;

export type OperandDType = 'f32' | 'bf16' | 'i32' | 'u8';
export type OperandData = Float64Array | Int32Array | Uint8Array;

/** An operand of a case: its values are already representable in its dtype. */
export interface CaseOperand {
  dtype: OperandDType;
  shape: number[];
  /** Row-major elements: exact for f32, i32 and u8, already rounded for bf16. */
  data: OperandData;
  /** Brought into the packed layout by `pack_weight` before the call. */
  packed?: boolean;
}

export interface OpInputs {
  operands: Record<string, CaseOperand>;
  /** By the contract's names; choices and dtypes by name. `channel` of `emit` is given by the runner. */
  attributes: Record<string, number | string>;
}

/** What an operand should hold after the call. The payload of `emit` goes by the name `record`. */
export interface OracleTensor {
  shape: number[];
  data: Float64Array;
}

/** `small` and `edge` cases run in every test; `perf` cases are for the bench, and in the sweeps of the full tier. */
export interface OpCase {
  name: string;
  tags: ('small' | 'edge' | 'perf')[];
  /** Named dims of the contract, for reports. */
  dims: Record<string, number>;
  build(rng: Rng): OpInputs;
  /** Compare this many rows of each output only. */
  sampleRows?: number;
}

export interface OpCases {
  op: string;
  cases: OpCase[];
  /**
   * What the op should give, in plain float64 loops that share no code with a kernel: every Out operand that is present, and
   * every InOut operand that it changes. Rows beyond `rows` are not compared.
   */
  oracle(inputs: OpInputs): Record<string, OracleTensor>;
  /** The oracle for devices, where the layout of an output is the backend's own. */
  onDevice?(inputs: OpInputs): Record<string, OracleTensor>;
  /** Outputs that must match exactly. Those of integer dtype always do. */
  exact?: string[];
  /** Largest error relative to the largest expected magnitude of the row (the last dim), per dtype of the output. */
  tolerance?: { f32: number; bf16: number };
  /** That of a device with tensor cores, where it is another. */
  deviceTolerance?: { f32: number; bf16: number };
  /**
   * For ops whose rows see each other: the inputs that one row needs and its index in them, or null when it needs all.
   * Without it a row is alone when every operand over the live dim is cut to it.
   */
  alone?(inputs: OpInputs, row: number): { inputs: OpInputs; row: number } | null;
}

/** A generator of uniform numbers: mulberry32. */
export function seeded(seed: number): Rng {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer in [low, high]. */
export function between(rng: Rng, low: number, high: number): number {
  return low + Math.floor(rng() * (high - low + 1));
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** Rounds to the nearest bf16, ties to even. */
export function roundBf16(value: number): number {
  float[0] = value;
  if (Number.isNaN(value)) return value;
  const u = word[0] as number;
  word[0] = (u + 0x7fff + ((u >>> 16) & 1)) & 0xffff0000;
  return float[0] as number;
}

/** Elements of a shape. */
export function size(shape: readonly number[]): number {
  return shape.reduce((n, d) => n * d, 1);
}

/** A float operand with the given values, rounded to its dtype. */
export function values(dtype: 'f32' | 'bf16', shape: number[], list: ArrayLike<number>): CaseOperand {
  const data = new Float64Array(list.length);
  // a loop: `from` with a function takes fifty times as long
  if (dtype === 'f32') for (let i = 0; i < data.length; i++) data[i] = Math.fround(list[i] as number);
  else for (let i = 0; i < data.length; i++) data[i] = roundBf16(list[i] as number);
  return { dtype, shape, data };
}

/** Draws of a large operand, which then repeat: a prime, so that no two rows are alike. */
const MOST_DRAWS = 1_000_003;

/** Normal draws (Box and Muller), rounded to the dtype. */
export function normals(
  rng: Rng,
  dtype: 'f32' | 'bf16',
  shape: number[],
  options: { mean?: number; scale?: number } = {},
): CaseOperand {
  const data = new Float64Array(size(shape));
  const draws = new Float64Array(Math.min(data.length, MOST_DRAWS));
  for (let i = 0; i < draws.length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - rng())) * (options.scale ?? 1);
    const angle = 2 * Math.PI * rng();
    draws[i] = radius * Math.cos(angle) + (options.mean ?? 0);
    if (i + 1 < draws.length) draws[i + 1] = radius * Math.sin(angle) + (options.mean ?? 0);
  }
  const rounded = values(dtype, shape, draws).data;
  for (let at = 0; at < data.length; at += MOST_DRAWS) data.set(rounded.subarray(0, data.length - at), at);
  return { dtype, shape, data };
}

/** An i32 operand; one-dimensional unless a shape is given. */
export function counts(list: number[], shape: number[] = [list.length]): CaseOperand {
  return { dtype: 'i32', shape, data: Int32Array.from(list) };
}

/** A u8 operand with one value per element from `next`. */
export function bytes(shape: number[], next: () => number): CaseOperand {
  const data = new Uint8Array(size(shape));
  for (let i = 0; i < data.length; i++) data[i] = next();
  return { dtype: 'u8', shape, data };
}

/** An operand that a case must have. */
export function operand(operands: Record<string, CaseOperand>, name: string): CaseOperand {
  const found = operands[name];
  if (!found) throw new Error(`the case has no operand ${name}`);
  return found;
}

/** A numeric attribute that a case must have. */
export function real(attributes: Record<string, number | string>, name: string): number {
  const found = attributes[name];
  if (typeof found !== 'number') throw new Error(`the case has no number ${name}`);
  return found;
}

/** An integer attribute that a case must have. */
export function integer(attributes: Record<string, number | string>, name: string): number {
  const found = real(attributes, name);
  if (!Number.isInteger(found)) throw new Error(`${name} is not an integer: ${found}`);
  return found;
}
