// `npm run gpu:pack`: puts into .cache/gpu-check what scripts/gpu-check needs on a machine with an NVIDIA card: itself and one archive
// with the Node binary, the addon, the kernels, the tests of the primitives, the bundled model and the bundled bench. Node built-ins only.
//   --device simt   the emulator in place of the kernels for a card, to try all of it without one
//   --no-node       leaves the Node binary out: the PATH of the other machine has one
//   --to DIR        another folder
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { hashOf, SetupError } from './build-addon.mjs';
import { buildCuda } from './build-cuda.mjs';
import { buildSimt } from './build-simt.mjs';
import { findNvcc } from './nvcc.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
/** What is carried may weigh this much, compressed as it is. */
const MOST_BYTES = 64 * 2 ** 20;
/** Packages that the bundle leaves to Node, without their own dependencies' dependencies: they have none. */
const PACKAGES = ['benchmark', 'lodash', 'platform', '@huggingface/tokenizers'];

/** Other programs of the bench. */
const OTHERS = ['run.js', 'compare.js', 'worker.js'];

const log = (text) => process.stderr.write(`${text}\n`);
const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const sizeOf = (name) =>
  statSync(name).isDirectory()
    ? readdirSync(name).reduce((sum, child) => sum + sizeOf(path.join(name, child)), 0)
    : statSync(name).size;

function git(...args) {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

function commit() {
  const found = git('rev-parse', '--short=12', 'HEAD') ?? 'unknown';
  return git('status', '--porcelain', '-uno') ? `${found}+` : found;
}

/** The kernels' library and the tests of the primitives. */
function deviceFiles(device) {
  if (device === 'cuda') return buildCuda({ log, tests: true });
  buildSimt({ log });
  return {
    library: path.join(root, 'build', 'Release', 'hyper_bagel_simt.so'),
    conformance: path.join(root, '.cache', 'simt', 'simt_tests'),
  };
}

/** Copies a program without its debug symbols, if there is a `strip`. */
function copyStripped(from, to) {
  copyFileSync(from, to);
  const result = spawnSync('strip', [to], { encoding: 'utf8' });
  if (result.status !== 0) copyFileSync(from, to);
}

function stage(folder, { device, withNode }) {
  const at = (...names) => {
    const file = path.join(folder, ...names);
    mkdirSync(path.dirname(file), { recursive: true });
    return file;
  };
  const { library, conformance } = deviceFiles(device);
  if (withNode) copyStripped(process.execPath, at('bin', 'node'));
  copyStripped(conformance, at('bin', 'conformance'));
  copyStripped(path.join(root, 'build', 'Release', 'hyper_bagel.node'), at('build', 'Release', 'hyper_bagel.node'));
  copyFileSync(library, at('build', 'Release', path.basename(library)));
  const bundle = path.join(root, '.cache', 'bench');
  for (const name of readdirSync(bundle)) {
    if (name.endsWith('.js') && !OTHERS.includes(name)) copyFileSync(path.join(bundle, name), at('bundle', name));
  }
  for (const name of PACKAGES)
    cpSync(path.join(root, 'node_modules', name), at('node_modules', name), { recursive: true });
  cpSync(path.join(root, 'models', 'tiny'), at('models', 'tiny'), { recursive: true });
  const golden = path.join('test', 'golden', 'trained');
  const { image } = JSON.parse(readFileSync(path.join(root, golden, 'vqa_0.json'), 'utf8'));
  for (const name of ['vqa_0.json', `image_${image}.safetensors`]) {
    copyFileSync(path.join(root, golden, name), at(golden, name));
  }
  const peer = path.join('bench', 'peers', 'torch_gpu.py');
  copyFileSync(path.join(root, peer), at(peer));
  const { name, version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  writeFileSync(at('package.json'), JSON.stringify({ name, version, type: 'module', private: true }));
  const pack = {
    device,
    commit: commit(),
    sources: hashOf(root, ['csrc/core', 'csrc/ops', 'csrc/cuda', 'csrc/device']).slice(0, 16),
    nvcc: device === 'cuda' ? (findNvcc()?.version ?? null) : null,
  };
  writeFileSync(at('pack.json'), JSON.stringify(pack));
  return pack;
}

function main() {
  const { values } = parseArgs({
    options: {
      device: { type: 'string', default: 'cuda' },
      'no-node': { type: 'boolean', default: false },
      to: { type: 'string', default: path.join(root, '.cache', 'gpu-check') },
    },
  });
  const { device } = values;
  if (device !== 'cuda' && device !== 'simt') throw new SetupError(`--device is cuda or simt, not ${device}`);
  if (!existsSync(path.join(root, '.cache', 'bench', 'gpu.js')))
    throw new SetupError('run node scripts/ensure.mjs first');
  mkdirSync(path.join(root, '.cache'), { recursive: true });
  const folder = mkdtempSync(path.join(root, '.cache', 'gpu-stage-'));
  try {
    const pack = stage(folder, { device, withNode: !values['no-node'] });
    const to = path.resolve(values.to);
    mkdirSync(to, { recursive: true });
    const archive = path.join(to, 'gpu-check.tar.gz');
    const result = spawnSync('tar', ['-czf', `${archive}.new`, '-C', folder, '.'], { encoding: 'utf8' });
    if (result.status !== 0) throw new SetupError(`tar failed: ${result.error?.message ?? result.stderr}`);
    renameSync(`${archive}.new`, archive);
    copyFileSync(path.join(root, 'scripts', 'gpu-check'), path.join(to, 'gpu-check'));
    const carried = sizeOf(archive) + sizeOf(path.join(to, 'gpu-check'));
    log(`${to}: ${mib(carried)} to carry (${mib(sizeOf(folder))} unpacked), device ${device}, commit ${pack.commit}`);
    if (carried > MOST_BYTES) {
      rmSync(archive);
      throw new SetupError(`the pack takes ${mib(carried)}, more than ${mib(MOST_BYTES)}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  log(error.message);
  process.exitCode = 1;
}
