import { mkdir } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { HyperBagelError } from '../errors.js';
import { METHOD_SYNTAX, type Method, parseMethods, single, TEACHER } from '../eval/method.js';
import { type NoiseRows, readNoiseRows } from '../eval/noise-rows.js';
import { readRecordedFolder, runEvaluation } from '../eval/run.js';
import { SUITES, type SuiteName } from '../eval/suite.js';
import { IMAGE_SIDE } from '../eval/world/scene.js';
import type { Bagel } from '../index.js';
import { ioError } from '../io/file-error.js';
import { latentGrid, latentWidth } from '../models/bagel/config.js';
import { formatTable } from '../profile/table.js';
import { info } from './log.js';
import { withModel } from './model.js';
import { addModelOptions, collect, integer, type ModelFlags } from './options.js';
import { Progress } from './progress.js';

interface EvalFlags extends ModelFlags {
  out: string;
  only?: SuiteName[];
  shapes: number;
  edits: number;
  vqa: number;
  steps?: number;
  method?: string[];
  diversity?: number;
  noise?: string;
  compare?: string;
  batch: number;
  restart?: true;
}

/** The recorded evaluation's: 50 of each category, 30 of each op, 100 of each type. */
const COUNTS = { shapes: 350, edits: 210, vqa: 1300 };
const MOST_ITEMS = 100_000;
/** Prompts drawn from several noises when methods are compared. */
const DIVERSE = 16;

export function register(program: Command): void {
  const command = program
    .command('eval')
    .description(
      'score the model in the shapes world: drawings, edits and answers; with --method, compare ways of making pictures. ' +
        'A run that was interrupted goes on where it ended',
    )
    .option('-o, --out <dir>', 'folder for the finished items, report.html and results.json', 'out/eval')
    .option('--only <suites>', `some of ${SUITES.join(', ')} (default: all)`, suites)
    .option('--shapes <n>', 'prompts to draw, evenly over the categories', integer(1, MOST_ITEMS), COUNTS.shapes)
    .option('--edits <n>', 'edits to make, evenly over the kinds', integer(1, MOST_ITEMS), COUNTS.edits)
    .option('--vqa <n>', 'questions to ask, evenly over the types', integer(1, MOST_ITEMS), COUNTS.vqa)
    .option('--steps <n>', 'Euler steps of every picture (default: 50)', integer(1, 1000))
    .option(
      '--method <spec>',
      `a way to make pictures, compared with ${TEACHER.name} from the same noise; may be given several times: ${METHOD_SYNTAX}`,
      collect,
    )
    .option(
      '--diversity <n>',
      `prompts that are drawn from four noises, to measure diversity (default: ${DIVERSE} with --method, else 0)`,
      integer(0, MOST_ITEMS),
    )
    .option('--noise <dir>', 'folder with initial noises: noise_shapes.safetensors, noise_edits.safetensors')
    .option('--compare <dir>', 'folder with a recorded evaluation to compare with item by item: SUITE.jsonl')
    .option('--batch <n>', 'items that are made together', integer(1, 256), 16)
    .option('--restart', 'drop what an earlier run left in the folder');
  addModelOptions(command).action(run);
}

async function run(flags: EvalFlags): Promise<void> {
  const methods = methodsOf(flags);
  const chosen = flags.only ?? SUITES;
  // What cannot be read or written is refused before anything is computed.
  const recorded = flags.compare === undefined ? {} : await readRecordedFolder(flags.compare, chosen);
  await mkdir(flags.out, { recursive: true }).catch((error: unknown) => {
    throw ioError('write', flags.out, error);
  });
  const progress = new ProgressByLabel();
  const { result, tables } = await withModel(flags, async (bagel, signal) => {
    const count = (suite: SuiteName) => (chosen.includes(suite) ? flags[suite] : 0);
    const plan = {
      out: flags.out,
      counts: { shapes: count('shapes'), edits: count('edits'), vqa: count('vqa') },
      diverse: flags.diversity ?? (flags.method ? DIVERSE : 0),
      methods,
      references: flags.method !== undefined,
      noise: flags.noise === undefined ? {} : await noises(flags.noise, chosen, bagel),
      batch: flags.batch,
      restart: flags.restart ?? false,
      signal,
      onProgress: progress.update,
    };
    try {
      const finished = await runEvaluation(bagel, plan, recorded);
      progress.finish();
      return finished;
    } finally {
      progress.stop();
      if (signal.aborted) info(`the finished items are in ${flags.out}: the same command goes on from there`);
    }
  });
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  for (const { table, note } of tables) {
    process.stdout.write(`${formatTable(table)}${note === undefined ? '' : `${note}\n`}\n`);
  }
  process.stdout.write(`${result.files.join('\n')}\n`);
}

function methodsOf({ method, steps, compare }: EvalFlags): Method[] {
  if (method === undefined) return [single(`euler:${steps ?? 50}`)];
  const refuse = (option: string) =>
    new HyperBagelError('BAD_OPTION', `--${option} cannot stand beside --method`, { operand: option });
  if (steps !== undefined) throw refuse('steps');
  if (compare !== undefined) throw refuse('compare');
  const asked = method.flatMap(parseMethods);
  const all = new Map([TEACHER, ...asked].map((each) => [each.name, each]));
  return [...all.values()];
}

async function noises(
  folder: string,
  chosen: readonly SuiteName[],
  bagel: Bagel,
): Promise<Partial<Record<SuiteName, NoiseRows>>> {
  const { rows, columns } = latentGrid(bagel.config, { width: IMAGE_SIDE, height: IMAGE_SIDE });
  const shape = [rows * columns, latentWidth(bagel.config)] as const;
  const drawn = chosen.filter((suite) => suite !== 'vqa');
  const read = drawn.map(async (suite) => [suite, await readNoiseRows(folder, suite, shape)] as const);
  return Object.fromEntries(await Promise.all(read));
}

function suites(text: string): SuiteName[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.every((name) => (SUITES as readonly string[]).includes(name))) {
    return SUITES.filter((suite) => names.includes(suite));
  }
  throw new InvalidArgumentError(`Expected some of ${SUITES.join(', ')}, separated by commas.`);
}

/** A progress bar for each piece of work in its turn. */
class ProgressByLabel {
  #label = '';
  #progress: Progress | undefined;

  readonly update = ({ label, done, total }: { label: string; done: number; total: number }): void => {
    if (label !== this.#label) {
      this.#progress?.finish();
      this.#label = label;
      this.#progress = new Progress(label);
    }
    this.#progress?.update(done, total);
  };

  finish(): void {
    this.#progress?.finish();
  }

  stop(): void {
    this.#progress?.stop();
  }
}
