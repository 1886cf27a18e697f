// What every method does in every state of what it belongs to.
import { setTimeout as sleep } from 'node:timers/promises';
import { HyperBagelError } from '../../../lib/errors.js';
import * as ops from '../../../lib/generated/ops.js';
import type { Context } from '../../../lib/tensor/context.js';
import type { Tensor } from '../../../lib/tensor/tensor.js';

/**
 * busy: work is queued and at work. recording: the call comes from a function that is being recorded. failed: the last thing that
 * was queued has failed. disposed: the object itself. gone: what it belongs to; of a context and a model: dispose() is on its way.
 */
export const STATES = ['fresh', 'busy', 'recording', 'failed', 'disposed', 'gone'] as const;
export type State = (typeof STATES)[number];

/** One method: a call, and per state what comes of it: `ok` or the code of a HyperBagelError. */
export interface Row<S> {
  call: (subject: S) => unknown;
  /** One word per state, in the order of STATES. */
  expected: string;
  /** Says whether a value is the right one; undefined: any is. */
  check?: ((value: unknown, subject: S) => boolean) | undefined;
}

export type Table<S> = Readonly<Record<string, Row<S>>>;

export const row = <S>(
  expected: string,
  call: (subject: S) => unknown,
  check?: (value: unknown, subject: S) => boolean,
): Row<S> => ({ call, expected, check });

/** A subject in some state. */
export interface Scene<S> {
  subject: S;
  /** The context that must live on, unless it was disposed. */
  cx: Context;
  /** Records while it calls. */
  recording?: boolean;
  /** Ends what keeps it busy. */
  leave?: () => Promise<unknown>;
  /** Ends it. */
  end: () => Promise<void>;
}

/** `ok`, or the code, or what went wrong otherwise. */
export async function outcome<S>({ call, check }: Row<S>, subject: S): Promise<string> {
  const late = sleep(20_000, 'no answer in 20 s', { ref: false });
  const work = (async () => {
    try {
      const given = call(subject);
      const value = given instanceof Promise ? await given : given;
      return check && !check(value, subject) ? `wrong value: ${String(value)}` : 'ok';
    } catch (error) {
      return error instanceof HyperBagelError ? error.code : String(error);
    }
  })();
  return Promise.race([work, late]);
}

/** Queues work of some ten milliseconds. */
export function occupy(cx: Context): void {
  if (cx.device !== 'cpu') {
    const rows = cx.zeros('f32', [64, 1024]);
    const scale = cx.zeros('f32', [1024]);
    for (let i = 0; i < 10; i++) ops.rmsNorm(cx, { x: rows, weight: scale }).out.dispose();
    return;
  }
  const x = cx.zeros('f32', [64, 512]);
  const weight = cx.zeros('f32', [512, 512]);
  for (let i = 0; i < 30; i++) ops.linear(cx, { x, weight }).dispose();
}

/** Queues what fails, and waits for that without taking note of it. */
export async function fail(cx: Context): Promise<Tensor<'f32'>> {
  const huge = cx.tensor('f32', [1e14, 2]);
  huge.clear();
  while (cx.counters().queued > 0) await sleep(1);
  return huge;
}

/** The context computes, and has forgotten earlier failures once they were told. */
async function livesOn(cx: Context): Promise<string> {
  await cx.sync().catch(() => {}); // tells of what failed before
  const x = cx.tensor('f32', [1, 2], [3, 4]);
  const program = cx.record(() => ops.linear(cx, { x, weight: x }));
  program.run();
  const [sum] = await program.outputs.data();
  await cx.sync();
  program.dispose();
  x.dispose();
  return sum === 25 ? '' : `, and then 3 * 3 + 4 * 4 = ${sum}`;
}

/** What a call does in a scene, and what is wrong afterwards. */
export async function play<S>(row: Row<S>, scene: Scene<S>): Promise<string> {
  const { cx, subject, leave } = scene;
  const busy = cx.counters().queued;
  const gone = cx.disposed;
  let result: string;
  if (scene.recording) {
    const x = cx.zeros('f32', [1, 2]);
    let inside: Promise<string> | undefined;
    let recorded = '';
    try {
      const program = cx.record(() => {
        inside = outcome(row, subject);
        return ops.linear(cx, { x, weight: x });
      });
      program.run();
      program.dispose();
    } catch (error) {
      recorded = error instanceof HyperBagelError ? error.code : String(error);
    }
    result = (await inside) ?? 'never called';
    // a context that was disposed meanwhile ends the recording; nothing else does
    if (recorded !== (cx.disposed ? 'DISPOSED' : '')) result += `, and the recording: ${recorded || 'no failure'}`;
  } else {
    result = await outcome(row, subject);
  }
  if (leave) {
    if (busy === 0 && !gone) result += ', and it was not busy';
    await leave();
  }
  if (!cx.disposed) result += await livesOn(cx);
  return result;
}

/** Prints a class's table: methods by states. */
export function print(name: string, results: ReadonlyMap<string, readonly string[]>): void {
  const lines = [...results].map(([method, cells]) => [method, ...cells]);
  const rows = [[name, ...STATES], ...lines];
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0))) ?? [];
  console.log(rows.map((cells) => cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')).join('\n'));
}
