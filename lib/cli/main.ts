#!/usr/bin/env node
import { Command } from 'commander';
import { version } from '../version.js';

const program = new Command('hyper-bagel')
  .description('answers, pictures and edits from the unified multimodal model BAGEL')
  .version(version)
  .showHelpAfterError();

await program.parseAsync();
