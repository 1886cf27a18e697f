// Set-up of a checkout: dependencies, native addon, TypeScript. Does only what is stale, so that the second
// `npm start` or `npm test` begins at once. Node built-ins only: it runs before anything is installed.
// With --dependencies it stops after the first of the three, for commands that only read the sources; with --tests it
// also builds what only tests need.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon, hashOf, SetupError } from './build-addon.mjs';
import { buildSimt } from './build-simt.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const log = (text) => process.stderr.write(`${text}\n`);
const readJson = (name) => JSON.parse(readFileSync(path.join(root, name), 'utf8'));

function checkNode() {
  const wanted = readJson('package.json').engines.node.replace('>=', '');
  const [major = 0, minor = 0] = wanted.split('.').map(Number);
  const [haveMajor = 0, haveMinor = 0] = process.versions.node.split('.').map(Number);
  if (haveMajor < major || (haveMajor === major && haveMinor < minor)) {
    throw new SetupError(`Node ${process.versions.node} is too old: install Node ${wanted} or newer.`);
  }
}

/** True when every package of the lock file is installed in the locked version (packages for other systems aside). */
function dependenciesInstalled() {
  if (!existsSync(path.join(root, 'node_modules', '.package-lock.json'))) return false;
  const wanted = readJson('package-lock.json').packages;
  const have = readJson('node_modules/.package-lock.json').packages;
  return Object.entries(wanted).every(
    ([name, { version, optional }]) => name === '' || (have[name] ? have[name].version === version : optional === true),
  );
}

/** Runs a tool quietly; its output appears only when it fails. */
function run(what, command, args) {
  log(`${what} ...`);
  const start = performance.now();
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}\n`);
    throw new SetupError(`Set-up stopped: ${what} failed with the output above.`);
  }
  log(`${what} took ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

function installDependencies() {
  if (dependenciesInstalled()) return;
  const npm = process.env.npm_execpath;
  const args = ['ci', '--no-audit', '--no-fund'];
  if (npm?.endsWith('.js')) run('installing dependencies', process.execPath, [npm, ...args]);
  else run('installing dependencies', 'npm', args);
}

function buildTypeScript() {
  const outputs = ['dist/index.js', 'dist/index.cjs', 'dist/index.d.ts', 'dist/index.d.cts', 'dist/cli.js'];
  const bench = path.join(root, 'bench');
  const benchSources = existsSync(bench) ? readdirSync(bench).filter((name) => name !== 'node_modules') : [];
  if (benchSources.includes('run.ts')) {
    outputs.push(...['run', 'compare', 'worker', 'gpu'].map((name) => `.cache/bench/${name}.js`));
  }
  if (existsSync(path.join(root, 'test', 'hostile', 'worker.ts'))) outputs.push('.cache/hostile/worker.js');
  // the bench times the cases of the tests, and a test starts the fuzzer as a process
  const inputs = [
    'lib',
    // without the peers that may be installed there
    ...benchSources.map((name) => `bench/${name}`),
    'test/cases',
    'test/hostile',
    'test/kit',
    'test/model/golden.ts',
    'tsup.config.ts',
    'tsconfig.json',
    'package.json',
    'package-lock.json',
  ];
  const stampFile = path.join(root, '.cache', 'dist.stamp');
  const hash = hashOf(root, inputs);
  const fresh =
    outputs.every((name) => existsSync(path.join(root, name))) &&
    existsSync(stampFile) &&
    readFileSync(stampFile, 'utf8') === hash;
  if (fresh) return;
  rmSync(stampFile, { force: true });
  for (const folder of ['dist', '.cache/bench', '.cache/hostile'])
    rmSync(path.join(root, folder), { recursive: true, force: true });
  run('building the TypeScript', process.execPath, [path.join(root, 'node_modules', 'tsup', 'dist', 'cli-default.js')]);
  mkdirSync(path.dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, hash);
}

try {
  checkNode();
  installDependencies();
  if (!process.argv.includes('--dependencies')) {
    buildAddon({ log });
    buildTypeScript();
    if (process.argv.includes('--tests')) buildSimt({ log });
  }
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  log(error.message);
  process.exitCode = 1;
}
