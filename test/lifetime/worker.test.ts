// Worker threads: each has its own environment, and ends at any moment without taking the process with it.
import { expect, test } from 'vitest';
import { seeded } from '../kit/cases.js';
import { fullTier } from '../kit/tier.js';
import { LIBRARY, runChild } from './child.js';

const full = fullTier(80, '970 of 1,000 terminations');

/** Workers that are terminated all at once. */
const ROUNDS = 8;

/** A module for a worker: loads a model, says so, works until it is terminated. */
const busy = `
import { parentPort } from 'node:worker_threads';
import { Bagel } from ${JSON.stringify(LIBRARY)};
const bagel = await Bagel.load();
parentPort.postMessage('loaded');
const draw = async () => { for (;;) await bagel.draw('a red circle', { steps: 200, seed: 1 }); };
const ask = async () => { for (;;) await bagel.ask('describe the image.', { maxTokens: 300, ignoreStop: true }); };
await Promise.all([draw(), ask()]);
`;

const kit = `
import { Worker } from 'node:worker_threads';
import { setTimeout as sleep } from 'node:timers/promises';
const start = (source) => {
  const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)));
  worker.on('error', (error) => { console.error(error); process.exit(9); });
  return worker;
};
const said = (worker) => new Promise((resolve) => worker.once('message', resolve));
const stop = async (worker) => {
  const before = performance.now();
  await worker.terminate();
  return performance.now() - before;
};
const works = async () => {
  const cx = await Context.create({ threads: 2 });
  const sum = await ops.linear(cx, { x: cx.tensor('f32', [1, 2], [3, 4]), weight: cx.tensor('f32', [1, 2], [1, 1]) }).data();
  await cx.dispose();
  return sum[0] === 7;
};
const BUSY = ${JSON.stringify(busy)};
`;

/** The slowest terminate() of a program that prints how long each took and then whether the process still works. */
async function slowest(program: string): Promise<number> {
  const { code, signal, stdout, stderr } = await runChild(kit + program, [], 100_000);
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  const { times, ok } = JSON.parse(stdout) as { times: number[]; ok: boolean };
  expect(ok).toBe(true);
  expect(times).toHaveLength(ROUNDS);
  console.log(`terminate: ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  return Math.max(...times);
}

/** What a worker is at when it is terminated, by the share of a thousand. It says when it has begun. */
const KINDS: Record<string, { share: number; source: string }> = {
  'drawing and answering': { share: 150, source: busy },
  // told before it begins
  loading: { share: 100, source: `parentPort.postMessage('begun'); for (;;) await (await Bagel.load()).dispose();` },
  'ops in the queue': {
    share: 150,
    source: `begun(); for (;;) { for (let i = 0; i < 50; i++) product().dispose(); await cx.sync(); }`,
  },
  'programs in the queue': {
    share: 100,
    source: `const program = cx.record(() => ops.linear(cx, { x: product(), weight }));
      begun();
      for (;;) { for (let i = 0; i < 20; i++) program.run(); await program.outputs.data(); }`,
  },
  'hundreds of reads': {
    share: 150,
    source: `begun(); for (;;) await Promise.all(Array.from({ length: 200 }, () => cx.tensor('f32', [4], [1, 2, 3, 4]).data()));`,
  },
  'records of the ring': {
    share: 150,
    source: `const channel = cx.openChannel();
      const program = cx.record(() => { ops.emit(cx, { payload: x, channel }); });
      begun();
      for (;;) { let ticket = 0; for (let i = 0; i < 20; i++) ticket = program.run(); await cx.drain(channel, ticket); }`,
  },
  'contexts that come and go': {
    share: 100,
    source: `begun(); for (;;) { const each = await Context.create({ threads: 2 }); each.zeros('f32', [64]); await each.dispose(); }`,
  },
  'a thread that never waits': { share: 100, source: `begun(); for (;;) product().dispose();` },
};

const preamble = `
import { parentPort } from 'node:worker_threads';
import { Bagel, Context, ops } from ${JSON.stringify(LIBRARY)};
const cx = await Context.create({ threads: 2 });
const x = cx.zeros('f32', [64, 256]);
const weight = cx.zeros('f32', [256, 256]);
const product = () => ops.linear(cx, { x, weight });
const begun = () => parentPort.postMessage('begun');
`;

const TERMINATIONS = full ? 1000 : 30;

test(`${TERMINATIONS} terminations amid all kinds of work`, { timeout: 400_000 }, async () => {
  const sources = Object.fromEntries(
    Object.entries(KINDS).map(([kind, { source }]) => [kind, source === busy ? busy : preamble + source]),
  );
  // every kind has its share, in an order that mixes them
  const scale = full ? 1 : 30 / 1000;
  const kinds = Object.entries(KINDS).flatMap(([kind, { share }]) =>
    Array.from({ length: Math.max(1, Math.round(share * scale)) }, () => kind),
  );
  const rng = seeded(7);
  const rounds = Array.from({ length: TERMINATIONS }, (_, i) => kinds[i % kinds.length] ?? 'loading')
    .map((kind) => ({ kind, order: rng(), delay: Math.floor(60 * rng() ** 2) }))
    .sort((a, b) => a.order - b.order);
  const { code, signal, stdout, stderr } = await runChild(
    `${kit}
    import { readdirSync, readFileSync } from 'node:fs';
    const status = (name) => Number(new RegExp(name + ':[^0-9]*([0-9]+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    const sources = ${JSON.stringify(sources)};
    const rounds = ${JSON.stringify(rounds)};
    const times = {};
    const marks = [];
    let next = 0, done = 0, wrong = 0;
    const lane = async () => {
      for (let round = rounds[next++]; round; round = rounds[next++]) {
        const worker = start(sources[round.kind]);
        await said(worker);
        await sleep(round.delay);
        const took = await stop(worker);
        times[round.kind] = Math.max(times[round.kind] ?? 0, took);
        if (++done % Math.ceil(rounds.length / 4) === 0) {
          if (!(await works())) wrong++;
          marks.push({ threads: status('Threads'), mb: Math.round(status('VmRSS') / 1024) });
        }
      }
    };
    const before = performance.now();
    await Promise.all([lane(), lane()]);
    const seconds = (performance.now() - before) / 1000;
    console.log(JSON.stringify({ times, done, wrong, marks, seconds, ok: await works(), threads: status('Threads') }));`,
    [],
    390_000,
  );
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  const report = JSON.parse(stdout) as {
    times: Record<string, number>;
    done: number;
    wrong: number;
    marks: { threads: number; mb: number }[];
    seconds: number;
    ok: boolean;
    threads: number;
  };
  const slowest = Object.entries(report.times).map(([kind, ms]) => `${kind} ${ms.toFixed(0)}`);
  console.log(
    `${report.done} terminations in ${report.seconds.toFixed(0)} s; the slowest, in ms: ${slowest.join(', ')}`,
  );
  console.log(
    `after each quarter: ${report.marks.map(({ threads, mb }) => `${threads} threads, ${mb} MB`).join('; ')}`,
  );
  expect(report).toMatchObject({ done: TERMINATIONS, wrong: 0, ok: true });
  expect(Object.keys(report.times).sort()).toEqual(Object.keys(KINDS).sort());
  expect(Math.max(...Object.values(report.times))).toBeLessThan(3000);
  expect(report.threads).toBeLessThan(30); // one worker's are some ten
  if (full) expect((report.marks.at(-1)?.mb ?? 0) - (report.marks[0]?.mb ?? 0)).toBeLessThan(150); // a model takes 76
});

test('all at once, beside a main thread that works too', { timeout: 120_000 }, async () => {
  const worst = await slowest(`
    const bagel = await Bagel.load();
    const before = (await bagel.ask('describe the image.', { maxTokens: 20 })).text;
    const workers = Array.from({ length: ${ROUNDS} }, () => start(BUSY));
    await Promise.all(workers.map(said));
    const drawing = bagel.draw('a red circle', { steps: 10, seed: 1 });
    const times = await Promise.all(workers.map(stop));
    await drawing;
    const after = (await bagel.ask('describe the image.', { maxTokens: 20 })).text;
    await bagel.dispose();
    console.log(JSON.stringify({ times, ok: before === after && await works() }));`);
  expect(worst).toBeLessThan(5000);
});

test('a worker that ends by itself, with and without dispose', { timeout: 60_000 }, async () => {
  const { code, signal, stdout, stderr } = await runChild(`${kit}
    const once = (last) => \`
      import { parentPort } from 'node:worker_threads';
      import { Bagel } from ${JSON.stringify(LIBRARY).replaceAll('"', '\\"')};
      const bagel = await Bagel.load();
      parentPort.postMessage((await bagel.ask('how many objects are there?', { maxTokens: 8, ignoreStop: true })).tokens);
      \${last}\`;
    const answers = [];
    for (const last of ['', 'await bagel.dispose();', 'void bagel.dispose();', 'process.exit(0);', '']) {
      const worker = start(once(last));
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      answers.push(JSON.stringify(await said(worker)));
      answers.push(await ended);
    }
    console.log(JSON.stringify([...new Set(answers)]));`);
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  const [tokens, exitCode, ...others] = JSON.parse(stdout) as unknown[];
  expect(JSON.parse(tokens as string)).toHaveLength(8);
  expect(exitCode).toBe(0);
  expect(others).toEqual([]);
});

test('a tensor of another thread is no tensor of this one', { timeout: 60_000 }, async () => {
  const { code, stdout, stderr } = await runChild(`${kit}
    const cx = await Context.create({ threads: 1 });
    const x = cx.zeros('f32', [2]);
    let code;
    try { structuredClone(x.native); code = 'cloned'; } catch (error) { code = error.name; }
    let used;
    try { cx.call('cast', { x: structuredClone({ native: {} }) }); used = 'used'; } catch (error) { used = error.code; }
    console.log(code, used);`);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^(DataCloneError|cloned) BAD_OPTION\n$/);
});
