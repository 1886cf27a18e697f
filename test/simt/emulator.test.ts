// The test program of the emulator and of the CUDA primitives: its own words, one test here for each of its tests.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const program = '.cache/simt/simt_tests';
if (!existsSync(program)) throw new Error(`${program} is not built: run "node scripts/ensure.mjs --tests"`);
const run = spawnSync(program, { encoding: 'utf8', timeout: 50_000, maxBuffer: 1 << 24 });
const lines = run.stdout.split('\n').filter(Boolean);

describe('simt_tests', () => {
  for (const line of lines) {
    const [, verdict, name, words] = /^(ok|not ok) (\w+)(?:: (.*))?$/.exec(line) ?? [];
    test(name ?? line, () => expect(verdict === 'ok' ? 'ok' : (words ?? line)).toBe('ok'));
  }

  test('ran to its end', () => {
    expect(run.stderr).toBe('');
    expect(run.signal).toBe(null);
    expect(run.status).toBe(lines.every((line) => line.startsWith('ok ')) ? 0 : 1);
    // Every planted bug has its test, and so has every family of primitives.
    for (const name of ['planted_missing_wait', 'planted_deadlock', 'planted_unpredicated_tail', 'mma', 'noise_bits']) {
      expect(lines).toContain(`ok ${name}`);
    }
  });
});
