import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A folder for one test file, removed when its tests are done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hyper-bagel-io-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A copy with one of: cut short, some bytes replaced, one bit flipped, a slice removed or repeated. */
export function damage(bytes: Uint8Array, random: () => number): Uint8Array {
  const at = () => Math.floor(random() * bytes.length);
  const copy = bytes.slice();
  const kind = Math.floor(random() * 5);
  if (kind === 0) return copy.subarray(0, at());
  if (kind === 1) {
    for (let n = 1 + Math.floor(random() * 4); n > 0; n--) copy[at()] = Math.floor(random() * 256);
    return copy;
  }
  if (kind === 2) {
    const i = at();
    copy[i] = (copy[i] ?? 0) ^ (1 << Math.floor(random() * 8));
    return copy;
  }
  const [from = 0, to = 0] = [at(), at()].sort((a, b) => a - b);
  return Buffer.concat([copy.subarray(0, kind === 3 ? from : to), copy.subarray(kind === 3 ? to : from)]);
}
