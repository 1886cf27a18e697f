import { byteRate, flopRate, type MachineRoofline } from '../lib/profile/roofline.js';
import type { Context } from '../lib/tensor/context.js';
import type { Program } from '../lib/tensor/program.js';
import type { Tensor } from '../lib/tensor/tensor.js';
import type { CaseOperand, OpCase, OpInputs } from '../test/kit/cases.js';
import { seeded } from '../test/kit/cases.js';
import { type Results, readAll, uploadAll } from '../test/kit/run-case.js';
import { type Cost, type Floor, floorOf, repeatsFor, workOf } from './arithmetic.js';
import { type Limits, time } from './harness.js';

/** Weights that take turns, so that none of them comes from a cache. */
export interface Rotation {
  copies: number;
  bytes: number;
}

export interface OpResult {
  /** Seconds per op, one per sample. */
  samples: number[];
  cost: Cost;
  floor: Floor;
  /** Threads that the op ran on: small ones run on the executor alone. */
  threads: number;
  /** Ops per recorded program, and runs of it per wait. */
  opsPerRun: number;
  runsPerWait: number;
  weights?: Rotation;
  /** Of the operands. */
  dtypes: Readonly<Record<string, string>>;
}

/** Seconds of one program run at least, so that queueing it does not count, and of one wait. */
export const RUN_SECONDS = 1e-3;
export const WAIT_SECONDS = 5e-3;
export const MOST_OPS = 64;
export const MOST_RUNS = 32;

/** Rotated weights take this many bytes at least, twice the last-level cache, and at most a share of the free memory. */
export const ROTATED_BYTES = 512 * 2 ** 20;

export function rotationOf(weightBytes: number, cacheBytes: number, freeBytes: number): Rotation {
  const wanted = Math.min(Math.max(ROTATED_BYTES, 2 * cacheBytes), freeBytes / 3);
  const copies = Math.max(1, Math.ceil(wanted / weightBytes));
  return { copies, bytes: copies * weightBytes };
}

/** True when the matrix product of a case takes bf16 on both sides. */
export function isDot(op: string, { operands }: OpInputs): boolean {
  return (op === 'linear' || op === 'conv2d') && operands.x?.dtype === 'bf16' && operands.weight?.dtype === 'bf16';
}

/** One case's tensors and attributes on a context, ready to be called again and again. */
export class PreparedOp {
  readonly inputs: OpInputs;
  readonly operands: Record<string, Tensor>;
  readonly #attributes: Record<string, number | string>;
  readonly #channel: number | undefined;
  readonly #copies: Tensor[] = [];

  constructor(
    private readonly cx: Context,
    private readonly op: string,
    c: OpCase,
  ) {
    this.inputs = c.build(seeded(7));
    this.operands = uploadAll(cx, this.inputs);
    this.#channel = op === 'emit' ? cx.openChannel() : undefined;
    this.#attributes =
      this.#channel === undefined ? this.inputs.attributes : { ...this.inputs.attributes, channel: this.#channel };
  }

  /** Queues or records the op once; `turn` picks a weight. */
  call(turn = 0): void {
    const weight = this.#copies[turn % Math.max(1, this.#copies.length)];
    const outs = this.cx.call(this.op, weight ? { ...this.operands, weight } : this.operands, this.#attributes);
    for (const tensor of Object.values(outs)) tensor.dispose();
  }

  /** Makes further copies of the weight, up to `copies`. */
  rotate(copies: number): void {
    const first = this.operands.weight as Tensor;
    const { packed, ...plain } = this.inputs.operands.weight as CaseOperand;
    const source = packed ? uploadAll(this.cx, { operands: { plain }, attributes: {} }).plain : undefined;
    this.#copies.push(first);
    while (this.#copies.length < copies) {
      this.#copies.push(
        source
          ? (this.cx.call('pack_weight', { weight: source }).out as Tensor)
          : (uploadAll(this.cx, { operands: { plain }, attributes: {} }).plain as Tensor),
      );
    }
    source?.dispose();
  }

  /** A program of `times` calls, each with the next weight from `first` on. */
  record(times: number, first = 0): Program {
    return this.cx.record(() => {
      for (let i = 0; i < times; i++) this.call(first + i);
    });
  }

  /** What one call gives. */
  async results(): Promise<Results> {
    const outs = this.cx.call(this.op, this.operands, this.#attributes);
    const results = await readAll(this.op, this.operands, outs);
    for (const tensor of Object.values(outs)) tensor.dispose();
    return results;
  }

  /** Waits for what is queued; drops what `emit` sent. */
  async settle(): Promise<void> {
    await this.cx.sync();
    if (this.#channel !== undefined) await this.cx.receive(this.#channel, 0);
  }

  dispose(): void {
    for (const tensor of [...Object.values(this.operands), ...this.#copies]) tensor.dispose();
    if (this.#channel !== undefined) this.cx.closeChannel(this.#channel);
  }
}

/** Cost by the contract, seconds and threads of one call, from the executor's own events; the second call, since the first warms up. */
export async function profileOnce(
  cx: Context,
  op: string,
  prepared: PreparedOp,
): Promise<{ cost: Cost; seconds: number; threads: number }> {
  prepared.call();
  await prepared.settle();
  cx.profileStart();
  prepared.call();
  await prepared.settle();
  const event = cx.profileStop().find((e) => e.op === op);
  if (!event) throw new Error(`the profile has no ${op}`);
  const { flops, bytes, threads, startNs, endNs } = event;
  return { cost: { flops, bytes }, seconds: (endNs - startNs) / 1e9, threads };
}

/** Measures one case of an op. Those tagged `perf` of `linear` rotate over weights beyond the last-level cache. */
export async function measureOp(
  cx: Context,
  op: string,
  c: OpCase,
  roofline: MachineRoofline,
  limits: Limits,
  freeBytes: number,
): Promise<OpResult> {
  const prepared = new PreparedOp(cx, op, c);
  try {
    const { cost, seconds, threads } = await profileOnce(cx, op, prepared);
    let weights: Rotation | undefined;
    if (op === 'linear' && c.tags.includes('perf')) {
      weights = rotationOf((prepared.operands.weight as Tensor).bytes, roofline.cacheBytes, freeBytes);
      prepared.rotate(weights.copies);
      await prepared.settle();
    }
    const opsPerRun = weights?.copies ?? repeatsFor(seconds, RUN_SECONDS, MOST_OPS);
    const runsPerWait = repeatsFor(seconds * opsPerRun, WAIT_SECONDS, MOST_RUNS);
    const program = prepared.record(opsPerRun);
    const samples = await time(
      `${op}: ${c.name}`,
      async () => {
        for (let run = 0; run < runsPerWait; run++) program.run();
        await prepared.settle();
      },
      limits,
    );
    program.dispose();
    const bytesRate = weights ? roofline.memoryBytesPerSecond.all : byteRate(roofline, cost.bytes);
    return {
      samples: samples.map((s) => s / (opsPerRun * runsPerWait)),
      cost,
      floor: floorOf(workOf(cost, flopRate(roofline, isDot(op, prepared.inputs)), bytesRate)),
      threads,
      opsPerRun,
      runsPerWait,
      ...(weights ? { weights } : {}),
      dtypes: Object.fromEntries(Object.entries(prepared.operands).map(([name, { dtype }]) => [name, dtype])),
    };
  } finally {
    prepared.dispose();
    await cx.sync();
  }
}

/** What queueing costs, in seconds: one run of a program of a one-element op, and one wait for it. */
export async function measureQueue(cx: Context, limits: Limits): Promise<{ run: number[]; wait: number[] }> {
  const x = cx.zeros('i32', [1]);
  const program = cx.record(() => {
    cx.call('increment', { x });
  });
  const runs = 256;
  const run = await time(
    'queue: a run',
    async () => {
      for (let i = 0; i < runs; i++) program.run();
      await cx.sync();
    },
    limits,
  );
  const wait = await time(
    'queue: a run and a wait',
    async () => {
      program.run();
      await cx.sync();
    },
    limits,
  );
  program.dispose();
  x.dispose();
  return { run: run.map((s) => s / runs), wait };
}
