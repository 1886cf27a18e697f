// Times as rows beside their floors.
import type { Context } from '../../lib/tensor/context.js';
import { type Cost, median, quantile, repeatsFor } from '../arithmetic.js';
import { type Limits, time } from '../harness.js';
import { floorOn, type Peaks } from './card.js';
import type { Row, Where } from './plan.js';

/** Few samples of long work, more of short work. The emulator's times mean nothing: one sample shows that it runs. */
export const limitsOf = (where: Where): Limits =>
  where.small ? { minTime: 1e-3, minSamples: 1, maxTime: 1e-3 } : { minTime: 0.01, minSamples: 7, maxTime: 1 };

/** @param samples seconds per op or step */
export function rowOf(
  what: Pick<Row, 'kind' | 'name' | 'case'> & { about?: string },
  samples: readonly number[],
  { flops, bytes }: Cost,
  card: Peaks | null,
  tensorCores: boolean,
): Row {
  const middle = median(samples);
  const { floor, bound } = floorOn(card, { flops, bytes }, tensorCores);
  return {
    ...what,
    median: middle,
    p10: quantile(samples, 0.1),
    p90: quantile(samples, 0.9),
    samples: samples.length,
    flops,
    bytes,
    floor,
    bound,
    ratio: floor === null || floor === 0 ? null : middle / floor,
    by: 'hyper-bagel',
  };
}

const WAIT_SECONDS = 10e-3;
const MOST_RUNS = 64;

/**
 * Seconds per call of `queue`, which is recorded `times` times (it is given the number of the call) and run so often per wait that
 * the wait does not count; and what a call costs by the contracts.
 */
export async function timeRecorded(
  cx: Context,
  name: string,
  times: number,
  queue: (turn: number) => void,
  limits: Limits,
): Promise<{ samples: number[]; cost: Cost }> {
  const once = async () => {
    cx.scope(() => queue(0));
    await cx.sync();
  };
  await once();
  cx.profileStart();
  await once();
  const events = cx.profileStop().filter(({ op }) => op !== '');
  const seconds = events.reduce((sum, e) => sum + (e.endNs - e.startNs) / 1e9, 0);
  const cost = {
    flops: events.reduce((sum, e) => sum + e.flops, 0),
    bytes: events.reduce((sum, e) => sum + e.bytes, 0),
  };
  const program = cx.record(() => {
    for (let turn = 0; turn < times; turn++) queue(turn);
  });
  try {
    const runs = repeatsFor(seconds * times, WAIT_SECONDS, MOST_RUNS);
    const samples = await time(
      name,
      async () => {
        for (let run = 0; run < runs; run++) program.run();
        await cx.sync();
      },
      limits,
    );
    return { samples: samples.map((s) => s / (runs * times)), cost };
  } finally {
    program.dispose();
  }
}
