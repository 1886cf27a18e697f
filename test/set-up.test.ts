import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';

const temporary = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-set-up-'));
afterAll(() => rmSync(temporary, { recursive: true }));

let project = '';
let count = 0;

/** A checkout with the real recipe and one small source, so that a build takes seconds. */
beforeEach(() => {
  project = path.join(temporary, `project-${count++}`);
  mkdirSync(path.join(project, 'bindings'), { recursive: true });
  mkdirSync(path.join(project, 'csrc', 'core'), { recursive: true });
  for (const name of ['package.json', 'package-lock.json', 'CMakeLists.txt', 'scripts']) {
    cpSync(name, path.join(project, name), { recursive: true });
  }
  symlinkSync(path.resolve('node_modules'), path.join(project, 'node_modules'));
  writeFileSync(path.join(project, 'csrc/core/answer.cpp'), 'int answer() { return 42; }\n');
  writeFileSync(
    path.join(project, 'bindings/addon.cpp'),
    // Plain Node-API compiles in a fraction of the time of its C++ wrapper.
    `#include <node_api.h>
int answer();
NAPI_MODULE_INIT() {
  napi_value number, text;
  napi_create_int32(env, answer(), &number);
  napi_create_string_utf8(env, HB_VERSION, NAPI_AUTO_LENGTH, &text);
  napi_set_named_property(env, exports, "answer", number);
  napi_set_named_property(env, exports, "version", text);
  return exports;
}
`,
  );
});

function run(script: string, env: NodeJS.ProcessEnv = {}) {
  const result = spawnSync(process.execPath, [path.join(project, 'scripts', script)], {
    cwd: project,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { status: result.status, out: `${result.stdout}${result.stderr}`.trim() };
}

function loadAnswer(): string {
  const code = `const a = require('./build/Release/hyper_bagel.node'); console.log(a.answer, a.version)`;
  return spawnSync(process.execPath, ['-e', code], { cwd: project, encoding: 'utf8' }).stdout.trim();
}

/** A PATH with the named programs only. */
function pathWith(...names: string[]): string {
  const folder = path.join(project, `bin-${names.join('-') || 'empty'}`);
  mkdirSync(folder);
  for (const name of names) {
    writeFileSync(path.join(folder, name), '#!/bin/sh\necho "1.0"\n');
    chmodSync(path.join(folder, name), 0o755);
  }
  return folder;
}

test.each([
  ['a C++ compiler', ['cmake', 'make'], /^No C\+\+ compiler was found: install g\+\+ \d+ or newer[^\n]*\.$/],
  ['CMake', ['g++', 'make'], /^CMake was not found: install CMake [\d.]+ or newer[^\n]*\.$/],
  ['make and ninja', ['g++', 'cmake'], /^Neither make nor ninja was found: install one[^\n]*\.$/],
])('without %s one sentence says what to install', (_what, have, sentence) => {
  const { status, out } = run('build-addon.mjs', { PATH: pathWith(...have), CXX: '' });
  expect(out).toMatch(sentence);
  expect(status).toBe(1);
});

test('a CXX that is not there is named', () => {
  const { status, out } = run('build-addon.mjs', { CXX: 'no-such-compiler' });
  expect(out).toMatch(/^No C\+\+ compiler was found \(CXX names "no-such-compiler", which is not there\): install/);
  expect(status).toBe(1);
});

test('an old Node is told which one to install', () => {
  const file = path.join(project, 'package.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace('">=20.17"', '">=99.5"'));
  const { status, out } = run('ensure.mjs');
  expect(out).toBe(`Node ${process.versions.node} is too old: install Node 99.5 or newer.`);
  expect(status).toBe(1);
});

test('builds what is stale and nothing else', { timeout: 180_000 }, () => {
  const first = run('build-addon.mjs');
  expect(first.out).toMatch(/^building the native addon \(all of it\) \.\.\.\nnative addon built in [\d.]+ s$/);
  expect(first.status).toBe(0);
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(loadAnswer()).toBe(`42 ${version}`);

  expect(run('build-addon.mjs').out).toBe('the native addon is up to date');
  // A finished build needs no compiler.
  expect(run('build-addon.mjs', { PATH: pathWith(), CXX: '' }).out).toBe('the native addon is up to date');

  const source = path.join(project, 'csrc/core/answer.cpp');
  const later = new Date(statSync(source).mtimeMs + 5000);
  utimesSync(source, later, later);
  expect(run('build-addon.mjs').out).toBe('the native addon is up to date');

  writeFileSync(source, 'int answer() { return 43; }\n');
  expect(run('build-addon.mjs').out).toMatch(/^building the native addon \(changed sources\)/);
  expect(loadAnswer()).toBe(`43 ${version}`);

  const manifest = path.join(project, 'package.json');
  writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(`"version": "${version}"`, '"version": "9.8.7"'));
  expect(run('build-addon.mjs').out).toMatch(/^building the native addon \(all of it\)/);
  expect(loadAnswer()).toBe('43 9.8.7');

  writeFileSync(source, 'int answer() { return fortyThree; }\n');
  const broken = run('build-addon.mjs');
  expect(broken.status).toBe(1);
  expect(broken.out.match(/error: ‘?'?fortyThree/g)).toHaveLength(1);
  expect(broken.out.split('\n').at(-1)).toMatch(
    /^The native addon could not be built: .* reported the errors above\.$/,
  );

  // After a failure the next run tries again.
  writeFileSync(source, 'int answer() { return 44; }\n');
  expect(run('build-addon.mjs').status).toBe(0);
  expect(loadAnswer()).toBe('44 9.8.7');
});
