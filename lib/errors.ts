import type { ErrorCode } from './generated/error-codes.js';

export type { ErrorCode } from './generated/error-codes.js';

const marker = Symbol.for('hyper-bagel.error');

export interface ErrorDetails {
  /** The op whose contract was broken. */
  op?: string;
  /** The operand, option or file that was wrong. */
  operand?: string;
  expected?: string;
  got?: string;
  cause?: unknown;
}

/**
 * Every failure of this library. `code` is stable across versions; the message says what was expected,
 * what came, and for which operand.
 */
export class HyperBagelError extends Error {
  override readonly name = 'HyperBagelError';
  readonly code: ErrorCode;
  readonly op?: string;
  readonly operand?: string;
  readonly expected?: string;
  readonly got?: string;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.op !== undefined) this.op = details.op;
    if (details.operand !== undefined) this.operand = details.operand;
    if (details.expected !== undefined) this.expected = details.expected;
    if (details.got !== undefined) this.got = details.got;
    Object.defineProperty(this, marker, { value: true });
  }

  /** True for errors of any copy of this package in the process. */
  static isInstance(value: unknown): value is HyperBagelError {
    return typeof value === 'object' && value !== null && marker in value;
  }
}

// `instanceof` as isInstance: a process may hold several copies of this package, the ES module and the CommonJS one among them, and
// these two share the addon, which throws errors of one of them.
Object.defineProperty(HyperBagelError, Symbol.hasInstance, {
  value(this: unknown, value: unknown): boolean {
    return this === HyperBagelError
      ? HyperBagelError.isInstance(value)
      : Function.prototype[Symbol.hasInstance].call(this, value);
  },
});
