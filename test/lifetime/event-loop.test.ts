// The JavaScript thread stays free: while the model works, a 5 ms timer fires at least half as often as beside plain C++ threads
// that burn as many cores.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { loadAddon } from '../../lib/native/load.js';

const PERIOD_MS = 5;
const SPAN_MS = 800;

let bagel: Bagel;
beforeAll(async () => {
  bagel = await Bagel.load();
});
afterAll(() => bagel.dispose());

/** Ticks of the timer while `work` is repeated. */
async function ticksDuring(work: () => Promise<unknown>): Promise<number> {
  let ticks = 0;
  let over = false;
  const timer = setInterval(() => ticks++, PERIOD_MS);
  const busy = (async () => {
    while (!over) await work();
  })();
  await sleep(SPAN_MS);
  const seen = ticks;
  over = true;
  clearInterval(timer);
  await busy;
  return seen;
}

test('a 5 ms timer keeps firing during decode and denoise', { timeout: 60_000, retry: 2 }, async () => {
  const { isa, threads } = bagel.context;
  const control = await ticksDuring(() => loadAddon().measureRoofline(isa, threads, 256e6));
  const decode = await ticksDuring(() => bagel.ask('describe the image.', { maxTokens: 300, ignoreStop: true }));
  const denoise = await ticksDuring(() => bagel.draw('a red circle', { steps: 50, seed: 1 }));
  console.log(`ticks in ${SPAN_MS} ms: control ${control}, decode ${decode}, denoise ${denoise}`);
  expect(control).toBeGreaterThan(10);
  expect(decode).toBeGreaterThanOrEqual(control / 2);
  expect(denoise).toBeGreaterThanOrEqual(control / 2);
});
