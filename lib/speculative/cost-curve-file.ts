import { createHash } from 'node:crypto';
import { constants, mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import { cacheFolder } from '../io/cache-folder.js';
import { writeFileAtomic } from '../io/output.js';
import { version } from '../version.js';
import { CostCurve, type CostCurveInit } from './cost-curve.js';

/** What a measurement holds for. */
export interface CostCurveKey {
  /** Hash of the model's weights. */
  model: string;
  /** The device with its name, such as a processor's or a card's. */
  device: string;
  isa: string;
  threads: number;
  dtype: string;
}

const FORMAT = 'hyper-bagel cost curve 1';
/** A file of ours is far smaller. */
const MOST_BYTES = 2 ** 16;

/** The fields that name a measurement, in one order. Another version may have faster kernels. */
const identity = ({ model, device, isa, threads, dtype }: CostCurveKey) => ({
  model,
  device,
  isa,
  threads,
  dtype,
  version,
});

function fileOf(key: CostCurveKey, folder: string): string {
  const name = createHash('sha256')
    .update(JSON.stringify(identity(key)))
    .digest('hex')
    .slice(0, 32);
  return path.join(folder, 'cost-curves', `${name}.json`);
}

/** A stored measurement; undefined when there is none for this key, or the file is damaged or not ours. */
export async function loadCostCurve(key: CostCurveKey, folder = cacheFolder()): Promise<CostCurve | undefined> {
  if (folder === undefined) return undefined;
  try {
    const text = await readSmallFile(fileOf(key, folder));
    const { format, key: found, curve } = JSON.parse(text) as { format: string; key: unknown; curve: CostCurveInit };
    if (format !== FORMAT || JSON.stringify(found) !== JSON.stringify(identity(key))) return undefined;
    return new CostCurve(curve);
  } catch {
    return undefined;
  }
}

async function readSmallFile(file: string): Promise<string> {
  const handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)); // a pipe must not keep us
  try {
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size > MOST_BYTES) throw new Error('not a file of ours');
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** Stores a measurement. Returns false when it cannot be stored, which only means that it is made again. */
export async function storeCostCurve(
  key: CostCurveKey,
  { stepMs, points }: CostCurve,
  folder = cacheFolder(),
): Promise<boolean> {
  if (folder === undefined) return false;
  try {
    const file = fileOf(key, folder);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFileAtomic(
      file,
      `${JSON.stringify({ format: FORMAT, key: identity(key), curve: { stepMs, points } })}\n`,
    );
    return true;
  } catch {
    return false;
  }
}
