// The tables of the device's side: Context, Tensor, Program, Activity, WeightFile.
import { setTimeout as sleep } from 'node:timers/promises';
import * as ops from '../../../lib/generated/ops.js';
import { Activity, Context, opContracts } from '../../../lib/tensor/context.js';
import { Program } from '../../../lib/tensor/program.js';
import { Tensor } from '../../../lib/tensor/tensor.js';
import { WeightFile } from '../../../lib/tensor/weight-file.js';
import { fail, occupy, row, type Scene, type State, type Table } from './kit.js';

/** A context, and one of everything that belongs to it. */
export interface Device {
  cx: Context;
  x: Tensor<'f32'>;
  program: Program<Tensor>;
  activity: Activity;
  file: WeightFile;
  channel: number;
  /** Ticket of the newest program run. */
  ticket: number;
}

const is = (values: ArrayLike<number>, ...expected: number[]) =>
  values.length === expected.length && expected.every((value, i) => values[i] === value);
const isData =
  (...expected: number[]) =>
  (value: unknown) =>
    is(value as Float32Array, ...expected);
const made = (value: unknown) => value instanceof Tensor && !value.disposed;

export const CONTEXT: Table<Device> = {
  'static create': row('ok ok ok ok ok ok', async () => (await Context.create({ threads: 1 })).dispose()),
  activity: row('ok ok ok ok ok ok', ({ cx }) => cx.activity),
  disposed: row(
    'ok ok ok ok ok ok',
    ({ cx }) => cx.disposed,
    (value) => typeof value === 'boolean',
  ),
  tensor: row('ok ok NOT_SUPPORTED ok DISPOSED DISPOSED', ({ cx }) => cx.tensor('f32', [2], [1, 2]), made),
  zeros: row('ok ok NOT_SUPPORTED ok DISPOSED DISPOSED', ({ cx }) => cx.zeros('f32', [2]), made),
  // it has its data already, so a recording may have it
  fromFile: row('ok ok ok ok DISPOSED DISPOSED', ({ cx, file }) => cx.fromFile(file, 0, 'u8', [2]), made),
  run: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ cx, x }) => cx.run(opContracts().get('linear')?.number ?? -1, [x, x, null, null], []),
    (value) => made((value as unknown[])[0]),
  ),
  call: row('ok ok ok ok DISPOSED DISPOSED', ({ cx, x }) => cx.call('linear', { x, weight: x }).out, made),
  record: row(
    'ok ok NOT_SUPPORTED ok DISPOSED DISPOSED',
    ({ cx, x }) => cx.record(() => ops.linear(cx, { x, weight: x })),
    (value) => value instanceof Program && made(value.outputs),
  ),
  scope: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ cx, x }) => {
      let inner: Tensor | undefined;
      const kept = cx.scope(() => {
        inner = ops.linear(cx, { x, weight: x });
        return ops.linear(cx, { x, weight: x });
      });
      return inner?.disposed && kept;
    },
    made,
  ),
  adopt: row(
    'ok ok ok ok ok ok',
    ({ cx, x }) => cx.adopt(x),
    (value, { x }) => value === x,
  ),
  within: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ cx, x, activity }) => cx.within(activity, () => ops.linear(cx, { x, weight: x })),
    made,
  ),
  sync: row('ok ok ok OUT_OF_MEMORY DISPOSED DISPOSED', ({ cx }) => cx.sync()),
  until: row('ok ok ok ok ok ok', ({ cx, ticket }) => cx.until(ticket)),
  openChannel: row(
    'ok ok ok ok ok ok',
    ({ cx }) => cx.openChannel(),
    (value, { channel }) => value === channel + 1,
  ),
  closeChannel: row('ok ok ok ok ok ok', ({ cx, channel }) => cx.closeChannel(channel)),
  receive: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ cx, channel, ticket }) => cx.receive(channel, ticket),
    Array.isArray,
  ),
  receiveTimed: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ cx, channel, ticket }) => cx.receiveTimed(channel, ticket),
    Array.isArray,
  ),
  drain: row('ok ok ok ok DISPOSED DISPOSED', ({ cx, channel, ticket }) => cx.drain(channel, ticket)),
  range: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ cx, x }) => cx.range('a name', () => ops.linear(cx, { x, weight: x })),
    made,
  ),
  profileClock: row(
    'ok ok ok ok ok ok',
    ({ cx }) => cx.profileClock,
    (value) => typeof value === 'string' && value !== '',
  ),
  profileStart: row('ok ok ok ok DISPOSED DISPOSED', ({ cx }) => cx.profileStart()),
  profileStop: row('ok ok ok ok ok ok', ({ cx }) => cx.profileStop(), Array.isArray),
  freeMemory: row(
    'ok ok ok ok DISPOSED DISPOSED',
    ({ cx }) => cx.freeMemory(),
    (value) => value === null, // where tensors are in host memory, the emulator's too
  ),
  residentBytes: row(
    'ok ok ok ok ok ok',
    ({ cx }) => cx.residentBytes(),
    (value) => Number.isSafeInteger(value),
  ),
  counters: row(
    'ok ok ok ok ok ok',
    ({ cx }) => cx.counters(),
    // simt counts what its kernels do, in an object of its own
    (value) =>
      Object.values(value as object)
        .flatMap((n) => (typeof n === 'object' ? Object.values(n as object) : [n]))
        .every((n) => n >= 0),
  ),
  dispose: row('ok ok ok ok ok ok', ({ cx }) => cx.dispose()),
  [String(Symbol.asyncDispose)]: row('ok ok ok ok ok ok', ({ cx }) => cx[Symbol.asyncDispose]()),
};

export const TENSOR: Table<Device> = {
  elements: row(
    'ok ok ok ok ok ok',
    ({ x }) => x.elements,
    (value) => value === 2,
  ),
  bytes: row(
    'ok ok ok ok ok ok',
    ({ x }) => x.bytes,
    (value) => value === 8,
  ),
  disposed: row(
    'ok ok ok ok ok ok',
    ({ x }) => x.disposed,
    (value) => typeof value === 'boolean',
  ),
  data: row('ok ok NOT_SUPPORTED OUT_OF_MEMORY DISPOSED DISPOSED', ({ x }) => x.data(), isData(1, 2)),
  floats: row('ok ok NOT_SUPPORTED OUT_OF_MEMORY DISPOSED DISPOSED', ({ x }) => x.floats(), isData(1, 2)),
  // a failed tensor has data again once it is written
  write: row('ok ok NOT_SUPPORTED ok DISPOSED DISPOSED', ({ x }) => x.write([5, 6]).data(), isData(5, 6)),
  clear: row('ok ok NOT_SUPPORTED ok DISPOSED DISPOSED', ({ x }) => x.clear().data(), isData(0, 0)),
  reshape: row(
    'ok ok ok ok DISPOSED ok',
    ({ x }) => x.reshape([2, 1]),
    (value) => is((value as Tensor).shape, 2, 1),
  ),
  rows: row(
    'ok ok ok ok DISPOSED ok',
    ({ x }) => x.rows(0, 1),
    (value) => is((value as Tensor).shape, 1, 2),
  ),
  dispose: row(
    'ok ok ok ok ok ok',
    ({ x }) => x.dispose(),
    (_, { x }) => x.disposed,
  ),
  [String(Symbol.dispose)]: row(
    'ok ok ok ok ok ok',
    ({ x }) => x[Symbol.dispose](),
    (_, { x }) => x.disposed,
  ),
};

export const PROGRAM: Table<Device> = {
  run: row(
    'ok ok NOT_SUPPORTED OUT_OF_MEMORY DISPOSED DISPOSED',
    ({ program }) => {
      program.run();
      return program.outputs.data();
    },
    isData(5),
  ),
  describe: row(
    'ok ok ok ok DISPOSED ok',
    ({ program }) => program.describe().ops,
    (value) => value === 1,
  ),
  dispose: row('ok ok ok ok ok ok', ({ program }) => program.dispose()),
  [String(Symbol.dispose)]: row('ok ok ok ok ok ok', ({ program }) => program[Symbol.dispose]()),
};

export const ACTIVITY: Table<Device> = {
  // of a thing that goes with its last holder there is no disposed state: it is cancelled instead
  cancel: row('CANCELLED CANCELLED CANCELLED OUT_OF_MEMORY CANCELLED DISPOSED', ({ cx, activity }) => {
    activity.cancel();
    return cx.sync(activity);
  }),
};

export const WEIGHT_FILE: Table<Device> = {
  bytes: row(
    'ok ok ok ok DISPOSED ok',
    ({ file }) => file.bytes,
    (value) => (value as number) > 100,
  ),
  dispose: row('ok ok ok ok ok ok', ({ file }) => file.dispose()),
};

/** Makes the scene of a state; `dispose` says how the object itself is disposed. */
export async function deviceScene(
  device: 'cpu' | 'simt',
  state: State,
  dispose: (device: Device) => unknown,
): Promise<Scene<Device>> {
  const cx = await Context.create({ threads: 1, device });
  const x = cx.tensor('f32', [1, 2], [1, 2]);
  const activity = new Activity();
  const program = cx.record(() => ops.linear(cx, { x, weight: x })) as Program<Tensor>;
  const file = new WeightFile('package.json');
  const ticket = program.run();
  const subject: Device = { cx, x, program, activity, file, channel: cx.openChannel(), ticket };
  cx.within(activity, () => program.run());
  await cx.sync();
  const scene: Scene<Device> = { subject, cx, recording: state === 'recording', end: () => cx.dispose() };
  if (state === 'busy') {
    occupy(cx);
    subject.ticket = cx.within(activity, () => program.run());
    scene.leave = async () => {};
  } else if (state === 'failed') {
    // and what depends on it: the tensor, the program, the activity
    const table = await fail(cx);
    subject.x = cx.within(activity, () => ops.embedding(cx, { table, ids: cx.tensor('i32', [1], [0]), dtype: 'f32' }));
    subject.program = cx.record(() => ops.linear(cx, { x: subject.x, weight: subject.x }));
    subject.ticket = subject.program.run();
    while (cx.counters().queued > 0) await sleep(1);
  } else if (state === 'disposed') {
    await dispose(subject);
  } else if (state === 'gone') {
    occupy(cx);
    const over = cx.dispose();
    scene.leave = () => over;
  }
  return scene;
}
