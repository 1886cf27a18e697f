// Builds the library of NVIDIA cards (build/Release/hyper_bagel_cuda.so, beside the addon) where nvcc is found. Node built-ins
// only. Run by `npm run build:cuda` and by `hyper-bagel build --cuda`. Nothing else of the package needs it.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { findTools, hashOf, onPath, SetupError } from './build-addon.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const folder = path.join(root, '.cache', 'cuda');
const stampFile = path.join(folder, '.stamp');
const library = path.join(root, 'build', 'Release', 'hyper_bagel_cuda.so');

/** CUDACXX, the PATH, CUDA_HOME and the usual place, in this order. */
function findNvcc() {
  const asked = process.env.CUDACXX;
  if (asked) {
    const found = onPath(asked);
    if (!found) throw new SetupError(`CUDACXX names "${asked}", which is not there.`);
    return found;
  }
  const folders = [process.env.CUDA_HOME, process.env.CUDA_PATH, '/usr/local/cuda'].filter(Boolean);
  const nvcc = ['nvcc', ...folders.map((f) => path.join(f, 'bin', 'nvcc'))].map(onPath).find(Boolean);
  if (nvcc) return nvcc;
  throw new SetupError(
    'nvcc was not found (looked at CUDACXX, the PATH, CUDA_HOME and /usr/local/cuda): install the CUDA toolkit 13 or newer.',
  );
}

function cmake(tool, args, nvcc) {
  const result = spawnSync(tool, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    env: { ...process.env, CUDACXX: nvcc },
  });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}\n`);
  throw new SetupError('The library for NVIDIA cards could not be built: nvcc or CMake reported the errors above.');
}

/** Returns the library's path; builds it when it is stale. */
export function buildCuda({ log = (text) => process.stderr.write(`${text}\n`) } = {}) {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const found = findTools();
  if (found.missing) throw new SetupError(found.missing);
  const nvcc = findNvcc();
  const stamp = hashOf(
    root,
    ['CMakeLists.txt', 'csrc/core', 'csrc/ops', 'csrc/cuda', 'csrc/device'],
    JSON.stringify([
      version,
      process.env.CXX ?? '',
      nvcc,
      spawnSync(nvcc, ['--version'], { encoding: 'utf8' }).stdout,
      process.arch,
      root,
    ]),
  );
  if (existsSync(library) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return library;
  log('building the library for NVIDIA cards ...');
  const start = performance.now();
  // An unfinished configuration is begun anew.
  if (!existsSync(stampFile)) rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cmake(found.cmake, ['-S', root, '-B', folder, '-DCMAKE_BUILD_TYPE=Release', '-DHB_CUDA=ON'], nvcc);
  const jobs = Math.max(1, Math.min(8, os.availableParallelism()));
  cmake(found.cmake, ['--build', folder, '--target', 'hb_device_cuda', '--parallel', String(jobs)], nvcc);
  mkdirSync(path.dirname(library), { recursive: true });
  // a process may have the old one open
  copyFileSync(path.join(folder, path.basename(library)), `${library}.new`);
  renameSync(`${library}.new`, library);
  writeFileSync(stampFile, stamp);
  log(`library for NVIDIA cards built in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return library;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    process.stderr.write(`${buildCuda()}\n`);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
