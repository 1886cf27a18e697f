import { join } from 'node:path';
import { HyperBagelError } from '../errors.js';
import { badModel, fileExists, isObject, readJsonObject, shown } from './model-file.js';
import type { TensorEntry } from './safetensors-header.js';
import { readHeader } from './safetensors-read.js';

/** The tensors of a model part that is one file or several shards. */
export interface ModelFiles {
  /** Paths, in the order of their names. */
  readonly files: readonly string[];
  /** `file` is an index into `files`; the other fields are checked as `readHeader` does. */
  readonly tensors: ReadonlyMap<string, TensorEntry & { readonly file: number }>;
  /** Of the files, merged; the last one wins. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Finds `STEM.safetensors` in a model folder or, when there is none, the shards listed in
 * `STEM.safetensors.index.json` (its `weight_map` maps tensor names to file names; tensors of a shard that the map
 * gives to no file or to another file are left out).
 *
 * @throws HyperBagelError `BAD_MODEL` when neither exists, a shard is missing or does not hold a tensor that the index
 * places in it, the index names anything but `*.safetensors` files beside it, or a file breaks the format; `IO` when a
 * file is there and cannot be read.
 */
export async function openModelFiles(dir: string, stem: string): Promise<ModelFiles> {
  const single = join(dir, `${stem}.safetensors`);
  const index = `${single}.index.json`;
  if (await fileExists(single)) return merge([await readHeader(single)]);
  if (!(await fileExists(index))) {
    const problem = `${dir} holds neither ${stem}.safetensors nor ${stem}.safetensors.index.json`;
    throw new HyperBagelError('BAD_MODEL', problem, { operand: dir, expected: `${stem}.safetensors` });
  }
  const places = checkWeightMap(index, await readJsonObject(index));
  const headers = [];
  for (const name of [...new Set(places.values())].sort()) {
    const path = join(dir, name);
    if (!(await fileExists(path))) throw badModel(index, `shard ${name} is missing`, { operand: name });
    headers.push({ ...(await readHeader(path)), name });
  }
  for (const header of headers) {
    for (const [tensor, file] of places) {
      if (file === header.name && !header.tensors.has(tensor)) {
        throw badModel(index, `${file} does not hold '${tensor}'`, { operand: tensor });
      }
    }
    header.tensors = new Map([...header.tensors].filter(([tensor]) => places.get(tensor) === header.name));
  }
  return merge(headers);
}

function merge(headers: Awaited<ReturnType<typeof readHeader>>[]): ModelFiles {
  const tensors = new Map<string, TensorEntry & { file: number }>();
  headers.forEach((header, file) => {
    for (const [name, entry] of header.tensors) tensors.set(name, { ...entry, file });
  });
  return {
    files: headers.map((header) => header.path),
    tensors,
    metadata: Object.assign({}, ...headers.map((header) => header.metadata)) as Record<string, string>,
  };
}

/** Tensor name to shard name. */
function checkWeightMap(index: string, root: Record<string, unknown>): Map<string, string> {
  const map = root.weight_map;
  if (!isObject(map)) throw badModel(index, 'weight_map must be an object', { operand: 'weight_map' });
  const places = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    // One path component: an index from elsewhere must not make us open files outside the model's folder.
    if (typeof file !== 'string' || !/^[A-Za-z0-9_][\w.-]*\.safetensors$/.test(file)) {
      const got = shown(file);
      throw badModel(index, `'${tensor}' must lie in a .safetensors file beside the index, got ${got}`, {
        operand: tensor,
      });
    }
    places.set(tensor, file);
  }
  return places;
}
