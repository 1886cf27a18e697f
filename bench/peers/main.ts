// `npm run bench -- --peers`: this build beside ONNX Runtime, on one thread and on all.
import os from 'node:os';
import { formatTable } from '../../lib/profile/table.js';
import { type Gate, judge } from '../gates.js';
import type { Effort } from '../turns.js';
import { canPin, Worker } from '../worker/child.js';
import { CONTEST_HEAD, type ContestResult, contestCells, runContests } from './contests.js';
import { installPeers } from './install.js';

export interface PeersOptions extends Effort {
  /** Numbers of threads, each with processes of its own. */
  threads: readonly number[];
  isa?: string | undefined;
  say(text: string): void;
  progress(text: string): void;
  json(kind: string, value: object): void;
}

/** The promise of a contest as a gate; undefined where this instruction set has none. */
export function contestGate({ name, threads, isa, turns, limit }: ContestResult): Gate | undefined {
  if (limit === undefined) return undefined;
  const { ratio, low, high } = turns.ratio;
  const about = `ours / peer, 95 % of resamples ${low.toFixed(3)} to ${high.toFixed(3)}, ${turns.a.length} rounds, ${isa}`;
  return judge(`${name}, ${threads} thread${threads === 1 ? '' : 's'}`, ratio, limit, about);
}

/** Measures and prints every contest; gives what came out. */
export async function comparePeers(options: PeersOptions): Promise<ContestResult[]> {
  const { threads, rounds, seconds, isa, say, progress, json } = options;
  progress('installing the peers');
  installPeers();
  const probe = new Worker({ engine: 'onnxruntime', threads: 1 });
  try {
    say(
      `beside ${await probe.describe()}: a process per engine and number of threads, ${canPin() ? 'on the same processors' : 'not pinned (no taskset)'}, ` +
        `in turns of at least ${seconds} s, ${rounds} rounds; outputs of both within the tests' tolerance of float64`,
    );
  } finally {
    await probe.close();
  }
  const results: ContestResult[] = [];
  for (const count of threads) {
    const report = (result: ContestResult) => {
      results.push(result);
      json('peer', result);
    };
    await runContests({ threads: count, isa, rounds, seconds, freeBytes: os.freemem(), progress, report });
  }
  progress('');
  say(formatTable([CONTEST_HEAD, ...results.map(contestCells)]));
  return results;
}
