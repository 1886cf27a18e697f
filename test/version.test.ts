import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { version } from '../lib/index.js';

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

test('library and command line carry the version of package.json', () => {
  expect(version).toBe(manifest.version);
  const printed = execFileSync(process.execPath, ['dist/cli.js', '--version'], { encoding: 'utf8' });
  expect(printed.trim()).toBe(manifest.version);
});
