// Builds what tests need to run CUDA kernels on the CPU, in .cache/simt: the emulator, the kernels compiled against it, their
// test program, and the library of the device simt, which goes beside the addon. Does nothing when sources and tools are unchanged. Node built-ins only.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { hashOf, SetupError } from './build-addon.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const folder = path.join(root, '.cache', 'simt');
const stampFile = path.join(folder, '.stamp');
const library = path.join(root, 'build', 'Release', 'hyper_bagel_simt.so');
const outputs = [path.join(folder, 'simt_tests'), library];

function cmake(args) {
  const result = spawnSync('cmake', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}\n`);
  throw new SetupError(
    'The emulator of CUDA kernels could not be built: the compiler or CMake reported the errors above.',
  );
}

/** Returns whether anything had to be built. */
export function buildSimt({ log = (text) => process.stderr.write(`${text}\n`) } = {}) {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const stamp = hashOf(
    root,
    ['CMakeLists.txt', 'csrc/core', 'csrc/ops', 'csrc/cuda', 'csrc/device', 'csrc/simt'],
    JSON.stringify([version, process.env.CXX ?? '', process.arch, root]),
  );
  const built = outputs.every((file) => existsSync(file));
  if (built && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return false;
  log('building the CUDA kernels for the emulator ...');
  const start = performance.now();
  // An unfinished configuration is begun anew.
  if (!existsSync(stampFile)) rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cmake(['-S', root, '-B', folder, '-DCMAKE_BUILD_TYPE=Release']);
  const jobs = Math.max(1, Math.min(8, os.availableParallelism()));
  cmake(['--build', folder, '--target', 'simt', '--parallel', String(jobs)]);
  // a process may have the old one open
  copyFileSync(path.join(folder, path.basename(library)), `${library}.new`);
  renameSync(`${library}.new`, library);
  writeFileSync(stampFile, stamp);
  log(`CUDA kernels built for the emulator in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return true;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    if (!buildSimt()) process.stderr.write('the emulator is up to date\n');
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
