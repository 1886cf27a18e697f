import { afterAll, expect, test } from 'vitest';
import { Context, ops } from '../../lib/index.js';

const cx = await Context.create({ device: 'cpu', threads: 1 });
afterAll(() => cx.dispose());

test('the host gets the payloads of a program in order, and nothing when `when` is 0', async () => {
  const channel = cx.openChannel();
  const step = cx.tensor('i32', [1], [-2]);
  const bytes = cx.tensor('u8', [2, 3], [1, 2, 3, 4, 5, 6]);
  const program = cx.record(() => {
    ops.increment(cx, { x: step });
    ops.emit(cx, { payload: step, when: step, channel }); // steps -1, 0 (not sent), 1
    ops.emit(cx, { payload: bytes, channel });
    return {};
  });
  let ticket = 0;
  for (let i = 0; i < 3; i++) ticket = program.run();
  const records: ArrayBuffer[] = [];
  while (records.length < 5) {
    const more = await cx.receive(channel, ticket);
    if (more.length === 0) break;
    records.push(...more);
  }
  const seen = records.map((record) =>
    record.byteLength === 4 ? new Int32Array(record)[0] : [...new Uint8Array(record)],
  );
  const all = [1, 2, 3, 4, 5, 6];
  expect(seen).toEqual([-1, all, all, 1, all]);
  program.dispose();
  cx.closeChannel(channel);
});

test('ops that clamp an index raise the flag, once', async () => {
  await cx.sync();
  const table = cx.tensor('f32', [3, 2], [1, 2, 3, 4, 5, 6]);
  const look = async (ids: number[]) => {
    const out = await ops.embedding(cx, { table, ids: cx.tensor('i32', [ids.length], ids) }).data();
    return [Array.from(out), (await cx.sync()).indexClamped];
  };
  expect(await look([2, 0])).toEqual([[5, 6, 1, 2], false]);
  expect(await look([7, -7])).toEqual([[5, 6, 1, 2], true]);
  expect(await look([1])).toEqual([[3, 4], false]);
  const cache = () => cx.zeros('f32', [2, 1, 2, 64]);
  const pages = async (pairs: number[]) => {
    ops.copyPages(cx, {
      kCache: cache(),
      vCache: cx.zeros('f32', [2, 1, 64, 2]),
      pairs: cx.tensor('i32', [1, 2], pairs),
    });
    return (await cx.sync()).indexClamped;
  };
  expect(await pages([0, 1])).toBe(false);
  expect(await pages([-1, -1])).toBe(false);
  expect(await pages([0, 2])).toBe(true);
});
