// kv_commit by what must hold for every tree: moving accepted rows equals gathering them, and no page that a fork shares is ever
// written.
import { afterAll, beforeEach, expect, test } from 'vitest';
import { PAGE_SLOTS, PagePool, pagesFor, Sequence } from '../../lib/cache/pages.js';
import { Context, ops } from '../../lib/index.js';
import { between, seeded } from '../kit/cases.js';
import { pathUp, randomParents } from './trees.js';

const cx = await Context.create({ device: 'cpu', threads: 2 });
afterAll(() => cx.dispose());
beforeEach(async () => {
  await cx.sync(); // drops flags
});

/** A cache of small heads whose elements are told by hand. */
class Cache {
  static readonly layers = 2;
  static readonly g = 2;
  static readonly d = 2;
  readonly keys: Float32Array;
  readonly values: Float32Array;

  constructor(readonly pages: number) {
    const n = Cache.layers * pages * Cache.g * Cache.d * PAGE_SLOTS;
    this.keys = Float32Array.from({ length: n }, (_, i) => -i - 1);
    this.values = Float32Array.from({ length: n }, (_, i) => -i - 0.5);
  }

  #key = (layer: number, page: number, g: number, c: number, slot: number) =>
    (((layer * this.pages + page) * Cache.g + g) * Cache.d + c) * PAGE_SLOTS + slot;
  #value = (layer: number, page: number, g: number, c: number, slot: number) =>
    (((layer * this.pages + page) * Cache.g + g) * PAGE_SLOTS + slot) * Cache.d + c;

  /** All elements of one slot. */
  read(page: number, slot: number): number[] {
    return this.#all((k, v) => [this.keys[k] as number, this.values[v] as number], page, slot).flat();
  }

  /** Gives a slot elements that only this tag has. */
  write(page: number, slot: number, tag: number): void {
    let i = 0;
    this.#all(
      (k, v) => {
        this.keys[k] = tag + i / 64;
        this.values[v] = tag + i / 64 + 1 / 128;
        i++;
        return [];
      },
      page,
      slot,
    );
  }

  #all<T>(each: (key: number, value: number) => T, page: number, slot: number): T[] {
    const list: T[] = [];
    for (let layer = 0; layer < Cache.layers; layer++) {
      for (let g = 0; g < Cache.g; g++) {
        for (let c = 0; c < Cache.d; c++) {
          list.push(each(this.#key(layer, page, g, c, slot), this.#value(layer, page, g, c, slot)));
        }
      }
    }
    return list;
  }

  /** Runs ops on the cache. */
  async run(work: (kCache: ReturnType<typeof cx.tensor<'f32'>>, vCache: ReturnType<typeof cx.tensor<'f32'>>) => void) {
    const [x, { g, d }] = [Cache.layers * this.pages, Cache];
    const k = cx.tensor('f32', [x, g, d, PAGE_SLOTS], this.keys);
    const v = cx.tensor('f32', [x, g, PAGE_SLOTS, d], this.values);
    work(k, v);
    this.keys.set(await k.data());
    this.values.set(await v.data());
    k.dispose();
    v.dispose();
  }

  commit(sequences: readonly { pages: readonly number[]; base: number; path: readonly number[] }[]): Promise<void> {
    const b = sequences.length;
    const p = Math.max(1, ...sequences.map(({ pages }) => pages.length));
    const w = Math.max(1, ...sequences.map(({ path }) => path.length));
    const padded = (list: readonly number[], n: number) => Array.from({ length: n }, (_, i) => list[i] ?? -1);
    return this.run((kCache, vCache) =>
      ops.kvCommit(cx, {
        kCache,
        vCache,
        pageTable: cx.tensor(
          'i32',
          [b, p],
          sequences.flatMap(({ pages }) => padded(pages, p)),
        ),
        path: cx.tensor(
          'i32',
          [b, w],
          sequences.flatMap(({ path }) => padded(path, w)),
        ),
        accepted: cx.tensor(
          'i32',
          [b],
          sequences.map(({ path }) => path.length),
        ),
        slots: cx.tensor(
          'i32',
          [b],
          sequences.map(({ base, path }) => base + path.length),
        ),
        layers: Cache.layers,
      }),
    );
  }
}

test('kv_commit gathers: every path of random trees, across pages, and nothing else changes', async () => {
  const rng = seeded(32);
  let moved = 0;
  for (let round = 0; round < 40; round++) {
    const count = between(rng, 1, 3);
    const cache = new Cache(4 * count + 1);
    const free = Array.from({ length: cache.pages }, (_, i) => i).sort(() => rng() - 0.5);
    const sequences = Array.from({ length: count }, () => {
      const drafted = between(rng, 0, 127);
      const parents = [-1, ...randomParents(rng, drafted, 0.6).map((p) => p + 1)];
      // a path of a tree is rising, and starts at the root
      const path = pathUp(parents, between(rng, 0, drafted)).reverse();
      return { pages: free.splice(0, 4), base: between(rng, 0, 128), path };
    });
    const before = { keys: cache.keys.slice(), values: cache.values.slice() };
    const expected = new Cache(cache.pages);
    // gather first, then write
    const gathered = sequences.map(({ pages, base, path }) =>
      path.map((node) =>
        cache.read(pages[Math.floor((base + node) / PAGE_SLOTS)] as number, (base + node) % PAGE_SLOTS),
      ),
    );
    await cache.commit(sequences);
    sequences.forEach(({ pages, base, path }, s) => {
      path.forEach((node, j) => {
        const slot = base + j;
        const page = pages[Math.floor(slot / PAGE_SLOTS)] as number;
        expect(cache.read(page, slot % PAGE_SLOTS)).toEqual(gathered[s]?.[j]);
        if (node !== j) moved++;
        // put back what was there: then the whole cache must be as before
        expected.write(page, slot % PAGE_SLOTS, 0);
      });
    });
    const untouched = (now: Float32Array, was: Float32Array, mark: Float32Array, fresh: Float32Array) =>
      now.every((x, i) => x === was[i] || mark[i] !== fresh[i]);
    const fresh = new Cache(cache.pages);
    expect(untouched(cache.keys, before.keys, expected.keys, fresh.keys)).toBe(true);
    expect(untouched(cache.values, before.values, expected.values, fresh.values)).toBe(true);
  }
  expect(moved).toBeGreaterThan(50);
  expect(await cx.sync()).toMatchObject({ indexClamped: false });
});

test('forks and commits never change what another sequence holds', async () => {
  const rng = seeded(33);
  const pool = new PagePool(24);
  const cache = new Cache(pool.total);
  interface Held {
    sequence: Sequence;
    /** What its committed slots should hold. */
    tags: number[];
  }
  const held: Held[] = [{ sequence: new Sequence(pool, 1024), tags: [] }];
  const at = ({ sequence }: Held, slot: number): [number, number] => [
    sequence.pages[Math.floor(slot / PAGE_SLOTS)] as number,
    slot % PAGE_SLOTS,
  ];
  const tagOf = new Map<number, string>();
  let tag = 1;
  let [shared, commits, copies] = [0, 0, 0];
  for (let step = 0; step < 250; step++) {
    const chosen = held[between(rng, 0, held.length - 1)] as Held;
    const action = rng();
    if (action < 0.25 && held.length < 6) {
      held.push({ sequence: chosen.sequence.fork(), tags: [...chosen.tags] });
    } else if (action < 0.35 && held.length > 1) {
      chosen.sequence.release();
      held.splice(held.indexOf(chosen), 1);
    } else {
      const nodes = between(rng, 1, 40);
      if (chosen.sequence.length + nodes > 300 || pagesFor(nodes) + 1 > pool.free) continue;
      const pairs = chosen.sequence.reserve(nodes);
      if (pairs.length > 0) {
        copies++;
        // copies of one page in every layer
        const all = Array.from({ length: Cache.layers }, (_, layer) =>
          pairs.flatMap(([from, to]) => [layer * pool.total + from, layer * pool.total + to]),
        ).flat();
        await cache.run((kCache, vCache) =>
          ops.copyPages(cx, { kCache, vCache, pairs: cx.tensor('i32', [all.length / 2, 2], all) }),
        );
      }
      const base = chosen.sequence.length;
      const tags = Array.from({ length: nodes }, () => tag++);
      tags.forEach((t, node) => {
        cache.write(...at(chosen, base + node), t);
        tagOf.set(t, cache.read(...at(chosen, base + node)).join());
      });
      const parents = [-1, ...randomParents(rng, nodes - 1, 0.5).map((p) => p + 1)];
      const path = pathUp(parents, between(rng, 0, nodes - 1)).reverse();
      await cache.commit([{ pages: chosen.sequence.pages, base, path }]);
      chosen.sequence.length += path.length;
      chosen.tags.push(...path.map((node) => tags[node] as number));
      commits++;
    }
    for (const one of held) {
      one.tags.forEach((t, slot) => {
        if (cache.read(...at(one, slot)).join() !== tagOf.get(t))
          throw new Error(`step ${step}: slot ${slot} has changed`);
      });
      if (one.sequence.pages.some((page) => pool.isShared(page))) shared++;
    }
  }
  expect(commits).toBeGreaterThan(80);
  expect(copies).toBeGreaterThan(20);
  expect(shared).toBeGreaterThan(100);
});
