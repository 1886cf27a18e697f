import type { Command } from 'commander';
import { HyperBagelError } from '../errors.js';
import type { Bagel } from '../index.js';
import { writeFileAtomic } from '../io/output.js';
import type { ProfileEvent, RooflineOf } from '../profile/events.js';
import { flameChart } from '../profile/flame.js';
import { rangeTree, titled } from '../profile/ranges.js';
import { formatReport, type ProfileReport, summarize } from '../profile/report.js';
import { byteRate, flopRate, keptRoofline, type MachineRoofline, rooflineText } from '../profile/roofline.js';
import { traceChunks } from '../profile/trace.js';
import { version } from '../version.js';
import type { ModelFlags } from './options.js';
import { checkOutputPath } from './output-path.js';

/** What `hyper-bagel profile` adds to a command's options. */
export interface ProfileFlags {
  /** Where the trace goes; undefined: nothing is profiled. */
  traceFile?: string;
  flame?: string;
}

export function addProfileOptions(command: Command): Command {
  return command
    .option('--trace-file <file>', 'where the Chrome trace goes (ui.perfetto.dev opens it)', 'profile.json')
    .option('--flame <file>', 'draws the trace, too: a flame chart, as an SVG file');
}

/** Where the time of a command went. */
export interface Profile extends ProfileReport {
  trace: string;
  flame?: string;
  /** What the times are by. */
  clock: string;
  /** What this machine can do at best; a reason when that is unknown. */
  roofline: MachineRoofline | { unknown: string };
}

/** Refuses files that cannot be written. */
export async function checkProfileFiles({ traceFile, flame }: ProfileFlags): Promise<void> {
  for (const file of [traceFile, flame]) if (file !== undefined) await checkOutputPath(file);
}

/**
 * Runs `work` with the profiler on, writes the trace, and the flame chart if that is wanted.
 *
 * @param title what the outermost range is called
 */
export async function profiled<T>(
  bagel: Bagel,
  title: string,
  { traceFile, flame, cache }: ProfileFlags & Pick<ModelFlags, 'cache'> & { traceFile: string },
  work: () => Promise<T>,
): Promise<{ result: T; profile: Profile }> {
  const { context, dtype } = bagel;
  await context.sync(); // what loading has queued is no part of it
  context.profileStart();
  let events: ProfileEvent[] = [];
  let result: T;
  try {
    result = await work();
  } finally {
    events = context.profileStop();
  }
  const roofline = await rooflineOf(bagel, !cache);
  const tree = titled(title, rangeTree(events));
  const { device, isa, threads, profileClock: clock } = context;
  await writeFileAtomic(traceFile, traceChunks(tree, { version, title, device, isa, threads, dtype, clock }));
  if (flame !== undefined) await writeFileAtomic(flame, flameChart(tree));
  const profile = {
    ...summarize(events, 'unknown' in roofline ? undefined : ratesOf(roofline, dtype)),
    trace: traceFile,
    ...(flame === undefined ? {} : { flame }),
    clock,
    roofline,
  };
  return { result, profile };
}

/** What is printed of a profile. */
export function profileText(profile: Profile): string {
  const { clock, roofline, trace, flame } = profile;
  const peaks =
    'unknown' in roofline ? `no share of the roofline: ${roofline.unknown}` : `roofline: ${rooflineText(roofline)}`;
  const files = flame === undefined ? [trace] : [trace, flame];
  return `${formatReport(profile)}clock: ${clock}\n${peaks}\n${files.join('\n')}\n`;
}

/** The rates of a call: operands that fit in the second level count at its rate. */
function ratesOf(roofline: MachineRoofline, dtype: string): RooflineOf {
  return (event) => ({
    flops: flopRate(roofline, dtype === 'bf16' && event.op === 'linear'),
    bytesPerSecond: byteRate(roofline, event.bytes),
  });
}

async function rooflineOf(bagel: Bagel, anew: boolean): Promise<Profile['roofline']> {
  const { device, isa, threads } = bagel.context;
  if (device !== 'cpu') return { unknown: `its peaks are measured on the cpu alone, this is ${device}` };
  try {
    return await keptRoofline({ isa, threads, anew });
  } catch (error) {
    if (!HyperBagelError.isInstance(error)) throw error;
    return { unknown: error.message };
  }
}
