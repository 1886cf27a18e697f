// Data that no honest round makes: any integers as counts, indexes, parents and offsets, any floats as values. The ops clamp, flag
// and go on as their contracts say; memory that is not theirs stays as it was.
import { afterAll, describe, expect, test } from 'vitest';
import { Context } from '../../lib/index.js';
import {
  between,
  type CaseOperand,
  counts,
  type OpCases,
  type OpInputs,
  type Rng,
  seeded,
  values,
} from '../kit/cases.js';
import { compare } from '../kit/compare.js';
import { PAGE } from '../kit/paged.js';
import { liveOnly, type Results, runCase } from '../kit/run-case.js';
import { fullTier } from '../kit/tier.js';

const cx = await Context.create({ device: 'cpu', threads: 2 });
afterAll(() => cx.dispose());

const full = fullTier(80, '2,850 of 3,000 rounds of each');
const ROUNDS = full ? 3000 : 150;

const INTEGERS = [
  -(2 ** 31),
  1 - 2 ** 31,
  -129,
  -64,
  -5,
  -2,
  -1,
  0,
  1,
  2,
  3,
  63,
  64,
  65,
  127,
  128,
  129,
  2 ** 30,
  2 ** 31 - 2,
  2 ** 31 - 1,
];
const FLOATS = [Number.NaN, Infinity, -Infinity, -0, 0, 1, -1, 3.4e38, -3.4e38, 1e-45, 0.5, -7.25];

const strange = (rng: Rng) => INTEGERS[between(rng, 0, INTEGERS.length - 1)] as number;

/** Draws values: sane ones, and now and then a strange one. */
class Chaos {
  constructor(
    readonly rng: Rng,
    /** Share of strange values. */
    readonly share: number,
  ) {}
  int(low: number, high: number): number {
    if (this.rng() < this.share) return strange(this.rng);
    return between(this.rng, low, high);
  }
  float(scale: number): number {
    if (this.rng() < this.share) return FLOATS[between(this.rng, 0, FLOATS.length - 1)] as number;
    return (this.rng() - 0.5) * 2 * scale;
  }
  ints(shape: number[], low: number, high: number): CaseOperand {
    return counts(
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => this.int(low, high)),
      shape,
    );
  }
  floats(shape: number[], scale: number): CaseOperand {
    return values(
      'f32',
      shape,
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => this.float(scale)),
    );
  }
  /** Offsets of B trees in N rows. */
  first(b: number, n: number): CaseOperand {
    const cuts = Array.from({ length: b - 1 }, () => between(this.rng, 0, n)).sort((x, y) => x - y);
    return counts([0, ...cuts, n].map((at) => (this.rng() < this.share / 2 ? strange(this.rng) : at)));
  }
  /** Parents of N rows, mostly of trees that begin at `first`. */
  parents(first: CaseOperand, n: number): CaseOperand {
    return counts(
      Array.from({ length: n }, (_, row) => {
        const start = Math.max(...Array.from(first.data).filter((at) => at <= row), 0);
        return row === start ? this.int(-1, -1) : this.int(0, Math.max(0, row - start - 1));
      }),
    );
  }
}

const makers: Record<string, (chaos: Chaos) => OpInputs> = {
  tree_build(chaos) {
    const { rng } = chaos;
    const [b, c] = [between(rng, 1, 4), between(rng, 0, 150)];
    const each = (low: number, high: number) => chaos.ints([b], low, high);
    const parents = Array.from({ length: b * c }, (_, i) => chaos.int(-1, Math.max(-1, (i % c) - 1)));
    const kept = between(rng, 0, 40);
    return {
      operands: {
        tokens: chaos.ints([b, c], 0, 6),
        parents: counts(parents, [b, c]),
        ...(rng() < 0.5 ? { since: each(0, 4), history: chaos.ints([b, kept], 0, 6) } : {}),
        values: chaos.floats([b, c], 3),
        count: each(0, c),
        budget: each(1, 128),
        root: each(0, 9),
        root_position: each(0, 500),
        root_slot: each(0, 500),
        output: each(0, 5),
        limit: each(6, 40),
        capacity: each(500, 900),
        finished: chaos.ints([b], 0, 0),
      },
      attributes: { capacity_rows: between(rng, b, 300), vocabulary: 50 },
    };
  },
  tree_verify(chaos) {
    const { rng } = chaos;
    const [b, n, k] = [between(rng, 1, 4), between(rng, 0, 150), between(rng, 0, 2)];
    const first = chaos.first(b, n);
    const each = (low: number, high: number) => chaos.ints([b], low, high);
    return {
      operands: {
        target: chaos.ints([n], 0, 2),
        token: chaos.ints([n], 0, 2),
        parent: chaos.parents(first, n),
        first,
        stop: chaos.ints([b, k], 2, 9),
        limit: each(5, 30),
        tokens: each(0, 9),
        positions: each(0, 500),
        slots: each(0, 500),
        output: each(0, 5),
        finished: chaos.ints([b], 0, 0),
        history: chaos.ints([b, between(rng, 0, 12)], 0, 9),
      },
      attributes: { width: between(rng, 1, 128) },
    };
  },
  kv_commit(chaos) {
    const { rng } = chaos;
    const [b, p, w, layers] = [between(rng, 1, 3), 4, between(rng, 1, 128), between(rng, 1, 3)];
    const [g, d] = [between(rng, 1, 2), between(rng, 1, 3)];
    // pages of each sequence alone: what one reads no other writes
    const pages = b * p + 1;
    const order = Array.from({ length: pages }, (_, i) => i).sort(() => rng() - 0.5);
    const noPage = () => [-1, -7, pages, 2 ** 30, -(2 ** 31)][between(rng, 0, 4)] as number;
    return {
      operands: {
        k_cache: chaos.floats([layers * pages, g, d, PAGE], 1),
        v_cache: chaos.floats([layers * pages, g, PAGE, d], 1),
        page_table: counts(
          order.slice(0, b * p).map((page) => (rng() < chaos.share ? noPage() : page)),
          [b, p],
        ),
        path: counts(
          Array.from({ length: b * w }, (_, i) => chaos.int(i % w, Math.min(127, 2 * (i % w)))),
          [b, w],
        ),
        accepted: chaos.ints([b], 0, w),
        slots: chaos.ints([b], w, 128),
      },
      attributes: { layers },
    };
  },
  penalize(chaos) {
    const { rng } = chaos;
    const [b, n, v] = [between(rng, 1, 3), between(rng, 0, 40), between(rng, 1, 12)];
    const first = chaos.first(b, n);
    const tree = rng() < 0.8 ? { token: chaos.ints([n], 0, v - 1), parent: chaos.parents(first, n), first } : {};
    const sane = (row: number) =>
      Math.max(
        0,
        Array.from(first.data).findLastIndex((at) => at <= row),
      );
    return {
      operands: {
        logits: chaos.floats([n, v], 4),
        penalty: values(
          'f32',
          [b],
          Array.from({ length: b }, () => Math.abs(chaos.float(1)) + 0.5),
        ),
        history: chaos.ints([b, 10], 0, v - 1),
        count: chaos.ints([b], 0, 10),
        seq: counts(
          Array.from({ length: n }, (_, row) => (rng() < chaos.share ? chaos.int(0, b) : Math.min(sane(row), b - 1))),
        ),
        ...tree,
        ...(rng() < 0.5 ? { rows: chaos.ints([1], 0, n) } : {}),
      },
      attributes: {},
    };
  },
  classic_verify(chaos) {
    const { rng } = chaos;
    const [b, n, v] = [between(rng, 1, 3), between(rng, 0, 60), between(rng, 1, 6)];
    const first = chaos.first(b, n);
    const weights = (shape: number[]) => {
      const all = chaos.floats(shape, 1);
      return { ...all, data: all.data.map((x) => (Math.abs(x) < 1 ? Math.abs(x) : x)) as Float64Array };
    };
    const draft = rng() < 0.7 ? { draft: weights([n, v]) } : {};
    return {
      operands: {
        target: weights([n, v]),
        ...draft,
        ...(draft.draft && rng() < 0.7 ? { drawn: chaos.ints([n], 0, 1) } : {}),
        token: chaos.ints([n], 0, v - 1),
        parent: chaos.parents(first, n),
        first,
        seed: chaos.ints([b, 2], 0, 9),
        position: chaos.ints([b], 0, 99),
        ...(rng() < 0.5 ? { coins: weights([n]) } : {}),
      },
      attributes: { mode: rng() < 0.5 ? 'traversal' : 'token' },
    };
  },
};

/** Where a result is not what the oracle says. */
function complaints(cases: OpCases, inputs: OpInputs, results: Results): string[] {
  const want = cases.oracle(inputs);
  const got = liveOnly(cases.op, inputs, results);
  return Object.entries(want).flatMap(([name, expected]) => {
    const result = got[name];
    if (!result) return [`${name} is missing`];
    const width = expected.data.length / Math.max(1, expected.shape[0] ?? 1);
    const count = (result.shape[0] ?? 1) * width;
    const cut = { shape: [...result.shape], data: expected.data.subarray(0, count) };
    const exact = cases.exact?.includes(name) ?? false;
    const { complaint } = compare(result, cut, { count, exact, tolerance: cases.tolerance });
    return complaint ? [`${name}${complaint}`] : [];
  });
}

describe.each(Object.entries(makers))('%s', (op, make) => {
  test.each([0, 0.02, 0.3, 1])(
    'as its oracle says, share of strange values %d',
    { timeout: 300_000 },
    async (share) => {
      const { cases } = (await import(`../cases/${op}.ts`)) as { cases: OpCases };
      for (let seed = 0; seed < ROUNDS; seed++) {
        const inputs = make(new Chaos(seeded(1000 * seed + 7), share));
        const results = await runCase(cx, op, inputs);
        expect(complaints(cases, inputs, results), `seed ${seed}`).toEqual([]);
        const again = await runCase(cx, op, inputs);
        expect(JSON.stringify(liveOnly(op, inputs, again)), `seed ${seed}, again`).toBe(
          JSON.stringify(liveOnly(op, inputs, results)),
        );
      }
      const flags = await cx.sync();
      expect(flags).toEqual({ indexClamped: share > 0, notANumber: share > 0 && flags.notANumber });
    },
  );
});
