import { badModel, isObject, MAX_TEXT_BYTES, parseObject, shown } from './model-file.js';

/**
 * Element types a safetensors file may hold, with their size in bytes and the typed array that carries them here.
 * Float16, bfloat16 and float8 values stay raw bits.
 */
export const FILE_DTYPES = {
  F64: { bytes: 8, array: Float64Array },
  F32: { bytes: 4, array: Float32Array },
  F16: { bytes: 2, array: Uint16Array },
  BF16: { bytes: 2, array: Uint16Array },
  F8_E4M3: { bytes: 1, array: Uint8Array },
  F8_E5M2: { bytes: 1, array: Uint8Array },
  I64: { bytes: 8, array: BigInt64Array },
  I32: { bytes: 4, array: Int32Array },
  I16: { bytes: 2, array: Int16Array },
  I8: { bytes: 1, array: Int8Array },
  U64: { bytes: 8, array: BigUint64Array },
  U32: { bytes: 4, array: Uint32Array },
  U16: { bytes: 2, array: Uint16Array },
  U8: { bytes: 1, array: Uint8Array },
  BOOL: { bytes: 1, array: Uint8Array },
} as const;

export type FileDtype = keyof typeof FILE_DTYPES;

/** Where one tensor lies in its file. */
export interface TensorEntry {
  readonly dtype: FileDtype;
  readonly shape: readonly number[];
  /** Position of the first byte, from the start of the file. Not necessarily aligned to the element size. */
  readonly offset: number;
  /** Length in bytes: the product of the shape times the element size. */
  readonly bytes: number;
}

export interface SafetensorsHeader {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fileBytes: number;
}

/**
 * The header's length in bytes, from the first 8 bytes of the file (u64, little-endian).
 *
 * @throws HyperBagelError `BAD_MODEL` when it cannot be right for a file of `fileBytes`.
 */
export function headerLength(path: string, prefix: Uint8Array, fileBytes: number): number {
  if (prefix.byteLength < 8) throw badModel(path, `not a safetensors file: ${fileBytes} bytes, a header needs 8`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_TEXT_BYTES)) {
    throw badModel(path, `not a safetensors file: header length ${length} is above ${MAX_TEXT_BYTES}`);
  }
  if (length > BigInt(fileBytes - 8)) {
    throw badModel(path, `truncated: header of ${length} bytes in a file of ${fileBytes}`);
  }
  return Number(length);
}

/**
 * Checks a header's JSON text against the size of its file. See `readHeader` for what is guaranteed of the result.
 *
 * @throws HyperBagelError `BAD_MODEL`.
 */
export function parseHeader(path: string, text: Uint8Array, fileBytes: number): SafetensorsHeader {
  const root = parseObject(path, text);
  const dataStart = 8 + text.byteLength;
  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(root)) {
    if (name === '__metadata__') metadata = checkMetadata(path, value);
    else tensors.set(name, checkEntry(path, name, value, dataStart, fileBytes));
  }
  checkLayout(path, tensors, dataStart, fileBytes);
  return { path, tensors, metadata, fileBytes };
}

function checkMetadata(path: string, value: unknown): Record<string, string> {
  if (!isObject(value) || !Object.values(value).every((item) => typeof item === 'string')) {
    throw badModel(path, '__metadata__ must map strings to strings', { operand: '__metadata__' });
  }
  return value as Record<string, string>;
}

function checkEntry(path: string, name: string, value: unknown, dataStart: number, fileBytes: number): TensorEntry {
  const bad = (problem: string) => badModel(path, `tensor '${name}': ${problem}`, { operand: name });
  if (!isObject(value)) throw bad('entry must be an object');
  const { dtype, shape, data_offsets: range } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(FILE_DTYPES, dtype)) {
    throw bad(`unknown dtype ${shown(dtype)}, known are ${Object.keys(FILE_DTYPES).join(' ')}`);
  }
  if (!isCounts(shape)) throw bad(`shape must be a list of non-negative integers, got ${shown(shape)}`);
  if (!isCounts(range) || range.length !== 2) {
    throw bad(`data_offsets must be two non-negative integers, got ${shown(range)}`);
  }
  const [begin, end] = range as [number, number];
  if (begin > end) throw bad(`data_offsets [${begin}, ${end}] run backwards`);
  if (end > fileBytes - dataStart) {
    throw bad(`truncated: its data ends at byte ${dataStart + end} of a file of ${fileBytes}`);
  }
  // Once it has passed 2^53 a product of whole numbers stays there or falls to 0 exactly, so one check suffices.
  const bytes = shape.reduce((product, dim) => product * dim, FILE_DTYPES[dtype as FileDtype].bytes);
  if (!Number.isSafeInteger(bytes) || bytes !== end - begin) {
    throw bad(`${dtype} [${shape}] needs ${bytes} bytes, data_offsets give ${end - begin}`);
  }
  return { dtype: dtype as FileDtype, shape, offset: dataStart + begin, bytes };
}

/** The format leaves no byte of the data unnamed: a gap means a damaged header, an overlap a hostile one. */
function checkLayout(path: string, tensors: Map<string, TensorEntry>, dataStart: number, fileBytes: number): void {
  const byOffset = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = dataStart;
  for (const [name, entry] of byOffset) {
    if (entry.offset !== end) {
      const problem = entry.offset < end ? 'overlaps the tensor before it' : 'leaves a gap before it';
      throw badModel(path, `tensor '${name}' ${problem}: starts at byte ${entry.offset}, expected ${end}`, {
        operand: name,
      });
    }
    end += entry.bytes;
  }
  if (end !== fileBytes) throw badModel(path, `${fileBytes - end} bytes after the last tensor`);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}
