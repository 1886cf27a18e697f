import type { Command } from 'commander';
import { addDrawingOptions, type DrawFlags, runDrawing } from './drawing.js';

/** Adds the command to the program, or to another command. */
export function register(parent: Command): Command {
  const command = parent
    .command('edit')
    .description('change a picture as a text says; prints the name of the file')
    .argument('<image>', 'the picture to change: PNG, JPEG, WebP, GIF, TIFF or AVIF')
    .argument('<text>', 'what to change');
  return addDrawingOptions(command, 'edit').action(async (image: string, text: string, flags: DrawFlags) => {
    await runDrawing(flags, `edit ${text}`, (bagel, options) => bagel.edit(image, text, options));
  });
}
