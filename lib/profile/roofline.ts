import os from 'node:os';
import { keepMeasurement, loadMeasurement } from '../io/kept-measurement.js';
import type { NativeRoofline } from '../native/addon.js';
import { addon } from '../tensor/context.js';
import { systemMemory } from '../tensor/memory.js';

/** What this machine was measured to do at best, on one thread (`one`) and on all together (`all`). */
export type MachineRoofline = Readonly<NativeRoofline>;

/** Share of the free memory that measuring may take. */
const MEMORY_SHARE = 0.25;

const measured = new Map<string, Promise<MachineRoofline>>();

/**
 * Measures flop/s on registers and bytes/s read, from the second-level cache and from memory beyond the last-level cache. Takes
 * one to two seconds of the threads; a process measures an instruction set and thread count once.
 *
 * @param isa default: the best of this machine
 * @param threads default: all that this process may use
 * @throws HyperBagelError BAD_OPTION, NOT_SUPPORTED (an instruction set that this machine lacks), OUT_OF_MEMORY
 */
export function measureRoofline({
  isa = '',
  threads = 0,
}: {
  isa?: string;
  threads?: number;
} = {}): Promise<MachineRoofline> {
  const key = `${isa} ${threads}`;
  let result = measured.get(key);
  if (!result) {
    result = (async () => addon().measureRoofline(isa, threads, (await systemMemory()) * MEMORY_SHARE))();
    // a failure, of memory for example, need not last
    result.catch(() => measured.delete(key));
    measured.set(key, result);
  }
  return result;
}

/**
 * As {@link measureRoofline}, kept in the user's cache folder for the processor, the instruction set, the threads and the version of this
 * package.
 *
 * @param anew measures in any case, and keeps nothing
 */
export async function keptRoofline(
  { isa, threads, anew = false }: { isa: string; threads: number; anew?: boolean },
  folder?: string,
): Promise<MachineRoofline> {
  if (anew) return measureRoofline({ isa, threads });
  const key = { processor: os.cpus()[0]?.model.trim() ?? '', isa, threads };
  const known = await loadMeasurement('roofline', key, asRoofline, folder);
  if (known) return known;
  const roofline = await measureRoofline({ isa, threads });
  await keepMeasurement('roofline', key, roofline, folder);
  return roofline;
}

/** @throws Error when it is none */
function asRoofline(value: unknown): MachineRoofline {
  const roofline = value as MachineRoofline;
  const { f32Flops, dotFlops, l2BytesPerSecond, memoryBytesPerSecond } = roofline;
  for (const { one, all } of [f32Flops, l2BytesPerSecond, memoryBytesPerSecond]) {
    if (!(one > 0 && all > 0 && Number.isFinite(one + all))) throw new Error('not a rate');
  }
  const { threads, l2Buffer, memoryBuffer, cacheBytes, seconds } = roofline;
  const others = [dotFlops.one, dotFlops.all, threads, l2Buffer, memoryBuffer, cacheBytes, seconds];
  if (!others.every((number) => number >= 0 && Number.isFinite(number))) throw new Error('not a number');
  return roofline;
}

/** The rates as one line of text. */
export function rooflineText({ f32Flops, dotFlops, l2BytesPerSecond, memoryBytesPerSecond }: MachineRoofline): string {
  const giga = ({ all }: { all: number }) => (all / 1e9).toFixed(0);
  const dots = dotFlops.all > 0 ? `, bf16 dot products ${giga(dotFlops)}` : '';
  return (
    `${giga(f32Flops)} Gflop/s${dots}; ${giga(memoryBytesPerSecond)} GB/s from memory, ` +
    `${giga(l2BytesPerSecond)} from the second-level cache`
  );
}

/** flop/s of all threads: of bf16 dot products where the machine has them and `dot` says that both operands are bf16. */
export function flopRate(roofline: MachineRoofline, dot: boolean): number {
  return dot && roofline.dotFlops.all > 0 ? roofline.dotFlops.all : roofline.f32Flops.all;
}

/** bytes/s of all threads for data of this size: the second level's when it fits there, else memory's. */
export function byteRate(roofline: MachineRoofline, bytes: number): number {
  const fits = bytes <= roofline.l2Buffer * roofline.threads;
  return fits ? roofline.l2BytesPerSecond.all : roofline.memoryBytesPerSecond.all;
}
