import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { HyperBagelError } from '../lib/errors.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-load-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.resetModules();
});

/** The loader in its first state, since it remembers an addon that it has loaded. */
async function freshLoader() {
  vi.resetModules();
  return import('../lib/native/load.js');
}

async function failureFor(file: string): Promise<HyperBagelError> {
  vi.stubEnv('HYPER_BAGEL_ADDON_PATH', file);
  const { loadAddon } = await freshLoader();
  try {
    loadAddon();
  } catch (error) {
    if (HyperBagelError.isInstance(error)) return error;
    throw error;
  }
  throw new Error(`${file} was loaded`);
}

function write(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

test('loads the built addon and says which file it is', async () => {
  vi.stubEnv('HYPER_BAGEL_ADDON_PATH', '');
  const { addonInfo } = await freshLoader();
  const info = addonInfo();
  expect(info.file).toBe(path.resolve('build/Release/hyper_bagel.node'));
  expect(info.version).toMatch(/^\d+\.\d+\.\d+/);
});

test.each([
  ['a file that is not there', () => path.join(folder, 'absent.node'), 'there is no such file'],
  ['a file that is no shared library', () => write('text.node', 'not a library'), 'text.node'],
  ['a module of another kind', () => write('other.cjs', 'module.exports = {}'), 'not the addon of this package'],
  [
    'an addon of another version',
    () => write('old.cjs', "module.exports = { version: () => '0.0.1-old' }"),
    'it was built from version 0.0.1-old',
  ],
])('refuses %s and names the file, the reason and the command', async (_what, file, reason) => {
  const error = await failureFor(file());
  expect(error.code).toBe('BACKEND_MISSING');
  expect(error.message).toContain(process.env.HYPER_BAGEL_ADDON_PATH);
  expect(error.message).toContain(reason);
  expect(error.message).toContain('npx hyper-bagel build');
});

test('a path that was asked for has no silent fallback, and a failure is not remembered', async () => {
  vi.stubEnv('HYPER_BAGEL_ADDON_PATH', path.join(folder, 'absent.node'));
  const { loadAddon } = await freshLoader();
  expect(() => loadAddon()).toThrow('could not be loaded');
  vi.stubEnv('HYPER_BAGEL_ADDON_PATH', path.resolve('build/Release/hyper_bagel.node'));
  expect(loadAddon().version()).toMatch(/^\d+\./);
});
