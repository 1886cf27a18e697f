// The card: what it is, what its clocks are, and what it does at best.
import { spawnSync } from 'node:child_process';
import type { MachineRoofline } from '../../lib/profile/roofline.js';

/** Published rates without sparsity, per second. */
export interface Peaks {
  /** bf16 products on tensor cores, summed in f32. */
  tensorFlops: number;
  f32Flops: number;
  bytes: number;
  cacheBytes: number;
}

const MB = 2 ** 20;
const peaks = (tensorTera: number, f32Tera: number, teraBytes: number, cacheMb: number): Peaks => ({
  tensorFlops: tensorTera * 1e12,
  f32Flops: f32Tera * 1e12,
  bytes: teraBytes * 1e12,
  cacheBytes: cacheMb * MB,
});

/** By a pattern of the name that the driver gives; the first that fits. From the makers' data sheets. */
const CARDS: readonly (readonly [RegExp, Peaks])[] = [
  [/H200/, peaks(989.4, 66.9, 4.8, 50)],
  [/GH200/, peaks(989.4, 66.9, 4.0, 50)],
  [/H100 (NVL|PCIe)/, peaks(756, 51.2, 2.0, 50)],
  [/H100/, peaks(989.4, 66.9, 3.35, 50)],
  [/A100.*40GB/, peaks(312, 19.5, 1.555, 40)],
  [/A100/, peaks(312, 19.5, 2.039, 40)],
  [/L40S/, peaks(362, 91.6, 0.864, 96)],
  [/L40/, peaks(181, 90.5, 0.864, 96)],
  [/L4\b/, peaks(121, 30.3, 0.3, 48)],
  [/A10\b/, peaks(125, 31.2, 0.6, 6)],
  [/RTX 4090/, peaks(165.2, 82.6, 1.008, 72)],
  [/RTX 3090/, peaks(71, 35.6, 0.936, 6)],
];

export function peaksOf(card: string | undefined): Peaks | null {
  return (card !== undefined && CARDS.find(([pattern]) => pattern.test(card))?.[1]) || null;
}

/** Peaks in the shape that the bench's timing of ops wants. Floors are computed from the peaks themselves. */
export function rooflineOf(card: Peaks | null): MachineRoofline {
  const rate = (value = Number.POSITIVE_INFINITY) => ({ one: value, all: value });
  return {
    isa: '',
    threads: 1,
    f32Flops: rate(card?.f32Flops),
    dotFlops: rate(card?.tensorFlops),
    l2BytesPerSecond: rate(card?.bytes),
    memoryBytesPerSecond: rate(card?.bytes),
    l2Buffer: 0,
    memoryBuffer: 0,
    cacheBytes: card?.cacheBytes ?? 0,
    seconds: 0,
  };
}

/** The least time of work by its flops and bytes; nothing without published rates. */
export function floorOn(card: Peaks | null, cost: { flops: number; bytes: number }, tensorCores: boolean) {
  if (!card) return { floor: null, bound: null };
  const arithmetic = cost.flops / (tensorCores ? card.tensorFlops : card.f32Flops);
  const movement = cost.bytes / card.bytes;
  return {
    floor: Math.max(arithmetic, movement),
    bound: arithmetic > movement ? ('flops' as const) : ('bytes' as const),
  };
}

const QUERIED = {
  name: 'name',
  driver: 'driver_version',
  smMHz: 'clocks.sm',
  smMostMHz: 'clocks.max.sm',
  memoryMHz: 'clocks.mem',
  memoryMostMHz: 'clocks.max.mem',
  celsius: 'temperature.gpu',
  watts: 'power.draw',
  wattsMost: 'power.limit',
  usedMiB: 'memory.used',
  othersPercent: 'utilization.gpu',
} as const;

export type CardState = Record<keyof typeof QUERIED, string>;

/** What nvidia-smi says of the first card now, or why it says nothing. */
export function cardState(): CardState | string {
  const query = Object.values(QUERIED).join(',');
  const result = spawnSync('nvidia-smi', ['-i', '0', `--query-gpu=${query}`, '--format=csv,noheader,nounits'], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  if (result.error) return `nvidia-smi: ${result.error.message}`;
  if (result.status !== 0) return `nvidia-smi: ${`${result.stdout}${result.stderr}`.trim()}`;
  const values = result.stdout.trim().split(/,\s*/);
  return Object.fromEntries(Object.keys(QUERIED).map((key, i) => [key, values[i] ?? ''])) as CardState;
}

/** A card's name as part of a file's name. */
export function slug(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}
