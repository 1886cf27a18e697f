import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { HyperBagelError } from '../errors.js';
import { version } from '../version.js';
import type { NativeAddon } from './addon.js';

const PACKAGE_NAME = 'hyper-bagel';
const BUILD_COMMAND = 'npx hyper-bagel build';

const requireFromHere = createRequire(import.meta.url);

/**
 * The folder of this package: the nearest one above this module that holds its package.json. Works from `dist`
 * and from the sources, whatever the depth.
 *
 * @throws HyperBagelError BACKEND_MISSING when there is none, as in a bundle that left the package behind.
 */
export function packageRoot(): string {
  const start = path.dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (existsSync(manifest)) {
      const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string };
      if (name === PACKAGE_NAME) return folder;
    }
    if (path.dirname(folder) === folder) {
      throw new HyperBagelError(
        'BACKEND_MISSING',
        `expected the package ${PACKAGE_NAME} above "${start}", found none; keep it out of the bundle ` +
          'or set HYPER_BAGEL_ADDON_PATH to the native addon',
        { expected: `a package.json of ${PACKAGE_NAME}`, got: 'none' },
      );
    }
  }
}

/** Where the addon is looked for. A path that somebody asked for by name has no fallback. */
function candidates(): string[] {
  const asked = process.env.HYPER_BAGEL_ADDON_PATH;
  if (asked !== undefined && asked !== '') return [path.resolve(asked)];
  return [path.join(packageRoot(), 'build', 'Release', 'hyper_bagel.node')];
}

/** Loads one file, or says why it is no addon of this version. */
function tryLoad(file: string): NativeAddon | string {
  if (!existsSync(file)) return 'there is no such file';
  let addon: Partial<NativeAddon>;
  try {
    addon = requireFromHere(file) as Partial<NativeAddon>;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (typeof addon.version !== 'function') return 'it is not the addon of this package';
  const built = addon.version();
  if (built !== version) return `it was built from version ${built}, this package is version ${version}`;
  return addon as NativeAddon;
}

let loaded: { addon: NativeAddon; file: string } | undefined;

function load(): { addon: NativeAddon; file: string } {
  if (loaded) return loaded;
  const failures: string[] = [];
  for (const file of candidates()) {
    const result = tryLoad(file);
    if (typeof result !== 'string') {
      loaded = { addon: result, file };
      return loaded;
    }
    failures.push(`${file}: ${result}`);
  }
  const variable = process.env.HYPER_BAGEL_ADDON_PATH ? ' (HYPER_BAGEL_ADDON_PATH names it)' : '';
  throw new HyperBagelError(
    'BACKEND_MISSING',
    `the native addon could not be loaded${variable}; tried:\n  ${failures.join('\n  ')}\nBuild it with: ${BUILD_COMMAND}`,
    { expected: `the native addon of version ${version}`, got: failures.join('; ') },
  );
}

/**
 * The native addon, loaded on first use. A failure is not remembered, so a build in between is found.
 *
 * @throws HyperBagelError BACKEND_MISSING with every file that was tried and the command that builds the addon.
 */
export function loadAddon(): NativeAddon {
  return load().addon;
}

/**
 * Loads the native addon and says which file it is: what a service calls at its start to fail early.
 *
 * @throws HyperBagelError BACKEND_MISSING as {@link loadAddon}.
 */
export function addonInfo(): { file: string; version: string } {
  const { addon, file } = load();
  return { file, version: addon.version() };
}
