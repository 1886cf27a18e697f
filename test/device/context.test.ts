// Contexts whose device is not the cpu: queues, copies, programs as graphs, what is counted, what is refused.
import { describe, expect, test } from 'vitest';
import * as ops from '../../lib/generated/ops.js';
import { Context } from '../../lib/tensor/context.js';
import { type OpCase, type OpCases, seeded } from '../kit/cases.js';
import { contractOf, uploadAll } from '../kit/run-case.js';

const values = (n: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i) * 3);

/** rms_norm with weight 1 and eps 0 in float64, in rows of d. */
function normalised(x: Float32Array, d: number): number[] {
  return Array.from(x, (v, i) => {
    const row = x.subarray(i - (i % d), i - (i % d) + d);
    return v / Math.sqrt(row.reduce((sum, r) => sum + r * r, 0) / d);
  });
}

function near(got: ArrayLike<number>, want: readonly number[]): void {
  expect(got.length).toBe(want.length);
  for (const [i, v] of want.entries()) expect(got[i]).toBeCloseTo(v, 5);
}

/** Bytes that tell where they are. */
const pattern = Buffer.alloc(13e6 + 3);
for (let i = 0; i + 4 <= pattern.length; i += 4) pattern.writeUInt32LE(i, i);

describe.each([
  { guarded: true, what: 'work at once' },
  { guarded: false, what: 'work on a thread of its own' },
])('simt, $what', ({ guarded }) => {
  const open = () => Context.create({ device: 'simt', simt: { guarded } });

  test('writes, runs and reads in the order of the calls', async () => {
    const cx = await open();
    expect({ device: cx.device, isa: cx.isa, threads: cx.threads }).toEqual({
      device: 'simt',
      isa: 'sm_90',
      threads: 1,
    });
    const weight = cx.tensor('f32', [40], new Float32Array(40).fill(1));
    const x = cx.tensor('f32', [3, 40]);
    const results = [1, 2, 3].map((factor) => {
      x.write(values(120).map((v) => v + factor));
      return { factor, out: ops.rmsNorm(cx, { x, weight, eps: 0 }).out.data(), x: x.data() };
    });
    x.clear();
    expect(await x.data()).toEqual(new Float32Array(120));
    for (const { factor, out, x } of results) {
      const given = values(120).map((v) => v + factor);
      expect(await x).toEqual(given);
      near(await out, normalised(given, 40));
    }
    await cx.dispose();
  });

  test('moves more than its buffers hold', async () => {
    const cx = await open();
    const large = Uint8Array.from(pattern); // pieces of 4 MiB, three buffers
    const x = cx.tensor('u8', [large.length], large);
    const first = x.data();
    large.fill(7);
    x.write(large);
    const second = x.data();
    expect(Buffer.from((await first).buffer).equals(pattern)).toBe(true);
    expect(Buffer.from((await second).buffer).equals(large)).toBe(true);
    await cx.dispose();
  });

  test('replays a program as one graph, and waits once per run', async () => {
    const cx = await open();
    const weight = cx.tensor('f32', [40], new Float32Array(40).fill(1));
    const x = cx.tensor('f32', [3, 40], values(120));
    const program = cx.record(
      () => ops.rmsNorm(cx, { x: ops.rmsNorm(cx, { x, weight, eps: 0 }).out, weight, eps: 0 }).out,
    );
    await cx.sync();
    const before = cx.counters();
    for (let i = 0; i < 20; i++) program.run();
    await cx.sync();
    const after = cx.counters();
    expect({
      runs: after.runs - before.runs,
      ops: after.ops - before.ops,
      launches: after.launches - before.launches,
      graphLaunches: after.graphLaunches - before.graphLaunches,
      copies: after.copies - before.copies,
      synchronising: after.synchronising - before.synchronising,
      bytes: after.bytes - before.bytes,
    }).toEqual({ runs: 20, ops: 40, launches: 2, graphLaunches: 20, copies: 0, synchronising: 20, bytes: 0 });
    near(await program.outputs.data(), normalised(values(120), 40));
    await cx.dispose();
  });

  test('profiles ops by the clock of the device', async () => {
    const cx = await open();
    const weight = cx.tensor('f32', [40], new Float32Array(40).fill(1));
    const x = cx.tensor('f32', [3, 40], values(120));
    const program = cx.record(() => ops.rmsNorm(cx, { x, weight }).out);
    await cx.sync();
    cx.profileStart();
    program.run();
    ops.rmsNorm(cx, { x, weight });
    await cx.sync();
    const events = cx.profileStop();
    const jobs = events.filter(({ op }) => op === '');
    const norms = events.filter(({ op }) => op === 'rms_norm');
    expect([jobs.length, norms.length]).toEqual([2, 2]);
    for (const [i, { startNs, endNs, shape }] of norms.entries()) {
      expect(shape).toContain('x f32 [3, 40]');
      expect(endNs).toBeGreaterThan(startNs);
      expect(endNs).toBeLessThanOrEqual(jobs[i]?.endNs as number);
    }
    await cx.dispose();
  });

  test('names the op that it has no kernel for, and why', async () => {
    const cx = await open();
    const { cases } = (await import('../cases/filtered_softmax.js')) as { cases: OpCases };
    const inputs = (cases.cases[0] as OpCase).build(seeded(1));
    const operands = uploadAll(cx, inputs);
    expect(() => cx.call('filtered_softmax', operands, inputs.attributes)).toThrow(
      expect.objectContaining({
        code: 'NOT_SUPPORTED',
        op: 'filtered_softmax',
        message: `filtered_softmax on simt: ${contractOf('filtered_softmax').cpuOnly}`,
      }),
    );
    await cx.dispose();
  });
});
