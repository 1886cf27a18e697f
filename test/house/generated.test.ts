import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('generated files are those that the contracts give', { timeout: 120_000 }, () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/gen.mjs', '--check'], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});
