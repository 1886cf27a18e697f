import { HyperBagelError } from '../errors.js';

/** An `IO` error that names the file and what the operating system said; the cause is kept. */
export function ioError(action: string, path: string, cause: unknown): HyperBagelError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new HyperBagelError('IO', `Cannot ${action} ${path}: ${reason}`, { operand: path, got: reason, cause });
}
