import { CommanderError } from 'commander';
import { HyperBagelError } from '../errors.js';
import { interruptStatus } from './interrupt.js';
import { wanted } from './log.js';

const FAILED = 1;
const BAD_USAGE = 2;

/** What `--json` prints on stdout when a command fails: `{"error": ...}`. */
export interface FailureReport {
  code: string;
  message: string;
  op?: string;
  operand?: string;
  expected?: string;
  got?: string;
}

/** `--json` was asked for. Looked up in the raw arguments, since parsing them may be what failed. */
export function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).includes('--json');
}

/**
 * Says what went wrong, on stderr and with `json` on stdout too, and returns the exit status: 0 for `--help` and `--version`,
 * 1 for a failure, 2 for bad usage, 128 + signal when interrupted.
 */
export function reportFailure(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) {
    // Commander has printed its message; --help and --version end here too.
    if (error.exitCode === 0) return 0;
    const message = error.message.replace(/^error: /, '');
    if (json) printJson({ code: 'BAD_OPTION', message });
    return BAD_USAGE;
  }
  const interrupted = interruptStatus();
  const report = describe(error);
  if (json) printJson(report);
  if (interrupted !== undefined) {
    say('interrupted');
    return interrupted;
  }
  say(`${report.message} (${report.code})`);
  if (report.code === 'INTERNAL' || isWanted('debug')) say(stackOf(error));
  return report.code === 'BAD_OPTION' ? BAD_USAGE : FAILED;
}

function describe(error: unknown): FailureReport {
  if (!HyperBagelError.isInstance(error)) {
    return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
  }
  const { code, message, op, operand, expected, got } = error;
  return {
    code,
    message,
    ...(op === undefined ? {} : { op }),
    ...(operand === undefined ? {} : { operand }),
    ...(expected === undefined ? {} : { expected }),
    ...(got === undefined ? {} : { got }),
  };
}

function printJson(error: FailureReport): void {
  process.stdout.write(`${JSON.stringify({ error })}\n`);
}

function say(text: string): void {
  if (isWanted('error')) process.stderr.write(`hyper-bagel: ${text}\n`);
}

/** A wrong HYPER_BAGEL_LOG must not hide the message that says so. */
function isWanted(level: 'error' | 'debug'): boolean {
  try {
    return wanted(level);
  } catch {
    return level === 'error';
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack}${cause}`;
}
