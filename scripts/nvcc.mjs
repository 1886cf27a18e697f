// Where nvcc is and how kernel files are compiled with it: the one list of its flags. Node built-ins only.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

/** Real architectures that kernels are compiled for. */
export const architectures = ['sm_80', 'sm_90'];

/**
 * Flags of every kernel file. As on the CPU, a*b+c is fused only where the code says so; anything that this compiler
 * and the next may read differently is an error.
 */
export const flags = [
  '-std=c++20',
  '-O3',
  '-fmad=false',
  '--Werror=all-warnings',
  '-Xcompiler=-Wall,-Wextra',
  '-Icsrc',
];

/** The compiler's path and version, or null: CUDACXX, PATH and CUDA's usual folder are looked at, in this order. */
export function findNvcc() {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const candidates = [
    process.env.CUDACXX,
    ...folders.map((folder) => path.join(folder, 'nvcc')),
    '/usr/local/cuda/bin/nvcc',
  ];
  const file = candidates.find((name) => name && existsSync(name));
  if (!file) return null;
  const result = spawnSync(file, ['--version'], { encoding: 'utf8' });
  const version = /release ([\d.]+)/.exec(result.stdout ?? '')?.[1];
  return result.status === 0 && version ? { file, version } : null;
}
