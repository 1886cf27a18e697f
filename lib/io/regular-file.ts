import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { ioError } from './file-error.js';

/**
 * Opens a regular file for reading and closes it after `use`. A pipe or device, which may have no end, is refused.
 *
 * @throws HyperBagelError `IO`
 */
export async function withFile<T>(path: string, use: (file: FileHandle, bytes: number) => Promise<T>): Promise<T> {
  let file: FileHandle;
  try {
    // opening a pipe would wait for its other end
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    throw ioError('read', path, error);
  }
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw ioError('read', path, 'not a regular file');
    return await use(file, stats.size);
  } finally {
    await file.close();
  }
}

/** Fills `into` from a position of the file. @throws HyperBagelError `IO`, also when the file is shorter than it was */
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

/**
 * A whole file. No more is read than its size says, be it a file without an end that claims to have none, as in /proc.
 *
 * @param most bytes; what is larger is refused before it is read
 * @param tooLarge makes the error of that
 * @throws HyperBagelError `IO`
 */
export async function readWhole(path: string, most: number, tooLarge: (bytes: number) => Error): Promise<Uint8Array> {
  return withFile(path, async (file, bytes) => {
    if (bytes > most) throw tooLarge(bytes);
    const data = new Uint8Array(bytes);
    await readFully(file, data, 0, path);
    return data;
  });
}
