import type { Command } from 'commander';
import { Option } from 'commander';
import { bundledModel } from '../index.js';
import { readConfig } from '../models/bagel/config.js';
import { type ModelCosts, modelCosts } from '../models/bagel/costs.js';
import { listStudents } from '../models/bagel/student.js';
import { formatTable } from '../profile/table.js';
import { real } from './options.js';

interface InspectFlags {
  config?: string;
  model?: string;
  dtype: 'f32' | 'bf16';
  gflops?: number;
  bandwidth?: number;
  json?: true;
}

export function register(program: Command): void {
  program
    .command('inspect')
    .description("print a model's parameters, bytes and floors per step; reads configuration files only, no weights")
    .option('--config <dir>', 'folder with config.json, llm_config.json and vit_config.json')
    .addOption(new Option('-m, --model <dir>', 'model folder (default: the bundled tiny model)').conflicts('config'))
    .addOption(new Option('--dtype <name>', 'activations and cache').choices(['f32', 'bf16']).default('f32'))
    .option('--gflops <n>', "a machine's Gflop/s; with --bandwidth floors are given in ms too", real(1e-3))
    .option('--bandwidth <n>', "a machine's memory bandwidth in GB/s", real(1e-3))
    .option('--json', 'print one JSON object instead of text')
    .action(run);
}

async function run(flags: InspectFlags): Promise<void> {
  const folder = flags.config ?? flags.model ?? bundledModel();
  const costs = modelCosts(await readConfig(folder), flags.dtype);
  const { gflops, bandwidth } = flags;
  const floorMs = ({ flops, bytes }: ModelCosts['steps'][number]) =>
    gflops === undefined || bandwidth === undefined
      ? undefined
      : Math.max(flops / (gflops * 1e6), bytes / (bandwidth * 1e6));
  const steps = costs.steps.map((step) => {
    const ms = floorMs(step);
    return ms === undefined ? step : { ...step, ms };
  });
  const students = await listStudents(folder);
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ folder, dtype: flags.dtype, ...costs, steps, students })}\n`);
    return;
  }
  process.stdout.write(describe(folder, flags.dtype, { ...costs, steps }));
  if (students.length > 0) process.stdout.write(`\nstudents: ${students.join(', ')}\n`);
}

function describe(folder: string, dtype: string, costs: Omit<ModelCosts, 'steps'> & { steps: Step[] }): string {
  const { parameters, weightBytes, cacheBytesPerToken, steps } = costs;
  const { total, ...parts } = parameters;
  const counts = Object.entries(parts).map(([part, count]) => [part, String(count), scaled(count)]);
  const timed = steps.some((step) => step.ms !== undefined);
  const floors = steps.map(({ name, flops, bytes, ms }) => [
    name,
    `${scaled(flops)}flop`,
    `${scaled(bytes)}B`,
    ...(timed ? [(ms ?? 0).toFixed(3)] : []),
  ]);
  return [
    folder,
    '',
    formatTable([['part', 'parameters', ''], ...counts, ['total', String(total), scaled(total)]]),
    `weights ${scaled(weightBytes)}B (bf16, autoencoder f32), cache ${scaled(cacheBytesPerToken)}B per token (${dtype})`,
    '',
    formatTable([['step', 'flops', 'bytes', ...(timed ? ['ms'] : [])], ...floors]),
  ].join('\n');
}

type Step = ModelCosts['steps'][number] & { ms?: number };

/** Three digits and a decimal prefix, as "14.2 G". */
function scaled(value: number): string {
  const prefixes = ['', 'k', 'M', 'G', 'T', 'P'];
  let rest = value;
  let prefix = 0;
  while (rest >= 1000 && prefix < prefixes.length - 1) {
    rest /= 1000;
    prefix++;
  }
  return `${Number(rest.toPrecision(3))} ${prefixes[prefix]}`;
}
