/** The native surface, as `bindings/` exports it. Only `lib/native`, `lib/tensor` and `lib/profile/roofline.ts` see it. */
export interface NativeAddon {
  /** Version of the package that the addon was built from. */
  version(): string;
  describe(): Contracts;
  instructionSets(): InstructionSet[];
  /** What cgroups leave this process. `root` goes before every path: tests make a system of their own. */
  usableThreads(root?: string): number;
  cgroupLimits(root?: string): CgroupLimits;
  /** Takes about a second of the threads. Empty `isa`: the best; 0 threads: all that this process may use. */
  measureRoofline(isa: string, threads: number, memoryLimit: number): Promise<NativeRoofline>;
  /** Native failures become instances of this class. */
  registerErrorClass(errorClass: unknown): void;
  /** Rejects with BACKEND_MISSING, and the reason, when the device is not there. */
  probeDevice(device: string): Promise<DeviceInfo>;
  NativeContext: new (device: string, isa: string, threads: number, onDevice: NativeDeviceOptions) => NativeContext;
  NativeActivity: new (name: string) => NativeActivity;
  NativeWeightFile: new (path: string) => NativeWeightFile;
}

/** The tightest limits of this process's control groups; null: none. */
export interface CgroupLimits {
  /** Processors' worth of time. */
  cpus: number | null;
  /** Bytes. */
  memory: number | null;
  /** Bytes that the other use of the groups leaves. */
  available: number | null;
}

/** What a device other than the cpu has to offer. */
export interface DeviceInfo {
  /** Such as a card's. */
  name: string;
  /** Version of the driver; empty: none is needed. */
  driver: string;
  /** The oldest one that will do. */
  required: string;
  /** Devices of this kind. */
  count: number;
  /** Compute capability: 90 for 9.0. */
  arch: number;
  processors: number;
  memoryBytes: number;
}

/** Options of csrc/device/api.h. */
export interface NativeDeviceOptions {
  ordinal?: number;
  arch?: number;
  seed?: number;
  races?: boolean;
  guarded?: boolean;
  failsAt?: number;
}

/** A rate per second on one thread, and on all of them together. */
export interface Rates {
  one: number;
  all: number;
}

/** What this machine does at best, measured: see csrc/cpu/roofline.h. */
export interface NativeRoofline {
  isa: string;
  threads: number;
  /** flop/s of f32 multiply-adds on registers. */
  f32Flops: Rates;
  /** flop/s of bf16 dot products on registers; 0 on an instruction set without them. */
  dotFlops: Rates;
  l2BytesPerSecond: Rates;
  memoryBytesPerSecond: Rates;
  /** Bytes per thread that the second-level rate was read from. */
  l2Buffer: number;
  /** Bytes that the memory rate was read from. */
  memoryBuffer: number;
  /** Last-level cache as the processor reports it; 0: unknown. */
  cacheBytes: number;
  /** What measuring took. */
  seconds: number;
}

export interface InstructionSet {
  name: string;
  /** The processor and the operating system have it. */
  available: boolean;
  /** A software model of an instruction set, for tests only. */
  model: boolean;
}

/** The op contracts as data. */
export interface Contracts {
  dtypes: string[];
  ops: OpContract[];
}

export interface OpContract {
  name: string;
  summary: string;
  formula: string;
  /** The named dim whose live count is data in operand `rows`, or null. */
  liveDim: string | null;
  /** Why no backend but the CPU's will have it, or null: every backend should. */
  cpuOnly: string | null;
  operands: OperandContract[];
  attributes: AttributeContract[];
}

export interface OperandContract {
  name: string;
  role: 'in' | 'out' | 'inout';
  dtypes: string[];
  /** Type variable: operands of one op with the same letter have the same dtype. */
  type: string | null;
  /** Named dims; a number is a fixed size; "*" is any shape. */
  dims: string;
  optional: boolean;
  mayBePacked: boolean;
  note: string;
}

export interface AttributeContract {
  name: string;
  kind: 'integer' | 'real' | 'choice' | 'dtype';
  min: number;
  max: number;
  fallback: number | null;
  choices: string[];
  note: string;
}

export interface NativeTensor {
  readonly dtype: number;
  readonly shape: number[];
  readonly packed: boolean;
  readonly bytes: number;
  readonly disposed: boolean;
  view(shape: readonly number[], byteOffset: number): NativeTensor;
  dispose(): void;
}

export interface NativeActivity {
  cancel(): void;
}

export interface NativeWeightFile {
  readonly bytes: number;
  dispose(): void;
}

export interface NativeProgram {
  describe(): { ops: number; arenaBytes: number; unplannedBytes: number };
  dispose(): void;
}

export interface NativeRecord {
  channel: number;
  /** When the device emitted it: milliseconds of a steady clock of its own. */
  at: number;
  data: ArrayBuffer;
}

export interface ProfileEvent {
  /** Op name; empty for a job of the queue, which spans the ops before it that no job spans yet. */
  op: string;
  startNs: number;
  endNs: number;
  flops: number;
  bytes: number;
  threads: number;
  shape: string;
  /** Of an op: in its program, null without one. Of a job: what it was queued in. */
  range: ProfileRange | null;
  /** Of a job: the answer or picture that it is for. */
  activity: ProfileRange | null;
}

/** One entry into a named range; the same object wherever it is named in one profile. */
export interface ProfileRange {
  name: string;
  outer: ProfileRange | null;
}

/** Live figures of a context's memory and work. */
export interface Counters {
  /** Of tensors: host memory on the cpu, else the device's. */
  bytes: number;
  peakBytes: number;
  allocations: number;
  ops: number;
  reads: number;
  recordings: number;
  runs: number;
  /** Jobs that are not done, now and at most so far. */
  queued: number;
  peakQueued: number;
  /** Host memory beside a device's, for copies and what it sends; 0 on the cpu, as all that follows. */
  hostBytes: number;
  /** Kernels, those in graphs aside. */
  launches: number;
  graphLaunches: number;
  copies: number;
  fences: number;
  /** Calls that made a host thread wait for the device. */
  synchronising: number;
  /** Of simt: what kernels did, such as matrix instructions and bytes by each way of copying. See csrc/simt/counters.h. */
  kernels?: Record<string, number>;
}

/** What {@link NativeContext.lookOut} says, by its number: enum Distance of csrc/runtime/context.h. */
export const DISTANCES = ['over', 'near', 'far'] as const;

export interface NativeContext {
  describe(): { device: string; isa: string; threads: number; card?: string };
  tensor(dtype: number, shape: readonly number[]): NativeTensor;
  fromFile(file: NativeWeightFile, offset: number, dtype: number, shape: readonly number[]): NativeTensor;
  write(tensor: NativeTensor, data: Uint8Array | null, activity: NativeActivity | null): number;
  /** Once the ticket's job is done, `data` gives the bytes or throws. */
  read(tensor: NativeTensor): { ticket: number; data: () => ArrayBuffer };
  run(
    op: number,
    operands: (NativeTensor | undefined)[],
    attributes: (number | undefined)[],
    activity: NativeActivity | null,
  ): (NativeTensor | null)[];
  beginRecord(name: string): void;
  endRecord(outputs: NativeTensor[]): NativeProgram;
  abortRecord(): void;
  runProgram(program: NativeProgram, activity: NativeActivity | null): number;
  newest(): number;
  completed(): number;
  /**
   * How far the end of a job is, or with `records` a record: an index of {@link DISTANCES}. With `patient` what is near is looked out
   * for, for some 20 us.
   */
  lookOut(ticket: number, records: boolean, patient: boolean): number;
  /** Resolves when that is no longer far; undefined if it is not. */
  approach(ticket: number, records: boolean): Promise<void> | undefined;
  receive(): NativeRecord[];
  /** Flags since the last call; throws the first failure of the activity, or without one of jobs that had none. */
  outcome(activity: NativeActivity | null): number;
  enterRange(name: string): void;
  leaveRange(): void;
  profileStart(): void;
  profileStop(): ProfileEvent[];
  /** Bytes of device memory that nobody has; null where tensors are in host memory. */
  freeMemory(): number | null;
  residentBytes(): number;
  counters(): Counters;
  close(): Promise<void>;
}
