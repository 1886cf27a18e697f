// Where a processor is spare, JavaScript is woken before a job of known length ends, not by its end.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import * as ops from '../../lib/generated/ops.js';
import { DISTANCES } from '../../lib/native/addon.js';
import { loadAddon } from '../../lib/native/load.js';
import { Context } from '../../lib/tensor/context.js';

const SPARE = loadAddon().usableThreads() > 1;
if (!SPARE) console.log('not run: the alarm needs a spare processor');

test.skipIf(!SPARE)('wakes before a job ends whose length is known', { timeout: 60_000, retry: 2 }, async () => {
  await using cx = await Context.create({ device: 'cpu', threads: 1 });
  const x = cx.zeros('f32', [512, 512]);
  const program = cx.record(() => {
    let at = x;
    for (let i = 0; i < 4; i++) at = ops.linear(cx, { x: at, weight: x });
    return at;
  });
  program.run();
  await cx.sync();
  const woken = { near: 0, over: 0, far: 0, late: 0 }; // late: it was near before anybody waited
  for (let i = 0; i < 20; i++) {
    const ticket = program.run();
    await sleep(1); // the executor has taken it by then
    const approached = cx.native.approach(ticket, false);
    await approached;
    const distance = DISTANCES[cx.native.lookOut(ticket, false, false)];
    if (!approached || !distance) woken.late++;
    else woken[distance]++;
    await cx.sync();
  }
  console.log(JSON.stringify(woken));
  // a thread that is woken late, by a machine with other work, finds it over
  expect(woken.near).toBeGreaterThan(2);
});
