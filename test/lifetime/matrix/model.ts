// The tables of the model's side: Bagel, Session, AnswerStream, Editor.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, AnswerStream } from '../../../lib/models/bagel/answer.js';
import { Bagel } from '../../../lib/models/bagel/bagel.js';
import { type BagelConfig, readConfig } from '../../../lib/models/bagel/config.js';
import type { DrawOptions } from '../../../lib/models/bagel/draw-options.js';
import type { Editor } from '../../../lib/models/bagel/editor.js';
import { Session } from '../../../lib/models/bagel/session.js';
import { fail, row, type Scene, type State, type Table } from './kit.js';

/** A model, and one of everything that belongs to it. */
export interface Model {
  bagel: Bagel;
  session: Session;
  stream: AnswerStream;
  editor: Editor;
  tiny: BagelConfig;
}

const QUESTION = 'how many objects are there?';
const PICTURE = 'examples/scene.png';
const SHORT = { maxTokens: 3, ignoreStop: true, speculate: 'off' } as const;
const ONE_STEP: DrawOptions = { steps: 1, seed: 1, guidance: 1, imageGuidance: 1 };

const isAnswer = (value: unknown) => (value as Answer).tokens.length === 3;
const isPicture = (value: unknown) => (value as { image: { data: Uint8Array } }).image.data.some((byte) => byte > 0);
const all = async (list: AsyncIterable<unknown>) => {
  const items: unknown[] = [];
  for await (const item of list) items.push(item);
  return items;
};

export const BAGEL: Table<Model> = {
  'static load': row('ok ok ok ok ok ok', async () => (await Bagel.load()).dispose()),
  'static random': row('ok ok ok ok ok ok', async ({ tiny }) => (await Bagel.random(tiny, { seed: 1 })).dispose()),
  students: row('ok ok ok ok ok ok', ({ bagel }) => bagel.students(), Array.isArray),
  loadStudent: row('BAD_OPTION BAD_OPTION BAD_OPTION BAD_OPTION DISPOSED DISPOSED', ({ bagel }) =>
    bagel.loadStudent('nobody'),
  ),
  calibrate: row('ok ok NOT_SUPPORTED ok DISPOSED DISPOSED', ({ bagel }) => bagel.calibrate()),
  hasDraftHead: row(
    'ok ok ok ok ok ok',
    ({ bagel }) => bagel.hasDraftHead,
    (value) => value === false,
  ),
  session: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ bagel }) => bagel.session(),
    (value) => value instanceof Session,
  ),
  ask: row('ok ok NOT_SUPPORTED ok DISPOSED DISPOSED', ({ bagel }) => bagel.ask(QUESTION, SHORT), isAnswer),
  answerMany: row(
    'ok BUSY NOT_SUPPORTED ok DISPOSED DISPOSED',
    async ({ bagel, session }) => {
      for await (const part of bagel.answerMany([{ session, ...SHORT }])) {
        if ('error' in part) throw part.error; // why this one of many has no answer
        if ('answer' in part) return part.answer;
      }
      return undefined;
    },
    isAnswer,
  ),
  draw: row('ok ok ok ok DISPOSED DISPOSED', ({ bagel }) => bagel.draw('a red circle', ONE_STEP), isPicture),
  edit: row('ok ok ok ok DISPOSED DISPOSED', ({ bagel }) => bagel.edit(PICTURE, 'make it blue', ONE_STEP), isPicture),
  editor: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ bagel }) => bagel.editor(PICTURE),
    (value) => (value as Editor).width > 0,
  ),
  drawMany: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ bagel }) => all(bagel.drawMany([{ prompt: 'a red circle', ...ONE_STEP }])),
    (value) => (value as unknown[]).every((item) => isPicture(item)),
  ),
  memory: row(
    'ok ok ok ok ok ok',
    ({ bagel }) => bagel.memory(),
    (value) => Object.values(value as object).every((n) => n >= 0),
  ),
  dispose: row('ok ok ok ok ok ok', ({ bagel }) => bagel.dispose()),
  [String(Symbol.asyncDispose)]: row('ok ok ok ok ok ok', ({ bagel }) => bagel[Symbol.asyncDispose]()),
};

export const SESSION: Table<Model> = {
  tokens: row(
    'ok ok ok ok ok ok',
    ({ session }) => session.tokens,
    (value) => (value as number) > 0,
  ),
  addText: row('ok BUSY NOT_SUPPORTED ok DISPOSED DISPOSED', ({ session }) => session.addText(QUESTION)),
  addImage: row('ok BUSY ok ok DISPOSED DISPOSED', ({ session }) => session.addImage(PICTURE)),
  answer: row('ok BUSY ok ok DISPOSED DISPOSED', ({ session }) => session.answer(SHORT).result, isAnswer),
  open: row('ok BUSY ok ok DISPOSED DISPOSED', async ({ session }) => (await session.open(SHORT)).leave()),
  dispose: row('ok ok ok ok ok ok', ({ session }) => session.dispose()),
  [String(Symbol.dispose)]: row('ok ok ok ok ok ok', ({ session }) => session[Symbol.dispose]()),
};

/** busy: somebody iterates it. failed: its signal was aborted. disposed: left before its end. It is iterated once only. */
export const STREAM: Table<Model> = {
  // when busy, who iterates it reads it to its end
  result: row('ok ok ok CANCELLED CANCELLED DISPOSED', ({ stream }) => stream.result),
  [String(Symbol.asyncIterator)]: row('ok BUSY ok BUSY BUSY BUSY', ({ stream }) => all(stream)),
};

/** Leaves a stream after its first piece. */
export async function abandon(stream: AnswerStream): Promise<void> {
  for await (const _ of stream) break;
}

export const EDITOR: Table<Model> = {
  tokens: row(
    'ok ok ok ok ok ok',
    ({ editor }) => editor.tokens,
    (value) => (value as number) >= 0,
  ),
  edit: row('ok ok ok ok DISPOSED DISPOSED', ({ editor }) => editor.edit('make it blue', ONE_STEP), isPicture),
  dispose: row('ok ok ok ok ok ok', ({ editor }) => editor.dispose()),
  [String(Symbol.dispose)]: row('ok ok ok ok ok ok', ({ editor }) => editor[Symbol.dispose]()),
};

const load = () => Bagel.load(undefined, { threads: 2, device: 'cpu', cacheTokens: 8192, keepMeasurements: false });

/** Models go from row to row, which shows that they go on, until a row disposes them. */
const models = new Map<State, Bagel>();

async function modelIn(state: State): Promise<Bagel> {
  let bagel = models.get(state);
  if (!bagel || bagel.context.disposed) {
    bagel = await load();
    models.set(state, bagel);
  }
  return bagel;
}

export async function disposeModels(): Promise<void> {
  for (const bagel of models.values()) await bagel.dispose();
}

/** Makes the scene of a state; `dispose` says how the object itself is disposed. */
export async function modelScene(state: State, dispose: (model: Model) => unknown): Promise<Scene<Model>> {
  const bagel = await modelIn(state);
  const cx = bagel.context;
  const { pool } = bagel.model;
  const free = pool.free;
  const session = bagel.session();
  await session.addText(QUESTION);
  const cancel = new AbortController();
  const signal = cancel.signal;
  const stream = session.answer({ maxTokens: 60, ignoreStop: true, speculate: 'off', signal });
  const editor = await bagel.editor(PICTURE);
  const model: Model = { bagel, session, stream, editor, tiny: await readConfig('models/tiny') };
  let over: Promise<unknown> = Promise.resolve();
  const scene: Scene<Model> = {
    subject: model,
    cx,
    recording: state === 'recording',
    end: async () => {
      cancel.abort();
      await over;
      session.dispose();
      editor.dispose();
      for (let i = 0; i < 100 && pool.free !== free; i++) await sleep(1); // calls that were cancelled end
      if (pool.free !== free) throw new Error(`${free - pool.free} pages of the cache are lost`);
    },
  };
  if (state === 'busy') {
    const endless = { steps: 1000, seed: 1, signal };
    over = Promise.allSettled([all(stream), bagel.draw('a red circle', endless), editor.edit('make it blue', endless)]);
    scene.leave = () => {
      cancel.abort();
      return over;
    };
    while (cx.counters().queued === 0) await sleep(1);
  } else if (state === 'failed') {
    cancel.abort();
    await stream.result.catch(() => {});
    await bagel.draw('a red circle', { ...ONE_STEP, signal }).catch(() => {});
    await session.addImage('package.json').catch(() => {});
    await session.addText(QUESTION, { signal }).catch(() => {});
    await fail(cx);
  } else if (state === 'disposed') {
    await dispose(model);
  } else if (state === 'gone') {
    over = bagel.dispose();
    scene.leave = () => over;
  }
  return scene;
}
