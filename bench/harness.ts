import Benchmark from 'benchmark';

/** How long a row is measured: seconds per sample, samples at least, seconds at most. */
export interface Limits {
  minTime: number;
  minSamples: number;
  maxTime: number;
}

export const FULL: Limits = { minTime: 0.01, minSamples: 20, maxTime: 1 };
export const QUICK: Limits = { minTime: 0.002, minSamples: 7, maxTime: 0.2 };

/** What a deferred test is given; the published types leave out `benchmark`. */
interface Deferred {
  resolve(): void;
  benchmark: { abort(): void };
}

/**
 * Times `work` with the package `benchmark`: seconds per call, one number per sample.
 *
 * Neither `setup` nor `teardown` is ever given: with them the package compiles the test anew from its source text, without its
 * closure. Errors are kept here because the package reports none of a deferred test.
 *
 * @throws what `work` rejects with
 */
export function time(name: string, work: () => Promise<void>, limits: Limits): Promise<number[]> {
  return new Promise((resolve, reject) => {
    let failure: { reason: unknown } | undefined;
    const bench = new Benchmark(name, {
      defer: true,
      ...limits,
      delay: 0.001,
      fn: (deferred: Deferred) => {
        work().then(
          () => deferred.resolve(),
          (reason: unknown) => {
            failure ??= { reason };
            deferred.benchmark.abort();
            bench.abort();
            deferred.resolve();
          },
        );
      },
      onComplete: () => {
        if (failure) reject(failure.reason);
        else if (bench.error) reject(bench.error);
        else if (bench.stats.sample.length === 0) reject(new Error(`${name}: nothing was measured`));
        else resolve(bench.stats.sample);
      },
    });
    bench.run({ async: true });
  });
}

/** Times `a` and `b` in turns, so that both meet the same machine: seconds per call. */
export async function interleave(
  rounds: number,
  a: () => Promise<void>,
  b: () => Promise<void>,
): Promise<{ a: number[]; b: number[] }> {
  const samples = { a: [] as number[], b: [] as number[] };
  const once = async (list: number[], work: () => Promise<void>) => {
    const start = performance.now();
    await work();
    list.push((performance.now() - start) / 1e3);
  };
  await a();
  await b();
  for (let round = 0; round < rounds; round++) {
    await once(samples.a, a);
    await once(samples.b, b);
  }
  return samples;
}
