// How JavaScript waits for a context, on a device that is only a schedule: what it says at each look, and what it emits.
import { describe, expect, test } from 'vitest';
import { DISTANCES, type NativeContext, type NativeRecord } from '../../lib/native/addon.js';
import { Waiting } from '../../lib/tensor/waiting.js';

const OVER = DISTANCES.indexOf('over');
const NEAR = DISTANCES.indexOf('near');
const FAR = DISTANCES.indexOf('far');
const record = (channel: number): NativeRecord => ({ channel, at: 0, data: new ArrayBuffer(4) });
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A device whose jobs end when the test says so. */
function schedule() {
  const state = {
    done: 0,
    distance: FAR,
    records: [] as NativeRecord[],
    looks: 0,
    patient: 0,
    /** Lets the promises go that wait for what is far. */
    approached: [] as (() => void)[],
  };
  const native: Partial<NativeContext> = {
    completed: () => state.done,
    lookOut(ticket, records, patient) {
      state.looks++;
      if (patient) state.patient++;
      return state.done >= ticket || (records && state.records.length > 0) ? OVER : state.distance;
    },
    approach: () => new Promise((resolve) => state.approached.push(resolve)),
    receive: () => state.records.splice(0),
  };
  return { state, waiting: new Waiting(native as NativeContext) };
}

describe('waiting', () => {
  test('looks out for what is near, with turns of the event loop between', async () => {
    const { state, waiting } = schedule();
    state.distance = NEAR;
    let over = false;
    const waits = waiting.until(1).then(() => {
      over = true;
    });
    for (let i = 0; i < 20; i++) await turn();
    expect(state.looks).toBeGreaterThan(10);
    expect(state.approached).toEqual([]);
    expect(over).toBe(false);
    state.done = 1;
    await waits;
  });

  test('only looks, and does not wait, while the event loop has other things to do', async () => {
    const { state, waiting } = schedule();
    state.distance = NEAR;
    const waits = waiting.until(1);
    const begin = performance.now();
    for (let i = 0; i < 50; i++) {
      const start = performance.now();
      while (performance.now() - start < 0.1);
      await turn();
    }
    const { looks, patient } = state;
    expect(looks).toBeGreaterThan(40);
    expect(patient).toBeLessThan(looks / 4);
    // and does when it has none
    while (state.patient === patient && performance.now() - begin < 10_000) await turn();
    expect(state.patient).toBeGreaterThan(patient);
    state.done = 1;
    await waits;
  });

  test('is told of what is far, and looks out from when it is near', async () => {
    const { state, waiting } = schedule();
    const waits = waiting.until(1);
    for (let i = 0; i < 20; i++) await turn();
    expect(state.looks).toBe(1);
    expect(state.approached).toHaveLength(1);
    state.distance = NEAR;
    state.approached[0]?.();
    for (let i = 0; i < 20; i++) await turn();
    expect(state.looks).toBeGreaterThan(10);
    state.done = 1;
    await waits;
    expect(state.approached).toHaveLength(1);
  });

  /** Turns of the event loop while `wait` is called one time after another, until `enough` of them. */
  async function turnsOf(wait: () => Promise<void>, enough: (calls: number) => boolean): Promise<number> {
    let turns = 0;
    let over = false;
    const counting = (async () => {
      for (; !over; turns++) await turn();
    })();
    for (let calls = 0; !enough(calls); calls++) await wait();
    over = true;
    await counting;
    return turns;
  }

  test('leaves the event loop its turns where there is nothing to wait for', async () => {
    const { state, waiting } = schedule();
    state.done = 1;
    expect(
      await turnsOf(
        () => waiting.until(1),
        (calls) => calls === 50,
      ),
    ).toBeGreaterThan(40);
  });

  /** What is far, and over once `approach` was called. */
  function farAndOver(approach: () => Promise<void> | undefined): () => Promise<void> {
    const native: Partial<NativeContext> = {
      approach() {
        native.lookOut = () => OVER;
        return approach();
      },
    };
    const waiting = new Waiting(native as NativeContext);
    return () => {
      native.lookOut = () => FAR;
      return waiting.until(1);
    };
  }

  test('leaves the event loop its turns where what was far is over at once', async () => {
    const wait = farAndOver(() => undefined);
    expect(await turnsOf(wait, (calls) => calls === 50)).toBeGreaterThan(40);
  });

  test('takes no turn where it was told, but one every 10 ms', async () => {
    const wait = farAndOver(() => Promise.resolve());
    await wait();
    const begin = performance.now();
    let calls = 0;
    const turns = await turnsOf(wait, (count) => {
      calls = count;
      return performance.now() - begin > 300;
    });
    const took = performance.now() - begin;
    expect(turns).toBeGreaterThanOrEqual(3);
    expect(turns).toBeLessThan(5 + took / 10);
    expect(calls).toBeGreaterThan(turns);
  });

  test('tells a channel of what another found for it, though its job is far', async () => {
    const { state, waiting } = schedule();
    const [a, b] = [waiting.openChannel(), waiting.openChannel()];
    const waits = waiting.receive(b, 9);
    await turn();
    await turn();
    expect(state.approached).toHaveLength(1);
    state.records.push(record(b), record(a), record(b));
    expect(await waiting.receive(a, 9)).toHaveLength(1);
    expect(await waits).toHaveLength(2);
    // the job's end gives what there is
    const last = waiting.receive(b, 9);
    state.done = 9;
    for (const resolve of state.approached) resolve();
    expect(await last).toEqual([]);
  });

  test('tells all who wait on a channel, whoever began last', async () => {
    const { state, waiting } = schedule();
    const [a, b] = [waiting.openChannel(), waiting.openChannel()];
    const early = waiting.receive(a, 9);
    const late = waiting.receive(a, 1);
    await turn();
    await turn();
    expect(state.approached).toHaveLength(2);
    state.done = 1; // the end of the later one's job
    state.approached[1]?.();
    expect(await late).toEqual([]);
    state.records.push(record(a), record(b));
    expect(await waiting.receive(b, 9)).toHaveLength(1);
    expect(await early).toHaveLength(1);
  });

  test('drops what is for a closed channel', async () => {
    const { state, waiting } = schedule();
    const [a, b] = [waiting.openChannel(), waiting.openChannel()];
    waiting.closeChannel(b);
    state.records.push(record(b), record(a));
    expect(await waiting.receive(a, 9)).toHaveLength(1);
    state.done = 9;
    expect(await waiting.receive(b, 9)).toEqual([]);
  });
});
