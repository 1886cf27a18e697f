import { type FileHandle, open } from 'node:fs/promises';
import { ioError } from './file-error.js';
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
  return withFile(path, (file) => readHeaderFrom(file, path));
}

export async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw ioError('read', path, error);
  }
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

export async function readHeaderFrom(file: FileHandle, path: string): Promise<SafetensorsHeader> {
  const stats = await file.stat();
  // A pipe or device has no size to check offsets against.
  if (!stats.isFile()) throw ioError('read', path, 'not a regular file');
  const prefix = new Uint8Array(Math.min(8, stats.size));
  await readFully(file, prefix, 0, path);
  const text = new Uint8Array(headerLength(path, prefix, stats.size));
  await readFully(file, text, 8, path);
  return parseHeader(path, text, stats.size);
}

export async function readFully(file: FileHandle, into: Uint8Array, position: number, path: string): Promise<void> {
  const limit = 2 ** 30; // one read call moves less than 2 GiB
  for (let done = 0; done < into.byteLength; ) {
    let bytesRead: number;
    try {
      const length = Math.min(limit, into.byteLength - done);
      ({ bytesRead } = await file.read(into, done, length, position + done));
    } catch (error) {
      throw ioError('read', path, error);
    }
    // Checked against the size before, so the file shrank meanwhile.
    if (bytesRead === 0) throw ioError('read', path, 'unexpected end of file');
    done += bytesRead;
  }
}
