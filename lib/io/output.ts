import { randomBytes } from 'node:crypto';
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HyperBagelError } from '../errors.js';
import { ioError } from './file-error.js';

/** What a file is made of: one piece, or pieces that are written in order. */
export type OutputContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a file so that readers see the old content or the whole new content, never a part: the bytes go to a
 * temporary name in the same folder, which is then renamed. A symbolic link keeps pointing where it points; its target
 * is replaced. The temporary file is removed on failure.
 *
 * @throws HyperBagelError `IO` with the path when the folder is missing or not writable, the disk is full, or `path`
 * exists and is not a regular file. What a producer of pieces throws is passed on as it is.
 */
export async function writeFileAtomic(path: string, content: OutputContent): Promise<void> {
  const target = await resolveTarget(path);
  // Without the file's own name: that may already be as long as the file system allows.
  const temporary = join(dirname(target), `.${process.pid}-${randomBytes(6).toString('hex')}.tmp`);
  let handle: FileHandle;
  try {
    handle = await open(temporary, 'wx');
  } catch (error) {
    throw ioError('write', path, error);
  }
  try {
    try {
      for await (const piece of pieces(content)) await writeAll(handle, piece, path);
    } finally {
      await handle.close();
    }
    await rename(temporary, target).catch((error: unknown) => {
      throw ioError('write', path, error);
    });
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function resolveTarget(path: string): Promise<string> {
  let target: string;
  try {
    target = await realpath(path);
  } catch (error) {
    // A new file is the usual case; everything else that is wrong with the path shows when the temporary is opened.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return path;
    throw ioError('write', path, error);
  }
  // Renaming over a device or a pipe would remove it.
  if (!(await stat(target)).isFile()) {
    throw new HyperBagelError('IO', `Cannot write ${path}: it exists and is not a regular file`, {
      operand: path,
      expected: 'a new or regular file',
    });
  }
  return target;
}

function pieces(content: OutputContent): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (typeof content === 'string') return [Buffer.from(content)];
  return content instanceof Uint8Array ? [content] : content;
}

async function writeAll(handle: FileHandle, piece: Uint8Array, path: string): Promise<void> {
  // One write call moves at most 2 GiB, and may move less than asked.
  const limit = 2 ** 30;
  for (let done = 0; done < piece.byteLength; ) {
    try {
      done += (await handle.write(piece, done, Math.min(limit, piece.byteLength - done))).bytesWritten;
    } catch (error) {
      throw ioError('write', path, error);
    }
  }
}
