// A child process of the bench: one engine, one number of threads. `worker.js <engine> <threads> [isa]`, with an IPC channel.
import { addon } from '../../lib/tensor/context.js';
import { OnnxRuntime } from '../peers/onnxruntime.js';
import type { Answer, Engine, Question, RatesNow } from './messages.js';
import { Ours } from './ours.js';

const [, , engineName = '', threadsText = '1', isa] = process.argv;
const threads = Number(threadsText);

/** Enough for the rates of arithmetic, which is all that is asked for. */
const SMALL_BUFFER = 16 * 2 ** 20;

const open = (): Promise<Engine> =>
  engineName === 'onnxruntime' ? OnnxRuntime.open(threads) : Ours.open(threads, isa || undefined);

async function rates(): Promise<RatesNow> {
  const { dotFlops, f32Flops } = await addon().measureRoofline(isa ?? '', threads, SMALL_BUFFER);
  return { dotFlops: dotFlops.all, f32Flops: f32Flops.all };
}

let engine: Promise<Engine> | undefined;

async function answer(question: Question): Promise<unknown> {
  if (question.ask === 'rates') return rates();
  engine ??= open();
  const e = await engine;
  switch (question.ask) {
    case 'describe':
      return e.describe();
    case 'isa':
      return e.isa;
    case 'prepare':
      return e.prepare(question.slot, question.row);
    case 'output':
      return e.output(question.slot, question.rows);
    case 'sample':
      return e.sample(question.slot, question.seconds);
    case 'drop':
      return e.drop(question.slot);
  }
}

process.on('message', (question: Question) => {
  answer(question).then(
    (value) => process.send?.({ ok: true, value } satisfies Answer),
    (error: unknown) => process.send?.({ ok: false, error: String(error) } satisfies Answer),
  );
});
// the bench went away, or is done
process.on('disconnect', () => process.exit(0));
