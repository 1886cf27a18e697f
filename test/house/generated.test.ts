import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { opContracts } from '../../lib/tensor/context.js';

test('generated files are those that the contracts give', { timeout: 120_000 }, () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/gen.mjs', '--check'], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

test('ops that only the CPU has say why, in their contract and in the docs', () => {
  const only = [...opContracts().values()].map(({ contract }) => contract).filter(({ cpuOnly }) => cpuOnly !== null);
  expect(only.map(({ name }) => name)).toEqual(['filtered_softmax', 'classic_verify']);
  const page = readFileSync('docs/ops.md', 'utf8');
  for (const { cpuOnly } of only) expect(page).toContain(`On the \`cpu\` backend only: ${cpuOnly}.`);
});
