import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import path from 'node:path';
import { HyperBagelError } from '../errors.js';
import { ioError } from '../io/file-error.js';

/**
 * Makes sure that a file can be written before the work that it is for begins.
 *
 * @throws HyperBagelError IO when the folder is missing or not writable, or the path is a folder or a device.
 */
export async function checkOutputPath(file: string): Promise<void> {
  try {
    await access(path.dirname(file), constants.W_OK);
    if (!(await stat(path.dirname(file))).isDirectory()) throw new Error('its folder is not a folder');
  } catch (error) {
    throw ioError('write', file, error);
  }
  const existing = await stat(file).catch(() => undefined);
  if (existing && !existing.isFile()) {
    throw new HyperBagelError('IO', `Cannot write ${file}: it exists and is not a regular file`, {
      operand: file,
      expected: 'a new or regular file',
    });
  }
}
