// Every public method in every state of what it belongs to: what it gives or which code it fails with, and that things go on. The
// methods are those that the exported classes have: one without a row fails.
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import * as library from '../../lib/index.js';
import { AnswerStream } from '../../lib/models/bagel/answer.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { Editor } from '../../lib/models/bagel/editor.js';
import { Session } from '../../lib/models/bagel/session.js';
import { Activity, Context } from '../../lib/tensor/context.js';
import { Program } from '../../lib/tensor/program.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { WeightFile } from '../../lib/tensor/weight-file.js';
import { fullTier } from '../kit/tier.js';
import { ACTIVITY, CONTEXT, type Device, deviceScene, PROGRAM, TENSOR, WEIGHT_FILE } from './matrix/device.js';
import { play, print, type Row, type Scene, STATES, type State, type Table } from './matrix/kit.js';
import { abandon, BAGEL, disposeModels, EDITOR, type Model, modelScene, SESSION, STREAM } from './matrix/model.js';

const full = fullTier(25, 'contexts on simt');

type Class = { readonly prototype: object; readonly name: string };

/** Methods and accessors of a class, static ones too. */
function methodsOf(of: Class): string[] {
  const own = Reflect.ownKeys(of.prototype).filter((key) => key !== 'constructor');
  const statics = Reflect.ownKeys(of).filter((key) => !['length', 'name', 'prototype'].includes(String(key)));
  return [...own.map(String), ...statics.map((key) => `static ${String(key)}`)].sort();
}

const seen = new Set<string>();

/**
 * The tests of one class.
 *
 * @param together states that all rows are called in at once: nothing comes after them, and a model takes long to load
 */
function matrix<S>(
  of: Class,
  table: Table<S>,
  scene: (state: State) => Promise<Scene<S>>,
  together: readonly State[] = [],
): void {
  seen.add(of.name);
  const shared = new Map<State, Promise<Map<string, string>>>();
  const playAll = async (state: State) => {
    const made = await scene(state);
    const cells = Object.entries(table).map(async ([name, row]) => [name, await play(row, made)] as const);
    const played = new Map(await Promise.all(cells));
    await made.end();
    return played;
  };
  const playOne = async (name: string, row: Row<S>, state: State) => {
    if (together.includes(state)) {
      if (!shared.has(state)) shared.set(state, playAll(state));
      return (await shared.get(state))?.get(name) ?? '';
    }
    const made = await scene(state);
    const cell = await play(row, made);
    await made.end();
    return cell;
  };
  describe(of.name, () => {
    const results = new Map<string, string[]>();
    test('has a row for every method', () => {
      expect(Object.keys(table).sort()).toEqual(methodsOf(of));
    });
    test.each(Object.keys(table))('%s', async (name) => {
      const row = table[name];
      if (!row) throw new Error(`no row ${name}`);
      const cells: string[] = [];
      results.set(name, cells);
      for (const state of STATES) cells.push(await playOne(name, row, state));
      expect(Object.fromEntries(STATES.map((state, i) => [state, cells[i]]))).toEqual(
        Object.fromEntries(STATES.map((state, i) => [state, row.expected.split(' ')[i]])),
      );
    });
    afterAll(() => print(of.name, results));
  });
}

for (const on of full ? (['cpu', 'simt'] as const) : (['cpu'] as const)) {
  const scene = (dispose: (device: Device) => unknown) => (state: State) => deviceScene(on, state, dispose);
  const disposed = {
    context: scene(({ cx }) => cx.dispose()),
    tensor: scene(({ x }) => x.dispose()),
    program: scene(({ program }) => program.dispose()),
    activity: scene(({ activity }) => activity.cancel()),
    file: scene(({ file }) => file.dispose()),
  };
  describe(on, () => {
    matrix(Context, CONTEXT, disposed.context);
    matrix(Tensor, TENSOR, disposed.tensor);
    matrix(Program, PROGRAM, disposed.program);
    matrix(Activity, ACTIVITY, disposed.activity);
    matrix(WeightFile, WEIGHT_FILE, disposed.file);
  });
}

const model = (dispose: (model: Model) => unknown) => (state: State) => modelScene(state, dispose);

matrix(
  Bagel,
  BAGEL,
  model(({ bagel }) => bagel.dispose()),
  ['disposed', 'gone'],
);
matrix(
  Session,
  SESSION,
  model(({ session }) => session.dispose()),
  ['gone'],
);
matrix(
  AnswerStream,
  STREAM,
  model(({ stream }) => abandon(stream)),
  ['gone'],
);
matrix(
  Editor,
  EDITOR,
  model(({ editor }) => editor.dispose()),
  ['gone'],
);

afterAll(disposeModels);

/** Values without a context and without anything to dispose: they are in one state only, and have tests of their own. */
const VALUES = ['DraftTree', 'HyperBagelError', 'Image', 'NgramDrafter', 'NgramMemory', 'Tokenizer'];

test('every exported class is in the matrix', () => {
  const exported = Object.entries(library).flatMap(([name, value]) =>
    typeof value === 'function' && Function.prototype.toString.call(value).startsWith('class') ? [name] : [],
  );
  const types = readFileSync('dist/index.d.ts', 'utf8');
  const names =
    /export \{([^}]*)\};?\s*$/
      .exec(types)?.[1]
      ?.split(',')
      .map((name) => name.trim().replace('type ', '')) ?? [];
  const declared = names.filter(
    (name) => types.includes(`declare class ${name} `) || types.includes(`declare class ${name}<`),
  );
  expect(declared.sort()).toEqual(exported.sort()); // what the types promise is there
  const missing = exported.filter((name) => !seen.has(name) && !VALUES.includes(name));
  expect(missing).toEqual([]);
});
