import type { Command } from 'commander';
import { addDrawingOptions, type DrawFlags, runDrawing } from './drawing.js';

export function register(program: Command): void {
  const command = program
    .command('edit')
    .description('change a picture as a text says; prints the name of the file')
    .argument('<image>', 'the picture to change: PNG, JPEG, WebP, GIF, TIFF or AVIF')
    .argument('<text>', 'what to change');
  addDrawingOptions(command, 'edit').action(async (image: string, text: string, flags: DrawFlags) => {
    await runDrawing(flags, (bagel, options) => bagel.edit(image, text, options));
  });
}
