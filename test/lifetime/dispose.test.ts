// Disposing: at any moment, any number of times; what waits is told, what comes later is refused, others go on.
import { describe, expect, test } from 'vitest';
import { ops } from '../../lib/index.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { Context } from '../../lib/tensor/context.js';
import { WeightFile } from '../../lib/tensor/weight-file.js';
import { failureCode } from '../kit/failure.js';

/** Queues `count` products that take some 25 ms each on two cores. */
function queue(cx: Context, count: number) {
  const x = cx.zeros('f32', [512, 2048]);
  const weight = cx.zeros('f32', [2048, 2048]);
  for (let i = 0; i < count; i++) ops.linear(cx, { x, weight }).dispose();
  return ops.linear(cx, { x, weight });
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Disposes after a moment and says how long that took and what became of the work. */
async function disposeAmid(work: (() => unknown)[], dispose: () => Promise<void>) {
  const codes = Promise.all(work.map(failureCode));
  await sleep(60);
  const before = performance.now();
  await dispose();
  const took = performance.now() - before;
  return { took, codes: await codes };
}

const ENDED = /^(DISPOSED|CANCELLED)$/;

describe('a context disposed amid work', () => {
  test('rejects what waits, without running the queue to its end', async () => {
    const cx = await Context.create({ threads: 2 });
    const last = queue(cx, 1500);
    const channel = cx.openChannel();
    const { took, codes } = await disposeAmid(
      [
        () => last.data(),
        () => last.floats(),
        () => cx.sync(),
        () => cx.receive(channel, 1500),
        () => cx.drain(channel, 1500),
        () => cx.sync(),
      ],
      () => cx.dispose(),
    );
    for (const code of codes) expect(code).toMatch(ENDED);
    expect(took).toBeLessThan(2000);
  });

  test('ends a program between two of its ops', async () => {
    const cx = await Context.create({ threads: 2 });
    const x = cx.zeros('f32', [512, 2048]);
    const weight = cx.zeros('f32', [2048, 2048]);
    const program = cx.record(() => {
      let h = x;
      for (let i = 0; i < 1000; i++) h = ops.linear(cx, { x: h, weight });
      return h;
    });
    const { took, codes } = await disposeAmid(
      [
        () => {
          program.run();
          return program.outputs.data();
        },
      ],
      () => cx.dispose(),
    );
    expect(codes[0]).toMatch(ENDED);
    expect(took).toBeLessThan(2000);
  });

  test('leaves other contexts alone', async () => {
    const one = await Context.create({ threads: 1 });
    const other = await Context.create({ threads: 1 });
    const lost = failureCode(() => queue(one, 1500).data());
    const kept = queue(other, 3).data();
    await sleep(20);
    await one.dispose();
    expect(await lost).toMatch(ENDED);
    expect((await kept).length).toBe(512 * 2048);
    expect([...(await other.tensor('i32', [2], [1, 2]).data())]).toEqual([1, 2]);
    await other.dispose();
  });
});

describe('a model disposed amid work', () => {
  test.each<[string, (bagel: Bagel) => Promise<unknown>]>([
    ['an answer', (bagel) => bagel.ask('describe the image.', { maxTokens: 500, ignoreStop: true })],
    [
      'a stream',
      async (bagel) => {
        const session = bagel.session();
        await session.addText('describe the image.');
        for await (const _ of session.answer({ maxTokens: 500, ignoreStop: true }));
      },
    ],
    ['a drawing', (bagel) => bagel.draw('a red circle', { steps: 1000, seed: 1 })],
    [
      'a preview',
      (bagel) =>
        bagel.draw('a red circle', { steps: 1000, seed: 1, onStep: (s) => void s.preview().catch(() => undefined) }),
    ],
    ['an edit', (bagel) => bagel.edit('examples/scene.png', 'make it blue', { steps: 1000, seed: 1 })],
  ])('%s', async (_, work) => {
    const bagel = await Bagel.load(undefined, { threads: 2 });
    const { took, codes } = await disposeAmid([() => work(bagel)], () => bagel.dispose());
    expect(codes[0]).toMatch(ENDED);
    expect(took).toBeLessThan(2000);
  });
});

describe('twice', () => {
  test('a context, at once and later', async () => {
    const cx = await Context.create({ threads: 1 });
    queue(cx, 10);
    await Promise.all([cx.dispose(), cx.dispose()]);
    await cx.dispose();
  });

  test('a model, a session, a tensor, a program, a file', async () => {
    const bagel = await Bagel.load();
    const session = bagel.session();
    const cx = bagel.context;
    const x = cx.zeros('i32', [1]);
    const program = cx.record(() => ops.increment(cx, { x }));
    const file = new WeightFile('package.json');
    const free = bagel.model.pool.free;
    await session.addText('hello');
    for (let i = 0; i < 2; i++) {
      session.dispose();
      x.dispose();
      program.dispose();
      file.dispose();
    }
    expect(bagel.model.pool.free).toBe(free);
    expect(x.disposed).toBe(true);
    await bagel.dispose();
    await bagel.dispose();
  });

  test('handles of a context that is gone', async () => {
    const cx = await Context.create({ threads: 1 });
    const x = cx.zeros('i32', [1]);
    const program = cx.record(() => ops.increment(cx, { x }));
    await cx.dispose();
    for (let i = 0; i < 2; i++) {
      x.dispose();
      program.dispose();
    }
  });
});

test('a session disposed amid its answer gives its pages back when the answer is done', async () => {
  const bagel = await Bagel.load();
  const free = bagel.model.pool.free;
  const session = bagel.session();
  await session.addText('describe the image.');
  const stream = session.answer({ maxTokens: 100, ignoreStop: true });
  let pieces = 0;
  for await (const _ of stream) {
    if (++pieces === 3) session.dispose();
  }
  expect((await stream.result).tokens).toHaveLength(100);
  expect(bagel.model.pool.free).toBe(free);

  const left = bagel.session();
  await left.addText('describe the image.');
  for await (const _ of left.answer({ maxTokens: 100 })) break;
  left.dispose();
  expect(bagel.model.pool.free).toBe(free);
  await bagel.dispose();
});

describe('use after dispose', () => {
  test('of a context', async () => {
    const cx = await Context.create({ threads: 1 });
    const x = cx.tensor('f32', [1, 2], [1, 2]);
    const weight = cx.zeros('f32', [2, 2]);
    const program = cx.record(() => ops.linear(cx, { x, weight }));
    const file = new WeightFile('package.json');
    const channel = cx.openChannel();
    await cx.dispose();
    const uses: Record<string, () => unknown> = {
      tensor: () => cx.tensor('f32', [1]),
      zeros: () => cx.zeros('f32', [1]),
      fromFile: () => cx.fromFile(file, 0, 'u8', [1]),
      op: () => ops.linear(cx, { x, weight }),
      call: () => cx.call('linear', { x, weight }),
      record: () => cx.record(() => null),
      run: () => program.run(),
      sync: () => cx.sync(),
      receive: () => cx.receive(channel, 1e6),
      profile: () => cx.profileStart(),
      data: () => x.data(),
      floats: () => x.floats(),
      write: () => x.write([1, 2]),
      clear: () => x.clear(),
    };
    const codes: Record<string, string> = {};
    for (const [name, use] of Object.entries(uses)) codes[name] = await failureCode(use);
    expect(codes).toEqual(Object.fromEntries(Object.keys(uses).map((name) => [name, 'DISPOSED'])));
    expect(cx.counters().ops).toBe(0);
    file.dispose();
  });

  test('of a tensor', async () => {
    const cx = await Context.create({ threads: 1 });
    const x = cx.tensor('f32', [2], [1, 2]);
    const view = x.reshape([1, 2]);
    x.dispose();
    const uses = [() => x.data(), () => x.write([1, 2]), () => x.clear(), () => x.reshape([2]), () => x.rows(0, 1)];
    for (const use of uses) expect(await failureCode(use)).toBe('DISPOSED');
    expect([...(await view.data())]).toEqual([1, 2]); // a view holds the memory
    await cx.dispose();
  });

  test('of a model and its sessions', async () => {
    const bagel = await Bagel.load();
    const session = bagel.session();
    const other = bagel.session();
    other.dispose();
    const ended = [
      () => other.addText('hello'),
      () => other.answer().result,
      () => other.addImage('examples/scene.png'),
    ];
    for (const use of ended) expect(await failureCode(use)).toBe('DISPOSED');
    await bagel.dispose();
    const uses: Record<string, () => unknown> = {
      ask: () => bagel.ask('hello'),
      draw: () => bagel.draw('a red circle'),
      edit: () => bagel.edit('examples/scene.png', 'make it blue'),
      addText: () => session.addText('hello'),
      addImage: () => session.addImage('examples/scene.png'),
      answer: () => session.answer().result,
    };
    const codes: Record<string, string> = {};
    for (const [name, use] of Object.entries(uses)) codes[name] = await failureCode(use);
    expect(codes).toEqual(Object.fromEntries(Object.keys(uses).map((name) => [name, 'DISPOSED'])));
  });
});
