import type { ErrorCode } from '../../lib/errors.js';
import { HyperBagelError } from '../../lib/errors.js';

/** The error an action fails with; fails the test when it succeeds or fails with anything but ours. */
export async function failure(action: () => unknown): Promise<HyperBagelError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof HyperBagelError) return error;
    throw new Error('not a HyperBagelError', { cause: error });
  }
  throw new Error('nothing was thrown');
}

/** The code an action fails with. */
export async function failureCode(action: () => unknown): Promise<ErrorCode> {
  return (await failure(action)).code;
}
