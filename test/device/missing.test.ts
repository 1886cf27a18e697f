// A device that is not there: the reason in words, and never the cpu instead.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeEach, expect, test } from 'vitest';

const built = path.resolve('build/Release');
const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-device-'));
const library = path.join(folder, 'hyper_bagel_cuda.so');
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  rmSync(library, { force: true });
  copyFileSync(path.join(built, 'hyper_bagel.node'), path.join(folder, 'hyper_bagel.node'));
});

/** What becomes of a context, made by an addon in a folder of its own. */
function open(options: string, env: Record<string, string> = {}): Record<string, string> {
  const program = `
    import { Context } from ${JSON.stringify(pathToFileURL(path.resolve('dist/index.js')).href)};
    try {
      const { device, reason } = await Context.create(${options});
      console.log(JSON.stringify({ device, reason }));
      process.exit(0);
    } catch ({ code, message }) {
      console.log(JSON.stringify({ code, message }));
    }`;
  const { HYPER_BAGEL_DEVICE: _, ...inherited } = process.env;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { ...inherited, HYPER_BAGEL_ADDON_PATH: path.join(folder, 'hyper_bagel.node'), ...env },
  });
  expect(stderr).toBe('');
  return JSON.parse(stdout) as Record<string, string>;
}

const remedy = 'build it with: npx hyper-bagel build --cuda';

test('a library that is not there', () => {
  const message = `the library of the cuda backend, ${library}, is not there; ${remedy}`;
  expect(open(`{ device: 'cuda' }`)).toEqual({ code: 'BACKEND_MISSING', message });
  expect(open('{}', { HYPER_BAGEL_DEVICE: 'cuda' })).toEqual({ code: 'BACKEND_MISSING', message });
  expect(open('{}')).toEqual({ device: 'cpu', reason: message });
});

test('a library that cannot be loaded', () => {
  writeFileSync(library, 'rubbish');
  const { code, message } = open(`{ device: 'cuda' }`);
  expect(code).toBe('BACKEND_MISSING');
  expect(message).toMatch(/cannot be loaded \(.+\); build it with/);
});

test('a library of something else', () => {
  copyFileSync(path.join(built, 'hyper_bagel.node'), library);
  expect(open(`{ device: 'cuda' }`)).toEqual({
    code: 'BACKEND_MISSING',
    message: `the library of the cuda backend, ${library}, is not one of this package; ${remedy}`,
  });
  copyFileSync(path.join(built, 'hyper_bagel_simt.so'), library);
  expect(open(`{ device: 'cuda' }`)).toEqual({
    code: 'BACKEND_MISSING',
    message: `the library of the cuda backend, ${library}, is one of the simt backend`,
  });
});

test('a library from other sources', () => {
  const source = path.join(folder, 'other.cpp');
  writeFileSync(
    source,
    `#include "device/api.h"
     static const hb::DeviceApi api = {hb::kDeviceAbi, sizeof(hb::DeviceApi), hb::contracts_fingerprint() + OTHER, HB_VERSION, "cuda"};
     extern "C" const hb::DeviceApi* hyper_bagel_device() { return &api; }`,
  );
  const { version } = JSON.parse(
    spawnSync('node', ['-p', 'JSON.stringify(require("./package.json"))']).stdout.toString(),
  );
  const build = (other: number) => {
    const flags = ['-std=c++20', '-shared', '-fPIC', '-Icsrc', `-DHB_VERSION="${version}"`, `-DOTHER=${other}`];
    const { stderr, status } = spawnSync('c++', [...flags, '-Wno-missing-field-initializers', source, '-o', library]);
    expect({ stderr: stderr.toString(), status }).toEqual({ stderr: '', status: 0 });
  };
  build(1);
  expect(open(`{ device: 'cuda' }`)).toEqual({
    code: 'BACKEND_MISSING',
    message: `the library of the cuda backend, ${library}, was built from other sources than this addon; ${remedy}`,
  });
});

test('a device that nobody knows', () => {
  expect(open(`{ device: 'tpu' }`)).toEqual({ code: 'BAD_OPTION', message: 'device must be cpu or cuda, got tpu' });
  expect(open(`{ device: 'simt', simt: { arch: 70 } }`)).toMatchObject({ code: 'BAD_OPTION' });
});
