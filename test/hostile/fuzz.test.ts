// The fuzzer: files from elsewhere, changed at random, through everything that reads them, in processes that are watched. 2,000
// executions, 100,000 in the full tier. A finding names its seed; HB_FUZZ_SEED=<seed> repeats that execution alone.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { fullTier } from '../kit/tier.js';
import { type Failure, KEPT, keep, type Summary } from './report.js';

const WORKER = path.join('.cache', 'hostile', 'worker.js');
const FULL = fullTier(120, '98,000 of 100,000 executions');
const SEED = process.env.HB_FUZZ_SEED;
const EXECUTIONS = FULL ? 100_000 : 2000;
/** Of one process: what leaks or ages does not hide behind a long life, and a crash costs little. */
const PER_PROCESS = FULL ? 5000 : 1000;
/** An execution that has not ended by then never will. */
const HANG_SECONDS = 60;

/** Runs these seeds in a process; what kills it is a failure of the seed that it was at. */
function runSeeds(first: number, count: number): Promise<Summary> {
  // in memory where there is such a place: every execution writes a file
  const folder = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'hyper-bagel-fuzz-'));
  const atFile = path.join(folder, 'at');
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [WORKER, folder, String(first), String(count)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr = `${stderr}${data}`.slice(-20_000);
    });
    let hangs = false;
    // seconds that this process has seen pass: both may be stopped for a while, or the machine asleep
    let seconds = 0;
    let last = 0;
    const watch = setInterval(() => {
      const at = existsSync(atFile) ? statSync(atFile).mtimeMs : 0;
      seconds = at === last ? seconds + 1 : 0;
      last = at;
      if (seconds < HANG_SECONDS) return;
      hangs = true;
      child.kill('SIGKILL');
    }, 1000);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearInterval(watch);
      try {
        if (code === 0) return resolve(JSON.parse(stdout) as Summary);
        const how = hangs ? `did not end within ${HANG_SECONDS} s` : `ended the process: ${signal ?? `exit ${code}`}`;
        if (!existsSync(atFile)) return reject(new Error(`the fuzzer could not begin, it ${how}\n${stderr}`));
        const at = JSON.parse(readFileSync(atFile, 'utf8')) as Omit<Failure, 'problem'>;
        keep(folder, at);
        resolve({
          executions: at.seed - first + 1,
          accepted: 0,
          codes: {},
          targets: {},
          failures: [{ ...at, problem: `${how}\n${stderr}` }],
          memory: 'unknown',
        });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  });
}

/** Runs all seeds, two processes at a time. */
async function runAll(first: number, count: number): Promise<Summary[]> {
  const starts = Array.from({ length: Math.ceil(count / PER_PROCESS) }, (_, i) => first + i * PER_PROCESS);
  const summaries: Summary[] = [];
  const work = async () => {
    for (let start = starts.shift(); start !== undefined; start = starts.shift()) {
      summaries.push(await runSeeds(start, Math.min(PER_PROCESS, first + count - start)));
    }
  };
  await Promise.all([work(), work()]);
  return summaries;
}

const total = (records: readonly Record<string, number>[]) => {
  const sums: Record<string, number> = {};
  for (const [key, n] of records.flatMap((record) => Object.entries(record))) sums[key] = (sums[key] ?? 0) + n;
  return sums;
};

test('changed files: never a crash, always a code, never more memory than they justify', {
  timeout: 1_800_000,
}, async () => {
  mkdirSync(KEPT, { recursive: true });
  const start = performance.now();
  const summaries = SEED === undefined ? await runAll(1, EXECUTIONS) : [await runSeeds(Number(SEED), 1)];
  const seconds = (performance.now() - start) / 1000;
  const failures = summaries.flatMap((summary) => summary.failures);
  const lines = failures.map(
    ({ seed, target, file, problem }) =>
      `seed ${seed}, ${target}, ${file}: ${problem}\n` +
      `  the file: ${KEPT}/${seed}-${path.basename(file)}\n` +
      `  again: HB_FUZZ_SEED=${seed} npx vitest run test/hostile/fuzz.test.ts`,
  );
  expect(lines.join('\n'), 'findings').toBe('');
  const done = summaries.reduce((sum, { executions }) => sum + executions, 0);
  const accepted = summaries.reduce((sum, summary) => sum + summary.accepted, 0);
  const codes = total(summaries.map((summary) => summary.codes));
  const each = total(
    summaries.map(({ targets }) => Object.fromEntries(Object.entries(targets).map(([k, v]) => [k, v.executions]))),
  );
  console.log(
    `${done} executions in ${seconds.toFixed(1)} s (${(done / seconds).toFixed(0)} a second), ${accepted} accepted, refused ` +
      `${JSON.stringify(codes)}; of ${JSON.stringify(each)}; memory: ${[...new Set(summaries.map(({ memory }) => memory))].join(', ')}`,
  );
  if (SEED !== undefined) return;
  expect(done).toBe(EXECUTIONS);
  // the mutator neither breaks everything nor leaves everything whole, and reaches every target
  expect(accepted / done).toBeGreaterThan(0.1);
  expect(accepted / done).toBeLessThan(0.6);
  for (const [target, count] of Object.entries(each)) expect(count, target).toBeGreaterThan(EXECUTIONS / 1000);
  expect(Object.keys(codes)).toEqual(expect.arrayContaining(['BAD_MODEL', 'BAD_IMAGE']));
});
