import { HyperBagelError } from '../../errors.js';
import type { Context } from '../../tensor/context.js';
import { systemMemory } from '../../tensor/memory.js';
import type { BagelConfig } from './config.js';
import { checkInteger } from './options.js';

/** Contexts of the model's longest sequence that the default cache holds. */
const DEFAULT_CONTEXTS = 4;
/** Share of the free memory that the default cache may take. */
const DEFAULT_SHARE = 0.25;

/** Memory that a context may still take, in bytes: of its card, else of the system. */
export async function availableMemory(cx: Context): Promise<number> {
  return cx.freeMemory() ?? (await systemMemory());
}

/**
 * Refuses what cannot fit, before anything is allocated; returns the size of the cache in tokens.
 *
 * @param asked tokens that the caller wants; without it from free memory and the model's limit
 * @throws HyperBagelError OUT_OF_MEMORY, BAD_OPTION
 */
export async function planMemory(
  cx: Context,
  { weights: weightBytes, perToken }: { weights: number; perToken: number },
  config: BagelConfig,
  asked: number | undefined,
): Promise<number> {
  const available = await availableMemory(cx);
  const left = available - weightBytes;
  const most = DEFAULT_CONTEXTS * config.llm.maxPositions;
  const tokens =
    asked === undefined
      ? Math.max(64, Math.min(most, Math.floor((Math.max(0, left) * DEFAULT_SHARE) / perToken)))
      : checkInteger('cacheTokens', asked, 64, 2 ** 31 - 1);
  const needed = weightBytes + tokens * perToken;
  if (needed > available) {
    const gb = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
    throw new HyperBagelError(
      'OUT_OF_MEMORY',
      `the model needs ${gb(needed)} (weights ${gb(weightBytes)}, cache ${gb(tokens * perToken)}), ${gb(available)} are available`,
      { expected: gb(needed), got: gb(available) },
    );
  }
  return tokens;
}
