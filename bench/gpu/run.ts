// scripts/gpu-check: `gpu.js [--out DIR] [--device cuda|simt] [--minutes N] [--only STEP,...] [--ops OP,...] [--words WORD,...]`.
// The process that was started only watches: each step runs in a process of its own, which may crash or hang on a faulty kernel
// without taking the rest along. Exit status: 0 all good, 1 something failed, 2 wrong usage, 3 the time ran out: call again to go on.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { HyperBagelError } from '../../lib/errors.js';
import { packageRoot } from '../../lib/native/load.js';
import { Context, opContracts, probeCard } from '../../lib/tensor/context.js';
import { casesOf } from '../rows.js';
import { cardState } from './card.js';
import { Journal } from './journal.js';
import type { Step, Where } from './plan.js';
import { failuresOf, type Machine, machineOf, merge, readPack, readReport, summary, writeReport } from './report.js';
import { STEPS, stepOf } from './steps.js';

class Usage extends Error {}

const options = {
  out: { type: 'string', default: 'gpu-check-results' },
  device: { type: 'string' },
  minutes: { type: 'string', default: '9' },
  only: { type: 'string' },
  ops: { type: 'string' },
  words: { type: 'string' },
  /** What the watching process starts: one step, until this time in ms. */
  worker: { type: 'string' },
  until: { type: 'string' },
  /** What compute-sanitizer starts: the small cases of some ops. */
  'check-small': { type: 'string' },
} as const;

/** The options, or what is wrong with them. */
function parse() {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(2);
  }
}

const values = parse();

const root = packageRoot();
const say = (text: string) => process.stdout.write(`${text}\n`);
const split = (text: string | undefined) => (text ? text.split(',') : []);
const out = path.resolve(values.out);

function deviceOf(): 'cuda' | 'simt' {
  const device = values.device ?? readPack(root).device;
  if (device === 'cuda' || device === 'simt') return device;
  throw new Usage(`--device is cuda or simt, not ${device}`);
}

function only(): Step[] {
  const names = split(values.only);
  const unknown = names.find((name) => !STEPS.some((step) => step.name === name));
  if (unknown !== undefined) {
    throw new Usage(`there is no step ${unknown}; there are ${STEPS.map(({ name }) => name).join(', ')}`);
  }
  return STEPS.filter(({ name }) => names.length === 0 || names.includes(name));
}

async function where(ops: readonly string[]): Promise<Where> {
  const known = [...opContracts().keys()];
  const unknown = ops.find((op) => !known.includes(op));
  if (unknown !== undefined) throw new Usage(`there is no op ${unknown}`);
  const chosen = known.filter((op) => ops.length === 0 || ops.includes(op));
  const device = deviceOf();
  return {
    device,
    small: device === 'simt',
    ops: await Promise.all(chosen.map(casesOf)),
    words: split(values.words),
    root,
  };
}

/** Status of a worker that has found an error: the device may be unusable for this process, but not for the next. */
const AFTER_ERROR = 4;
const TIME_UP = 3;

/** One step: the pieces that are not done, until the time is up. */
async function work(step: Step): Promise<number> {
  const until = Number(values.until);
  const journal = new Journal(out, step.name);
  const open = await step.open(await where(split(values.ops)));
  let status = 0;
  for (const piece of open.pieces) {
    if (journal.done().has(piece.name)) continue;
    if (Date.now() >= until) {
      status = TIME_UP;
      break;
    }
    journal.add({ begin: piece.name, limit: piece.limit, at: Date.now() });
    const start = performance.now();
    try {
      const result = await piece.run();
      const seconds = (performance.now() - start) / 1e3;
      journal.add({ end: piece.name, seconds, result });
      const how = result.failures.length > 0 ? 'FAILED' : result.skipped ? 'skipped' : 'ok';
      say(`${how} ${step.name}, ${piece.name} (${seconds.toFixed(1)} s)`);
    } catch (error) {
      const text = HyperBagelError.isInstance(error)
        ? `${error.code}: ${error.message}`
        : String((error as Error)?.stack ?? error);
      journal.fail(text);
      say(`FAILED ${step.name}, ${piece.name}: ${text}`);
      return AFTER_ERROR;
    }
  }
  await open.close();
  return status;
}

interface Watched {
  status: number | null;
  signal: string | null;
  /** Why the watcher has ended it. */
  ended?: 'limit' | 'deadline';
}

/** Runs a worker and ends it when a piece hangs or the time is up. */
function watch(step: Step, until: number): Promise<Watched> {
  const journal = new Journal(out, step.name);
  const given = ['out', 'device', 'ops', 'words'] as const;
  const passed = given.flatMap((name) => (values[name] === undefined ? [] : [`--${name}`, values[name]]));
  const args = [process.argv[1] as string, ...passed, '--worker', step.name, '--until', `${until}`];
  return new Promise((resolve, reject) => {
    // a group of its own, so that what it has started ends with it
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
    let ended: Watched['ended'];
    const end = (why: Watched['ended']) => {
      ended ??= why;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    };
    const timer = setInterval(() => {
      const open = journal.open();
      if (Date.now() >= until) end('deadline');
      else if (open && Date.now() - open.at > open.limit * 1e3) end('limit');
    }, 500);
    // a group of its own hears nothing of Ctrl-C; what is cut off begins anew at the next call
    const stop = () => {
      end('deadline');
      journal.cut();
      process.exit(130);
    };
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, stop);
    child.on('error', reject);
    child.on('close', (status, signal) => {
      clearInterval(timer);
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, stop);
      resolve({ status, signal, ...(ended ? { ended } : {}) });
    });
  });
}

/** Runs a step to its end or to the end of the time; false: the latter. */
async function runStep(step: Step, until: number): Promise<boolean> {
  const journal = new Journal(out, step.name);
  journal.fail('the call before ended during it'); // only if one is open
  for (;;) {
    const before = journal.lines().length;
    const { status, signal, ended } = await watch(step, until);
    if (ended === 'deadline') journal.cut();
    else if (ended === 'limit') journal.fail(`it took longer than ${journal.open()?.limit} s`);
    else if (status !== 0 && status !== TIME_UP) journal.fail(`the process ended with ${signal ?? status}`);
    if (ended === 'deadline' || status === TIME_UP) return false;
    if (status === 0) return true;
    if (journal.lines().length === before) {
      const reason = `the step could not be begun: its process ended with ${signal ?? status}`;
      journal.add({ end: 'begin', seconds: 0, result: { failures: [reason] } });
      return true;
    }
  }
}

/** What is checked; starts the driver. */
async function findMachine(): Promise<Machine> {
  const pack = readPack(root);
  if (deviceOf() === 'cuda') {
    const { name, arch } = await probeCard();
    return machineOf(pack, name, `sm_${arch}`);
  }
  const cx = await Context.create({ device: 'simt' });
  const machine = machineOf(pack, 'simt', cx.isa);
  await cx.dispose();
  return machine;
}

/** Results of another card or of another build are no results of this one. */
function claimFolder(machine: Machine): void {
  mkdirSync(out, { recursive: true });
  const file = path.join(out, 'machine.json');
  if (!existsSync(file)) {
    writeFileSync(file, `${JSON.stringify(machine, null, 1)}\n`);
    return;
  }
  const before = JSON.parse(readFileSync(file, 'utf8')) as Machine;
  for (const [what, was, is] of [
    ['card', before.card, machine.card],
    ['commit', before.pack.commit, machine.pack.commit],
    ['kernels', before.pack.sources, machine.pack.sources],
  ] as const) {
    if (was !== is)
      throw new Usage(`${out} holds results of another ${what} (${was}, not ${is}): name another folder with --out`);
  }
}

async function main(): Promise<number> {
  if (values['check-small'] !== undefined) {
    const inner = stepOf('sweep-small') as Step;
    const open = await inner.open(await where(split(values['check-small'])));
    let failed = false;
    for (const piece of open.pieces) {
      const { failures } = await piece.run();
      for (const text of failures) say(`${piece.name}: ${text}`);
      failed ||= failures.length > 0;
    }
    await open.close();
    return failed ? 1 : 0;
  }
  if (values.worker !== undefined) return work(stepOf(values.worker) as Step);

  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Usage('--minutes is a positive number');
  const until = Date.now() + minutes * 60e3;
  const steps = only();
  const machine = await findMachine();
  claimFolder(machine);
  say(
    `${machine.card} (${machine.arch}), hyper-bagel ${machine.version}, commit ${machine.pack.commit}, results in ${out}`,
  );
  const state = cardState();
  say(
    typeof state === 'string'
      ? state
      : Object.entries(state)
          .map(([key, value]) => `${key} ${value}`)
          .join(', '),
  );
  let timeUp = false;
  for (const step of steps) {
    if (readReport(out, step.name)?.done) continue;
    say(`-- ${step.name}: ${step.about}`);
    timeUp = !(await runStep(step, until));
    writeReport(out, step.name, !timeUp);
    if (timeUp) break;
  }
  const names = STEPS.map(({ name }) => name);
  say(`\n${summary(out, names)}`);
  say(`\nmerged into ${merge(out, machine, names)}`);
  const failed = names.some((name) => {
    const report = readReport(out, name);
    return report !== null && failuresOf(report).length > 0;
  });
  if (timeUp) say('the time is up: call again with the same --out to go on');
  if (failed) return 1;
  return timeUp ? 3 : 0;
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    const usage = error instanceof Usage;
    const text = error instanceof Error ? error.message : String(error);
    process.stderr.write(`${usage || HyperBagelError.isInstance(error) ? text : (error as Error).stack}\n`);
    process.exit(usage ? 2 : 1);
  },
);
