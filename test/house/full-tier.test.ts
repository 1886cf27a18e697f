// scripts/full-tier.mjs, which .ci/run calls, on a project of its own whose tests only say how they end.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { sources } from './sources.js';

const SCRIPTS = ['full-tier.mjs', 'test-summary.mjs'];
const temporary = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-tiers-'));
afterAll(() => rmSync(temporary, { recursive: true }));

let project = '';
let count = 0;
beforeEach(() => {
  project = path.join(temporary, `project-${count++}`);
  for (const name of SCRIPTS) cpSync(path.join('scripts', name), path.join(project, 'scripts', name));
  // what the real one does as far as the scripts see it: a file says what becomes of it
  write(
    'node_modules/vitest/vitest.mjs',
    `import { readFileSync, writeFileSync } from 'node:fs';
const [, file] = process.argv.slice(2);
const report = process.env.HB_TEST_REPORT;
const ends = readFileSync(file, 'utf8');
if (process.env.HB_TEST_FULL !== '1') throw new Error('not the full tier');
if (ends.includes('sleeps')) await new Promise((resolve) => setTimeout(resolve, 60_000));
if (ends.includes('crashes')) process.exit(139);
const status = ends.includes('fails') ? 'failed' : 'passed';
const assertionResults = [{ fullName: 'a', status }, { fullName: 'only in the full tier', status: 'passed' }];
writeFileSync(report, JSON.stringify({ success: status === 'passed', testResults: [{ name: process.cwd() + '/' + file, status, assertionResults }] }));
process.exit(status === 'passed' ? 0 : 1);
`,
  );
});

function write(name: string, text: string): void {
  const file = path.join(project, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/** The report of a quick tier that took so long, with a test of one file that passed and one that was left to the full tier. */
function writeQuickReport(seconds: number): void {
  const name = path.join(project, 'test/a.test.ts');
  const assertionResults = ['a', 'only in the full tier'].map((fullName, i) => ({
    fullName,
    status: ['passed', 'skipped'][i],
  }));
  const result = { name, status: 'passed', startTime: 0, endTime: seconds * 1000, assertionResults };
  write('.cache/test-report.json', JSON.stringify({ success: true, testResults: [result] }));
}

function run(script: string, args: readonly string[], folder = project) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(folder, 'scripts', script), ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { status, stdout: stdout.trim().split('\n'), stderr };
}

const summary = () => run('test-summary.mjs', ['.cache/test-report.json', '.cache/full-tier']);

describe('what fits', () => {
  test('runs, the shortest first, and counts each test once', () => {
    writeQuickReport(1);
    write('test/b.test.ts', "const full = fullTier(9, 'b'); passes");
    write('test/deep/a.test.ts', "const full = fullTier(3, 'a'); passes");
    write('test/quick.test.ts', 'crashes: it is of the quick tier alone');
    write('test/kit/tier.ts', 'export function fullTier(seconds: number)');
    const { status, stdout } = run('full-tier.mjs', ['--minutes', '5']);
    expect(stdout[0]).toMatch(/^full tier: 2 files, 0\.1 min .* 1\.00 times as slow, and 5\.0 min are left$/);
    expect(stdout.slice(1)).toEqual([
      expect.stringMatching(/^passed: test\/(deep\/a|b)\.test\.ts, \d+ s$/),
      expect.stringMatching(/^passed: test\/(deep\/a|b)\.test\.ts, \d+ s$/),
      'full tier: 2 files passed, 0 files failed, 0 files left out',
    ]);
    expect(status).toBe(0);
    expect(run('full-tier.mjs', ['--list']).stdout.slice(1)).toEqual([
      'would run, about 3 s: test/deep/a.test.ts',
      'would run, about 9 s: test/b.test.ts',
    ]);
  });

  test('is less on a slow machine, and what does not fit says why', () => {
    const usual = Number(/QUICK_SECONDS = (\d+);/.exec(readFileSync('scripts/full-tier.mjs', 'utf8'))?.[1]);
    writeQuickReport(3 * usual);
    write('test/a.test.ts', "const full = fullTier(5, 'a'); passes");
    write('test/b.test.ts', "const full = fullTier(\n  60,\n  'b',\n); fails");
    const args = ['--minutes', '3', '--began', String(Date.now() / 1000 - 60)];
    const { status, stdout } = run('full-tier.mjs', args);
    expect(stdout.slice(1).sort()).toEqual([
      'full tier: 1 files passed, 0 files failed, 1 files left out',
      expect.stringMatching(/^left out: test\/b\.test\.ts, it takes about 180 s here, and 1[12]\d s are left$/),
      expect.stringMatching(/^passed: test\/a\.test\.ts/),
    ]);
    expect(status).toBe(0);
    expect(summary()).toMatchObject({ status: 0, stdout: ['2 passed, 0 failed'] });
    expect(run('full-tier.mjs', [...args, '--list']).stdout.slice(1)).toEqual([
      'would run, about 15 s: test/a.test.ts',
      expect.stringMatching(/^left out: it takes about 180 s here, and 1[12]\d s are left: test\/b\.test\.ts$/),
    ]);
  });
});

describe('fails when a file', () => {
  test.each([
    ['fails', 'fails', '2 passed, 1 failed, 1 skipped'],
    ['leaves no report', 'crashes', '1 passed, 1 failed, 1 skipped'],
  ])('%s', (_, ends, line) => {
    writeQuickReport(1);
    write('test/b.test.ts', `const full = fullTier(1, 'b'); ${ends}`);
    const { status, stdout } = run('full-tier.mjs', ['--minutes', '1']);
    expect(stdout.at(-2)).toMatch(/^failed: test\/b\.test\.ts/);
    expect(status).toBe(1);
    expect(summary()).toMatchObject({ status: 1, stdout: [line] });
  });
});

test('what has not ended when the time is over is stopped, and left out', () => {
  write('test/b.test.ts', "const full = fullTier(1, 'b'); sleeps");
  const { status, stdout } = run('full-tier.mjs', ['--minutes', '0.03']);
  expect(stdout.slice(-2)).toEqual([
    expect.stringMatching(/^left out: test\/b\.test\.ts, stopped after [23] s, when the time was over$/),
    'full tier: 0 files passed, 0 files failed, 1 files left out',
  ]);
  expect(status).toBe(0);
  expect(readdirSync(path.join(project, '.cache', 'full-tier'))).toEqual([]);
});

test('what hangs has failed', { timeout: 60_000 }, () => {
  writeQuickReport(1);
  // 30 s are the least that a file is given
  const script = path.join(project, 'scripts/full-tier.mjs');
  writeFileSync(script, readFileSync(script, 'utf8').replace('slower + 30', 'slower + 0.5'));
  write('test/b.test.ts', "const full = fullTier(0, 'b'); sleeps");
  const { status, stdout } = run('full-tier.mjs', ['--minutes', '1']);
  expect(stdout.at(-2)).toMatch(/^failed: test\/b\.test\.ts, it did not end within/);
  expect(status).toBe(1);
  expect(summary()).toMatchObject({ status: 1, stdout: ['1 passed, 1 failed, 1 skipped'] });
});

test('every file that has more in the full tier is found', () => {
  const { stdout } = run('full-tier.mjs', ['--list'], '.');
  const found = stdout.slice(1).map((line) => /: (\S+)$/.exec(line)?.[1]);
  const calling = sources(['test'], /\.test\.ts$/)
    .filter(({ name, text }) => /= fullTier\(/.test(text) && name !== 'test/house/full-tier.test.ts')
    .map(({ name }) => name);
  expect(found.sort()).toEqual(calling.sort());
  expect(calling.length).toBeGreaterThan(10);
  // and none has a way of its own
  const reading = sources(['test', 'lib', 'bench'], /\.ts$/).filter(({ text }) => /env\.HB_TEST_FULL/.test(text));
  expect(reading.map(({ name }) => name).sort()).toEqual(['test/house/full-tier.test.ts', 'test/kit/tier.ts']);
  expect(readFileSync('.ci/run', 'utf8')).toContain('scripts/full-tier.mjs');
  expect(readFileSync('vitest.config.mjs', 'utf8')).toContain('process.env.HB_TEST_REPORT');
});
