#!/usr/bin/env node
import { Command } from 'commander';
import { version } from '../version.js';
import { register as registerAsk } from './ask.js';
import { register as registerBuild } from './build.js';
import { register as registerDemo } from './demo.js';
import { register as registerDoctor } from './doctor.js';
import { register as registerDraw } from './draw.js';
import { register as registerEdit } from './edit.js';
import { register as registerEval } from './eval.js';
import { reportFailure, wantsJson } from './failure.js';
import { register as registerInspect } from './inspect.js';
import { wanted } from './log.js';
import { register as registerProfile } from './profile.js';

/** As a process that SIGPIPE ended: whoever read our output has seen enough. */
const BROKEN_PIPE = 128 + 13;

const program = new Command('hyper-bagel')
  .description('answers, pictures and edits from the unified multimodal model BAGEL')
  .version(version)
  .showHelpAfterError('(add --help to see how it is used)')
  .configureOutput({
    outputError: (text, write) => write(`hyper-bagel: ${text.replace(/^error: /, '').trimEnd()} (BAD_OPTION)\n`),
  })
  .configureHelp({ showGlobalOptions: false })
  .addHelpText(
    'after',
    `
Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed, 2 bad usage, 130 interrupted.
With --json a command prints one JSON object; a failure is {"error": {"code", "message", ...}}.`,
  )
  .exitOverride();

for (const register of [
  registerAsk,
  registerDraw,
  registerEdit,
  registerDemo,
  registerEval,
  registerProfile,
  registerInspect,
  registerDoctor,
  registerBuild,
]) {
  register(program);
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(BROKEN_PIPE);
  throw error;
});

try {
  wanted('error'); // a wrong HYPER_BAGEL_LOG is refused before any work
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportFailure(error, wantsJson(process.argv.slice(2)));
}
