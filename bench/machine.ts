import { spawnSync } from 'node:child_process';
import os from 'node:os';
import type { MachineRoofline } from '../lib/profile/roofline.js';
import type { Context } from '../lib/tensor/context.js';

export interface Machine {
  cpu: string;
  cores: number;
  isa: string;
  threads: number;
  node: string;
  /** Commit of the checkout, `+` when files differ from it. */
  commit: string;
  /** Of the last minute. */
  load: number;
}

export function describeMachine(cx: Context): Machine {
  const git = (...args: string[]) => {
    const { status, stdout } = spawnSync('git', args, { encoding: 'utf8' });
    return status === 0 ? stdout.trim() : undefined;
  };
  const commit = git('rev-parse', '--short', 'HEAD') ?? 'unknown';
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.cpus().length,
    isa: cx.isa,
    threads: cx.threads,
    node: process.version,
    commit: git('status', '--porcelain', '-uno') ? `${commit}+` : commit,
    load: os.loadavg()[0] ?? Number.NaN,
  };
}

export function machineLine({ cpu, cores, isa, threads, node, commit, load }: Machine): string {
  return (
    `${cpu}, ${cores} cores, ${isa}, ${threads} thread${threads === 1 ? '' : 's'}, node ${node}, commit ${commit}, ` +
    `load average ${load.toFixed(2)}${load > 0.5 ? ' (others use this machine: figures are pessimistic)' : ''}`
  );
}

const mb = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MB`;

export function rooflineLines(r: MachineRoofline): string[] {
  const giga = ({ one, all }: { one: number; all: number }) => `${(one / 1e9).toFixed(0)} / ${(all / 1e9).toFixed(0)}`;
  const beyond =
    r.cacheBytes === 0
      ? 'last-level cache unknown'
      : `last-level cache ${mb(r.cacheBytes)}${r.memoryBuffer < r.cacheBytes ? ': the buffer is smaller, this is no memory rate' : ''}`;
  return [
    `roofline by 1 thread / all ${r.threads}: f32 ${giga(r.f32Flops)} Gflop/s, ` +
      `${r.dotFlops.all > 0 ? `bf16 dot ${giga(r.dotFlops)} Gflop/s` : 'no bf16 dot products'}, ` +
      `read ${giga(r.memoryBytesPerSecond)} GB/s from ${mb(r.memoryBuffer)} (${beyond}), ` +
      `${giga(r.l2BytesPerSecond)} GB/s from ${mb(r.l2Buffer)} per thread; measured in ${r.seconds.toFixed(1)} s`,
    'floor: the larger of flops / rate and bytes / bandwidth of all threads; bytes of operands that fit in the second level ' +
      "count at its rate, others at memory's (a ratio below 1: the last-level cache held them)",
  ];
}
