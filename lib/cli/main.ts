#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { HyperBagelError } from '../errors.js';
import { version } from '../version.js';
import { register as registerBuild } from './build.js';

// Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed, 2 bad usage.
const FAILED = 1;
const BAD_USAGE = 2;

const program = new Command('hyper-bagel')
  .description('answers, pictures and edits from the unified multimodal model BAGEL')
  .version(version)
  .showHelpAfterError()
  .exitOverride();

for (const register of [registerBuild]) register(program);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed its message; --help and --version end here too, with status 0.
    process.exitCode = error.exitCode === 0 ? 0 : BAD_USAGE;
  } else if (HyperBagelError.isInstance(error)) {
    process.stderr.write(`hyper-bagel: ${error.message} (${error.code})\n`);
    process.exitCode = error.code === 'BAD_OPTION' ? BAD_USAGE : FAILED;
  } else {
    throw error;
  }
}
