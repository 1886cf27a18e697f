// What the bench and its child processes say to each other. A child holds one engine on one number of threads.

/** What a child is to measure. */
export type Row =
  | {
      kind: 'op';
      op: string;
      case: string;
      /** Weights that take turns; default 1. */
      copies?: number;
      /** Wait for every call, as a user does; else many calls share a wait, so that the op alone is timed. */
      single?: boolean;
    }
  | { kind: 'step'; name: string; dtype: 'f32' | 'bf16' };

export interface Prepared {
  /** How the engine does it. */
  about: string;
}

export interface Engine {
  /** Gets a row ready under a name; it is dropped with `drop`. */
  prepare(slot: string, row: Row): Promise<Prepared>;
  /** Rows of the op's output, computed anew. */
  output(slot: string, rows: readonly number[]): Promise<Float64Array[]>;
  /** Seconds per call, over calls that take `seconds` at least together; a call before them is not counted. */
  sample(slot: string, seconds: number): Promise<number>;
  drop(slot: string): Promise<void>;
  /** Name and version. */
  describe(): string;
  /** Instruction set that the engine chose; empty where it does not say. */
  readonly isa: string;
}

/** Rates of the threads together, measured now. */
export interface RatesNow {
  dotFlops: number;
  f32Flops: number;
}

export type Question =
  | { ask: 'describe' }
  | { ask: 'isa' }
  | { ask: 'prepare'; slot: string; row: Row }
  | { ask: 'output'; slot: string; rows: number[] }
  | { ask: 'sample'; slot: string; seconds: number }
  | { ask: 'drop'; slot: string }
  | { ask: 'rates' };

export type Answer = { ok: true; value: unknown } | { ok: false; error: string };

/** Calls `work` once, then until `seconds` are over: seconds per call of these. */
export async function timeCalls(seconds: number, work: () => Promise<void>): Promise<number> {
  await work();
  const start = performance.now();
  let calls = 0;
  let elapsed = 0;
  do {
    await work();
    calls++;
    elapsed = (performance.now() - start) / 1e3;
  } while (elapsed < seconds);
  return elapsed / calls;
}
