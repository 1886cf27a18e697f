// `npm run bench:compare -- A B [rows...]`: two builds in turns. A and B are checkouts or commits of this repository.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { formatTable } from '../lib/profile/table.js';
import { median } from './arithmetic.js';
import { digits } from './report.js';
import { listRows, names } from './rows.js';
import { type Turns, takeTurns } from './turns.js';
import { allowedProcessors, canPin, Worker, workerFile } from './worker/child.js';
import type { Row } from './worker/messages.js';

const root = path.resolve(import.meta.dirname, '..', '..');

/** What is measured when no row is named: the steps of the model, and the ops that take most of their time. */
const DEFAULT_ROWS = ['decode_step', 'denoise_step', 'vae_decode', 'linear', 'paged_attention', 'conv2d'];

interface Options {
  rounds: number;
  seconds: number;
  threads?: number;
  isa?: string;
  asBuilt?: true;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('expected a positive number.');
  return value;
}

const program = new Command('bench:compare')
  .description(
    'Measures two builds in turns, a process of each on the same processors, and prints the ratio of their medians with ' +
      'an interval: 95 % of the resamples of the rounds. An interval that holds 1 shows no difference.',
  )
  .argument('<a>', 'folder of a checkout, or a commit; a commit is checked out and built under .cache/compare')
  .argument('<b>', 'the other')
  .argument('[rows...]', `ops or steps; default: ${DEFAULT_ROWS.join(', ')}`)
  .option('--rounds <n>', 'turns of each build per row', positive, 15)
  .option('--seconds <s>', 'seconds of a turn at least', positive, 0.1)
  .option('--threads <n>', 'compute threads; default: all that this process may use', positive)
  .option('--isa <name>', 'instruction set; default: the best of this machine')
  .option('--as-built', 'take the builds as they are, stale or not')
  .showHelpAfterError();

function git(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`git ${args[0]}: ${stderr.trim()}`);
  return stdout.trim();
}

/** A checkout of the commit under .cache/compare, with the dependencies of this one where the lock files agree. */
function checkoutOf(commit: string): string {
  const full = git('rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}^{commit}`);
  const folder = path.join(root, '.cache', 'compare', full.slice(0, 12));
  if (!existsSync(folder)) {
    mkdirSync(path.dirname(folder), { recursive: true });
    git('worktree', 'prune');
    git('worktree', 'add', '--detach', folder, full);
  }
  const lock = (at: string) => readFileSync(path.join(at, 'package-lock.json'), 'utf8');
  if (!existsSync(path.join(folder, 'node_modules')) && lock(folder) === lock(root)) {
    symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'), 'dir');
  }
  return folder;
}

/** The root of a built checkout. */
function buildOf(name: string, asBuilt: boolean): string {
  const folder = existsSync(path.join(name, 'package.json')) ? path.resolve(name) : checkoutOf(name);
  process.stderr.write(`${name}: ${folder}\n`);
  if (!asBuilt) {
    const { status } = spawnSync(process.execPath, [path.join(folder, 'scripts', 'ensure.mjs')], {
      cwd: folder,
      stdio: ['ignore', 2, 2],
    });
    if (status !== 0) throw new Error(`${name} cannot be built`);
  }
  if (!existsSync(workerFile(folder))) {
    throw new Error(`${name} has no bench worker: ${asBuilt ? 'it is not built' : 'it is older than bench:compare'}`);
  }
  return folder;
}

export const COMPARE_HEAD = ['row', 'case', 'A us', 'B us', 'B / A', '95 %', ''];

/** One line of the table; the ratio is B to A. */
export function compareCells(name: string, c: string, { a, b, ratio }: Turns): string[] {
  const us = (sample: readonly number[]) => digits(median(sample) * 1e6);
  const verdict = ratio.low > 1 ? 'B slower' : ratio.high < 1 ? 'B faster' : 'no difference seen';
  const span = `${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}`;
  return [name, c, us(b), us(a), ratio.ratio.toFixed(3), span, verdict];
}

async function main(): Promise<void> {
  program.parse();
  const {
    rounds,
    seconds,
    isa,
    asBuilt = false,
    threads = Math.max(1, allowedProcessors().length),
  } = program.opts<Options>();
  const [nameA = '', nameB = '', ...asked] = program.args;
  const unknown = asked.filter((name) => !names().includes(name));
  if (unknown.length > 0) throw new Error(`there is no row ${unknown.join(', ')}; npm run bench -- --list shows them`);
  const builds = [buildOf(nameA, asBuilt), buildOf(nameB, asBuilt)] as const;
  const open = (folder: string) => new Worker({ engine: 'ours', threads, isa, root: folder });
  const [a, b] = [open(builds[0]), open(builds[1])];
  try {
    const isas = [await a.isa(), await b.isa()];
    process.stdout.write(
      `A ${nameA} (${isas[0]}), B ${nameB} (${isas[1]}), ${threads} thread${threads === 1 ? '' : 's'}, ` +
        `${canPin() ? 'on the same processors' : 'not pinned (no taskset)'}, ${rounds} rounds of at least ${seconds} s\n\n`,
    );
    const lines: string[][] = [];
    for (const { kind, name, case: c } of await listRows(asked.length > 0 ? asked : DEFAULT_ROWS)) {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${name}: ${c}`);
      const row: Row =
        kind === 'op' ? { kind, op: name, case: c } : { kind, name, dtype: c === 'bf16' ? 'bf16' : 'f32' };
      try {
        await Promise.all([a.prepare('x', row), b.prepare('x', row)]);
      } catch (error) {
        lines.push([name, c, '', '', '', '', `not in both: ${error instanceof Error ? error.message : error}`]);
        await Promise.allSettled([a.drop('x'), b.drop('x')]);
        continue;
      }
      // the ratio of turns is first to second
      const turns = await takeTurns(
        (s) => b.sample('x', s),
        (s) => a.sample('x', s),
        rounds,
        seconds,
      );
      lines.push(compareCells(name, c, turns));
      await Promise.all([a.drop('x'), b.drop('x')]);
    }
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    process.stdout.write(formatTable([COMPARE_HEAD, ...lines]));
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}

// a test imports the parts
if (process.argv[1] === import.meta.filename) {
  main().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
