import type { VelocityField } from './solver.js';

export type Renorm = 'global' | 'channel' | 'text_channel';
export const RENORMS: readonly Renorm[] = ['global', 'channel', 'text_channel'];

/** Guidance by scales: of several evaluations per step, or of one when the model takes the scales as inputs. */
export interface Guidance {
  /** Scale of the text; 1 is none. */
  text: number;
  /** Scale of the source image; 1 is none. */
  image: number;
  /** Guided where `interval[0] < t <= interval[1]`, on the shifted time. */
  interval: readonly [number, number];
  renorm: Renorm;
  /** Least factor of the renorm; 1 turns it off. */
  renormMin: number;
  /** The model has learned guidance: it gets the scales, at all times, and is evaluated in the full context alone. */
  embedded?: boolean;
}

/** Contexts that a step may be evaluated in: everything; all but the last text; all but the images. */
export type Branch = 'full' | 'noText' | 'noImage';

export interface Scales {
  text: number;
  image: number;
}

/** Scales in force at a time: 1 outside the interval. Times are compared in f32, as the public code does: 0.4 is not above 0.4. */
export function scalesAt(guidance: Guidance, time: number): Scales {
  const [low, high] = guidance.interval.map(Math.fround) as [number, number];
  const t = Math.fround(time);
  const active = guidance.embedded || (t > low && t <= high);
  return active ? { text: guidance.text, image: guidance.image } : { text: 1, image: 1 };
}

/** Contexts in which the model must be evaluated for these scales; without text guidance there is no image guidance either. */
export function branchesFor({ text, image }: Scales, embedded = false): Branch[] {
  if (embedded || text <= 1) return ['full'];
  return image > 1 ? ['full', 'noText', 'noImage'] : ['full', 'noText'];
}

/**
 * Nested classifier-free guidance with renorm (bagel.md 3.8), in float64: the formula of the op `guided_update`.
 *
 * text <= 1: v. else g = u + text (v - u), u without the text; image > 1: toward the velocity without the image.
 * The factor clamp(|v| / (|g| + 1e-8), renormMin, 1) applies to the whole image (global), to each token (channel), or to each token
 * before the image step (text_channel).
 *
 * @param width channels of a token
 */
export function guide(
  { full, noText, noImage }: { [B in Branch]?: ArrayLike<number> | undefined } & { full: ArrayLike<number> },
  { text, image }: Scales,
  { renorm, renormMin }: { renorm: Renorm; renormMin: number },
  width: number,
): Float64Array {
  const v = Float64Array.from(full);
  if (text <= 1 || !noText) return v;
  const toward = (from: ArrayLike<number>, scale: number, values: Float64Array) =>
    values.map((value, i) => (from[i] as number) + scale * (value - (from[i] as number)));
  const withImage = (values: Float64Array) => (image > 1 && noImage ? toward(noImage, image, values) : values);
  const guided = toward(noText, text, v);
  if (renorm === 'text_channel') return withImage(rescale(v, guided, width, renormMin));
  return rescale(v, withImage(guided), renorm === 'channel' ? width : v.length, renormMin);
}

/** Scales runs of `width` values down to the norm that they have in `like`. */
function rescale(like: Float64Array, values: Float64Array, width: number, least: number): Float64Array {
  const norm = (list: Float64Array) => Math.sqrt(list.reduce((sum, value) => sum + value * value, 0));
  const out = new Float64Array(values.length);
  for (let i = 0; i < values.length; i += width) {
    const run = values.subarray(i, i + width);
    const factor = Math.min(1, Math.max(least, norm(like.subarray(i, i + width)) / (norm(run) + 1e-8)));
    out.set(
      run.map((value) => value * factor),
      i,
    );
  }
  return out;
}

/** The guided field of the fields in each context; evaluates only those that the scales at a time need. */
export function guidedField(
  fields: { [B in Branch]?: VelocityField } & { full: VelocityField },
  guidance: Guidance,
  width: number,
): VelocityField {
  return (x, time) => {
    const scales = scalesAt(guidance, time);
    const velocities: { [B in Branch]?: ArrayLike<number> | undefined } = {};
    for (const branch of branchesFor(scales, guidance.embedded)) velocities[branch] = fields[branch]?.(x, time);
    return guide({ ...velocities, full: velocities.full as ArrayLike<number> }, scales, guidance, width);
  };
}
