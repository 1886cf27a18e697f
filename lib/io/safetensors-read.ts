import type { FileHandle } from 'node:fs/promises';
import { readFully, withFile } from './regular-file.js';
import { headerLength, parseHeader, type SafetensorsHeader } from './safetensors-header.js';

/**
 * Reads and checks the header of a safetensors file (u64 little-endian header length, JSON header, data). Every entry
 * of the result lies inside the file, overlaps no other, and has a known dtype and as many bytes as its shape needs, so
 * it can be read without further checks while the file is not changed.
 *
 * @throws HyperBagelError `IO` when the file is missing or unreadable; `BAD_MODEL` when its content breaks the format:
 * truncated, header above 100 MB or not JSON, unknown dtype, bad shape or offsets, gaps, duplicate names.
 */
export async function readHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, (file, bytes) => readHeaderFrom(file, bytes, path));
}

export async function readHeaderFrom(file: FileHandle, bytes: number, path: string): Promise<SafetensorsHeader> {
  const prefix = new Uint8Array(Math.min(8, bytes));
  await readFully(file, prefix, 0, path);
  const text = new Uint8Array(headerLength(path, prefix, bytes));
  await readFully(file, text, 8, path);
  return parseHeader(path, text, bytes);
}
