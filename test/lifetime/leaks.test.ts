// Memory and threads come back: by the collector, by dispose, and over many contexts.
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { fullTier } from '../kit/tier.js';
import { type Ended, runChild, runMeasured } from './child.js';

const full = fullTier(20, '7 of 15 rounds with a model, 18 of 30 within one');
const RELOADS = full ? 15 : 8;
const MB = 1e6;
const LIMIT_MS = 110_000;
/** As users run it, and with `gc` at hand and memory that moves only when something is held. */
const plain = (program: string) => runChild(program, [], LIMIT_MS);
const measured = (program: string) => runMeasured(program, LIMIT_MS);

const kit = `
import { readdirSync, readFileSync } from 'node:fs';
const threads = () => readdirSync('/proc/self/task').length;
const status = (name) =>
  Number(new RegExp(name + ':[^0-9]*([0-9]+) kB').exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
const resident = () => status('VmRSS');
const turn = () => new Promise((resolve) => setImmediate(resolve));
/** Collects until \`done\`, at most fifty times. */
const collect = async (done) => {
  for (let i = 0; i < 50 && !done(); i++) {
    globalThis.gc?.();
    await turn();
  }
};
`;

/** Runs a program that prints one JSON object. */
async function measure<T>(program: string, run: (program: string) => Promise<Ended>): Promise<T> {
  const { code, signal, stdout, stderr } = await run(kit + program);
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  console.log(stdout.trim());
  return JSON.parse(stdout) as T;
}

test('tensors that nobody holds any more are freed by the collector', { timeout: 120_000 }, async () => {
  const { held, left, views } = await measure<{ held: number; left: number; views: number }>(
    `
    const cx = await Context.create({ threads: 1 });
    const make = async () => {
      const all = Array.from({ length: 100 }, () => cx.zeros('f32', [250, 1000]));
      const sums = all.map((x) => ops.concatRows(cx, { a: x, b: x }));
      const views = all.map((x) => x.rows(1, 3));
      await cx.sync();
      return { held: cx.counters().bytes, count: sums.length, view: views[7] };
    };
    const { held, view } = await make();
    await collect(() => cx.counters().bytes < 2e6);
    const left = cx.counters().bytes;
    const views = (await view.data()).length;
    console.log(JSON.stringify({ held, left, views }));
    await cx.dispose();`,
    measured,
  );
  expect(held).toBeGreaterThan(300 * MB);
  // one tensor of 1 MB is left: a view still shows part of it
  expect(left).toBeLessThan(2 * MB);
  expect(left).toBeGreaterThan(1 * MB);
  expect(views).toBe(2000);
});

test('V8 knows of their size: a loop that disposes nothing stays bounded', { timeout: 120_000 }, async () => {
  const { total, peak } = await measure<{ total: number; peak: number }>(
    `
    const cx = await Context.create({ threads: 1 });
    let total = 0;
    for (let i = 0; i < 400; i++) {
      const x = cx.zeros('f32', [1000, 1000]);
      total += x.bytes;
      await cx.sync();
    }
    console.log(JSON.stringify({ total, peak: cx.counters().peakBytes }));`,
    plain,
  );
  expect(total).toBe(1600 * MB);
  expect(peak).toBeLessThan(total / 2);
});

test('contexts, programs and models that nobody holds are closed by the collector', { timeout: 120_000 }, async () => {
  const { before, during, after } = await measure<{ before: number; during: number; after: number }>(
    `
    const first = await Context.create({ threads: 2 });
    await first.zeros('f32', [1]).data();
    const before = threads();
    const make = async () => {
      for (let i = 0; i < 10; i++) {
        const cx = await Context.create({ threads: 2 });
        const x = cx.zeros('i32', [1]);
        const program = cx.record(() => ops.increment(cx, { x }));
        program.run();
        await x.data();
        const bagel = await Bagel.load(undefined, { threads: 2 });
        await bagel.ask('hello', { maxTokens: 2 });
      }
      return threads();
    };
    const during = await make();
    await collect(() => threads() <= before);
    console.log(JSON.stringify({ before, during, after: threads() }));
    await first.dispose();`,
    measured,
  );
  expect(during).toBeGreaterThan(before);
  expect(after).toBeLessThanOrEqual(before + 4); // threads of libuv and V8 come when first needed
  expect(after).toBeLessThan(during);
});

test('dispose frees threads and memory at once, though handles are still held', { timeout: 120_000 }, async () => {
  const { bytes, left, loaded, after, threadsBefore, threadsAfter } = await measure<Record<string, number>>(
    `
    const first = await Context.create({ threads: 1 });
    await first.zeros('f32', [1]).data();
    await first.dispose();
    const threadsBefore = threads();
    const bagel = await Bagel.load(undefined, { threads: 4 });
    await bagel.ask('hello', { maxTokens: 2 });
    const x = bagel.context.zeros('f32', [16, 1000, 1000]);
    await bagel.context.sync();
    const { bytes } = bagel.memory();
    const loaded = resident();
    await bagel.dispose();
    const [after, threadsAfter, left] = [resident(), threads(), bagel.memory().bytes];
    globalThis.held = [bagel, x, bagel.model.weights];
    console.log(JSON.stringify({ bytes, left, loaded, after, threadsBefore, threadsAfter }));`,
    plain,
  );
  expect(bytes).toBeGreaterThan(100 * MB);
  expect(left).toBe(0);
  expect((loaded as number) - (after as number)).toBeGreaterThan(0.8 * (bytes as number) - 64 * MB);
  expect(threadsAfter).toBeLessThanOrEqual(threadsBefore as number);
});

const limits = spawnSync('prlimit', ['--version']).status === 0;
if (!limits) console.log('skipped: a system without threads or memory, since there is no prlimit');

test.skipIf(!limits)('a system without threads or memory is an error, and no crash', { timeout: 60_000 }, async () => {
  const { codes, before, after, sum } = await measure<{ codes: string[]; before: number; after: number; sum: number }>(
    `
    import { execFileSync } from 'node:child_process';
    await (await Context.create({ threads: 1 })).dispose();
    const size = status('VmSize');
    execFileSync('prlimit', ['--as=' + (size + 400e6), '--pid', String(process.pid)]);
    const codes = [];
    const fails = async (work) => codes.push(await work().then(() => 'no failure', (error) => error.code));
    const before = threads();
    await fails(() => Context.create({ threads: 256 }));
    await fails(() => Context.create({ threads: 256 }));
    const after = threads();
    const cx = await Context.create({ threads: 2 });
    await fails(() => cx.zeros('f32', [1e9]).data());
    const huge = cx.tensor('f32', [1e9]);
    await fails(() => ops.concatRows(cx, { a: huge.reshape([1e6, 1e3]), b: cx.zeros('f32', [1, 1e3]) }).data());
    await cx.sync().catch(() => {});
    const sum = (await ops.linear(cx, { x: cx.tensor('f32', [1, 2], [3, 4]), weight: cx.tensor('f32', [1, 2], [1, 1]) }).data())[0];
    await cx.dispose();
    console.log(JSON.stringify({ codes, before, after, sum }));`,
    plain,
  );
  expect(codes).toEqual(Array(4).fill('OUT_OF_MEMORY'));
  expect(after).toBe(before);
  expect(sum).toBe(7);
});

test('200 rounds of create, run and dispose', { timeout: 120_000 }, async () => {
  const { early, late, threadsEarly, threadsLate } = await measure<Record<string, number>>(
    `
    const round = async () => {
      const cx = await Context.create({ threads: 2 });
      const x = cx.tensor('f32', [64, 512], new Float32Array(64 * 512).fill(1));
      const weight = ops.packWeight(cx, { weight: cx.zeros('f32', [512, 512]) });
      const program = cx.record(() => ops.linear(cx, { x, weight, activation: 'silu' }));
      program.run();
      await program.outputs.data();
      await cx.dispose();
    };
    for (let i = 0; i < 100; i++) await round();
    await collect(() => false);
    const [early, threadsEarly] = [resident(), threads()];
    for (let i = 0; i < 200; i++) await round();
    await collect(() => false);
    console.log(JSON.stringify({ early, late: resident(), threadsEarly, threadsLate: threads() }));`,
    measured,
  );
  // a round holds 2.4 MB, so all of them 480
  expect((late as number) - (early as number)).toBeLessThan(16 * MB);
  expect(threadsLate).toBe(threadsEarly);
});

test(`${RELOADS} rounds of load, answer, draw and dispose`, { timeout: 120_000 }, async () => {
  const { early, late } = await measure<Record<string, number>>(
    `
    const round = async () => {
      const bagel = await Bagel.load();
      await bagel.ask('how many objects are there?', { maxTokens: 5 });
      await bagel.draw('a red circle', { steps: 2, seed: 1 });
      await bagel.dispose();
    };
    for (let i = 0; i < 6; i++) await round();
    await collect(() => false);
    const early = resident();
    for (let i = 0; i < ${RELOADS}; i++) await round();
    await collect(() => false);
    console.log(JSON.stringify({ early, late: resident() }));`,
    measured,
  );
  // one loaded model takes 76 MB
  expect((late as number) - (early as number)).toBeLessThan(16 * MB);
});

test('one model at work for long holds no more and no more', { timeout: 120_000 }, async () => {
  const { early, late, pages, pagesEarly } = await measure<Record<string, number>>(
    `
    const bagel = await Bagel.load();
    const round = async () => {
      await bagel.ask('how many objects are there?', { maxTokens: 5, images: ['examples/scene.png'] });
      await bagel.draw('a red circle', { steps: 2, seed: 1 });
      await bagel.ask('x', { signal: AbortSignal.timeout(3), maxTokens: 300, ignoreStop: true }).catch(() => {});
    };
    for (let i = 0; i < 5; i++) await round();
    await collect(() => false);
    const early = bagel.memory().bytes;
    const pagesEarly = bagel.model.pool.free;
    for (let i = 0; i < ${full ? 30 : 12}; i++) await round();
    await collect(() => false);
    console.log(JSON.stringify({ early, late: bagel.memory().bytes, pages: bagel.model.pool.free, pagesEarly }));
    await bagel.dispose();`,
    measured,
  );
  expect(pages).toBe(pagesEarly);
  expect(late).toBe(early);
});
