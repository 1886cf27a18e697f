import { HyperBagelError } from '../errors.js';

/** Levels of HYPER_BAGEL_LOG; each shows what the ones before it show. */
const LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LEVELS)[number];

/**
 * Whether messages of a level are wanted on stderr. Default level: info, which is where progress and summaries are.
 *
 * @throws HyperBagelError BAD_OPTION when HYPER_BAGEL_LOG is no level.
 */
export function wanted(level: LogLevel): boolean {
  const asked = process.env.HYPER_BAGEL_LOG || 'info';
  const rank = (LEVELS as readonly string[]).indexOf(asked);
  if (rank < 0) {
    const expected = LEVELS.join(', ');
    throw new HyperBagelError('BAD_OPTION', `HYPER_BAGEL_LOG must be one of ${expected}, got "${asked}"`, {
      operand: 'HYPER_BAGEL_LOG',
      expected,
      got: asked,
    });
  }
  return LEVELS.indexOf(level) <= rank;
}

/** A line on stderr. */
export function info(text: string): void {
  if (wanted('info')) process.stderr.write(`${text}\n`);
}
