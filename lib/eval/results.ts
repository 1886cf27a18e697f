import { standardizer } from './distances.js';
import { type EditsScores, editsScores } from './edits.js';
import type { MethodPictures, SuitePictures } from './evaluate.js';
import { pictureFeatures } from './features.js';
import { type Distribution, distribution, type Nearness, nearness, type Reference } from './fidelity.js';
import { type ShapesScores, shapesScores } from './shapes.js';
import { type Measured, median, type PictureTask } from './suite.js';
import { genScene, renderScene, start } from './world/index.js';

/** What a picture of a method costs: medians over the items. */
export interface Cost {
  readonly steps: number;
  readonly nfe: number;
  /** Wall time, in all and of the denoising alone. */
  readonly ms: number;
  readonly denoiseMs: number;
}

/** The figures of one method: a row of the measuring stick. */
export interface MethodResult {
  readonly method: string;
  /** Here to be compared with, not asked for. */
  readonly isReference: boolean;
  readonly shapes?: {
    readonly scores: ShapesScores;
    readonly cost: Cost;
    /** Absent for the teacher itself. */
    readonly nearness?: Nearness;
    readonly distribution?: Distribution;
  };
  readonly edits?: { readonly scores: EditsScores; readonly cost: Cost; readonly nearness?: Nearness };
}

/** @param teacher what pictures from the same noise are compared with; undefined when there is none */
export function measure(
  made: MethodPictures,
  teacher: MethodPictures | undefined,
  world: Reference | undefined,
): MethodResult {
  const { method, isReference, shapes, edits } = made;
  const near = (suite: 'shapes' | 'edits', pictures: SuitePictures<unknown>) => {
    const theirs = teacher?.method.name === method.name ? undefined : teacher?.[suite];
    const found = theirs && nearness(pictures.samples, theirs.samples);
    return found ? { nearness: found } : {};
  };
  const spread = shapes && world ? distribution(shapes.samples, world) : undefined;
  return {
    method: method.name,
    isReference,
    ...(shapes
      ? {
          shapes: {
            scores: shapesScores(shapes.lines),
            cost: costOf(shapes.lines),
            ...near('shapes', shapes),
            ...(spread ? { distribution: spread } : {}),
          },
        }
      : {}),
    ...(edits
      ? { edits: { scores: editsScores(edits.lines), cost: costOf(edits.lines), ...near('edits', edits) } }
      : {}),
  };
}

function costOf(lines: readonly Measured[]): Cost {
  const middle = (field: 'steps' | 'nfe' | 'ms' | 'denoiseMs') => median(lines.map((line) => line[field]));
  return { steps: middle('steps'), nfe: middle('nfe'), ms: middle('ms'), denoiseMs: middle('denoiseMs') };
}

/** Pictures that set the scale of the features. */
const SCALE_PICTURES = 128;
/** Their scenes; part of the definition. */
const SCALE_STREAM = 101;

let cachedScale: ReturnType<typeof standardizer> | undefined;

/** The scale of the features: the same for every evaluation, and seconds of work. */
function worldScale(): ReturnType<typeof standardizer> {
  if (cachedScale) return cachedScale;
  const scenes = Array.from({ length: SCALE_PICTURES }, (_, i) => genScene(start(SCALE_STREAM, i)));
  cachedScale = standardizer(scenes.map((scene) => pictureFeatures(renderScene(scene))));
  return cachedScale;
}

/** The world's own pictures of the prompts, to compare with. */
export function worldPictures(tasks: readonly PictureTask<unknown>[]): Reference {
  const items = tasks.filter(({ variant }) => variant === 0);
  if (items.length === 0) return { standardize: (features) => features, features: new Map() };
  const standardize = worldScale();
  return {
    standardize,
    features: new Map(items.map(({ key, reference }) => [key, standardize(pictureFeatures(reference))])),
  };
}
