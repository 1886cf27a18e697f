import { randomInt } from 'node:crypto';
import { HyperBagelError } from '../../errors.js';

function refuse(name: string, expected: string, got: unknown): never {
  throw new HyperBagelError('BAD_OPTION', `${name} must be ${expected}, got ${String(got)}`, {
    operand: name,
    expected,
    got: String(got),
  });
}

/** @throws HyperBagelError BAD_OPTION */
export function checkNumber(name: string, value: number, low: number, high: number): number {
  if (typeof value === 'number' && value >= low && value <= high) return value;
  return refuse(name, `a number from ${low} to ${high}`, value);
}

/** @throws HyperBagelError BAD_OPTION */
export function checkInteger(name: string, value: number, low: number, high: number): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  return refuse(name, `an integer from ${low} to ${high}`, value);
}

/** @throws HyperBagelError BAD_OPTION */
export function checkText(name: string, value: string): string {
  if (typeof value === 'string' && value.length > 0) return value;
  return refuse(name, 'a text that is not empty', value === '' ? 'an empty text' : value);
}

/** A given seed, checked, or a random one. */
export function chooseSeed(seed: number | undefined): number {
  return seed === undefined ? randomInt(2 ** 32) : checkInteger('seed', seed, 0, Number.MAX_SAFE_INTEGER);
}
