import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { checkGrid } from '../../denoise/grid.js';
import { SOLVERS, type SolverName, solverOf } from '../../denoise/solver.js';
import { HyperBagelError } from '../../errors.js';
import { badModel, fileExists, readJsonObject, readModelFile, shown } from '../../io/model-file.js';
import { modelHash } from '../../io/model-hash.js';
import { BYTES } from '../../tensor/dtype.js';
import { availableMemory } from './memory-plan.js';
import type { BagelModel } from './model.js';
import { outOfMemory, StudentSource, studentBytes } from './student-source.js';
import { type BagelWeights, WeightLoader, withGeneration } from './weights.js';

/** What `student.json` says. */
export interface StudentConfig {
  /** `modelHash` of the model that it was made from. */
  base: string;
  kind: 'full' | 'low-rank';
  /** Factor of low-rank updates. */
  loraScale: number;
  /** Times that it was trained on. */
  grid: Float32Array;
  solver: SolverName;
  gamma: number | undefined;
  /** Scales that it was trained for, lowest and highest. */
  textScale: readonly [number, number];
  imageScale: readonly [number, number];
}

/** Distilled generation weights, ready to run. */
export interface Student extends StudentConfig {
  name: string;
  /** Of settings and weights. */
  hash: string;
  /** Those of the model, with the student's in place of the generation expert, the latent projections and the embedders. */
  weights: BagelWeights;
}

/** Folder of a model folder that holds a folder per student. */
const FOLDER = 'students';
const FILE = 'student.json';

/**
 * The students of a model folder: `students/<name>/student.json` and `gen.safetensors` (or shards). Each is loaded at its first use
 * and kept, so that switching costs nothing.
 */
export class Students {
  readonly #loaded = new Map<string, Promise<Student>>();

  constructor(
    private readonly model: BagelModel,
    /** Of the model; undefined for one that comes from no folder. */
    private readonly folder: string | undefined,
    private readonly hash: string | undefined,
  ) {}

  /** Names of the students that are there, sorted. */
  async list(): Promise<string[]> {
    return this.folder === undefined ? [] : listStudents(this.folder);
  }

  /**
   * Identifies a student, settings and weights, as files are now.
   *
   * @throws HyperBagelError BAD_OPTION when there is no student of that name, BAD_MODEL, IO
   */
  async hashOf(name: string): Promise<string> {
    const folder = await this.#find(name);
    const file = path.join(folder, FILE);
    const settings = await readModelFile(file);
    const weights = await modelHash(folder, ['gen']);
    return createHash('sha256').update(settings).update(weights).digest('hex');
  }

  /**
   * @throws HyperBagelError BAD_OPTION when there is no student of that name, BAD_MODEL when its files are wrong or it was made
   * from another model, OUT_OF_MEMORY, IO
   */
  get(name: string): Promise<Student> {
    const loaded = this.#loaded.get(name);
    if (loaded) return loaded;
    const loading = this.#load(name);
    this.#loaded.set(name, loading);
    // what failed may be mended meanwhile
    loading.catch(() => this.#loaded.delete(name));
    return loading;
  }

  /** The folder of a student. @throws HyperBagelError BAD_OPTION when there is none of that name */
  async #find(name: string): Promise<string> {
    const missing = async () => {
      const names = await this.list();
      const expected = names.length === 0 ? 'none: the model has no students' : names.join(', ');
      const got = typeof name === 'string' ? JSON.stringify(name.slice(0, 80)) : typeof name;
      return new HyperBagelError('BAD_OPTION', `there is no student ${got}; there are: ${expected}`, {
        operand: 'student',
        expected,
        got,
      });
    };
    if (typeof name !== 'string' || !isName(name) || this.folder === undefined) throw await missing();
    const folder = path.join(this.folder, FOLDER, name);
    if (!(await fileExists(path.join(folder, FILE)))) throw await missing();
    return folder;
  }

  async #load(name: string): Promise<Student> {
    const { model } = this;
    const { cx, config, dtype } = model;
    const folder = await this.#find(name);
    const settings = await readStudent(path.join(folder, FILE));
    if (settings.base !== this.hash) {
      throw new HyperBagelError('BAD_MODEL', `${folder}: the student was made from another model`, {
        operand: 'base',
        expected: this.hash ?? 'nothing',
        got: settings.base,
      });
    }
    const needed = studentBytes(config, BYTES[model.weights.norm.gen.dtype]);
    const available = await availableMemory(cx);
    if (needed > available) throw outOfMemory(name, needed, available);
    const scale = settings.kind === 'low-rank' ? settings.loraScale : undefined;
    const source = await StudentSource.open(cx, config, folder, this.folder as string, scale);
    try {
      const generation = await new WeightLoader(cx, source, dtype, {}).loadGeneration(config);
      return { ...settings, name, hash: await this.hashOf(name), weights: withGeneration(model.weights, generation) };
    } finally {
      source.close();
    }
  }
}

/** Names of the students in a model folder, sorted; none when it has no folder for them. */
export async function listStudents(model: string): Promise<string[]> {
  try {
    const entries = await readdir(path.join(model, FOLDER), { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() && isName(entry.name))
      .map(({ name }) => name)
      .sort();
  } catch {
    return [];
  }
}

/** One path component that begins with a letter or a digit: a name from elsewhere must not lead out of the folder. */
function isName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name);
}

/**
 * Reads `student.json`.
 *
 * @throws HyperBagelError BAD_MODEL, IO
 */
export async function readStudent(file: string): Promise<StudentConfig> {
  const values = await readJsonObject(file);
  const bad = (key: string, expected: string) =>
    badModel(file, `"${key}" must be ${expected}, got ${shown(values[key])}`, { operand: key });
  const number = (key: string, low: number, high: number): number => {
    const value = values[key];
    if (typeof value === 'number' && value >= low && value <= high) return value;
    throw bad(key, `a number from ${low} to ${high}`);
  };
  const range = (key: string): [number, number] => {
    const value: unknown = values[key];
    const [low, high] = Array.isArray(value) && value.length === 2 ? (value as unknown[]) : [];
    if (typeof low === 'number' && typeof high === 'number' && low >= 0 && low <= high && high <= 1000)
      return [low, high];
    throw bad(key, 'two numbers, the lowest and the highest scale');
  };
  if (values.format !== 1) throw bad('format', '1');
  if (typeof values.base !== 'string' || !/^[0-9a-f]{64}$/.test(values.base))
    throw bad('base', 'a hash of 64 hex digits');
  const { kind, solver = 'euler' } = values;
  if (kind !== 'full' && kind !== 'low-rank') throw bad('kind', '"full" or "low-rank"');
  if (!SOLVERS.includes(solver as SolverName)) throw bad('solver', SOLVERS.join(', '));
  const gamma = values.gamma === undefined ? undefined : number('gamma', 0, 1);
  let grid: Float32Array;
  try {
    grid = checkGrid(values.grid as number[]);
    solverOf(solver as SolverName, gamma);
  } catch (cause) {
    throw badModel(file, cause instanceof Error ? cause.message : String(cause), { operand: 'grid', cause });
  }
  return {
    base: values.base,
    kind,
    loraScale: kind === 'low-rank' ? number('lora_scale', -1e6, 1e6) : 1,
    grid,
    solver: solver as SolverName,
    gamma,
    textScale: range('text_scale'),
    imageScale: range('image_scale'),
  };
}
