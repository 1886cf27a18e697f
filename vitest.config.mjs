import { readFileSync } from 'node:fs';
import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer } from 'vitest/node';
import { fullTierFiles } from './scripts/full-tier.mjs';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const full = process.env.HB_TEST_FULL === '1';

/** The longest file first, so that the full tier does not end with one process at work on minutes that could have begun long before. */
class LongestFirst extends BaseSequencer {
  async sort(specifications) {
    const seconds = new Map(fullTierFiles('test').map((of) => [path.resolve(of.file), of.seconds]));
    const of = ({ moduleId }) => seconds.get(moduleId) ?? 0;
    return (await super.sort(specifications)).sort((a, b) => of(b) - of(a));
  }
}

export default defineConfig({
  define: { __HYPER_BAGEL_VERSION__: JSON.stringify(version) },
  test: {
    include: ['test/**/*.test.ts'],
    // Native code: one process per file, so that a crash takes down one file only and shows which.
    pool: 'forks',
    maxWorkers: 2,
    ...(full && { sequence: { sequencer: LongestFirst } }),
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', ['json', { outputFile: process.env.HB_TEST_REPORT ?? '.cache/test-report.json' }]],
  },
});
