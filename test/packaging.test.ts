import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fullTier } from './kit/tier.js';

const temporary = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-pack-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const project = path.join(temporary, 'project');
const installed = path.join(project, 'node_modules', 'hyper-bagel');
const builtHere = path.resolve('build/Release/hyper_bagel.node');
let tarball = '';
let packed: string[] = [];

interface LockFile {
  packages: Record<string, { dev?: boolean; optional?: boolean }>;
}

/** Runs a program as a user of the package would: nothing of the test runner's environment but PATH and HOME. */
function run(command: string, args: readonly string[], env: Record<string, string> = {}, cwd = project) {
  const result = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
  });
  return { status: result.status, stdout: result.stdout.trim(), stderr: result.stderr.trim() };
}

function pack(): void {
  const output = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', temporary], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [report] = JSON.parse(output) as [{ filename: string; files: { path: string }[] }];
  tarball = path.join(temporary, report.filename);
  packed = report.files.map((file) => file.path);
  mkdirSync(project);
  writeFileSync(path.join(project, 'package.json'), '{ "name": "user", "version": "1.0.0", "private": true }');
}

/** Unpacks the tarball beside links to what the lock file counts as run-time dependencies, and to nothing else. */
function installFromHere(): void {
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as LockFile;
  for (const [name, { dev }] of Object.entries(packages)) {
    if (dev || !/^node_modules\/(@[^/]+\/)?[^/]+$/.test(name)) continue;
    const link = path.join(project, name);
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(path.resolve(name), link);
  }
}

const useEsm = `import { addonInfo, HyperBagelError, version } from 'hyper-bagel';
console.log(JSON.stringify({ version, addon: addonInfo(), error: HyperBagelError.isInstance(new HyperBagelError('IO', 'x')) }));
`;
const useCjs = `const { addonInfo, HyperBagelError, version } = require('hyper-bagel');
console.log(JSON.stringify({ version, addon: addonInfo(), error: HyperBagelError.isInstance(new HyperBagelError('IO', 'x')) }));
`;

function expectUsable(env: Record<string, string>, addonFile: string): void {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  for (const [file, text] of [
    ['use.mjs', useEsm],
    ['use.cjs', useCjs],
  ] as const) {
    writeFileSync(path.join(project, file), text);
    const result = run(process.execPath, [file], env);
    expect(result.stderr).toBe('');
    expect(JSON.parse(result.stdout)).toEqual({ version, addon: { file: addonFile, version }, error: true });
  }
}

beforeAll(pack);

describe('the tarball', () => {
  test('holds what a user needs and nothing of the workshop', () => {
    for (const name of [
      'dist/index.js',
      'dist/index.cjs',
      'dist/index.d.ts',
      'dist/index.d.cts',
      'dist/cli.js',
      'CMakeLists.txt',
      'bindings/addon.cpp',
      'scripts/build-addon.mjs',
      'csrc/core/env.def',
      'models/tiny/ema.safetensors',
      'examples/scene.png',
      'LICENSE',
      'README.md',
      'CHANGELOG.md',
    ]) {
      expect(packed).toContain(name);
    }
    expect(packed.filter((name) => /^(lib|test|bench|node_modules|build|\.)/.test(name))).toEqual([]);
  });

  test('runs no script when it is installed', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    const atInstall = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare'];
    expect(atInstall.filter((name) => name in scripts)).toEqual([]);
    // npm would run node-gyp by itself where it finds this file.
    expect(packed).not.toContain('binding.gyp');
  });

  test('passes publint', () => {
    const result = run(process.execPath, [path.resolve('node_modules/publint/src/cli.js'), 'run', tarball, '--strict']);
    expect(`${result.stdout}${result.stderr}`).toContain('All good!');
    expect(result.status).toBe(0);
  });

  test('resolves its types from ESM and CommonJS (attw)', () => {
    const attw = path.resolve('node_modules/@arethetypeswrong/cli/dist/index.js');
    const result = run(process.execPath, [attw, tarball, '--profile', 'node16', '--format', 'json']);
    const report = JSON.parse(result.stdout) as { analysis: { types: unknown }; problems?: Record<string, unknown> };
    expect(report.problems ?? {}).toEqual({});
    expect(report.analysis.types).toMatchObject({ kind: 'included' });
    expect(result.status).toBe(0);
  });
});

describe('installed into an empty project', () => {
  beforeAll(() => {
    rmSync(path.join(project, 'node_modules'), { recursive: true, force: true });
    installFromHere();
  });

  test('imports without an addon, and its first use names the command that builds it', () => {
    writeFileSync(
      path.join(project, 'bare.mjs'),
      `import { addonInfo } from 'hyper-bagel'; try { addonInfo() } catch (e) { console.log(e.code, e.message) }`,
    );
    const { stdout } = run(process.execPath, ['bare.mjs']);
    expect(stdout).toMatch(/^BACKEND_MISSING /);
    expect(stdout).toContain(path.join(installed, 'build', 'Release', 'hyper_bagel.node'));
    expect(stdout).toContain('npx hyper-bagel build');
  });

  test('works from ESM and CommonJS with an addon that was built elsewhere', () => {
    expectUsable({ HYPER_BAGEL_ADDON_PATH: builtHere }, builtHere);
  });

  test('type-checks in a strict project of either kind', () => {
    const use = `import { addonInfo, type ErrorCode, HyperBagelError } from 'hyper-bagel';
export const file: string = addonInfo().file;
export const code: ErrorCode = new HyperBagelError('IO', 'x').code;
// @ts-expect-error There is no such code.
export const wrong: ErrorCode = 'NO_SUCH_CODE';
`;
    mkdirSync(path.join(project, 'node_modules/@types'), { recursive: true });
    for (const name of ['@types/node', 'undici-types']) {
      symlinkSync(path.resolve('node_modules', name), path.join(project, 'node_modules', name));
    }
    for (const name of ['use.mts', 'use.cts']) writeFileSync(path.join(project, name), use);
    const tsc = path.resolve('node_modules/typescript/bin/tsc');
    const options = '--noEmit --strict --module nodenext --target es2022 --lib es2023,esnext.disposable --types node';
    const result = run(process.execPath, [tsc, ...options.split(' '), 'use.mts', 'use.cts']);
    expect(result.stdout).toBe('');
    expect(result.status).toBe(0);
  });

  test('bad usage of the command ends with status 2, success with 0', () => {
    const cli = path.join(installed, 'dist', 'cli.js');
    expect(run(process.execPath, [cli, 'no-such-command']).status).toBe(2);
    expect(run(process.execPath, [cli, 'build', '--no-such-option']).status).toBe(2);
    expect(run(process.execPath, [cli, '--version']).status).toBe(0);
  });

  test('a build that cannot start ends with status 1 and says what to install', () => {
    const cli = path.join(installed, 'dist', 'cli.js');
    const empty = path.join(temporary, 'empty');
    mkdirSync(empty, { recursive: true });
    const result = run(process.execPath, [cli, 'build'], { PATH: empty });
    expect(result.status).toBe(1);
    expect(result.stdout).toBe('');
    expect(result.stderr).toContain('install g++');
    expect(result.stderr).toContain('BACKEND_MISSING');
  });
});

const full = fullTier(150, 'npm install and native build of the installed package');
describe.runIf(full)('installed by npm, addon built by its documented command (npm run test:full)', () => {
  test('works from ESM and CommonJS', { timeout: 900_000 }, () => {
    rmSync(path.join(project, 'node_modules'), { recursive: true, force: true });
    const npm = run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball]);
    expect(npm.stderr).not.toContain('npm error');
    expect(npm.status).toBe(0);
    expect(readdirSync(path.join(project, 'node_modules'))).not.toContain('vitest');
    const build = run('npx', ['hyper-bagel', 'build']);
    expect(build.stderr).toContain('native addon built');
    const addon = path.join(installed, 'build', 'Release', 'hyper_bagel.node');
    expect(build.stdout).toBe(addon);
    expect(build.status).toBe(0);
    expectUsable({}, addon);
  });
});
