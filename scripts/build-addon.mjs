// Builds the native addon when its sources or the tools have changed. Node built-ins only.
// Run by scripts/ensure.mjs in a checkout and by `hyper-bagel build` where the package is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const addon = path.join(root, 'build', 'Release', 'hyper_bagel.node');
const stampFile = path.join(root, 'build', '.stamp');

/** A failure that its message explains in full. */
export class SetupError extends Error {}

/** One hash over the names and contents of files and folders below `base`. */
export function hashOf(base, names, extra = '') {
  const hash = createHash('sha256').update(extra);
  const visit = (name) => {
    const file = path.join(base, name);
    if (!existsSync(file)) return;
    if (statSync(file).isDirectory()) {
      for (const child of readdirSync(file).sort()) visit(path.join(name, child));
    } else {
      hash.update(`\0${name}\0`).update(readFileSync(file));
    }
  };
  for (const name of names) visit(name);
  return hash.digest('hex');
}

export function onPath(name) {
  const candidates = path.isAbsolute(name)
    ? [name]
    : (process.env.PATH ?? '').split(path.delimiter).map((folder) => path.join(folder, name));
  for (const file of candidates) {
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not here; look on.
    }
  }
  return undefined;
}

/** The tools of the build, or the sentence that says which one to install. */
export function findTools() {
  const [compilerName, ...compilerArgs] = (process.env.CXX ?? '').split(' ').filter(Boolean);
  const compilers = compilerName === undefined ? ['c++', 'g++', 'clang++'] : [compilerName];
  const cxx = compilers.map(onPath).find(Boolean);
  if (!cxx) {
    const wanted = compilerName === undefined ? '' : ` (CXX names "${compilerName}", which is not there)`;
    return {
      missing: `No C++ compiler was found${wanted}: install g++ 10 or newer, for example with "apt-get install g++ make".`,
    };
  }
  const cmake = onPath('cmake');
  if (!cmake) {
    return { missing: 'CMake was not found: install CMake 3.19 or newer, for example with "apt-get install cmake".' };
  }
  if (!onPath('ninja') && !onPath('make')) {
    return { missing: 'Neither make nor ninja was found: install one, for example with "apt-get install make".' };
  }
  return { cxx, compilerArgs, cmake };
}

export function versionOf(tool, args = []) {
  const result = spawnSync(tool, [...args, '--version'], { encoding: 'utf8' });
  return result.status === 0 ? result.stdout.split('\n', 1)[0] : `${tool} failed`;
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'));
  } catch {
    return {};
  }
}

function runCmakeJs(command) {
  let cli;
  try {
    cli = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  } catch {
    throw new SetupError('The package cmake-js is not installed: run "npm install" first.');
  }
  const jobs = String(Math.max(1, Math.min(8, os.availableParallelism())));
  const result = spawnSync(process.execPath, [cli, command, '--directory', root, '--parallel', jobs], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  if (result.status !== 0 || !existsSync(addon)) {
    process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}\n`);
    throw new SetupError(
      'The native addon could not be built: the compiler (g++ 10 or newer, or clang 12 or newer) or CMake reported the errors above.',
    );
  }
}

/**
 * Builds what is stale: everything after a change of tools or recipe, the changed files after a change of sources.
 * Returns what was done: 'fresh' (nothing), 'sources' or 'everything'.
 */
export function buildAddon({ log = (text) => process.stderr.write(`${text}\n`) } = {}) {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const sources = hashOf(root, ['csrc/core', 'csrc/ops', 'csrc/cpu', 'csrc/device/api.h', 'csrc/runtime', 'bindings']);
  const recipe = hashOf(
    root,
    ['CMakeLists.txt'],
    JSON.stringify([manifest.version, manifest.binary, manifest.dependencies, process.arch, process.platform, root]),
  );
  const stamp = existsSync(addon) ? readStamp() : {};
  const found = findTools();
  const upToDate = stamp.sources === sources && stamp.recipe === recipe;
  if (found.missing) {
    // A finished build needs no compiler any more.
    if (upToDate) return 'fresh';
    throw new SetupError(found.missing);
  }
  const tools = [
    versionOf(found.cmake),
    versionOf(found.cxx, found.compilerArgs),
    process.env.CXX ?? '',
    process.env.LDFLAGS ?? '',
  ].join('\n');
  if (upToDate && stamp.tools === tools) return 'fresh';

  const all = stamp.recipe !== recipe || stamp.tools !== tools;
  log(`building the native addon (${all ? 'all of it' : 'changed sources'}) ...`);
  const start = performance.now();
  runCmakeJs(all ? 'rebuild' : 'build');
  mkdirSync(path.dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, JSON.stringify({ sources, recipe, tools }));
  log(`native addon built in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return all ? 'everything' : 'sources';
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    if (buildAddon() === 'fresh') process.stderr.write('the native addon is up to date\n');
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
