import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import type { Bagel, Drawing, DrawOptions, Image, Speculate } from '../index.js';
import { ioError } from '../io/file-error.js';
import { decodeImage } from '../io/image.js';
import { writeFileAtomic } from '../io/output.js';
import { packageRoot } from '../native/load.js';
import type { ProfileEvent } from '../profile/events.js';
import { summarize } from '../profile/report.js';
import { formatTable } from '../profile/table.js';
import { type DemoResults, type DemoRow, demoTable, renderReport } from './demo-report.js';
import { withModel } from './model.js';
import { addDraftOption, addModelOptions, type ModelFlags } from './options.js';
import { Progress } from './progress.js';

interface DemoFlags extends ModelFlags {
  out: string;
}

const SCENE = 'scene.png';
const SOURCE = 'edit-source.png';
const QUESTIONS = ['describe the image.', 'how many objects are there?'];
/** Prompts that leave nothing open, in the words of the bundled model's world. */
const PROMPTS = [
  'a large red circle on the left and a small blue square on the right on a white background',
  'a large yellow ring at the top and a large green triangle at the bottom on a navy background',
  'a large purple diamond in the center on a tan background',
];
const EDIT_OF_DRAWING = 'make the red circle green';
const EDIT_OF_FILE = 'add a large yellow circle in the center';
/** Fixed, so that everybody sees the same pictures. */
const SEED = 1;

export function register(program: Command): void {
  const command = program
    .command('demo')
    .description('ask, draw and edit with the bundled model, and write a report')
    .option('-o, --out <dir>', 'folder for the pictures and report.html', 'out');
  addModelOptions(addDraftOption(command)).action(run);
}

async function run(flags: DemoFlags): Promise<void> {
  try {
    await mkdir(flags.out, { recursive: true });
  } catch (error) {
    throw ioError('write', flags.out, error);
  }
  const start = performance.now();
  const results = await withModel(flags, async (bagel, signal) => {
    await bagel.calibrate();
    const demo = new Demo(bagel, signal, (performance.now() - start) / 1e3);
    await demo.run();
    return demo.results();
  });
  const { answers, drawings, edits, rows } = results;
  const pictures = [
    ...drawings.map(({ image }, i) => ({ file: `draw-${i + 1}.png`, image })),
    ...edits.map(({ image }, i) => ({ file: `edit-${i + 1}.png`, image })),
  ].map(({ file, image }) => ({ file: path.join(flags.out, file), image }));
  for (const { file, image } of pictures) await image.toFile(file);
  const report = path.join(flags.out, 'report.html');
  await writeFileAtomic(report, await renderReport(results));
  if (flags.json) {
    const answered = answers.map(({ question, answer }) => ({ question, answer: textOf(answer) }));
    const written = { report, pictures: pictures.map(({ file }) => file) };
    process.stdout.write(`${JSON.stringify({ ...written, answers: answered, tasks: rows })}\n`);
    return;
  }
  for (const { question, answer } of answers) process.stdout.write(`${question}\n  ${textOf(answer)}\n`);
  process.stdout.write(`\n${formatTable(demoTable(rows))}\n${report}\n`);
}

const textOf = (runs: readonly { text: string }[]) => runs.map(({ text }) => text).join('');

/** Runs the tasks one after the other, each with the profiler on. */
class Demo {
  readonly #bagel: Bagel;
  readonly #signal: AbortSignal;
  readonly #speculate: Speculate;
  readonly #results: Omit<DemoResults, 'profiles'>;
  readonly #events: Record<DemoRow['kind'], ProfileEvent[]> = { ask: [], draw: [], edit: [] };

  constructor(bagel: Bagel, signal: AbortSignal, loadSeconds: number) {
    this.#bagel = bagel;
    this.#signal = signal;
    this.#speculate = bagel.hasDraftHead ? ['eagle', 'ngram'] : 'ngram';
    const { device, isa, threads } = bagel.context;
    const machine = `${device} (${isa}, ${threads} threads), ${bagel.dtype}`;
    this.#results = { machine, loadSeconds, answers: [], drawings: [], edits: [], rows: [] };
  }

  async run(): Promise<void> {
    const example = (name: string) => decodeImage(path.join(packageRoot(), 'examples', name), { signal: this.#signal });
    const scene = await example(SCENE);
    const source = await example(SOURCE);
    for (const question of QUESTIONS) await this.#ask(scene, question);
    for (const [i, prompt] of PROMPTS.entries()) await this.#draw(prompt, SEED + i);
    const [first] = this.#results.drawings;
    if (first) await this.#edit(first.image, EDIT_OF_DRAWING);
    await this.#edit(source, EDIT_OF_FILE);
  }

  results(): DemoResults {
    const titles = { ask: 'answers', draw: 'drawings', edit: 'edits' };
    const profiles = Object.entries(this.#events).map(([kind, events]) => ({
      title: titles[kind as DemoRow['kind']],
      report: summarize(events),
    }));
    return { ...this.#results, profiles };
  }

  async #ask(image: Image, question: string): Promise<void> {
    const runs: { text: string; drafted: boolean }[] = [];
    const signal = this.#signal;
    const work = async () => {
      using session = this.#bagel.session();
      await session.addImage(image, { signal });
      await session.addText(question, { signal });
      const stream = session.answer({ signal, speculate: this.#speculate });
      for await (const { text, draftedText } of stream) {
        if (draftedText !== '') runs.push({ text: draftedText, drafted: true });
        runs.push({ text: text.slice(draftedText.length), drafted: false });
      }
      return await stream.result;
    };
    const { result, seconds } = await this.#measured('ask', question, work);
    const { steps, tokensPerSecond } = result.stats;
    this.#results.answers.push({ image, question, answer: runs });
    this.#results.rows.push({ task: question, kind: 'ask', steps, evaluations: steps, seconds, tokensPerSecond });
  }

  async #draw(prompt: string, seed: number): Promise<void> {
    const { image } = await this.#picture('draw', prompt, (options) => this.#bagel.draw(prompt, { ...options, seed }));
    this.#results.drawings.push({ image, prompt });
  }

  async #edit(source: Image, instruction: string): Promise<void> {
    const { image } = await this.#picture('edit', instruction, (options) =>
      this.#bagel.edit(source, instruction, { ...options, seed: SEED }),
    );
    this.#results.edits.push({ source, image, instruction });
  }

  async #picture(
    kind: 'draw' | 'edit',
    task: string,
    work: (options: DrawOptions) => Promise<Drawing>,
  ): Promise<Drawing> {
    const { result, seconds } = await this.#measured(kind, task, (progress) =>
      work({ signal: this.#signal, onStep: ({ step, steps }) => progress.update(step, steps) }),
    );
    this.#results.rows.push({ task, kind, steps: result.steps, evaluations: result.nfe, seconds });
    return result;
  }

  async #measured<T>(
    kind: DemoRow['kind'],
    task: string,
    work: (progress: Progress) => Promise<T>,
  ): Promise<{ result: T; seconds: number }> {
    const progress = new Progress(`${kind}: ${task}`);
    try {
      const start = performance.now();
      this.#bagel.context.profileStart();
      const result = await work(progress);
      this.#events[kind] = this.#events[kind].concat(this.#bagel.context.profileStop());
      progress.finish();
      return { result, seconds: (performance.now() - start) / 1e3 };
    } finally {
      progress.stop();
    }
  }
}
