import type { Command } from 'commander';
import { addDrawingOptions, type DrawFlags, runDrawing } from './drawing.js';

/** Adds the command to the program, or to another command. */
export function register(parent: Command): Command {
  const command = parent
    .command('draw')
    .description('draw a picture from a text; prints the name of the file')
    .argument('<text>', 'what to draw');
  return addDrawingOptions(command, 'draw').action(async (text: string, flags: DrawFlags) => {
    await runDrawing(flags, `draw ${text}`, (bagel, options) => bagel.draw(text, options));
  });
}
