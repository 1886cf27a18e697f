// A context on a device disposed, cancelled, failing or left at any moment. The emulator's queue runs behind its calls, as a
// card's does.
import { describe, expect, test } from 'vitest';
import * as ops from '../../lib/generated/ops.js';
import { Activity, Context } from '../../lib/tensor/context.js';
import { failureCode } from '../kit/failure.js';
import { LIBRARY, runChild, runMeasured } from './child.js';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** An op that takes some milliseconds on the emulator. */
function norm(cx: Context, rows = 64) {
  const x = cx.tensor('f32', [rows, 1024], new Float32Array(rows * 1024).fill(2));
  const weight = cx.tensor('f32', [1024], new Float32Array(1024).fill(1));
  return { x, weight, run: () => ops.rmsNorm(cx, { x, weight, eps: 0 }).out };
}

/** A program of as many of them. */
function record(cx: Context, count: number) {
  const { x, weight } = norm(cx);
  return cx.record(() => {
    let h = x;
    for (let i = 0; i < count; i++) h = ops.rmsNorm(cx, { x: h, weight, eps: 0 }).out;
    return h;
  });
}

const ENDED = /^(DISPOSED|CANCELLED)$/;

describe('disposed amid work', () => {
  test('rejects what waits, without running the queue to its end', async () => {
    const cx = await Context.create({ device: 'simt' });
    const { run } = norm(cx);
    for (let i = 0; i < 5000; i++) run().dispose();
    const last = run();
    const channel = cx.openChannel();
    const codes = Promise.all(
      [() => last.data(), () => cx.sync(), () => cx.receive(channel, 5001), () => cx.drain(channel, 5001)].map(
        failureCode,
      ),
    );
    await sleep(60);
    const before = performance.now();
    await cx.dispose();
    for (const code of await codes) expect(code).toMatch(ENDED);
    expect(performance.now() - before).toBeLessThan(2000);
    expect({ ...cx.counters(), ops: 0 }).toMatchObject({ bytes: 0, hostBytes: 0 });
  });

  test('ends a program between two of its ops', async () => {
    const cx = await Context.create({ device: 'simt' });
    const program = record(cx, 5000);
    program.run();
    const code = failureCode(() => program.outputs.data());
    await sleep(100);
    const before = performance.now();
    await cx.dispose();
    expect(await code).toMatch(ENDED);
    expect(performance.now() - before).toBeLessThan(2000);
    program.dispose(); // its graph went with the device
  });

  test('leaves other contexts alone', async () => {
    const one = await Context.create({ device: 'simt' });
    const other = await Context.create({ device: 'simt' });
    const { run } = norm(one);
    for (let i = 0; i < 2000; i++) run().dispose();
    const lost = failureCode(() => run().data());
    const kept = norm(other, 2).run().data();
    await one.dispose();
    expect(await lost).toMatch(ENDED);
    expect(await kept).toEqual(new Float32Array(2048).fill(1));
    await other.dispose();
  });
});

test('a program disposed while its graph is at work runs to its end', async () => {
  const cx = await Context.create({ device: 'simt' });
  const program = record(cx, 20);
  program.run();
  program.run();
  const data = program.outputs.data();
  program.dispose();
  expect((await data).slice(0, 3)).toEqual(new Float32Array(3).fill(1));
  await cx.dispose();
});

test('memory that a queued op still uses is not given to another tensor too early', async () => {
  const cx = await Context.create({ device: 'simt' });
  const results = Array.from({ length: 30 }, (_, i) => {
    const a = cx.tensor('f32', [4, 500], new Float32Array(2000).fill(i));
    const out = ops.concatRows(cx, { a, b: a });
    a.dispose();
    const data = out.data();
    out.dispose();
    return data;
  });
  for (const [i, data] of results.entries()) expect(await data).toEqual(new Float32Array(4000).fill(i));
  await cx.dispose();
});

test('a cancelled activity skips what it has queued; the context goes on', async () => {
  const cx = await Context.create({ device: 'simt' });
  const program = record(cx, 50);
  const activity = new Activity();
  for (let i = 0; i < 200; i++) cx.within(activity, () => program.run());
  const over = failureCode(() => cx.sync(activity));
  await sleep(50);
  activity.cancel();
  const before = performance.now();
  expect(await over).toBe('CANCELLED');
  expect(performance.now() - before).toBeLessThan(3000); // the two programs that were in flight
  expect(await failureCode(() => program.outputs.data())).toBe('CANCELLED');
  program.run();
  expect((await program.outputs.data())[0]).toBe(1);
  await cx.dispose();
});

test('a failure before the work is queued marks what depends on it, and nothing else', async () => {
  const cx = await Context.create({ device: 'simt' });
  const huge = cx.tensor('u8', [1e15]);
  huge.clear();
  expect(await failureCode(() => huge.data())).toBe('OUT_OF_MEMORY');
  expect(await failureCode(() => cx.sync())).toBe('OUT_OF_MEMORY');
  expect(await norm(cx, 1).run().data()).toEqual(new Float32Array(1024).fill(1));
  await cx.sync();
  await cx.dispose();
});

test('a failure on the device loses the context: all that was in flight and all that follows says so', async () => {
  const cx = await Context.create({ device: 'simt', simt: { failsAt: 5 } });
  const { run } = norm(cx, 1); // two copies
  const good = run();
  expect(await good.data()).toEqual(new Float32Array(1024).fill(1)); // a launch and a copy
  const bad = run();
  const dependent = ops.cast(cx, { x: bad, dtype: 'bf16' });
  const channel = cx.openChannel();
  const lost = [() => dependent.data(), () => good.data(), () => run().data(), () => cx.sync()];
  expect(await Promise.all(lost.map(failureCode))).toEqual(Array(4).fill('DEVICE_LOST'));
  expect(await cx.receive(channel, 0)).toEqual([]);
  await expect(good.data()).rejects.toThrow('work 5 was to fail');
  await cx.dispose();
});

test('guarded, a failing op fails alone', async () => {
  const cx = await Context.create({ device: 'simt', simt: { guarded: true, failsAt: 3 } });
  const { run } = norm(cx, 1);
  const bad = run();
  expect(await failureCode(() => ops.cast(cx, { x: bad, dtype: 'bf16' }).data())).toBe('INTERNAL');
  expect(await failureCode(() => cx.sync())).toBe('INTERNAL');
  expect(await run().data()).toEqual(new Float32Array(1024).fill(1));
  await cx.dispose();
});

describe('a process', () => {
  const kit = `
    import { readdirSync, readFileSync } from 'node:fs';
    const threads = () => readdirSync('/proc/self/task').length;
    const resident = () => Number(/VmRSS:[^0-9]*([0-9]+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    const queue = (cx, count) => {
      const x = cx.zeros('f32', [64, 1024]);
      const weight = cx.zeros('f32', [1024]);
      for (let i = 0; i < count; i++) ops.rmsNorm(cx, { x, weight }).out.dispose();
      return ops.rmsNorm(cx, { x, weight }).out;
    };`;

  test.each([
    ['by itself', ''],
    ['by process.exit', 'setTimeout(() => { console.log(Date.now()); process.exit(0); }, 50);'],
    [
      'by process.exit while a read waits',
      'queue(cx, 0).data().catch(() => {}); setTimeout(() => process.exit(0), 50);',
    ],
  ])('ends %s with work in the queue', { timeout: 60_000 }, async (_, last) => {
    const { code, signal, stdout, stderr, at } = await runChild(`${kit}
      const cx = await Context.create({ device: 'simt' });
      queue(cx, 20000);
      console.log(Date.now());
      ${last}`);
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    expect(at - Number(stdout.split('\n')[0])).toBeLessThan(3000);
  });

  test('gets threads and memory back with dispose, and with the collector', { timeout: 60_000 }, async () => {
    const { code, stdout, stderr } = await runMeasured(
      `${kit}
      const turn = () => new Promise((resolve) => setImmediate(resolve));
      const round = async (dispose) => {
        const cx = await Context.create({ device: 'simt', simt: { guarded: !dispose } });
        const x = cx.tensor('f32', [100, 1000], new Float32Array(1e5));
        const channel = cx.openChannel();
        const program = cx.record(() => {
          const out = ops.concatRows(cx, { a: x, b: x });
          ops.emit(cx, { payload: x, channel });
          return out;
        });
        program.run();
        await program.outputs.data();
        if (dispose) await cx.dispose();
      };
      const collect = async () => { for (let i = 0; i < 10; i++) { globalThis.gc(); await turn(); } };
      for (let i = 0; i < 8; i++) await round(true);
      await collect();
      const early = resident(), threadsEarly = threads();
      for (let i = 0; i < 24; i++) await round(true);
      await collect();
      const grown = resident() - early;
      for (let i = 0; i < 8; i++) await round(false);
      await collect();
      console.log(JSON.stringify({ grown, threads: threads() - threadsEarly }));`,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { grown, threads } = JSON.parse(stdout) as { grown: number; threads: number };
    expect(grown).toBeLessThan(16e6); // a round holds 2.4 MB, all of them 58
    expect(threads).toBeLessThanOrEqual(0);
  });

  test('outlives its worker threads', { timeout: 60_000 }, async () => {
    const busy = `
      import { parentPort } from 'node:worker_threads';
      import { Context, ops } from ${JSON.stringify(LIBRARY)};
      const cx = await Context.create({ device: 'simt' });
      const x = cx.zeros('f32', [64, 1024]);
      const weight = cx.zeros('f32', [1024]);
      parentPort.postMessage('open');
      for (;;) {
        for (let i = 0; i < 100; i++) ops.rmsNorm(cx, { x, weight }).out.dispose();
        await ops.rmsNorm(cx, { x, weight }).out.data();
      }`;
    const { code, signal, stdout, stderr } = await runChild(`${kit}
      import { Worker } from 'node:worker_threads';
      import { setTimeout as sleep } from 'node:timers/promises';
      const source = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(busy)}));
      const times = [];
      for (let round = 0; round < 4; round++) {
        const worker = new Worker(source);
        await new Promise((resolve) => worker.once('message', resolve));
        await sleep(10 + 23 * round);
        const before = performance.now();
        await worker.terminate();
        times.push(performance.now() - before);
      }
      const cx = await Context.create({ device: 'simt' });
      console.log(JSON.stringify({ times, x: [...(await cx.tensor('i32', [2], [1, 2]).data())] }));
      await cx.dispose();`);
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    const { times, x } = JSON.parse(stdout) as { times: number[]; x: number[] };
    expect(x).toEqual([1, 2]);
    expect(Math.max(...times)).toBeLessThan(2000);
  });
});
