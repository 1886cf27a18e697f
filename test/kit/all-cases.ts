import { readdirSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import type { OpCases } from './cases.js';

const folder = 'test/cases';

/** The cases of every op: one file per op in test/cases. */
export async function allCases(): Promise<OpCases[]> {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .sort();
  return Promise.all(
    files.map(async (file) => {
      const { cases } = (await import(pathToFileURL(`${folder}/${file}`).href)) as { cases: OpCases };
      return cases;
    }),
  );
}
