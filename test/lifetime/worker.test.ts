// Worker threads: each has its own environment, and ends at any moment without taking the process with it.
import { expect, test } from 'vitest';
import { LIBRARY, runChild } from './child.js';

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

test('terminated in the middle of drawing and answering', { timeout: 120_000 }, async () => {
  const worst = await slowest(`
    const times = [];
    for (let round = 0; round < ${ROUNDS}; round++) {
      const worker = start(BUSY);
      await said(worker);
      await sleep(10 + 37 * round);
      times.push(await stop(worker));
    }
    console.log(JSON.stringify({ times, ok: await works() }));`);
  expect(worst).toBeLessThan(2000);
});

test('terminated while the model loads', { timeout: 120_000 }, async () => {
  const worst = await slowest(`
    const times = [];
    for (let round = 0; round < ${ROUNDS}; round++) {
      const worker = start(BUSY);
      await new Promise((resolve) => worker.once('online', resolve));
      await sleep(30 + 15 * round);
      times.push(await stop(worker));
    }
    console.log(JSON.stringify({ times, ok: await works() }));`);
  expect(worst).toBeLessThan(2000);
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
