import { createHash, type Hash } from 'node:crypto';
import { readFully, withFile } from './regular-file.js';
import { openModelFiles } from './safetensors.js';
import type { TensorEntry } from './safetensors-header.js';

/** Part of the hash: another way of hashing is another kind of hash. */
const KIND = 'hyper-bagel model 1';
/** Bytes of a sampled block; a tensor of up to three of them is hashed whole. */
const BLOCK = 4096;

/**
 * Identifies the weights of a model folder: SHA-256, in hex, over every tensor of `ema` and `ae` in the order of their names:
 * name, dtype, shape, and three blocks of 4 KiB of its data (begin, middle, end). It does not depend on how the tensors are
 * spread over shards nor on the files' metadata, and reads some 20 MB of a 30 GB model.
 *
 * Weights that differ in a few elements only may have the same hash; training changes all of a tensor's elements.
 *
 * @param parts other files of weights than a model's
 * @throws HyperBagelError `BAD_MODEL`, `IO` as `openModelFiles`
 */
export async function modelHash(folder: string, parts: readonly string[] = ['ema', 'ae']): Promise<string> {
  const hash = createHash('sha256');
  hash.update(KIND);
  for (const part of parts) {
    const { files, tensors } = await openModelFiles(folder, part);
    // one file is open at a time, so digests come first and are put in order of the names afterwards
    const digests = new Map<string, Buffer>();
    for (const [index, path] of files.entries()) {
      const own = [...tensors].filter(([, entry]) => entry.file === index);
      await withFile(path, async (file) => {
        for (const [name, entry] of own) {
          const digest = createHash('sha256');
          describe(digest, part, name, entry);
          for (const [from, to] of blocks(entry)) {
            const data = new Uint8Array(to - from);
            await readFully(file, data, from, path);
            digest.update(data);
          }
          digests.set(name, digest.digest());
        }
      });
    }
    for (const name of [...digests.keys()].sort()) hash.update(digests.get(name) as Buffer);
  }
  return hash.digest('hex');
}

function describe(hash: Hash, part: string, name: string, { dtype, shape }: TensorEntry): void {
  hash.update(JSON.stringify([part, name, dtype, shape]));
}

/** Ranges of the file, in order and without overlap. */
function blocks({ offset, bytes }: TensorEntry): [number, number][] {
  const end = offset + bytes;
  if (bytes <= 3 * BLOCK) return [[offset, end]];
  const middle = offset + Math.floor((bytes - BLOCK) / 2);
  return [
    [offset, offset + BLOCK],
    [middle, middle + BLOCK],
    [end - BLOCK, end],
  ];
}
