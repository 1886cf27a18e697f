import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface Source {
  /** Path from the repository root, with forward slashes. */
  name: string;
  text: string;
}

/** Every file below the folders whose name matches, with its text. */
export function sources(folders: readonly string[], pattern: RegExp): Source[] {
  return folders
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && pattern.test(entry.name))
        .map((entry) => path.posix.join(entry.parentPath.replaceAll(path.sep, '/'), entry.name)),
    )
    .map((name) => ({ name, text: readFileSync(name, 'utf8') }));
}

/** First arguments of the rows `MACRO(name, ...)` of a .def file. */
export function rowsOf(defFile: string, macro: string): string[] {
  const text = readFileSync(defFile, 'utf8');
  return [...text.matchAll(new RegExp(`^${macro}\\((\\w+)`, 'gm'))].map((match) => match[1] as string);
}
