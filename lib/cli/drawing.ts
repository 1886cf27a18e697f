import { type Command, Option } from 'commander';
import { SOLVERS, type SolverName } from '../denoise/solver.js';
import type { Bagel, Drawing, DrawOptions } from '../index.js';
import { imageFormatOf } from '../io/image-data.js';
import { latentWidth } from '../models/bagel/config.js';
import { DRAW_DEFAULTS } from '../models/bagel/draw-options.js';
import { info } from './log.js';
import { withProfiledModel } from './model.js';
import { readNoise } from './noise.js';
import { addModelOptions, defined, integer, interval, type ModelFlags, real, size, times } from './options.js';
import { checkOutputPath } from './output-path.js';
import { type ProfileFlags, profileText } from './profiling.js';
import { Progress } from './progress.js';

/** What `--size` is when it is not given. */
const SIZES = { draw: "the model's", edit: 'those of the source image, as the model resizes it' };

export interface DrawFlags extends ModelFlags, ProfileFlags {
  steps?: number;
  shift?: number;
  grid?: number[];
  solver?: SolverName;
  gamma?: number;
  student?: string;
  forceGrid?: true;
  size?: { width: number; height: number };
  seed?: number;
  guidance?: number;
  imageGuidance?: number;
  interval?: [number, number];
  renorm?: 'global' | 'channel' | 'text_channel';
  renormMin?: number;
  think?: true;
  noise?: string;
  out: string;
}

/** The options that `draw` and `edit` share; their defaults differ and are shown in the help. */
export function addDrawingOptions(command: Command, kind: 'draw' | 'edit'): Command {
  const { steps, shift, guidance, imageGuidance, renorm, renormMin, interval: guided } = DRAW_DEFAULTS[kind];
  command
    .option('-o, --out <file>', 'where the picture goes: .png, .jpg or .webp', 'out.png')
    .option('--student <name>', 'draw with these distilled weights: a folder of students/ in the model folder')
    .option('--force-grid', 'let a student run on times that it was not trained for')
    .option('--steps <n>', `solver steps (default: ${steps}, or the student's)`, integer(1))
    .option('--size <WxH>', `width and height in pixels (default: ${SIZES[kind]})`, size)
    .option('--seed <n>', 'seed of the initial noise (default: a random one, which is reported)', integer(0))
    .option('--shift <s>', `timestep shift: above 1 spends more steps on the noisy end (default: ${shift})`, real(0))
    .option(
      '--grid <times>',
      'instead of --steps and --shift: times that fall from 1 to 0, for example 1,0.75,0',
      times,
    )
    .addOption(
      new Option('--solver <name>', "how the steps are taken (default: euler, or the student's)").choices(SOLVERS),
    )
    .option('--gamma <x>', 'share of fresh noise with --solver tcd: 0 is euler, 1 is lcm (default: 0.3)', real(0, 1))
    .option('--guidance <scale>', `how strongly the text guides; 1 is not at all (default: ${guidance})`, real(0))
    .option(
      '--image-guidance <scale>',
      `how strongly the source image guides; 1 is not at all (default: ${imageGuidance})`,
      real(0),
    )
    .addOption(
      new Option('--interval <lo,hi>', 'times (1 is noise, 0 the picture) at which guidance is on')
        .argParser(interval)
        .default([...guided], guided.join(',')),
    )
    .addOption(
      new Option('--renorm <kind>', 'how guided velocities are scaled back')
        .choices(['global', 'channel', 'text_channel'])
        .default(renorm),
    )
    .option('--renorm-min <x>', 'least factor of the scaling back', real(0, 1), renormMin)
    .option('--think', 'let the model think about the picture first')
    .option('--noise <file>', 'safetensors file with the packed initial noise: tensor "noise", f32 [tokens, channels]');
  return addModelOptions(command);
}

/**
 * Draws or edits, writes the picture and prints the result.
 *
 * @param title what a profile is called
 */
export async function runDrawing(
  flags: DrawFlags,
  title: string,
  draw: (bagel: Bagel, options: DrawOptions) => Promise<Drawing>,
): Promise<void> {
  // What cannot be written is refused before anything is computed.
  imageFormatOf(flags.out);
  await checkOutputPath(flags.out);
  const { result, profile } = await withProfiledModel({ ...flags, draft: false }, title, async (bagel, signal) => {
    const options = await drawOptions(flags, bagel, signal);
    const progress = new Progress('drawing');
    try {
      const onStep = ({ step, steps }: { step: number; steps: number }) => progress.update(step, steps);
      const drawing = await draw(bagel, { ...options, onStep });
      progress.finish();
      return { drawing, device: bagel.context.device, dtype: bagel.dtype };
    } finally {
      progress.stop();
    }
  });
  const { drawing, device, dtype } = result;
  await drawing.image.toFile(flags.out);
  const { width, height, steps, nfe, seed, timings, thought, context, metadata } = drawing;
  if (flags.json) {
    const report = { out: flags.out, width, height, steps, nfe, seed, timings, device, dtype, context, metadata };
    process.stdout.write(`${JSON.stringify({ ...report, thought, profile })}\n`);
    return;
  }
  if (thought !== undefined) info(thought);
  const seconds = (timings.contextMs + timings.denoiseMs + timings.decodeMs) / 1e3;
  info(`${width}x${height}, ${steps} steps, ${nfe} network evaluations, ${seconds.toFixed(1)} s, seed ${seed}`);
  process.stdout.write(`${flags.out}\n`);
  if (profile) process.stdout.write(`\n${profileText(profile)}`);
}

async function drawOptions(flags: DrawFlags, bagel: Bagel, signal: AbortSignal): Promise<DrawOptions> {
  const { steps, shift, grid, solver, gamma, size, seed, guidance, imageGuidance, interval } = flags;
  const { student, forceGrid, renorm, renormMin, think } = flags;
  const noise = flags.noise === undefined ? undefined : await readNoise(flags.noise, latentWidth(bagel.config));
  return {
    ...defined({ steps, shift, grid, solver, gamma, size, seed, guidance, imageGuidance, interval }),
    ...defined({ student, forceGrid, renorm, renormMin, think, noise }),
    signal,
  };
}
