// Runs executions of the fuzzer in a process of its own, which test/hostile/fuzz.test.ts watches: a crash ends it and leaves the
// changed file and the seed where the watcher finds them.
//   node .cache/hostile/worker.js FOLDER FIRST COUNT
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { HyperBagelError } from '../../lib/errors.js';
import { ERROR_CODES } from '../../lib/generated/error-codes.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { Dice } from './mutate.js';
import { keep, type Summary } from './report.js';
import { allTargets, mutateFile, type Target, writeSeeds } from './targets.js';

/**
 * What an execution may take: resident memory at its height beyond what it began with, and address space beyond the most so far.
 * Twice 16 bytes of each byte of the file that was changed (text becomes UTF-16, then objects; pixels and weights are converted), what
 * the target needs for its own, and room for what a garbage collector and an allocator keep to themselves.
 */
const PER_FILE_BYTE = 32;
const RESIDENT_SLACK = 64 << 20;
const ADDRESS_SLACK = 768 << 20;

/** Codes that say that we, not the file, are at fault. */
const OURS: readonly string[] = ['INTERNAL', 'BUSY', 'DISPOSED', 'DEVICE_LOST', 'BACKEND_MISSING', 'CANCELLED'];

/** A sanitizer keeps what is freed and much beside: what memory an execution took says nothing then. */
const UNMEASURED = process.env.HB_FUZZ_MEMORY === 'off' ? 'not measured: HB_FUZZ_MEMORY=off' : undefined;

/** Bytes that the system says of this process, by name; zeros where it says nothing. */
function memoryReader(): () => { resident: number; residentPeak: number; addressPeak: number } {
  const unknown = () => ({ resident: 0, residentPeak: 0, addressPeak: 0 });
  if (UNMEASURED !== undefined) return unknown;
  let handle: number;
  try {
    handle = openSync('/proc/self/status', 'r');
  } catch {
    return unknown;
  }
  const buffer = Buffer.alloc(4096);
  return () => {
    const text = buffer.toString('latin1', 0, readSync(handle, buffer, 0, buffer.length, 0));
    const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
    return { resident: bytes('VmRSS'), residentPeak: bytes('VmHWM'), addressPeak: bytes('VmPeak') };
  };
}

/** Peaks of this process, reset before each execution; or why there are none. */
function peakMeter(): { reset(): void; close(): void } | string {
  if (UNMEASURED !== undefined) return UNMEASURED;
  try {
    const handle = openSync('/proc/self/clear_refs', 'w');
    const reset = () => void writeSync(handle, '5', 0);
    reset();
    return { reset, close: () => closeSync(handle) };
  } catch (error) {
    return `peaks cannot be reset here: ${error instanceof Error ? error.message : error}`;
  }
}

function choose(targets: readonly Target[], dice: Dice): Target {
  const lots = targets.flatMap((target) => Array<Target>(target.share).fill(target));
  return dice.pick(lots);
}

/** What is wrong with an outcome; undefined when it is ours with a code of the list. */
function wrongWith(error: unknown): string | undefined {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  if (!(error instanceof HyperBagelError)) return `not one of our errors: ${text}`;
  if (!(ERROR_CODES as readonly string[]).includes(error.code)) return `unknown code ${error.code}: ${text}`;
  if (OURS.includes(error.code)) return `code ${error.code}, which is not the file's fault: ${text}`;
  return undefined;
}

async function main(folder: string, first: number, count: number): Promise<Summary> {
  await writeSeeds(folder);
  const options = { threads: 1, cacheTokens: 64, keepMeasurements: false, draft: false } as const;
  const bagel = await Bagel.load(path.join(folder, 'model'), options);
  const only = process.env.HB_FUZZ_TARGET;
  const targets = allTargets(bagel).filter(({ name }) => only === undefined || name === only);
  const seeds = new Map(targets.flatMap(({ files }) => files.map((f) => [f, readFileSync(path.join(folder, f))])));
  const meter = peakMeter();
  const memoryNow = memoryReader();
  const summary: Summary = {
    executions: 0,
    accepted: 0,
    codes: {},
    targets: Object.fromEntries(targets.map(({ name }) => [name, { executions: 0, ms: 0 }])),
    failures: [],
    memory: typeof meter === 'string' ? meter : 'measured',
  };
  // the unchanged files are good, and everything that is loaded once is there
  for (const target of targets) for (const file of target.files) await target.run(folder, file);
  const at = openSync(path.join(folder, 'at'), 'w');
  for (let seed = first; seed < first + count; seed++) {
    const dice = new Dice(Math.imul(seed, 0x9e3779b1));
    const target = choose(targets, dice);
    const file = dice.pick(target.files);
    const original = seeds.get(file) as Buffer;
    const bytes = mutateFile(file, original, dice);
    writeFileSync(path.join(folder, file), bytes);
    writeSync(at, `${JSON.stringify({ seed, target: target.name, file })}\n`.padEnd(200), 0);
    if (typeof meter !== 'string') meter.reset();
    const before = memoryNow();
    const start = performance.now();
    let problem: string | undefined;
    try {
      await target.run(folder, file);
      summary.accepted++;
    } catch (error) {
      problem = wrongWith(error);
      const code = error instanceof HyperBagelError ? error.code : 'another error';
      summary.codes[code] = (summary.codes[code] ?? 0) + 1;
    }
    const ms = performance.now() - start;
    const after = memoryNow();
    const justified = PER_FILE_BYTE * bytes.length + (target.own ?? 0);
    const rss = after.residentPeak - before.resident;
    if (typeof meter !== 'string' && rss > justified + RESIDENT_SLACK) {
      problem ??= `took ${rss} bytes of memory, a file of ${bytes.length} bytes justifies ${justified + RESIDENT_SLACK}`;
    }
    const space = after.addressPeak - before.addressPeak;
    if (space > justified + ADDRESS_SLACK) {
      problem ??= `took ${space} bytes of address space, a file of ${bytes.length} bytes justifies ${justified + ADDRESS_SLACK}`;
    }
    if (problem !== undefined) {
      summary.failures.push({ seed, target: target.name, file, problem });
      keep(folder, { seed, target: target.name, file });
    }
    writeFileSync(path.join(folder, file), original);
    const figures = summary.targets[target.name] as { executions: number; ms: number };
    figures.executions++;
    figures.ms += ms;
    summary.executions++;
    if (summary.failures.length >= 20) break;
  }
  closeSync(at);
  if (typeof meter !== 'string') meter.close();
  await bagel.dispose();
  return summary;
}

const [folder = '', first = '', count = ''] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await main(folder, Number(first), Number(count))));
