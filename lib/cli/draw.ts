import type { Command } from 'commander';
import { addDrawingOptions, type DrawFlags, runDrawing } from './drawing.js';

export function register(program: Command): void {
  const command = program
    .command('draw')
    .description('draw a picture from a text; prints the name of the file')
    .argument('<text>', 'what to draw');
  addDrawingOptions(command, 'draw').action(async (text: string, flags: DrawFlags) => {
    await runDrawing(flags, (bagel, options) => bagel.draw(text, options));
  });
}
