import type Sharp from 'sharp';
import { HyperBagelError } from '../errors.js';

/**
 * The image codec library, loaded on first use: importing this package must work where its native part is missing.
 *
 * @throws HyperBagelError `BACKEND_MISSING`.
 */
export async function loadSharp(): Promise<typeof Sharp> {
  try {
    return (await import('sharp')).default;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HyperBagelError('BACKEND_MISSING', `Images need the package 'sharp', which failed to load: ${reason}`, {
      operand: 'sharp',
      cause,
    });
  }
}
