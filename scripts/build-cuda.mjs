// Builds the library of NVIDIA cards (build/Release/hyper_bagel_cuda.so, beside the addon) where nvcc is found. Node built-ins
// only. Run by `npm run build:cuda` and by `hyper-bagel build --cuda`. Nothing else of the package needs it.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { findTools, hashOf, SetupError } from './build-addon.mjs';
import { architectures, findNvcc, flags } from './nvcc.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const folder = path.join(root, '.cache', 'cuda');
const stampFile = path.join(folder, '.stamp');
const madeFile = path.join(folder, '.made');
const library = path.join(root, 'build', 'Release', 'hyper_bagel_cuda.so');
const conformance = path.join(folder, 'cuda_conformance');

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

/**
 * Returns the paths of the library and of the primitives' tests, which only a checkout has; builds what is stale.
 * @param tests builds the tests, too
 */
export function buildCuda({ log = (text) => process.stderr.write(`${text}\n`), tests = false } = {}) {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const found = findTools();
  if (found.missing) throw new SetupError(found.missing);
  const nvcc = findNvcc();
  if (!nvcc || Number.parseInt(nvcc.version, 10) < 13) {
    const what = nvcc
      ? `${nvcc.file} is of CUDA ${nvcc.version}`
      : 'nvcc was not found (looked at CUDACXX, the PATH and /usr/local/cuda)';
    throw new SetupError(`${what}: install the CUDA toolkit 13 or newer.`);
  }
  const stamp = hashOf(
    root,
    ['CMakeLists.txt', 'csrc/core', 'csrc/ops', 'csrc/cuda', 'csrc/device'],
    JSON.stringify([version, process.env.CXX ?? '', nvcc, architectures, flags, process.arch, root]),
  );
  const fresh = existsSync(library) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp;
  // make knows whether the tests are stale
  if (fresh && !tests) return { library };
  log('building the library for NVIDIA cards ...');
  const start = performance.now();
  // Machine code for the cards that there are, and PTX of the newest for those that come later.
  const cards = architectures.map((name) => name.replace('sm_', ''));
  const settings = [
    '-DCMAKE_BUILD_TYPE=Release',
    '-DHB_CUDA=ON',
    `-DCMAKE_CUDA_ARCHITECTURES=${[...cards.map((card) => `${card}-real`), `${cards.at(-1)}-virtual`].join(';')}`,
    // what a newer compiler warns about is for the workshop to mend
    `-DHB_CUDA_FLAGS=${flags.filter((flag) => !/^-(-Werror|std|I)/.test(flag)).join(';')}`,
  ];
  // CMake keeps what it found out about a compiler: another one begins anew. A build that failed goes on.
  const made = JSON.stringify([settings, nvcc, process.env.CXX ?? '', root]);
  if (!existsSync(madeFile) || readFileSync(madeFile, 'utf8') !== made) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }
  cmake(found.cmake, ['-S', root, '-B', folder, ...settings], nvcc.file);
  writeFileSync(madeFile, made);
  const jobs = Math.max(1, Math.min(8, os.availableParallelism()));
  const targets = ['hb_device_cuda', ...(tests ? ['cuda_conformance'] : [])];
  cmake(found.cmake, ['--build', folder, '--target', ...targets, '--parallel', String(jobs)], nvcc.file);
  mkdirSync(path.dirname(library), { recursive: true });
  // a process may have the old one open
  copyFileSync(path.join(folder, path.basename(library)), `${library}.new`);
  renameSync(`${library}.new`, library);
  writeFileSync(stampFile, stamp);
  log(`library for NVIDIA cards built in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return { library, ...(tests ? { conformance } : {}) };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    process.stderr.write(`${buildCuda().library}\n`);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
