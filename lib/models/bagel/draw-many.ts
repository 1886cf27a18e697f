import { HyperBagelError } from '../../errors.js';
import { Painter, type PictureJob } from './draw.js';
import type { Drawing } from './draw-options.js';
import type { BagelModel } from './model.js';

export interface ManyOptions {
  /** Pictures in one forward at most. Default 16. Results do not depend on it. */
  batch?: number | undefined;
  /** Ends the whole call. */
  signal?: AbortSignal | undefined;
}

/** A drawing of several, with its place among the items. */
export interface DrawingOf extends Drawing {
  index: number;
}

export const DEFAULT_BATCH = 16;
/** Latent tokens in one forward at most, unless one picture alone has more: beyond it a batch saves nothing and takes memory. */
const BATCH_TOKENS = 4096;

/**
 * Draws jobs in batches of those that may share a forward, in the order of their first items; yields each as it is done.
 *
 * @param make the job of an item; called when its turn comes
 * @throws what making, preparing or drawing one throws; CONTEXT_FULL when the cache has no room for one alone
 */
export async function* drawInBatches(
  model: BagelModel,
  painter: Painter,
  makers: readonly (() => Promise<PictureJob>)[],
  batchSize: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<DrawingOf, void, undefined> {
  const waiting: { index: number; job: PictureJob; key: string }[] = [];
  let made = 0;
  const { downsample } = model.config.vae;
  const side = downsample * model.config.latent.patch;
  const tokensOf = ({ size }: PictureJob) => (size.width / side) * (size.height / side);
  while (made < makers.length || waiting.length > 0) {
    // look a few batches ahead for items that fit together, so that mixed lists batch as well
    while (made < makers.length && waiting.length < 4 * batchSize) {
      const job = await (makers[made] as () => Promise<PictureJob>)();
      waiting.push({ index: made++, job, key: Painter.batchKey(job) });
    }
    const key = waiting[0]?.key;
    const batch: { index: number; prepared: Awaited<ReturnType<Painter['prepare']>> }[] = [];
    let tokens = 0;
    try {
      for (const item of waiting.filter((w) => w.key === key)) {
        tokens += tokensOf(item.job);
        if (batch.length > 0 && (batch.length >= batchSize || tokens > BATCH_TOKENS)) break;
        try {
          batch.push({ index: item.index, prepared: await painter.prepare(item.job) });
        } catch (error) {
          // the cache is full: those that are in go first
          if (batch.length > 0 && HyperBagelError.isInstance(error) && error.code === 'CONTEXT_FULL') break;
          throw error;
        }
        waiting.splice(waiting.indexOf(item), 1);
      }
    } catch (error) {
      for (const { prepared } of batch) painter.drop(prepared);
      throw error;
    }
    for await (const { index, drawing } of painter.finish(
      batch.map(({ prepared }) => prepared),
      signal,
    )) {
      yield { index: (batch[index] as (typeof batch)[number]).index, ...drawing };
    }
  }
}
