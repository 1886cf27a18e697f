import { Bagel } from '../index.js';
import { abortOnInterrupt } from './interrupt.js';
import { defined, type ModelFlags } from './options.js';
import { checkProfileFiles, type Profile, type ProfileFlags, profiled } from './profiling.js';
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

/** As {@link withModel}; during `work`, but not `before` it, the profiler is on if the flags say so. */
export async function withProfiledModel<T>(
  flags: ModelFlags & ProfileFlags,
  title: string,
  work: (bagel: Bagel, signal: AbortSignal) => Promise<T>,
  before: (bagel: Bagel) => Promise<void> | undefined = () => undefined,
): Promise<{ result: T; profile?: Profile }> {
  await checkProfileFiles(flags);
  return withModel(flags, async (bagel, signal) => {
    await before(bagel);
    const { traceFile } = flags;
    if (traceFile === undefined) return { result: await work(bagel, signal) };
    return profiled(bagel, title, { ...flags, traceFile }, () => work(bagel, signal));
  });
}
