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

/** flop/s of all threads: of bf16 dot products where the machine has them and `dot` says that both operands are bf16. */
export function flopRate(roofline: MachineRoofline, dot: boolean): number {
  return dot && roofline.dotFlops.all > 0 ? roofline.dotFlops.all : roofline.f32Flops.all;
}

/** bytes/s of all threads for data of this size: the second level's when it fits there, else memory's. */
export function byteRate(roofline: MachineRoofline, bytes: number): number {
  const fits = bytes <= roofline.l2Buffer * roofline.threads;
  return fits ? roofline.l2BytesPerSecond.all : roofline.memoryBytesPerSecond.all;
}
