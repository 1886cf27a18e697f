// Runs as many files of the full tier as fit a time, for .ci/run, and prints which it left out and why. Those files are the ones that call
// fullTier(SECONDS, …) of test/kit/tier.ts: a file names its time itself, and nothing is listed here. The shortest come first, which is the
// most files for the time. Node built-ins only.
//   node scripts/full-tier.mjs --minutes M [--began EPOCH_SECONDS]   M from the beginning on, which is now by default
//   node scripts/full-tier.mjs --list                                what there is and what would run, in M = 21 by default
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Seconds that the files of the quick tier take together where the files' own times were measured: how slow a machine is follows. */
const QUICK_SECONDS = 330;
/** Files at a time, as many as vitest has processes. */
const LANES = 2;
/** A file is begun when it ends in time although it takes so much longer than expected, */
const MARGIN = 1.25;
/** and one that takes so many times as long hangs. */
const HANG = 4;

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const reports = path.join('.cache', 'full-tier');

/** Files of the full tier below a folder with the seconds that they say they take, the shortest first. */
export function fullTierFiles(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => ({
      file: path.join(folder, name),
      seconds: /^const \w+ = fullTier\(\s*(\d+)\s*,/m.exec(readFileSync(path.join(folder, name), 'utf8'))?.[1],
    }))
    .filter(({ seconds }) => seconds !== undefined)
    .map(({ file, seconds }) => ({ file, seconds: Number(seconds) }))
    .sort((a, b) => a.seconds - b.seconds || (a.file < b.file ? -1 : 1));
}

/** How many times as long as usual the quick tier took, by its report; not below 1, which would promise too much. */
function slowness(report) {
  const took = report.testResults.reduce((sum, { startTime, endTime }) => sum + (endTime - startTime) / 1000, 0);
  return Math.max(1, took / QUICK_SECONDS);
}

/** What leaves a file out when so many seconds are left; undefined when it fits. */
function leavesOut(seconds, slow, left) {
  const about = seconds * slow;
  if (about * MARGIN <= left) return undefined;
  return `left out: it takes about ${about.toFixed(0)} s here, and ${Math.max(0, left).toFixed(0)} s are left`;
}

/** What would become of each file, were each to take the time that it says. */
function plan(files, slow, left) {
  const lanes = Array(LANES).fill(0);
  for (const { file, seconds } of files) {
    const lane = lanes.indexOf(Math.min(...lanes));
    const why = leavesOut(seconds, slow, left - lanes[lane]);
    if (why === undefined) lanes[lane] += seconds * slow;
    console.log(`${why ?? `would run, about ${(seconds * slow).toFixed(0)} s`}: ${file}`);
  }
}

/** Runs files while they fit; returns how many failed. */
async function runWhileTheyFit(files, slow, end) {
  const waiting = [...files];
  const counts = { passed: 0, failed: 0, 'left out': 0 };
  let expected = 0;
  let took = 0;
  const say = (outcome, file, why) => {
    counts[outcome]++;
    console.log(`${outcome}: ${file}, ${why}`);
  };
  async function lane() {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { file, seconds } = next;
      // what has run so far knows the machine better than the quick tier does
      const slower = Math.max(slow, expected > 0 ? took / expected : 0);
      const start = performance.now();
      const left = (end - Date.now()) / 1000;
      const why = leavesOut(seconds, slower, left);
      if (why !== undefined) {
        say('left out', file, why.replace('left out: ', ''));
        continue;
      }
      const limit = Math.min(left, HANG * seconds * slower + 30);
      const outcome = await runFile(file, limit);
      const ran = (performance.now() - start) / 1000;
      if (outcome !== 'stopped') {
        expected += seconds;
        took += ran;
        say(outcome, file, `${ran.toFixed(0)} s`);
      } else if (limit === left) say('left out', file, `stopped after ${ran.toFixed(0)} s, when the time was over`);
      else {
        writeFileSync(reportOf(file), brokenReport(file));
        say('failed', file, `it did not end within ${limit.toFixed(0)} s, ${HANG} times what it takes here`);
      }
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane));
  console.log(
    `full tier: ${Object.entries(counts)
      .map(([outcome, n]) => `${n} files ${outcome}`)
      .join(', ')}`,
  );
  return counts.failed;
}

const reportOf = (file) => path.join(reports, `${file.replaceAll(/[\\/]/g, '-')}.json`);

/** For what left no report: it counts as one failure in the summary. */
const brokenReport = (file) =>
  JSON.stringify({
    success: false,
    testResults: [{ name: path.join(root, file), status: 'failed', assertionResults: [] }],
  });

/** Runs a file of tests in a process of its own; its output appears only when it fails. */
function runFile(file, limit) {
  const report = reportOf(file);
  const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
  return new Promise((resolve, reject) => {
    // a group of its own, so that the limit ends what the tests have started too
    const child = spawn(process.execPath, [vitest, 'run', file], {
      cwd: root,
      // vitest.config.mjs reads the latter
      env: { ...process.env, HB_TEST_FULL: '1', HB_TEST_REPORT: report },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        output = `${output}${data}`.slice(-100_000);
      });
    }
    let stopped = false;
    const timer = setTimeout(() => {
      stopped = true;
      process.kill(-child.pid, 'SIGKILL');
    }, limit * 1000);
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(timer);
      if (stopped || status !== 0) process.stdout.write(`${output}\n`);
      if (status !== 0 && !stopped && !existsSync(report)) writeFileSync(report, brokenReport(file));
      resolve(stopped ? 'stopped' : status === 0 ? 'passed' : 'failed');
    });
  });
}

async function main(args) {
  const option = (name) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : undefined);
  const began = option('--began') === undefined ? Date.now() : 1000 * option('--began');
  const end = began + 60_000 * (option('--minutes') ?? 21);
  process.chdir(root);
  const quick = path.join('.cache', 'test-report.json');
  const slow = existsSync(quick) ? slowness(JSON.parse(readFileSync(quick, 'utf8'))) : 1;
  const files = fullTierFiles('test');
  const minutes = files.reduce((sum, { seconds }) => sum + seconds, 0) / 60 / LANES;
  const left = (end - Date.now()) / 1000;
  console.log(
    `full tier: ${files.length} files, ${minutes.toFixed(1)} min where they were timed; this machine is taken to be ` +
      `${slow.toFixed(2)} times as slow, and ${(left / 60).toFixed(1)} min are left`,
  );
  if (args.includes('--list')) return plan(files, slow, left);
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports, { recursive: true });
  if ((await runWhileTheyFit(files, slow, end)) > 0) process.exitCode = 1;
}

// not when another module imports it; a path by symbolic links is the same file
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  await main(process.argv.slice(2));
