// `npm run bench -- [OP...] [options]`
import { appendFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { Bagel } from '../lib/models/bagel/bagel.js';
import { flopRate, measureRoofline } from '../lib/profile/roofline.js';
import { formatTable } from '../lib/profile/table.js';
import { Context, type ContextOptions } from '../lib/tensor/context.js';
import { median } from './arithmetic.js';
import { peersChart, rowsChart } from './charts.js';
import { denoiseGates, type Gate, gateLine, manyRowsGates, outsideGates, roundGates, rowsGate } from './gates.js';
import { FULL, QUICK } from './harness.js';
import { describeMachine, machineLine, rooflineLines } from './machine.js';
import { measureOp, measureQueue } from './op-row.js';
import { comparePeers, contestGate } from './peers/main.js';
import { digits, type Measured, measured, table } from './report.js';
import { roundRows, roundTable } from './rounds.js';
import { benchCases, casesOf, isStep, listRows, names } from './rows.js';
import { speculationRows, speculationTable } from './speculate.js';
import { measureStep, withModel } from './steps.js';
import type { Effort } from './turns.js';

interface Options {
  json?: string;
  svg?: string;
  threads?: number;
  isa?: string;
  list?: true;
  quick?: true;
  check?: true;
  speculation?: true;
  peers?: true;
}

const program = new Command('bench')
  .description(
    'Times every op on the cases of the tests and the steps of the bundled model, beside their floors on this machine. ' +
      'Each op runs as a recorded program of several calls, queued several times per wait.',
  )
  .argument('[names...]', 'ops or steps to measure; default: all (--list shows them)')
  .option('--json <file>', 'also write one JSON object per line: machine, roofline, queue, rows, gates')
  .option('--svg <file>', 'also draw the rows, or the peers, as bars')
  .option('--threads <n>', 'compute threads; default: all that this process may use', positive)
  .option('--isa <name>', 'instruction set; default: the best of this machine')
  .option('--list', 'name every row and measure nothing')
  .option('--quick', 'fewer and shorter samples, one large case per op')
  .option('--check', 'measure only what the project promises; exit 1 when a promise is missed')
  .option(
    '--peers',
    'compare with ONNX Runtime on one thread and on all, and nothing else; installs it into bench/ when it is missing. ' +
      'With --check: exit 1 when a promise is missed',
  )
  .option('--speculation', 'answer questions of the shapes world plainly and with drafts, in turns, and nothing else')
  .showHelpAfterError();

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a positive integer.');
  return value;
}

const say = (text: string) => process.stdout.write(`${text}\n`);
/** One line on a terminal that the next one replaces; nothing into a file. */
const progress = (text: string) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
};

async function main(): Promise<void> {
  program.parse();
  const options = program.opts<Options>();
  const asked = program.args.length > 0 ? program.args : names();
  const unknown = asked.filter((name) => !names().includes(name));
  if (unknown.length > 0) {
    process.stderr.write(`there is no row ${unknown.join(', ')}; --list shows them\n`);
    process.exitCode = 2;
    return;
  }
  const quick = options.quick === true;
  if (options.list) {
    for (const row of await listRows(asked, quick)) say(`${row.name}: ${row.case}`);
    return;
  }
  const json = (kind: string, value: object) => {
    if (options.json !== undefined) appendFileSync(options.json, `${JSON.stringify({ kind, ...value })}\n`);
  };
  if (options.json !== undefined) writeFileSync(options.json, '');

  const svg = (draw: () => string) => {
    if (options.svg !== undefined) writeFileSync(options.svg, draw());
  };

  const where: ContextOptions = { device: 'cpu', threads: options.threads, isa: options.isa };
  const cx = await Context.create(where);
  const machine = describeMachine(cx);
  say(machineLine(machine));
  json('machine', machine);
  progress('roofline');
  const roofline = await measureRoofline({ isa: cx.isa, threads: cx.threads });
  progress('');
  for (const line of rooflineLines(roofline)) say(line);
  json('roofline', roofline);

  try {
    if (options.speculation) {
      await speculation(where, quick ? 3 : 9, json);
      return;
    }
    if (options.peers) {
      const results = await peers(cx.threads, options, json);
      svg(() => peersChart(results, machineLine(machine)));
      return;
    }
    if (options.check) {
      await check(cx, where, options, json);
      return;
    }
    const limits = quick ? QUICK : FULL;
    const queue = await measureQueue(cx, limits);
    say(
      `queue: ${digits(median(queue.run) * 1e6)} us a program run, ${digits(median(queue.wait) * 1e6)} us a run and a wait ` +
        '(for an op of one element); rows of ops share a run among many ops and a wait among many runs',
    );
    json('queue', { run: median(queue.run), wait: median(queue.wait) });
    const rows: Measured[] = [];
    const add = (row: Measured) => {
      rows.push(row);
      const { kind, ...rest } = row;
      json(kind, rest);
    };
    for (const op of asked) {
      if (isStep(op)) continue;
      for (const c of benchCases(await casesOf(op), quick)) {
        progress(`${op}: ${c.name}`);
        const result = await measureOp(cx, op, c, roofline, limits, os.freemem());
        add(measured({ kind: 'op', name: op, case: c.name }, cx, result));
      }
    }
    const steps = asked.filter(isStep);
    for (const dtype of steps.length > 0 ? (['f32', 'bf16'] as const) : []) {
      await withModel(where, dtype, async (model) => {
        for (const name of steps) {
          progress(`${name}: ${dtype}`);
          add(measured({ kind: 'step', name, case: dtype }, cx, await measureStep(model, name, roofline, limits)));
        }
      });
    }
    progress('');
    say('');
    process.stdout.write(table(rows));
    svg(() => rowsChart(rows, machineLine(machine)));
  } finally {
    await cx.dispose();
  }
}

const effortOf = ({ quick }: Options): Effort => (quick ? { rounds: 5, seconds: 0.05 } : { rounds: 15, seconds: 0.2 });
const threadsOf = (all: number, { threads }: Options) => (threads === undefined ? [...new Set([1, all])] : [threads]);

/** Measures beside other engines; on one thread and on all, or on as many as were asked for. */
async function peers(all: number, options: Options, json: (kind: string, value: object) => void) {
  const threads = threadsOf(all, options);
  const effort = effortOf(options);
  const results = await comparePeers({ threads, isa: options.isa, ...effort, say, progress, json });
  if (options.check)
    settle(
      results.flatMap((result) => contestGate(result) ?? []),
      json,
    );
  return results;
}

/** Prints gates, sets the exit code. */
function settle(gates: readonly Gate[], json: (kind: string, value: object) => void): void {
  for (const gate of gates) {
    say(gateLine(gate));
    json('gate', gate);
  }
  if (gates.some((gate) => !gate.passed)) process.exitCode = 1;
}

/** Prints what drafts are worth, by dtype and set of questions. */
async function speculation(
  where: ContextOptions,
  rounds: number,
  json: (kind: string, value: object) => void,
): Promise<void> {
  for (const dtype of ['f32', 'bf16'] as const) {
    const load = (draft: string | false) =>
      Bagel.load(undefined, { ...where, dtype, cacheTokens: 8192, draft, keepMeasurements: draft === false });
    const bagel = await load(false);
    try {
      const { isa, threads } = bagel.model.cx;
      const measured = await measureRoofline({ isa, threads });
      // the weights stay in a cache of some level: no rate is above the second level's
      const roofline = { flops: flopRate(measured, dtype === 'bf16'), bytesPerSecond: measured.l2BytesPerSecond.all };
      const sizes = await roundRows(bagel.model, 5 * rounds, { roofline });
      const giga = (rate: number) => (rate / 1e9).toFixed(0);
      say(
        `\n${dtype}, one round by the size of its tree (floor: every op at ${giga(roofline.flops)} Gflop/s or ` +
          `${giga(roofline.bytesPerSecond)} GB/s; at most: plain time / time, were all nodes right and rounds at their floor)`,
      );
      say(formatTable(roundTable(sizes)));
      for (const row of sizes) json('round', { dtype, ...row });
      for (const { set, arms } of await speculationRows(bagel, rounds, load)) {
        say(`\n${dtype}, ${set}`);
        say(formatTable(speculationTable(arms)));
        for (const arm of arms) json('speculation', { dtype, set, ...arm });
      }
    } finally {
      await bagel.dispose();
    }
  }
}

/** Measures the gates, prints each with its figure, sets the exit code. */
async function check(
  cx: Context,
  where: ContextOptions,
  options: Options,
  json: (kind: string, value: object) => void,
): Promise<void> {
  progress('16 rows beside one');
  const roofline = await measureRoofline({ isa: cx.isa, threads: cx.threads });
  const gates: Gate[] = [await rowsGate(cx, roofline, os.freemem())];
  progress('64 rows');
  gates.push(...(await manyRowsGates(cx.isa, threadsOf(cx.threads, options), effortOf(options), os.freemem())));
  progress('time outside ops');
  gates.push(...(await outsideGates(where)));
  progress('rounds');
  gates.push(...(await roundGates(where)));
  progress('denoising');
  gates.push(...(await denoiseGates(where)));
  progress('');
  settle(gates, json);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
