import { describe, expect, test } from 'vitest';
import { type DenoiseCase, denoiseRunner, outsideForwardShare, saving } from '../../bench/denoise.js';
import { measureOp } from '../../bench/op-row.js';
import { benchCases, casesOf, listRows, names, STEPS } from '../../bench/rows.js';
import { withModel } from '../../bench/steps.js';
import { measureRoofline } from '../../lib/profile/roofline.js';
import { Context, instructionSets, opContracts } from '../../lib/tensor/context.js';

test('every op of the contracts has rows, and a large case where the tests have one', async () => {
  const rows = await listRows();
  const listed = new Set(rows.map((row) => row.name));
  expect([...opContracts().keys()].filter((op) => !listed.has(op))).toEqual([]);
  expect(STEPS.filter((step) => !listed.has(step))).toEqual([]);
  for (const op of opContracts().keys()) {
    const cases = await casesOf(op);
    expect(cases.op).toBe(op);
    const chosen = benchCases(cases, false);
    expect(chosen.filter((c) => c.tags.includes('perf'))).toEqual(cases.cases.filter((c) => c.tags.includes('perf')));
    expect(benchCases(cases, true).length).toBeGreaterThan(0);
  }
});

test('rows of some names only, in the order of the contracts', async () => {
  const rows = await listRows(['vae_decode', 'cast', 'rms_norm']);
  expect([...new Set(rows.map((row) => row.name))]).toEqual(['rms_norm', 'cast', 'vae_decode']);
  expect(new Set(names()).size).toBe(names().length);
});

test('denoising runs have the evaluations that the gates speak of', async () => {
  await withModel({ device: 'cpu' }, 'f32', async (model) => {
    const evaluations = async (c: DenoiseCase) => {
      const runner = await denoiseRunner(model, c);
      runner.dispose();
      return runner.evaluations;
    };
    expect(await evaluations({ kind: 'draw', steps: 50, guided: true, interval: [0, 1], separate: true })).toBe(100);
    expect(await evaluations({ kind: 'edit', steps: 50, guided: true, interval: [0.4, 1], separate: true })).toBe(132);
    expect(await evaluations({ kind: 'edit', steps: 6, guided: false })).toBe(6);
    const share = await outsideForwardShare(model, { kind: 'draw', steps: 2, guided: true, watched: true }, 1);
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(0.5);
    const { times, evaluations: ratio } = await saving(model, { kind: 'draw', steps: 2, guided: true }, 1);
    expect(times).toBeGreaterThan(0);
    expect(ratio).toBeCloseTo(4 / 6, 12);
  });
});

describe('the roofline', () => {
  test('is measured once, is positive, and more threads are not slower', async () => {
    const first = measureRoofline({ threads: 2 });
    expect(measureRoofline({ threads: 2 })).toBe(first);
    const r = await first;
    expect(r.threads).toBe(2);
    for (const { one, all } of [r.f32Flops, r.l2BytesPerSecond, r.memoryBytesPerSecond]) {
      expect(one).toBeGreaterThan(0);
      expect(all).toBeGreaterThanOrEqual(one);
    }
    expect(r.memoryBuffer).toBeGreaterThan(r.l2Buffer * 2);
  });

  test('has dot products exactly on the instruction sets that multiply bf16', async () => {
    const here = instructionSets().filter((set) => set.available && !set.model);
    for (const { name } of here) {
      const { isa, dotFlops } = await measureRoofline({ isa: name, threads: 1 });
      expect(isa).toBe(name);
      expect(dotFlops.one > 0, name).toBe(name === 'avx512bf16' || name === 'amx');
    }
  });

  test('refuses an instruction set by name', async () => {
    await expect(measureRoofline({ isa: 'mmx' })).rejects.toMatchObject({ code: 'BAD_OPTION' });
    await expect(measureRoofline({ threads: 1.5 })).rejects.toMatchObject({ code: 'BAD_OPTION' });
  });
});

test('an op is measured as a program of several calls, with the cost of its contract', async () => {
  const cx = await Context.create({ device: 'cpu', threads: 1 });
  try {
    const roofline = await measureRoofline({ threads: 1 });
    for (const op of ['cast', 'emit']) {
      const [small] = benchCases(await casesOf(op), true);
      if (!small) throw new Error(`${op} has no small case`);
      const limits = { minTime: 0.001, minSamples: 3, maxTime: 0.05 };
      const { samples, cost, floor, opsPerRun, threads } = await measureOp(cx, op, small, roofline, limits, 2 ** 30);
      expect(samples.length).toBeGreaterThanOrEqual(3);
      expect(Math.min(...samples)).toBeGreaterThan(0);
      expect(cost.bytes).toBeGreaterThan(0);
      expect(floor.seconds).toBeGreaterThan(0);
      expect(opsPerRun).toBeGreaterThan(1);
      expect(threads).toBe(1);
    }
  } finally {
    await cx.dispose();
  }
});
