// Formats the C++ sources, or with --check fails when one is not formatted. Node built-ins and clang-format.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const clangFormat = createRequire(import.meta.url).resolve('@wasm-fmt/clang-format/clang-format-cli.cjs');
const files = ['csrc', 'bindings', 'test']
  .flatMap((folder) => readdirSync(path.join(root, folder), { recursive: true }).map((name) => path.join(folder, name)))
  .filter((name) => /\.(h|cpp|cu|cuh)$/.test(name))
  .sort();
const mode = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i'];
const result = spawnSync(process.execPath, [clangFormat, ...mode, ...files], { cwd: root, stdio: 'inherit' });
process.exitCode = result.status ?? 1;
