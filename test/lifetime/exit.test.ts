// How a process ends: at once, whatever is queued, and never with a crash.
import { describe, expect, test } from 'vitest';
import { fullTier } from '../kit/tier.js';
import { QUEUE, runChild } from './child.js';

/** From the end of a program to the end of its process: one op and one short wait, not the queue. */
const SOON_MS = 2000;
const full = fullTier(25, '6 of 8 exits amid each kind of work');
/** Exits amid each kind of work. */
const ROUNDS = full ? 8 : 2;

/** Far more work than that. */
const LONG = 1500;

describe('a process ends by itself', () => {
  test('with a context, a model, a session and a program alive', { timeout: 60_000 }, async () => {
    const { code, signal, stdout, stderr, at } = await runChild(`
      const bagel = await Bagel.load();
      const session = bagel.session();
      await session.addText('how many objects are there?');
      const answer = await session.answer({ maxTokens: 5, ignoreStop: true }).result;
      const cx = await Context.create();
      const x = cx.zeros('i32', [1]);
      const program = cx.record(() => ops.increment(cx, { x }));
      program.run();
      globalThis.kept = { bagel, session, cx, x, program, channel: cx.openChannel() };
      console.log((await x.data())[0], answer.tokens.length);
      console.log(Date.now());`);
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    const [result, end] = stdout.split('\n');
    expect(result).toBe('1 5');
    expect(at - Number(end)).toBeLessThan(SOON_MS);
  });

  test('but not before what it waits for', { timeout: 60_000 }, async () => {
    const { code, stdout } = await runChild(`${QUEUE}
      const cx = await Context.create();
      queue(cx, 20).data().then((data) => console.log('data', data.length));
      cx.sync().then(() => console.log('sync'));`);
    expect(code).toBe(0);
    expect(stdout.split('\n').sort()).toEqual(['', `data ${512 * 2048}`, 'sync']);
  });

  test('with work in the queue that nobody waits for', { timeout: 60_000 }, async () => {
    const { code, signal, stdout, stderr, at } = await runChild(`${QUEUE}
      const cx = await Context.create();
      queue(cx, ${LONG});
      console.log(Date.now());`);
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    expect(at - Number(stdout)).toBeLessThan(SOON_MS);
  });
});

describe('process.exit', () => {
  const leave = `
    setTimeout(() => {
      console.log(Date.now());
      process.exit(3);
    }, 30 + 40 * Math.random());`;
  test.each([
    ['products', `${QUEUE} const cx = await Context.create(); queue(cx, ${LONG});`],
    ['a read', `${QUEUE} const cx = await Context.create(); queue(cx, ${LONG}).data();`],
    [
      'a record of the ring',
      `${QUEUE} const cx = await Context.create(); queue(cx, ${LONG}); cx.receive(cx.openChannel(), ${LONG});`,
    ],
    [
      'six contexts',
      `${QUEUE} for (let i = 0; i < 6; i++) queue(await Context.create({ threads: 1 }), ${LONG}).data();`,
    ],
    [
      'a dispose',
      `${QUEUE} const cx = await Context.create(); queue(cx, ${LONG}).data().catch(() => {}); setTimeout(() => cx.dispose(), 45);`,
    ],
    ['a load', 'Bagel.load();'],
    ['a drawing', `const bagel = await Bagel.load(); bagel.draw('a red circle', { steps: 1000, seed: 1 });`],
    [
      'an answer',
      `const bagel = await Bagel.load(); (async () => { for (;;) await bagel.ask('describe the image.', { ignoreStop: true }); })();`,
    ],
  ])('amid %s', { timeout: 120_000 }, async (_, work) => {
    for (let round = 0; round < ROUNDS; round++) {
      const { code, signal, stdout, stderr, at } = await runChild(work + leave);
      expect({ code, signal, stderr }).toEqual({ code: 3, signal: null, stderr: '' });
      expect(at - Number(stdout)).toBeLessThan(SOON_MS);
    }
  });

  test('an uncaught error amid work', { timeout: 60_000 }, async () => {
    const { code, signal, stderr } = await runChild(`${QUEUE}
      const cx = await Context.create();
      queue(cx, ${LONG}).data();
      setTimeout(() => { throw new Error('on purpose'); }, 50);`);
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    expect(stderr).toMatch('on purpose');
  });
});
