import { HyperBagelError } from '../errors.js';
import { Bagel } from '../index.js';
import { writeFileAtomic } from '../io/output.js';
import type { ProfileEvent, RooflineOf } from '../profile/events.js';
import { formatReport, summarize } from '../profile/report.js';
import { byteRate, flopRate, measureRoofline } from '../profile/roofline.js';
import { traceChunks } from '../profile/trace.js';
import { version } from '../version.js';
import { abortOnInterrupt } from './interrupt.js';
import { info } from './log.js';
import { defined, type ModelFlags } from './options.js';
import { checkOutputPath } from './output-path.js';
import { Progress } from './progress.js';

/**
 * Loads the model that the flags name, with a progress bar, runs `work` with it and disposes it, whatever happens. Ctrl-C aborts
 * the signal that `work` gets.
 */
export async function withModel<T>(
  flags: ModelFlags,
  work: (bagel: Bagel, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const signal = abortOnInterrupt();
  if (flags.profile !== undefined) await checkOutputPath(flags.profile);
  const bagel = await loadModel(flags, signal);
  try {
    return await work(bagel, signal);
  } finally {
    await bagel.dispose();
  }
}

async function loadModel(flags: ModelFlags, signal: AbortSignal): Promise<Bagel> {
  const progress = new Progress('loading the model');
  try {
    const { device, dtype, threads, draft } = flags;
    const bagel = await Bagel.load(flags.model, {
      ...defined({ device, dtype, threads, draft }),
      keepMeasurements: flags.cache,
      signal,
      onProgress: ({ loaded, total }) => progress.update(loaded, total),
    });
    progress.finish();
    return bagel;
  } finally {
    progress.stop();
  }
}

/** As {@link withModel}, with the profiler on during `work`, but not `before` it, when `--profile` asks for it. */
export async function withProfiledModel<T>(
  flags: ModelFlags,
  work: (bagel: Bagel, signal: AbortSignal) => Promise<T>,
  before: (bagel: Bagel) => Promise<void> | undefined = () => undefined,
): Promise<T> {
  return withModel(flags, async (bagel, signal) => {
    await before(bagel);
    if (flags.profile === undefined) return work(bagel, signal);
    bagel.context.profileStart();
    const result = await work(bagel, signal);
    await writeProfile(flags.profile, bagel, bagel.context.profileStop());
    return result;
  });
}

/** Writes the Chrome trace of these events and prints their table to stderr. */
export async function writeProfile(file: string, bagel: Bagel, events: readonly ProfileEvent[]): Promise<void> {
  const { device, isa, threads } = bagel.context;
  await writeFileAtomic(file, traceChunks(events, { version, device, isa, threads, dtype: bagel.dtype }));
  info(formatReport(summarize(events, await rooflineOf(bagel))));
}

/** The floor rates of a call on this machine; undefined when they cannot be measured. */
async function rooflineOf(bagel: Bagel): Promise<RooflineOf | undefined> {
  const { isa, threads } = bagel.context;
  try {
    const roofline = await measureRoofline({ isa, threads });
    const flops = flopRate(roofline, bagel.dtype === 'bf16');
    return (event) => ({ flops, bytesPerSecond: byteRate(roofline, event.bytes) });
  } catch (error) {
    if (!HyperBagelError.isInstance(error)) throw error;
    info(`no share of the roofline: ${error.message}`);
    return undefined;
  }
}
