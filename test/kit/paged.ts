import type { CaseOperand, Rng } from './cases.js';
import { between, counts, normals } from './cases.js';

/** Slots of a cache page. */
export const PAGE = 64;

/** A paged cache whose pages were handed out in random order. */
export interface PagedCache {
  kCache: CaseOperand;
  vCache: CaseOperand;
  pageTable: CaseOperand;
  /** Page of a sequence's slot, or -1 where the table names none. */
  pageOf(seq: number, slot: number): number;
}

export interface CacheShape {
  dtype: 'f32' | 'bf16';
  /** Key/value heads and head width. */
  g: number;
  d: number;
  /** Pages that each sequence owns. */
  owned: number[];
  /** Width of the page table; entries beyond what a sequence owns are garbage. */
  width: number;
  /** Sequences b > 0 whose first pages are those of sequence 0, as after a fork: how many. */
  forked?: number;
}

/** A cache full of NaN; what a row may see is filled by {@link fillSlot}. Two spare pages belong to nobody. */
export function pagedCache(rng: Rng, s: CacheShape): PagedCache {
  const total = s.owned.reduce((a, b) => a + b, 0) + 2;
  const free = Array.from({ length: total }, (_, page) => page);
  for (let i = total - 1; i > 0; i--) {
    const j = between(rng, 0, i);
    [free[i], free[j]] = [free[j] as number, free[i] as number];
  }
  const table = s.owned.flatMap((owned) =>
    Array.from({ length: s.width }, (_, i) => (i < owned ? (free.pop() as number) : i % 2 ? -5 : 2 ** 30)),
  );
  for (let b = 1; b < s.owned.length; b++) {
    for (let i = 0; i < (s.forked ?? 0); i++) table[b * s.width + i] = table[i] as number;
  }
  const nan = (shape: number[]): CaseOperand => ({
    dtype: s.dtype,
    shape,
    data: new Float64Array(shape.reduce((a, b) => a * b, 1)).fill(Number.NaN),
  });
  return {
    kCache: nan([total, s.g, s.d, PAGE]),
    vCache: nan([total, s.g, PAGE, s.d]),
    pageTable: counts(table, [s.owned.length, s.width]),
    pageOf: (seq, slot) =>
      Math.floor(slot / PAGE) < (s.owned[seq] as number)
        ? (table[seq * s.width + Math.floor(slot / PAGE)] as number)
        : -1,
  };
}

/** Index of a key element in k_cache [X G D 64]. */
export function keyIndex(cache: CaseOperand, page: number, group: number, column: number, slot: number): number {
  const [, g = 0, d = 0] = cache.shape;
  return ((page * g + group) * d + column) * PAGE + (slot % PAGE);
}

/** Index of a value element in v_cache [X G 64 D]. */
export function valueIndex(cache: CaseOperand, page: number, group: number, column: number, slot: number): number {
  const [, g = 0, , d = 0] = cache.shape;
  return ((page * g + group) * PAGE + (slot % PAGE)) * d + column;
}

/** Gives a slot random keys and values, unless it has some already. */
export function fillSlot(rng: Rng, cache: PagedCache, seq: number, slot: number): void {
  const page = cache.pageOf(seq, slot);
  if (page < 0) throw new Error(`sequence ${seq} owns no page for slot ${slot}`);
  const { kCache, vCache } = cache;
  const [, g = 0, d = 0] = kCache.shape;
  if (g * d === 0 || !Number.isNaN(kCache.data[keyIndex(kCache, page, 0, 0, slot)])) return;
  const draws = normals(rng, kCache.dtype as 'f32' | 'bf16', [2, g, d]).data;
  for (let group = 0; group < g; group++) {
    for (let c = 0; c < d; c++) {
      kCache.data[keyIndex(kCache, page, group, c, slot)] = draws[group * d + c] as number;
      vCache.data[valueIndex(vCache, page, group, c, slot)] = draws[(g + group) * d + c] as number;
    }
  }
}
