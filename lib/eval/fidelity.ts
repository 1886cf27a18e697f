import {
  type Coverage,
  channelShift,
  colourStatistics,
  coverage,
  diversity,
  type Features,
  histogramDistance,
  kernelDistance,
  psnr,
  relativeDistance,
} from './distances.js';
import type { StoredPicture } from './picture-store.js';
import { median } from './suite.js';

/** A made picture with what it is compared by. */
export interface Sample extends StoredPicture {
  readonly key: string;
  readonly variant: number;
}

/** How near pictures are to the teacher's from the same noise. */
export interface Nearness {
  readonly pictures: number;
  /** Median dB; null when the median picture is equal. */
  readonly psnr: number | null;
  /** Median of ||latents - teacher's|| / ||teacher's||. */
  readonly latents: number;
  /** Largest relative difference of a colour channel's mean or standard deviation, over all pictures. */
  readonly channels: number;
  /** Distance of the colour histograms, 0 to 1. */
  readonly colours: number;
}

/** Only pictures that both made count. Undefined when there are none. */
export function nearness(samples: readonly Sample[], teacher: readonly Sample[]): Nearness | undefined {
  const theirs = new Map(teacher.filter(isItem).map((sample) => [sample.key, sample]));
  const pairs = samples.filter(isItem).flatMap((sample) => {
    const other = theirs.get(sample.key);
    return other ? [[sample, other] as const] : [];
  });
  if (pairs.length === 0) return undefined;
  const own = colourStatistics(pairs.map(([a]) => a.pixels));
  const others = colourStatistics(pairs.map(([, b]) => b.pixels));
  const middle = median(pairs.map(([a, b]) => psnr(a.pixels, b.pixels)));
  return {
    pictures: pairs.length,
    psnr: Number.isFinite(middle) ? middle : null,
    latents: median(pairs.map(([a, b]) => relativeDistance(a.latents, b.latents))),
    channels: channelShift(own, others),
    colours: histogramDistance(own.histogram, others.histogram),
  };
}

/** How the pictures are distributed, beside the world's own renderings of the same prompts. */
export interface Distribution extends Partial<Coverage> {
  readonly pictures: number;
  /** Kernel distance to the world's pictures in the (standardized) features of features.ts, and its standard error. */
  readonly kid: number;
  readonly kidError: number;
  /** Mean difference of two pictures of a prompt, in levels of 255; null when no prompt was drawn twice. */
  readonly diversity: number | null;
}

/** What pictures are told apart by, and how the world's own look in it. */
export interface Reference {
  /** Brings features to one scale: that of world pictures of all kinds, whatever the prompts. */
  standardize(features: Float32Array): Float32Array;
  /** Standardized features of the world's own pictures of the prompts, by key. */
  readonly features: ReadonlyMap<string, Float32Array>;
}

/** Undefined for fewer than two pictures. */
export function distribution(
  samples: readonly Sample[],
  { standardize, features: known }: Reference,
): Distribution | undefined {
  const items = samples.filter(({ key, variant }) => variant === 0 && known.has(key));
  if (items.length < 2) return undefined;
  const features: Features = items.map((sample) => standardize(sample.features));
  const real: Features = items.map(({ key }) => known.get(key) as Float32Array);
  const kid = kernelDistance(features, real);
  return {
    pictures: items.length,
    kid: kid.value,
    kidError: kid.error,
    ...coverage(real, features),
    diversity: diversity(byKey(samples)) ?? null,
  };
}

function byKey(samples: readonly Sample[]): Uint8Array[][] {
  const groups = new Map<string, Uint8Array[]>();
  for (const { key, pixels } of samples) groups.set(key, [...(groups.get(key) ?? []), pixels]);
  return [...groups.values()];
}

function isItem({ variant }: Sample): boolean {
  return variant === 0;
}
