// Bits that do not depend on the device, nor on what else is computed: draws on the cpu and on the CUDA kernels; a row alone and
// among 64; a row whose keys are taken by many blocks and by one. (Gumbel draws by themselves: noise_bits of the conformance
// tests compares them word by word with the cpu's.)
import { afterAll, describe, expect, test } from 'vitest';
import { Context } from '../../lib/tensor/context.js';
import { allCases } from '../kit/all-cases.js';
import { type CaseOperand, counts, type OpInputs, seeded } from '../kit/cases.js';
import { rowAlone } from '../kit/independence.js';
import { differences, rowsOf, runCase } from '../kit/run-case.js';
import { settingOperands } from '../kit/sampling.js';
import { openSimt, simtOps } from '../kit/simt.js';

const all = await allCases();
const ops = await simtOps(all);
const cpu = await Context.create({ device: 'cpu' });
const [simt, other] = [await openSimt(), await openSimt(2)];
afterAll(() => Promise.all([cpu, simt, other].map((cx) => cx.dispose())));

describe('the same draws on cpu and simt', () => {
  const normal = all.find(({ op }) => op === 'philox_normal');
  test.each(normal?.cases.filter(({ tags }) => !tags.includes('perf')) ?? [])('normal: $name', async (c) => {
    const inputs = c.build(seeded(11));
    const [a, b] = [await runCase(cpu, 'philox_normal', inputs), await runCase(simt, 'philox_normal', inputs)];
    expect(differences(a, b)).toEqual([]);
  });

  test('Gumbel: 256 tokens of flat laws, the largest of 2003 draws each', async () => {
    // Logits that are all equal leave the choice to the draws alone: one draw that differs shows with the next seed or the next.
    const [rows, vocabulary] = [256, 2003];
    const rng = seeded(4);
    const asks = [1, 0.3, 1.5, 0.7].map((temperature) => ({ temperature }));
    const words = () => Math.floor(rng() * 2 ** 32) | 0;
    const inputs: OpInputs = {
      operands: {
        ...settingOperands(rng, vocabulary, asks, (_, n, v) => new Float64Array(n * v), {
          seq: Array.from({ length: rows }, (_, i) => i % 4),
        }),
        seed: counts(Array.from({ length: 8 }, words), [4, 2]),
        position: counts(Array.from({ length: rows }, (_, i) => i)),
      },
      attributes: {},
    };
    const [a, b] = [await runCase(cpu, 'sample', inputs), await runCase(simt, 'sample', inputs)];
    expect(differences(a, b)).toEqual([]);
    expect(new Set(a.token?.bits).size).toBeGreaterThan(200);
  });
});

describe('a row alone and among 64 or more, on simt', () => {
  const large = ops.flatMap((cases) =>
    cases.cases
      .filter((c) => !c.tags.includes('perf') && Math.max(...Object.values(c.dims)) >= 60)
      .map((c) => ({ name: `${cases.op}: ${c.name}`, cases, inputs: c.build(seeded(11)) }))
      .filter(({ inputs }) => (rowsOf(cases.op, inputs)?.live ?? 0) >= 60)
      // rows that see each other have no row alone
      .filter(({ inputs }) => cases.alone?.(inputs, 0) !== null),
  );
  const names = new Set(large.map(({ cases }) => cases.op));
  for (const op of ['linear', 'paged_attention', 'sample']) expect(names).toContain(op);
  test.each(large)('$name', { timeout: 120_000 }, async ({ cases, inputs }) => {
    expect(await rowAlone(other, simt, cases, inputs, 3)).toEqual([]);
  });
});

test('paged_attention: a head whose spans are folded by one block or by a kernel of their own', async () => {
  const cases = ops.find(({ op }) => op === 'paged_attention');
  const many = cases?.cases.find(({ name }) => name === '72 heads of 72, three spans');
  if (!many) throw new Error('the case is gone');
  const inputs = many.build(seeded(11));
  /** The first heads, along the given axis. */
  const cut = (o: CaseOperand, axis: number, heads: number): CaseOperand => {
    const [outer, inner] = [o.shape.slice(0, axis), o.shape.slice(axis + 1)].map((dims) =>
      dims.reduce((a, b) => a * b, 1),
    );
    const width = inner as number;
    const data = new Float64Array((outer as number) * heads * width);
    for (let i = 0; i < (outer as number); i++) {
      const from = i * (o.shape[axis] as number) * width;
      data.set((o.data as Float64Array).subarray(from, from + heads * width), i * heads * width);
    }
    return { ...o, shape: o.shape.map((n, i) => (i === axis ? heads : n)), data };
  };
  const heads = 3;
  const { q, k_cache: k, v_cache: v } = inputs.operands as Record<'q' | 'k_cache' | 'v_cache', CaseOperand>;
  const few: OpInputs = {
    ...inputs,
    operands: { ...inputs.operands, q: cut(q, 1, heads), k_cache: cut(k, 1, heads), v_cache: cut(v, 1, heads) },
  };
  const whole = (await runCase(simt, 'paged_attention', inputs)).out;
  const apart = (await runCase(simt, 'paged_attention', few)).out;
  if (!whole || !apart) throw new Error('no output');
  const [rows = 0, all = 0, columns = 0] = whole.shape;
  for (let row = 0; row < rows; row++) {
    const from = row * all * columns;
    const among = whole.bits.slice(from, from + heads * columns);
    expect(among).toEqual(apart.bits.slice(row * heads * columns, (row + 1) * heads * columns));
  }
});
