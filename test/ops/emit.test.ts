import { afterAll, describe, expect, test } from 'vitest';
import { Context, ops } from '../../lib/index.js';

describe.each(['cpu', 'simt'] as const)('%s', async (device) => {
  const cx = await Context.create({ device, threads: 1 });
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

  /** All records of a channel until the run with this ticket is over. */
  async function receiveAll(channel: number, ticket: number): Promise<ArrayBuffer[]> {
    const records: ArrayBuffer[] = [];
    for (;;) {
      const done = cx.native.completed() >= ticket;
      const more = await cx.receive(channel, ticket);
      records.push(...more);
      if (done) return records;
    }
  }

  test('records of every size and place in the ring arrive whole, however many are under way', async () => {
    const sizes = [0, 1, 2, 15, 16, 17, 1000, 4097, 20001];
    const payloads = sizes.map((n) =>
      cx.tensor(
        'u8',
        [n],
        Uint8Array.from({ length: n }, (_, i) => (i * 31 + n) & 255),
      ),
    );
    const channel = cx.openChannel();
    const program = cx.record(() => {
      for (const payload of payloads) ops.emit(cx, { payload, channel });
    });
    let ticket = 0;
    for (let i = 0; i < 40; i++) ticket = program.run(); // a megabyte
    const records = await receiveAll(channel, ticket);
    expect(records.map((r) => r.byteLength)).toEqual(Array(40).fill(sizes).flat());
    for (const record of records) {
      const want = Uint8Array.from({ length: record.byteLength }, (_, i) => (i * 31 + record.byteLength) & 255);
      expect(Buffer.from(record).equals(want)).toBe(true);
    }
    cx.closeChannel(channel);
  });

  test('a record larger than all before it finds room', async () => {
    const channel = cx.openChannel();
    const lengths = [10, 300_000, 7, 3_000_001, 5];
    for (const n of lengths) ops.emit(cx, { payload: cx.tensor('u8', [n], new Uint8Array(n).fill(n & 255)), channel });
    await cx.sync();
    const records = await receiveAll(channel, 0);
    expect(records.map((r) => [r.byteLength, new Uint8Array(r).at(-1)])).toEqual(lengths.map((n) => [n, n & 255]));
    cx.closeChannel(channel);
  });

  test('a flag is told once, with the job that raised it or soon after, in programs too', async () => {
    await cx.sync();
    const ids = cx.zeros('i32', [2]);
    const table = cx.zeros('f32', [3, 2]);
    const program = cx.record(() => ops.embedding(cx, { table, ids }));
    const seen: boolean[] = [];
    for (const list of [
      [0, 1],
      [3, 0],
      [2, 2],
      [-1, 0],
    ]) {
      ids.write(list);
      program.run();
      seen.push((await cx.sync()).indexClamped);
    }
    expect(seen).toEqual([false, true, false, true]);
  });
});
