import type { NativeProgram } from '../native/addon.js';
import type { Context } from './context.js';
import type { Tensor } from './tensor.js';

/** Tensors by name, nested as the recording function returned them. */
export type Outputs = Tensor | null | undefined | readonly Outputs[] | { readonly [name: string]: Outputs };

/** Every tensor in an {@link Outputs} value. */
export function tensorsOf(outputs: unknown, isTensor: (value: unknown) => value is Tensor): Tensor[] {
  if (isTensor(outputs)) return [outputs];
  if (typeof outputs !== 'object' || outputs === null) return [];
  return Object.values(outputs).flatMap((value) => tensorsOf(value, isTensor));
}

/** A recorded list of ops, one step of something; made by {@link Context.record}. */
export class Program<R = unknown> {
  /** What the recording function returned. Valid until the next run. */
  readonly outputs: R;
  readonly context: Context;
  readonly #native: NativeProgram;

  /** @internal */
  constructor(context: Context, native: NativeProgram, outputs: R) {
    this.context = context;
    this.#native = native;
    this.outputs = outputs;
  }

  /** Queues one run: one native call, whatever the number of ops. Returns its ticket, for {@link Context.receive}. */
  run(): number {
    return this.context.native.runProgram(this.#native, this.context.activity);
  }

  /** Ops of the program, bytes of its arena, and what its intermediates would take without sharing. */
  describe(): { ops: number; arenaBytes: number; unplannedBytes: number } {
    return this.#native.describe();
  }

  /** Lets go of the program and of the tensors that it captured, once queued runs are done. Idempotent. */
  dispose(): void {
    this.#native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
