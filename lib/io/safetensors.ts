import { HyperBagelError } from '../errors.js';
import { writeFileAtomic } from './output.js';
import { readFully, withFile } from './regular-file.js';
import { FILE_DTYPES, type FileDtype, type TensorEntry } from './safetensors-header.js';
import { readHeaderFrom } from './safetensors-read.js';

export type { FileDtype, SafetensorsHeader, TensorEntry } from './safetensors-header.js';
export { FILE_DTYPES } from './safetensors-header.js';
export { type ModelFiles, openModelFiles } from './safetensors-index.js';
export { readHeader } from './safetensors-read.js';

/** The typed array that holds elements of a file dtype, e.g. `Float32Array` for `'F32'`. */
export type FileArray<D extends FileDtype = FileDtype> = InstanceType<(typeof FILE_DTYPES)[D]['array']>;

type DtypedArray = { [D in FileDtype]: { readonly dtype: D; readonly data: FileArray<D> } }[FileDtype];
/** A tensor in memory: row-major, `data.length` elements = the product of `shape`; a discriminated union over `dtype`. */
export type FileTensor = DtypedArray & { readonly shape: readonly number[] };

/**
 * Reads whole tensors into typed arrays; meant for small files and tests, model weights are read by the ops that want them. Without
 * `names` all tensors are read, in the order of the header.
 *
 * @throws HyperBagelError as {@link readHeader}; `BAD_MODEL` for a name the file does not hold; `OUT_OF_MEMORY`.
 */
export async function readTensors(path: string, names?: Iterable<string>): Promise<Map<string, FileTensor>> {
  return withFile(path, async (file, fileBytes) => {
    const header = await readHeaderFrom(file, fileBytes, path);
    const result = new Map<string, FileTensor>();
    for (const name of names ?? header.tensors.keys()) {
      const entry = header.tensors.get(name);
      if (entry === undefined) {
        throw new HyperBagelError('BAD_MODEL', `${path} holds no tensor '${name}'`, { operand: name });
      }
      const bytes = allocate(entry.bytes, name, path);
      await readFully(file, bytes, entry.offset, path);
      result.set(name, toFileTensor(entry, bytes.buffer));
    }
    return result;
  });
}

/**
 * Writes a safetensors file under a temporary name and renames it. Tensors are laid out by falling element size, then
 * by name, so that each is aligned to its elements.
 *
 * @throws HyperBagelError `BAD_OPTION` for the reserved name `__metadata__`, `BAD_SHAPE` when a shape and its data
 * disagree, `BAD_DTYPE` when the array is not the dtype's, `IO` when the file cannot be written.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, FileTensor> | Readonly<Record<string, FileTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const entries = [...(tensors instanceof Map ? tensors : Object.entries(tensors))] as [string, FileTensor][];
  for (const [name, tensor] of entries) checkTensor(name, tensor);
  entries.sort(([nameA, a], [nameB, b]) => {
    const bySize = FILE_DTYPES[b.dtype].bytes - FILE_DTYPES[a.dtype].bytes;
    return bySize !== 0 ? bySize : nameA < nameB ? -1 : 1;
  });
  // A null prototype, so that a tensor named like a member of Object is written as any other.
  const header = Object.create(null) as Record<string, unknown>;
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  const pieces: Uint8Array[] = [];
  let offset = 0;
  for (const [name, tensor] of entries) {
    const { data } = tensor;
    const end = offset + data.byteLength;
    header[name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] };
    pieces.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  // Padded with spaces, so that the data starts aligned to 8 bytes.
  const head = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  head.writeBigUInt64LE(BigInt(head.length - 8));
  json.copy(head, 8);
  await writeFileAtomic(path, [head, ...pieces]);
}

function checkTensor(name: string, tensor: FileTensor): void {
  if (name === '__metadata__') {
    throw new HyperBagelError('BAD_OPTION', `A tensor cannot be named '${name}': safetensors reserves it`, {
      operand: name,
    });
  }
  if (!Object.hasOwn(FILE_DTYPES, tensor.dtype)) {
    throw new HyperBagelError('BAD_DTYPE', `Tensor '${name}': safetensors has no dtype ${tensor.dtype}`, {
      operand: name,
      expected: Object.keys(FILE_DTYPES).join(' '),
      got: String(tensor.dtype),
    });
  }
  const type = FILE_DTYPES[tensor.dtype];
  if (!(tensor.data instanceof type.array)) {
    const got = Object.prototype.toString.call(tensor.data).slice(8, -1);
    throw new HyperBagelError('BAD_DTYPE', `Tensor '${name}': ${tensor.dtype} needs a ${type.array.name}, got ${got}`, {
      operand: name,
      expected: type.array.name,
      got,
    });
  }
  const elements = tensor.shape.reduce((product, dim) => product * dim, 1);
  const whole = tensor.shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0);
  if (!whole || elements !== tensor.data.length) {
    throw new HyperBagelError(
      'BAD_SHAPE',
      `Tensor '${name}': shape [${tensor.shape}] needs ${elements} elements, got ${tensor.data.length}`,
      { operand: name, expected: `${elements} elements`, got: String(tensor.data.length) },
    );
  }
}

function allocate(bytes: number, name: string, path: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new HyperBagelError('OUT_OF_MEMORY', `Tensor '${name}' of ${path} needs ${bytes} bytes`, {
      operand: name,
      cause,
    });
  }
}

function toFileTensor(entry: TensorEntry, buffer: ArrayBuffer): FileTensor {
  const data = new FILE_DTYPES[entry.dtype].array(buffer);
  return { dtype: entry.dtype, shape: entry.shape, data } as FileTensor;
}
