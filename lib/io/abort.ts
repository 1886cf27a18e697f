import { HyperBagelError } from '../errors.js';

/**
 * Waits for a promise, but no longer than the signal allows. The work behind the promise is not stopped by this.
 *
 * @throws HyperBagelError `CANCELLED` with the signal's reason as cause.
 */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  // Marked as handled: after an abort nobody waits for it any more.
  work.catch(() => {});
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(cancelled(signal));
  });
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Throws `CANCELLED` when the signal is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled(signal);
}

function cancelled(signal: AbortSignal): HyperBagelError {
  return new HyperBagelError('CANCELLED', 'The operation was cancelled', { cause: signal.reason });
}
