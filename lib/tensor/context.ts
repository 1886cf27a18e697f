import { HyperBagelError } from '../errors.js';
import type {
  Counters,
  DeviceInfo,
  NativeActivity,
  NativeAddon,
  NativeContext,
  OpContract,
  ProfileEvent,
} from '../native/addon.js';
import { loadAddon } from '../native/load.js';
import { type DeviceOptions, openContext } from './device.js';
import { type DataOf, DTYPES, type DType } from './dtype.js';
import { Program, tensorsOf } from './program.js';
import { Tensor } from './tensor.js';
import { Waiting } from './waiting.js';
import type { WeightFile } from './weight-file.js';

/** Options of {@link Context.create}. */
export type ContextOptions = DeviceOptions;

/** What {@link Context.call} takes: operands by contract name. */
export type OperandMap = { readonly [name: string]: Tensor | null | undefined };
export type AttributeMap = { readonly [name: string]: number | string | undefined };

/** Flags that kernels raise when data made them act: see {@link Context.sync}. */
export interface Flags {
  /** An index in device data was out of range and was clamped. */
  indexClamped: boolean;
  /** NaN reached a place where a choice had to be made. */
  notANumber: boolean;
}

/**
 * One piece of work that can be cancelled as a whole: an answer, a drawing. Work queued within {@link Context.within} belongs to
 * it; its first failure skips what follows of it.
 */
export class Activity {
  /** @internal */
  readonly native: NativeActivity;

  /** @param name what the profiler calls it */
  constructor(name = 'work') {
    this.native = new (addon().NativeActivity)(name);
  }

  cancel(): void {
    this.native.cancel();
  }
}

let registered: NativeAddon | undefined;

/** @internal The addon, once native failures are instances of the facade's error class. */
export function addon(): NativeAddon {
  const loaded = loadAddon();
  if (registered !== loaded) {
    loaded.registerErrorClass(HyperBagelError);
    registered = loaded;
  }
  return loaded;
}

let contracts: Map<string, { number: number; contract: OpContract }> | undefined;

/** The op contracts as data, by name, with each op's number. */
export function opContracts(): ReadonlyMap<string, { number: number; contract: OpContract }> {
  contracts ??= new Map(
    addon()
      .describe()
      .ops.map((contract, number) => [contract.name, { number, contract }]),
  );
  return contracts;
}

/** The instruction sets of the cpu backend that this build has, best first. */
export function instructionSets(): { name: string; available: boolean; model: boolean }[] {
  return addon().instructionSets();
}

/**
 * The NVIDIA card that a context would run on; starts its driver.
 *
 * @throws HyperBagelError BACKEND_MISSING with what is missing: the library, the driver (or a newer one), a card
 */
export function probeCard(): Promise<DeviceInfo> {
  return addon().probeDevice('cuda');
}

const isTensor = (value: unknown): value is Tensor => value instanceof Tensor;

/**
 * One device and one in-order queue. Op calls check their arguments at once, queue the work and return output handles
 * immediately; only `data()`, {@link sync} and {@link receive} wait. Contexts are independent of each other.
 */
export class Context {
  readonly device: string;
  /** Instruction set of the cpu backend; of a card its architecture, `sm_90`. */
  readonly isa: string;
  readonly threads: number;
  /** Name of the card that it computes on; undefined on the cpu. */
  readonly card: string | undefined;
  /** Why this device was chosen. */
  readonly reason: string;
  /** @internal */
  readonly native: NativeContext;
  #activity: NativeActivity | null = null;
  #made: Tensor[] | null = null;
  #recording = false;
  #profiling = false;
  readonly #waiting: Waiting;
  /** Whoever asked before has been told. */
  #synced: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  private constructor(native: NativeContext, reason: string) {
    this.native = native;
    this.#waiting = new Waiting(native);
    this.reason = reason;
    const { device, isa, threads, card } = native.describe();
    this.device = device;
    this.isa = isa;
    this.threads = threads;
    this.card = card;
  }

  /**
   * @throws HyperBagelError BAD_OPTION, BACKEND_MISSING (no addon, or no such device), NOT_SUPPORTED (an instruction set that
   * this machine lacks)
   */
  static async create(options: ContextOptions = {}): Promise<Context> {
    const { native, reason } = await openContext(addon(), options);
    return new Context(native, reason);
  }

  /** @internal */
  get activity(): NativeActivity | null {
    return this.#activity;
  }

  /** A tensor with the given elements, or uninitialised without them. */
  tensor<D extends DType>(dtype: D, shape: readonly number[], data?: DataOf<D> | readonly number[]): Tensor<D> {
    const tensor = new Tensor<D>(this, this.native.tensor(DTYPES.indexOf(dtype), shape));
    if (data !== undefined) tensor.write(data);
    return this.adopt(tensor);
  }

  zeros<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    return this.tensor(dtype, shape).clear();
  }

  /** @internal A tensor over part of a file. @throws HyperBagelError BAD_MODEL when the file does not reach so far */
  fromFile<D extends DType>(file: WeightFile, offset: number, dtype: D, shape: readonly number[]): Tensor<D> {
    return this.adopt(new Tensor<D>(this, this.native.fromFile(file.native, offset, DTYPES.indexOf(dtype), shape)));
  }

  /** @internal Queues an op by number: what the generated functions call. Out operands that are absent are null. */
  run(op: number, operands: (Tensor | null | undefined)[], attributes: (number | undefined)[]): (Tensor | null)[] {
    // what is no tensor goes on as it is: the native side refuses it under the operand's name
    const natives = operands.map((tensor) => (tensor ? (tensor.native ?? tensor) : (tensor ?? undefined)));
    return this.native
      .run(op, natives, attributes, this.#activity)
      .map((native) => (native === null ? null : this.adopt(new Tensor(this, native))));
  }

  /**
   * Queues any op by name, with operands and attributes as its contract names them; choices and dtypes may be given by name.
   * Returns the Out tensors by name.
   */
  call(name: string, operands: OperandMap, attributes: AttributeMap = {}): Record<string, Tensor> {
    const entry = opContracts().get(name);
    if (!entry) throw new HyperBagelError('BAD_OPTION', `there is no op "${name}"`, { op: name });
    const { number, contract } = entry;
    const inputs = contract.operands.filter((o) => o.role !== 'out');
    const refuse = (given: string, known: string[], what: string) => {
      if (!known.includes(given)) {
        throw new HyperBagelError('BAD_OPTION', `${name} has no ${what} "${given}"`, {
          op: name,
          operand: given,
          expected: known.join(', '),
        });
      }
    };
    for (const given of Object.keys(operands)) {
      refuse(
        given,
        inputs.map((o) => o.name),
        'operand',
      );
    }
    for (const given of Object.keys(attributes)) {
      refuse(
        given,
        contract.attributes.map((a) => a.name),
        'attribute',
      );
    }
    const values = contract.attributes.map((a) => {
      const value = attributes[a.name];
      if (typeof value !== 'string') return value;
      // a name that is none becomes a number that the checker refuses
      const names: readonly string[] = a.kind === 'dtype' ? DTYPES : a.choices;
      return names.includes(value) ? names.indexOf(value) : Number.NaN;
    });
    const results = this.run(
      number,
      inputs.map((o) => operands[o.name]),
      values,
    );
    const names = contract.operands.filter((o) => o.role === 'out').map((o) => o.name);
    return Object.fromEntries(names.flatMap((out, i) => (results[i] ? [[out, results[i]]] : [])));
  }

  /**
   * Runs `fn` once and records the ops in it instead of queueing them. Intermediates share an arena and have no data outside the
   * program; the tensors that `fn` returns do. `fn` may not read, write or await.
   *
   * @param name what the profiler calls a run of it
   */
  record<R>(fn: () => R, name = 'program'): Program<R> {
    this.native.beginRecord(name);
    this.#recording = true;
    const outer = this.#made;
    const made: Tensor[] = [];
    this.#made = made;
    try {
      const outputs = fn();
      if (outputs instanceof Promise) {
        throw new HyperBagelError('NOT_SUPPORTED', 'a recorded function is synchronous: it may not be async');
      }
      const kept = tensorsOf(outputs, isTensor);
      const native = this.native.endRecord(kept.map((t) => t.native));
      for (const tensor of made) if (!kept.includes(tensor)) tensor.dispose();
      return new Program(this, native, outputs);
    } catch (error) {
      this.native.abortRecord();
      for (const tensor of made) tensor.dispose();
      throw error;
    } finally {
      this.#made = outer;
      this.#recording = false;
    }
  }

  /** Names what `fn` records or queues, for the profiler; ranges nest. Costs nothing where nothing is recorded or profiled. */
  range<R>(name: string, fn: () => R): R {
    if (!this.#recording && !this.#profiling) return fn();
    this.native.enterRange(name);
    try {
      return fn();
    } finally {
      this.native.leaveRange();
    }
  }

  /** Runs `fn` and disposes every tensor that was made in it, but for those that it returns. */
  scope<R>(fn: () => R): R {
    const outer = this.#made;
    const made: Tensor[] = [];
    this.#made = made;
    let kept: Tensor[] = [];
    try {
      const result = fn();
      if (result instanceof Promise)
        throw new HyperBagelError('NOT_SUPPORTED', 'the function of a scope is synchronous');
      kept = tensorsOf(result, isTensor);
      return result;
    } finally {
      this.#made = outer;
      for (const tensor of made) {
        if (kept.includes(tensor)) outer?.push(tensor);
        else tensor.dispose();
      }
    }
  }

  /** @internal Registers a tensor with the innermost scope. */
  adopt<T extends Tensor>(tensor: T): T {
    this.#made?.push(tensor);
    return tensor;
  }

  /** What `fn` queues belongs to the activity. */
  within<R>(activity: Activity, fn: () => R): R {
    const outer = this.#activity;
    this.#activity = activity.native;
    try {
      return fn();
    } finally {
      this.#activity = outer;
    }
  }

  /**
   * Resolves once all that was queued before has run.
   *
   * @throws HyperBagelError the first failure of the activity; without one, the first failure of queued work that had none.
   */
  async sync(activity?: Activity): Promise<Flags> {
    const before = this.#synced;
    let over = () => {};
    this.#synced = new Promise((resolve) => {
      over = resolve;
    });
    try {
      await this.#waiting.until(this.native.newest());
      await before; // a failure is told once, and so are flags: to who asked first
      const bits = this.native.outcome(activity?.native ?? null);
      return { indexClamped: (bits & 1) !== 0, notANumber: (bits & 2) !== 0 };
    } finally {
      over();
    }
  }

  /** @internal Resolves once the job with this ticket is done. @throws HyperBagelError DISPOSED */
  until(ticket: number): Promise<void> {
    return this.#waiting.until(ticket);
  }

  /** A fresh channel for `emit`, so that programs of one context do not hear each other. */
  openChannel(): number {
    return this.#waiting.openChannel();
  }

  closeChannel(channel: number): void {
    this.#waiting.closeChannel(channel);
  }

  /** Payloads emitted on a channel since the last call: waits for at least one, or for the run with this ticket to end. */
  async receive(channel: number, ticket: number): Promise<ArrayBuffer[]> {
    return (await this.receiveTimed(channel, ticket)).map(({ data }) => data);
  }

  /** As {@link receive}, with the time of each on the device's side: milliseconds of a steady clock, good for differences. */
  receiveTimed(channel: number, ticket: number): Promise<{ data: ArrayBuffer; at: number }[]> {
    return this.#waiting.receive(channel, ticket);
  }

  /** Waits for the run with this ticket and drops what it and earlier ones emitted on the channel. */
  async drain(channel: number, ticket: number): Promise<void> {
    while (this.native.completed() < ticket) await this.receive(channel, ticket);
    await this.receive(channel, ticket);
  }

  /** Starts to note every op and job of the executor: up to 4 million of them, the first ones. */
  profileStart(): void {
    this.native.profileStart();
    this.#profiling = true;
  }

  /** What was noted, in order of its ends: a job after its ops. Times are by {@link profileClock}. */
  profileStop(): ProfileEvent[] {
    this.#profiling = false;
    return this.native.profileStop();
  }

  /** What the times of a profile are by. */
  get profileClock(): string {
    return this.device === 'cpu'
      ? 'the steady clock of the executor thread'
      : `events in the queue of the ${this.device} device; programs run op by op while they are profiled, not as graphs`;
  }

  /** Bytes of device memory that nobody has; null where tensors are in host memory. */
  freeMemory(): number | null {
    return this.native.freeMemory();
  }

  /**
   * Bytes that the system has given for tensors: those of {@link counters} without pages that nothing has touched yet, and with
   * freed blocks that are kept for the next tensors.
   */
  residentBytes(): number {
    return this.native.residentBytes();
  }

  counters(): Counters {
    return this.native.counters();
  }

  /** dispose() was called. */
  get disposed(): boolean {
    return this.#closed !== undefined;
  }

  /** Cancels what is queued, waits for the op at work, frees threads and memory, that of live tensors too. Idempotent. */
  dispose(): Promise<void> {
    this.#closed ??= this.native.close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
