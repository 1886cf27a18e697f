import { stat } from 'node:fs/promises';
import { HyperBagelError } from '../errors.js';
import { ioError } from './file-error.js';
import { readWhole } from './regular-file.js';

/** Far above any header, index, tokenizer or configuration; a limit on what is parsed as text at all. */
export const MAX_TEXT_BYTES = 100e6;

/** A `BAD_MODEL` error about one file. */
export function badModel(
  path: string,
  problem: string,
  details: { operand?: string; cause?: unknown } = {},
): HyperBagelError {
  return new HyperBagelError('BAD_MODEL', `${path}: ${problem}`, { operand: path, ...details });
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value of a file in a few words, for messages: it may be long, or nested deeper than it can be written. */
export function shown(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? 'nothing';
  } catch {
    return 'a value that is nested too deep';
  }
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/**
 * Whether a model folder holds a file.
 *
 * @throws HyperBagelError `IO` when that cannot be found out.
 */
export async function fileExists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw ioError('read', path, error);
  }
}

/**
 * Reads a text file that a model needs, as bytes.
 *
 * @throws HyperBagelError `BAD_MODEL` when it is missing or above {@link MAX_TEXT_BYTES}, `IO` when it cannot be read.
 */
export async function readModelFile(path: string): Promise<Uint8Array> {
  try {
    return await readWhole(path, MAX_TEXT_BYTES, (bytes) =>
      badModel(path, `${bytes} bytes, at most ${MAX_TEXT_BYTES}`),
    );
  } catch (error) {
    if (!(error instanceof HyperBagelError) || !isMissing(error.cause)) throw error;
    throw badModel(path, 'the model needs this file, it is missing', { cause: error.cause });
  }
}

/**
 * Reads a JSON file of a model that must hold one object without repeated keys.
 *
 * @throws HyperBagelError as {@link readModelFile} and {@link parseObject}.
 */
export async function readJsonObject(path: string): Promise<Record<string, unknown>> {
  return parseObject(path, await readModelFile(path));
}

/**
 * Parses JSON that must be one object without repeated keys (`JSON.parse` alone would keep the last of them).
 *
 * @throws HyperBagelError `BAD_MODEL`.
 */
export function parseObject(path: string, bytes: Uint8Array): Record<string, unknown> {
  const text = decodeText(path, bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badModel(path, `not valid JSON: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  if (!isObject(value)) throw badModel(path, 'JSON must be an object');
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) throw badModel(path, `'${duplicate}' appears twice`, { operand: duplicate });
  return value;
}

/**
 * UTF-8 to text.
 *
 * @throws HyperBagelError `BAD_MODEL` for anything that is not UTF-8.
 */
export function decodeText(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw badModel(path, 'not UTF-8 text', { cause });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** The first key that an object of this valid JSON text repeats. */
function findDuplicateKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = []; // keys of each open object; undefined for an array
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === '{') open.push(new Set());
    else if (char === '[') open.push(undefined);
    else if (char === '}' || char === ']') open.pop();
    else if (char === '"') {
      const start = i;
      for (i++; json[i] !== '"'; i++) if (json[i] === '\\') i++;
      let next = i + 1;
      while (' \t\n\r'.includes(json[next] ?? '.')) next++;
      if (json[next] !== ':') continue; // a value
      const key = JSON.parse(json.slice(start, i + 1)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}
