import { HyperBagelError } from '../../errors.js';

/** Seeds below this one were used in training; evaluation starts here. */
export const FIRST_EVALUATION_SEED = 2 ** 30;

/** Streams of {@link start}: one for each kind of item, so that equal seeds of two kinds have nothing in common. */
export const STREAMS = { textToImage: 1, understanding: 2, editing: 3 } as const;

/** A source of draws. Every generator of the shapes world takes one and advances it. */
export interface Random {
  /** The next 32 bits, as an unsigned integer. */
  u32(): number;
  /** An integer in [0, n), for n from 1 to 2^21. @throws HyperBagelError `BAD_OPTION` for any other n. */
  int(n: number): number;
  /** One of the values. @throws HyperBagelError `BAD_OPTION` when there are none. */
  pick<T>(values: readonly T[]): T;
}

/**
 * The generator of one item: Mulberry32, begun at a mix of stream and seed. All arithmetic is on unsigned 32-bit integers, so that
 * any language gives the same draws.
 *
 * @throws HyperBagelError `BAD_OPTION` when stream or seed is no integer in [0, 2^32).
 */
export function start(stream: number, seed: number): Random {
  checkWord('stream', stream);
  checkWord('seed', seed);
  let h = Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream, 0x85ebca77);
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  let state = h ^ (h >>> 16);

  const u32 = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const int = (n: number): number => {
    // Up to 2^21 the product is below 2^53, hence exact.
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 21) throw badOption('n', 'an integer from 1 to 2^21', n);
    return Math.floor((u32() * n) / 2 ** 32);
  };
  const pick = <T>(values: readonly T[]): T => {
    if (values.length === 0) throw badOption('values', 'at least one value to pick from', 'none');
    return values[int(values.length)] as T;
  };
  return { u32, int, pick };
}

function checkWord(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32)
    throw badOption(name, 'an integer in [0, 2^32)', value);
}

/** A `BAD_OPTION` error of the shapes world. */
export function badOption(operand: string, expected: string, got: unknown): HyperBagelError {
  const text = typeof got === 'string' ? JSON.stringify(got) : String(got);
  return new HyperBagelError('BAD_OPTION', `shapes world: ${operand} must be ${expected}, got ${text}`, {
    operand,
    expected,
    got: text,
  });
}

/** @throws HyperBagelError `BAD_OPTION` when the value is not among those allowed. */
export function checkOneOf<T extends string>(operand: string, allowed: readonly T[], value: T): void {
  if (!allowed.includes(value)) throw badOption(operand, `one of ${allowed.join(', ')}`, value);
}
