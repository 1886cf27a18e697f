// What is measured beside another engine, and what the project promises of it.
import { addon } from '../../lib/tensor/context.js';
import { seeded } from '../../test/kit/cases.js';
import { aloneInputs } from '../../test/kit/run-case.js';
import { type Floor, floorOf, quantile, workOf } from '../arithmetic.js';
import { rotationOf } from '../op-row.js';
import { casesOf } from '../rows.js';
import { type Effort, type Turns, takeTurns } from '../turns.js';
import { Worker } from '../worker/child.js';
import type { Row } from '../worker/messages.js';

export interface Contest {
  name: string;
  op: 'linear' | 'paged_attention';
  /** Case of the tests that this build runs, and that of the peer. */
  ours: string;
  peer: string;
  /** Weights take turns; keys and values stay in the last-level cache. */
  rotate: boolean;
  /** Our time to the peer's at most, by instruction set; undefined: no promise. */
  limit(isa: string): number | undefined;
}

const WIDE = '512 rows of the 7B model, 3584 x 3584';
const tree = (dtype: string) => `a tree of 64 nodes over 2048 slots, 8 heads, ${dtype}`;

/** "Level": what two medians on a machine with neighbours can tell apart. */
const LEVEL = 1.05;

export const CONTESTS: readonly Contest[] = [
  {
    name: 'linear 512 x 3584 x 3584, f32',
    op: 'linear',
    ours: `${WIDE}, f32`,
    peer: `${WIDE}, f32`,
    rotate: true,
    limit: () => LEVEL,
  },
  {
    name: 'linear 512 x 3584 x 3584, bf16 beside f32',
    op: 'linear',
    ours: WIDE,
    peer: `${WIDE}, f32`,
    rotate: true,
    limit: (isa) => ({ amx: 1 / 4, avx512bf16: 1 / 1.6 })[isa],
  },
  ...(['f32', 'bf16'] as const).map((dtype) => ({
    name: `attention of a tree, 8 heads, 64 queries, 2048 keys of 128, ${dtype}${dtype === 'bf16' ? ' beside f32' : ''}`,
    op: 'paged_attention' as const,
    ours: tree(dtype),
    peer: tree('f32'),
    rotate: false,
    limit: () => 0.7,
  })),
];

/** Whose outputs are compared with float64: the first, the middle and the last row. */
const sampledRows = (rows: number): number[] => [...new Set([0, Math.floor(rows / 2), rows - 1])];

interface Side {
  row: Row & { kind: 'op' };
  rows: number[];
  want: Float64Array[];
  tolerance: number;
  width: number;
  weightBytes: number;
  cost: { flops: number; bytes: number };
  dot: boolean;
}

async function sideOf(op: string, name: string): Promise<Side> {
  const cases = await casesOf(op);
  const found = cases.cases.find((c) => c.name === name);
  if (!found) throw new Error(`${op} has no case ${name}`);
  const inputs = found.build(seeded(7));
  const [first] = Object.values(inputs.operands);
  const dtype = first?.dtype === 'bf16' ? 'bf16' : 'f32';
  const rows = sampledRows(first?.shape[0] ?? 0);
  const wanted = rows.map((row) => cases.oracle(aloneInputs(op, inputs, row)).out);
  const size = dtype === 'bf16' ? 2 : 4;
  return {
    row: { kind: 'op', op, case: name, single: true },
    rows,
    want: wanted.map((w) => w?.data ?? new Float64Array()),
    width: wanted[0]?.shape.at(-1) ?? 1,
    tolerance: cases.tolerance?.[dtype] ?? 0,
    weightBytes: (inputs.operands.weight?.data.length ?? 0) * size,
    cost: costOf(op, found.dims, size),
    dot: op === 'linear' && dtype === 'bf16',
  };
}

/** Flops and bytes of the dense work; the peer has no contract to ask. */
function costOf(op: string, d: Record<string, number>, size: number) {
  const dim = (name: string) => d[name] ?? 0;
  if (op === 'linear') {
    const [n, k, m] = [dim('N'), dim('K'), dim('M')];
    return { flops: 2 * n * k * m, bytes: size * (n * k + k * m + n * m) };
  }
  const slots = 64 * dim('P');
  const [n, h, width] = [dim('N'), dim('H'), dim('D')];
  return { flops: 4 * n * h * slots * width, bytes: size * (2 * n * h * width + 2 * dim('G') * slots * width) };
}

/** Largest error of rows of `width` relative to the largest expected magnitude in them; infinite for what is no number. */
export function relativeError(got: Float64Array, want: Float64Array, width: number): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let start = 0; start < want.length; start += width) {
    let [magnitude, error] = [0, 0];
    for (let i = start; i < start + width; i++) {
      magnitude = Math.max(magnitude, Math.abs(want[i] as number));
      const e = Math.abs((got[i] as number) - (want[i] as number));
      error = Number.isNaN(e) ? Number.POSITIVE_INFINITY : Math.max(error, e);
    }
    worst = Math.max(worst, magnitude > 0 ? error / magnitude : error);
  }
  return worst;
}

async function checkOutput(worker: Worker, side: Side, what: string): Promise<number> {
  const got = await worker.output('x', side.rows);
  const error = Math.max(...side.want.map((want, i) => relativeError(got[i] ?? new Float64Array(), want, side.width)));
  if (!(error <= side.tolerance)) {
    throw new Error(`${what}: relative error ${error} against float64, at most ${side.tolerance} is allowed`);
  }
  return error;
}

/** Runs every copy of the operands twice: the first calls on hundreds of megabytes take a tenth longer, whichever engine makes them. */
async function warmUp(worker: Worker, copies: number): Promise<void> {
  const seconds = await worker.sample('x', 0);
  await worker.sample('x', 2 * copies * seconds);
}

export interface ContestResult {
  name: string;
  threads: number;
  isa: string;
  turns: Turns;
  limit: number | undefined;
  /** Seconds that our cost takes at the measured rates. */
  floor: Floor;
  /** Relative errors against float64. */
  errors: { ours: number; peer: number };
  /** How the peer does it, and where operands come from. */
  about: string;
}

export interface PeerOptions extends Effort {
  threads: number;
  isa?: string | undefined;
  freeBytes: number;
  report(result: ContestResult): void;
  progress(text: string): void;
}

/** Every contest on one number of threads: a process of each engine for all of them, on the same processors. */
export async function runContests(options: PeerOptions): Promise<void> {
  const { threads, rounds, seconds, progress, report } = options;
  const ours = new Worker({ engine: 'ours', threads, isa: options.isa });
  const peer = new Worker({ engine: 'onnxruntime', threads });
  try {
    const isa = await ours.isa();
    const roofline = await addon().measureRoofline(options.isa ?? '', threads, options.freeBytes / 4);
    for (const contest of CONTESTS) {
      progress(`${contest.name}, ${threads} threads: preparing`);
      const [mine, theirs] = [await sideOf(contest.op, contest.ours), await sideOf(contest.op, contest.peer)];
      // the peer keeps each weight twice: as it was given and as it was rearranged
      const rotation = rotationOf(
        Math.max(mine.weightBytes, theirs.weightBytes, 1),
        roofline.cacheBytes,
        options.freeBytes / 3,
      );
      const copies = contest.rotate ? rotation.copies : 1;
      const [, prepared] = await Promise.all([
        ours.prepare('x', { ...mine.row, copies }),
        peer.prepare('x', { ...theirs.row, copies }),
      ]);
      const errors = {
        ours: await checkOutput(ours, mine, contest.name),
        peer: await checkOutput(peer, theirs, `${contest.name}, peer`),
      };
      progress(`${contest.name}, ${threads} threads: measuring`);
      for (const worker of [ours, peer]) await warmUp(worker, copies);
      const turns = await takeTurns(
        (s) => ours.sample('x', s),
        (s) => peer.sample('x', s),
        rounds,
        seconds,
      );
      await Promise.all([ours.drop('x'), peer.drop('x')]);
      const rate = mine.dot && roofline.dotFlops.all > 0 ? roofline.dotFlops.all : roofline.f32Flops.all;
      report({
        name: contest.name,
        threads,
        isa,
        turns,
        limit: contest.limit(isa),
        floor: floorOf(workOf(mine.cost, rate, roofline.memoryBytesPerSecond.all)),
        errors,
        about: `${prepared.about}; ${copies > 1 ? `${copies} weights in turn` : 'operands in the last-level cache'}`,
      });
    }
  } finally {
    await Promise.all([ours.close(), peer.close()]);
  }
}

/** One line of a table: milliseconds of both, spread, ratio with its interval, share of the floor. */
export function contestCells(r: ContestResult): string[] {
  const ms = (sample: readonly number[], p = 0.5) => (quantile(sample, p) * 1e3).toFixed(2);
  const { a, b, ratio } = r.turns;
  return [
    r.name,
    String(r.threads),
    ms(a),
    ms(a, 0.9),
    ms(b),
    ms(b, 0.9),
    ratio.ratio.toFixed(3),
    `${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}`,
    r.limit === undefined ? '' : r.limit.toFixed(3),
    (r.floor.seconds * 1e3).toFixed(2),
    `${((100 * r.floor.seconds) / quantile(a, 0.5)).toFixed(0)} %`,
    r.about,
  ];
}

export const CONTEST_HEAD = [
  'work',
  'threads',
  'ours ms',
  'p90',
  'peer ms',
  'p90',
  'ours / peer',
  '95 %',
  'at most',
  'floor ms',
  'of roofline',
  'peer by',
];
