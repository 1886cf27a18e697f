// The fuzzer with the addon under AddressSanitizer and UndefinedBehaviorSanitizer, and native code that reads files alone.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { fullTier } from '../kit/tier.js';

const full = fullTier(220, 'the fuzzer with the addon under sanitizers, which takes minutes to build');

test.skipIf(!full)('neither sanitizer reports anything', { timeout: 1_800_000 }, async (context) => {
  // a report is its exit status, and execFile's error has what it wrote
  const { stdout } = await promisify(execFile)(process.execPath, ['scripts/fuzz-native.mjs', '5000']);
  console.log(stdout.trim());
  if (stdout.startsWith('not run: ')) return context.skip();
  expect(stdout).toMatch(/25000 inputs .* 5000 executions .*: no report of either sanitizer/);
});
