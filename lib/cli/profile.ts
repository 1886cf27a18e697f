import type { Command } from 'commander';
import { register as registerAsk } from './ask.js';
import { register as registerDraw } from './draw.js';
import { register as registerEdit } from './edit.js';
import { addProfileOptions } from './profiling.js';

export function register(program: Command): void {
  const profile = program
    .command('profile')
    .description('ask, draw or edit, and tell where the time went: a Chrome trace, and tables by op and by range');
  for (const add of [registerAsk, registerDraw, registerEdit]) addProfileOptions(add(profile));
}
