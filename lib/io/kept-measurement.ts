import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { version } from '../version.js';
import { cacheFolder } from './cache-folder.js';
import { writeFileAtomic } from './output.js';
import { readWhole } from './regular-file.js';

/** What was measured, as in "cost curve": names its folder and its format. */
export type MeasurementKind = 'cost curve' | 'roofline';

/** What a measurement holds for, in one order. */
export type MeasurementKey = Readonly<Record<string, string | number>>;

/** A file of ours is far smaller. */
const MOST_BYTES = 2 ** 16;

/** Another version may have faster kernels. */
const identity = (key: MeasurementKey) => ({ ...key, version });

const formatOf = (kind: MeasurementKind) => `hyper-bagel ${kind} 1`;

function fileOf(kind: MeasurementKind, key: MeasurementKey, folder: string): string {
  const name = createHash('sha256')
    .update(JSON.stringify(identity(key)))
    .digest('hex')
    .slice(0, 32);
  return path.join(folder, `${kind.replaceAll(' ', '-')}s`, `${name}.json`);
}

/**
 * A measurement that was kept in the cache folder; undefined when there is none for this key, or the file is damaged or not ours.
 *
 * @param parse makes it of what the file holds, which may be anything; what it throws means damaged
 */
export async function loadMeasurement<T>(
  kind: MeasurementKind,
  key: MeasurementKey,
  parse: (value: unknown) => T,
  folder = cacheFolder(),
): Promise<T | undefined> {
  if (folder === undefined) return undefined;
  try {
    const bytes = await readWhole(fileOf(kind, key, folder), MOST_BYTES, () => new Error('not a file of ours'));
    const text = new TextDecoder().decode(bytes);
    const { format, key: found, value } = JSON.parse(text) as { format: string; key: unknown; value: unknown };
    if (format !== formatOf(kind) || JSON.stringify(found) !== JSON.stringify(identity(key))) return undefined;
    return parse(value);
  } catch {
    return undefined;
  }
}

/** Keeps a measurement. Returns false when it cannot be written, which only means that it is made again. */
export async function keepMeasurement(
  kind: MeasurementKind,
  key: MeasurementKey,
  value: unknown,
  folder = cacheFolder(),
): Promise<boolean> {
  if (folder === undefined) return false;
  try {
    const file = fileOf(kind, key, folder);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFileAtomic(file, `${JSON.stringify({ format: formatOf(kind), key: identity(key), value })}\n`);
    return true;
  } catch {
    return false;
  }
}
