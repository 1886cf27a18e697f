import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { throwIfAborted } from '../io/abort.js';
import { ioError } from '../io/file-error.js';
import type { Bagel } from '../models/bagel/bagel.js';
import { EDITS_SUITE, type EditsLine, type EditsRecord, editsTasks } from './edits.js';
import { pictureFeatures } from './features.js';
import type { Sample } from './fidelity.js';
import { Journal, type Settings } from './journal.js';
import { folderOf, type Method, optionsOf, referenceFor } from './method.js';
import type { NoiseRows } from './noise-rows.js';
import { PictureStore } from './picture-store.js';
import { checkMethod, giveAnswers, latentCount, makePictures } from './runner.js';
import { SHAPES_SUITE, type ShapesLine, type ShapesRecord, shapesTasks } from './shapes.js';
import { type Measured, type PictureTask, readMeasured, type Suite, type SuiteName } from './suite.js';
import { VQA_SUITE, type VqaRecord, vqaTasks } from './vqa.js';
import { IMAGE_SIDE } from './world/scene.js';

export interface EvaluationPlan {
  /** Folder of the results; made when it is not there. */
  readonly out: string;
  /** Items of each suite, evenly over its groups; 0 leaves the suite out. */
  readonly counts: Readonly<Record<SuiteName, number>>;
  /** Prompts that are drawn from {@link VARIANTS} noises, for diversity. */
  readonly diverse: number;
  /** No two of the same name. */
  readonly methods: readonly Method[];
  /** Adds plain Euler steps of the undistilled model beside each other method. */
  readonly references: boolean;
  /** Initial noises; made from each item's seed without. */
  readonly noise: Readonly<Partial<Record<SuiteName, NoiseRows>>>;
  /** Items that are made together. */
  readonly batch: number;
  /** Drops finished items in the folder instead of going on. */
  readonly restart: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: { label: string; done: number; total: number }) => void;
}

/** What a method made of a suite of pictures. */
export interface SuitePictures<L> {
  /** Of the items; other noises of a prompt have none. */
  readonly lines: readonly L[];
  readonly samples: readonly Sample[];
}

export interface MethodPictures {
  readonly method: Method;
  /** Whether it is here only to be compared with. */
  readonly isReference: boolean;
  readonly shapes?: SuitePictures<ShapesLine>;
  readonly edits?: SuitePictures<EditsLine>;
}

/** Runs an evaluation in a folder of results, going on where an earlier run with the same settings ended. */
export class Evaluation {
  readonly shapes: readonly PictureTask<ShapesRecord>[];
  readonly edits: readonly PictureTask<EditsRecord>[];

  /** @throws HyperBagelError BAD_OPTION for counts out of range */
  constructor(
    private readonly bagel: Bagel,
    private readonly plan: EvaluationPlan,
  ) {
    const { counts, diverse } = plan;
    this.shapes = shapesTasks(counts.shapes, diverse);
    this.edits = editsTasks(counts.edits);
  }

  /**
   * The methods one after the other, each with all its pictures; the caller takes what it needs of them and lets go.
   *
   * @throws HyperBagelError BAD_OPTION (a method that the model cannot work by, before any work; other settings in the folder; noises too few), IO, CANCELLED
   */
  async *methods(): AsyncGenerator<MethodPictures> {
    const { methods, references } = this.plan;
    const added: Method[] = [];
    for (const method of methods) await checkMethod(this.bagel, method);
    for (const method of methods) {
      const made = await this.#method(method, false);
      yield made;
      const steps = (made.shapes ?? made.edits)?.lines[0]?.steps;
      if (!references || steps === undefined) continue;
      const reference = referenceFor(method, steps, [...methods, ...added]);
      if (reference === undefined) continue;
      added.push(reference);
      yield await this.#method(reference, true);
    }
  }

  /** Answers to the questions; no method has a part in them. @throws as {@link methods} */
  async answers(): Promise<readonly VqaRecord[]> {
    const { counts, out, restart, signal, batch, onProgress } = this.plan;
    const tasks = vqaTasks(counts.vqa);
    if (tasks.length === 0) return [];
    await makeFolder(out);
    const journal = await Journal.open(
      path.join(out, 'vqa.jsonl'),
      await this.#settings('vqa'),
      VQA_SUITE.read,
      restart,
    );
    try {
      const done = new Set(journal.records.map(VQA_SUITE.keyOf));
      const pending = tasks.filter(({ key }) => !done.has(key));
      let count = tasks.length - pending.length;
      for (let first = 0; first < pending.length; first += batch) {
        const some = pending.slice(first, first + batch);
        for await (const { index, answer } of giveAnswers(this.bagel, some, signal)) {
          await journal.append([(some[index] as (typeof some)[number]).judge(answer)]);
          onProgress?.({ label: 'questions', done: ++count, total: tasks.length });
        }
        throwIfAborted(signal);
      }
      const wanted = new Set(tasks.map(({ key }) => key));
      return journal.records.filter((record) => wanted.has(VQA_SUITE.keyOf(record)));
    } finally {
      await journal.close();
    }
  }

  async #method(method: Method, isReference: boolean): Promise<MethodPictures> {
    const shapes = await this.#pictures(method, SHAPES_SUITE, this.shapes);
    const edits = await this.#pictures(method, EDITS_SUITE, this.edits);
    return { method, isReference, ...(shapes ? { shapes } : {}), ...(edits ? { edits } : {}) };
  }

  async #pictures<R>(
    method: Method,
    suite: Suite<R>,
    tasks: readonly PictureTask<R>[],
  ): Promise<SuitePictures<R & Measured> | undefined> {
    if (tasks.length === 0) return undefined;
    const folder = path.join(this.plan.out, folderOf(method));
    await makeFolder(folder);
    const file = path.join(folder, `${suite.name}.jsonl`);
    const journal = await Journal.open(
      file,
      await this.#settings(suite.name, method),
      lineReader(suite),
      this.plan.restart,
    );
    try {
      const store = await PictureStore.open(path.join(folder, `${suite.name}.pictures`), latentCount(this.bagel));
      try {
        await this.#makePending(method, suite, tasks, journal, store);
        const wanted = new Set(tasks.map(nameOf));
        const lines = journal.records.filter((line) => wanted.has(nameOfLine(suite, line)) && line.variant === 0);
        const samples: Sample[] = [];
        for (const { slot, key, variant } of tasks) samples.push({ key, variant, ...(await store.read(slot)) });
        return { lines, samples };
      } finally {
        await store.close();
      }
    } finally {
      await journal.close();
    }
  }

  async #makePending<R>(
    method: Method,
    suite: Suite<R>,
    tasks: readonly PictureTask<R>[],
    journal: Journal<R & Measured>,
    store: PictureStore,
  ): Promise<void> {
    const { batch, signal, onProgress } = this.plan;
    const done = new Set(journal.records.map((line) => nameOfLine(suite, line)));
    const pending = tasks.filter((task) => !done.has(nameOf(task)));
    const label = `${suite.name === 'shapes' ? 'drawings' : 'edits'} by ${method.name}`;
    let count = tasks.length - pending.length;
    for (let first = 0; first < pending.length; first += batch) {
      const some = pending.slice(first, first + batch);
      const requests = some.map((task) => this.#request(method, suite.name, task));
      for await (const { index, picture } of makePictures(this.bagel, requests, signal)) {
        const task = some[index] as PictureTask<R>;
        const { pixels, latents, steps, nfe, ms, denoiseMs } = picture;
        await store.write(task.slot, { pixels, latents, features: pictureFeatures(pixels) });
        const measured = {
          variant: task.variant,
          steps,
          nfe,
          ms: toMicroseconds(ms),
          denoiseMs: toMicroseconds(denoiseMs),
        };
        await journal.append([{ ...task.judge(pixels), ...measured }]);
        onProgress?.({ label, done: ++count, total: tasks.length });
      }
      throwIfAborted(signal);
    }
  }

  #request<R>(method: Method, suite: SuiteName, task: PictureTask<R>) {
    const { text, source, seed, row, variant } = task;
    const rows = this.plan.noise[suite];
    // other noises of a prompt come from their seeds: a file has one row for each item
    const noise = variant === 0 ? rows?.row(row) : undefined;
    const size = { width: IMAGE_SIDE, height: IMAGE_SIDE };
    const options = { ...optionsOf(method), size, seed, noise };
    return source ? { text, source, options } : { text, options };
  }

  async #settings(suite: SuiteName, method?: Method): Promise<Settings> {
    const { noise } = this.plan;
    const { context, dtype, studentsOf } = this.bagel;
    const student = method?.student;
    return {
      suite,
      model: this.bagel.modelHash ?? 'random weights',
      ...(student === undefined ? {} : { student: await studentsOf.hashOf(student) }),
      device: context.device,
      isa: context.isa,
      dtype,
      ...(method
        ? { method: method.name, noise: noise[suite]?.hash ?? 'seeds', latents: latentCount(this.bagel) }
        : {}),
    };
  }
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw ioError('write', folder, error);
  });
}

function lineReader<R>(suite: Suite<R>): (value: unknown) => (R & Measured) | undefined {
  return (value) => {
    const record = suite.read(value);
    const measured = readMeasured(value);
    return record && measured && { ...record, ...measured };
  };
}

function nameOf({ key, variant }: { key: string; variant: number }): string {
  return `${key} ${variant}`;
}

function nameOfLine<R>(suite: Suite<R>, line: R & Measured): string {
  return nameOf({ key: suite.keyOf(line), variant: line.variant });
}

function toMicroseconds(ms: number): number {
  return Math.round(ms * 1e3) / 1e3;
}
