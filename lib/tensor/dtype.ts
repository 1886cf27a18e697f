/** Element types, in the order of the native surface. `bf16` values travel as their bits. */
export const DTYPES = ['f32', 'bf16', 'i32', 'u8'] as const;
export type DType = (typeof DTYPES)[number];

/** Bytes per element. */
export const BYTES: Record<DType, number> = { f32: 4, bf16: 2, i32: 4, u8: 1 };

export interface DataTypes {
  f32: Float32Array;
  /** bfloat16 bits; see {@link toBf16} and {@link fromBf16}. */
  bf16: Uint16Array;
  i32: Int32Array;
  u8: Uint8Array;
}

/** The typed array that holds a tensor's elements. */
export type DataOf<D extends DType> = DataTypes[D];

const ARRAYS = { f32: Float32Array, bf16: Uint16Array, i32: Int32Array, u8: Uint8Array } as const;

/** A typed array over a buffer, in the form of {@link DataOf}. */
export function viewAs<D extends DType>(dtype: D, buffer: ArrayBuffer): DataOf<D> {
  return new ARRAYS[dtype](buffer) as DataOf<D>;
}

/** True for the kind of typed array that holds this dtype. */
export function isDataOf<D extends DType>(dtype: D, value: unknown): value is DataOf<D> {
  return value instanceof ARRAYS[dtype];
}

/** Elements from numbers: f32 rounds, bf16 rounds to nearest even, i32 and u8 wrap as their typed arrays do. */
export function fromNumbers<D extends DType>(dtype: D, values: ArrayLike<number>): DataOf<D> {
  if (dtype === 'bf16') return toBf16(Float32Array.from(values)) as DataOf<D>;
  return ARRAYS[dtype].from(values) as DataOf<D>;
}

/** Rounds f32 values to bfloat16 bits, nearest even; NaN stays a quiet NaN. */
export function toBf16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const u = bits[i] as number;
    out[i] = (u & 0x7fffffff) > 0x7f800000 ? (u >>> 16) | 0x40 : (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** Widens bfloat16 bits to f32, exactly. */
export function fromBf16(bits: Uint16Array): Float32Array {
  const wide = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) wide[i] = (bits[i] as number) << 16;
  return new Float32Array(wide.buffer);
}
