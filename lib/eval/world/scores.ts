import type { Edit } from './edits.js';
import { checkImage, parseImage } from './parse.js';
import type { NamedObject, PromptCheck } from './prompts.js';
import { objectsRelate } from './questions.js';
import { renderScene } from './render.js';
import { CELL_COUNT, CELL_SIDE, centerOf, IMAGE_SIDE, type Scene, type SceneObject, sameLook } from './scene.js';

/**
 * Whether a parsed picture shows what the prompt says: exactly as many objects (unreadable ones count), the background if it is named,
 * and some assignment of the objects in the picture to those named that gives each its named attributes and, where the prompt names
 * a relation, at least 10 pixels between the centres in that direction.
 */
export function checkPrompt(check: PromptCheck, parsed: Scene): boolean {
  if (parsed.objects.length !== check.objects.length) return false;
  if (check.background !== undefined && parsed.background !== check.background) return false;
  return assignments(check.objects, parsed.objects).some(([a, b]) => {
    if (check.relation === undefined) return true;
    return a !== undefined && b !== undefined && objectsRelate(check.relation, a, b);
  });
}

/** What a prompt can demand, each judged apart; `relation` needs the right shapes too. */
export const ATTRIBUTES = ['count', 'shape', 'color', 'size', 'cell', 'relation', 'background'] as const;
export type Attribute = (typeof ATTRIBUTES)[number];

/**
 * Each attribute that the prompt names, judged as if it named nothing else: some objects of the picture, one for each named object,
 * have it. Objects too many count against `count` only.
 */
export function checkAttributes(check: PromptCheck, parsed: Scene): Partial<Record<Attribute, boolean>> {
  const { objects, background, relation } = check;
  const result: Partial<Record<Attribute, boolean>> = { count: parsed.objects.length === objects.length };
  for (const attribute of ['shape', 'color', 'size', 'cell'] as const) {
    const values = objects.flatMap((object) => object[attribute] ?? []);
    if (values.length === 0) continue;
    const seen = parsed.objects.map((object) => object[attribute]);
    result[attribute] = values.every((value) => {
      const at = seen.indexOf(value);
      if (at >= 0) seen.splice(at, 1);
      return at >= 0;
    });
  }
  if (relation !== undefined) {
    const pairs = assignments(objects, parsed.objects);
    result.relation = pairs.some(([a, b]) => a !== undefined && b !== undefined && objectsRelate(relation, a, b));
  }
  if (background !== undefined) result.background = parsed.background === background;
  return result;
}

/** Every way to give each named object one of its own that fits; as lists in the order of `named`. */
function assignments(named: readonly NamedObject[], objects: readonly SceneObject[]): SceneObject[][] {
  const [first, ...rest] = named;
  if (first === undefined) return [[]];
  return objects
    .filter((object) => fits(first, object))
    .flatMap((object) =>
      assignments(
        rest,
        objects.filter((other) => other !== object),
      ).map((tail) => [object, ...tail]),
    );
}

function fits(named: NamedObject, object: SceneObject): boolean {
  return (
    named.shape === object.shape &&
    (named.color ?? object.color) === object.color &&
    (named.size ?? object.size) === object.size &&
    (named.cell ?? object.cell) === object.cell
  );
}

export interface EditScores {
  /** The picture shows the target: its background and its objects, and nothing else. */
  readonly success: boolean;
  /** The cells that the edit changes, and the background, are as in the target. */
  readonly instruct: boolean;
  /** Every object that the edit leaves alone is still there, unchanged. */
  readonly keep: boolean;
}

/** The cells whose content differs between source and target, ascending. */
export function changedCells({ source, target }: Pick<Edit, 'source' | 'target'>): number[] {
  const cells = Array.from({ length: CELL_COUNT }, (_, cell) => cell);
  return cells.filter((cell) => !sameContent(objectIn(source, cell), objectIn(target, cell)));
}

function objectIn(scene: Scene, cell: number): SceneObject | undefined {
  return scene.objects.find((object) => object.cell === cell);
}

/** Shifts do not count: the world's scenes have none, and a pixel's shift in a generated picture is no fault. */
function sameContent(a: SceneObject | undefined, b: SceneObject | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameLook(a, b);
}

/** Judges a parsed picture against the target of an edit. */
export function judgeEdit(edit: Pick<Edit, 'source' | 'target'>, parsed: Scene): EditScores {
  const { target } = edit;
  const right = (cell: number) => sameContent(objectIn(parsed, cell), objectIn(target, cell));
  const changed = changedCells(edit);
  const untouched = target.objects.map(({ cell }) => cell).filter((cell) => !changed.includes(cell));
  const background = parsed.background === target.background;
  return {
    success: background && Array.from({ length: CELL_COUNT }, (_, cell) => cell).every(right),
    instruct: background && changed.every(right),
    keep: untouched.every(right),
  };
}

/**
 * Peak signal-to-noise ratio in dB (peak 255, all channels) between two pictures outside the cells that the edit changes; Infinity
 * when they are equal there, null for background edits, which leave nothing outside.
 *
 * @throws HyperBagelError `BAD_IMAGE` when a picture is not one of the world's.
 */
export function editPsnr(
  edit: Edit,
  source: Uint8Array | Uint8ClampedArray,
  output: Uint8Array | Uint8ClampedArray,
): number | null {
  checkImage('source', source);
  checkImage('output', output);
  if (edit.op === 'background') return null;
  const changed = new Set<number>();
  for (const cell of changedCells(edit)) {
    const { x, y } = centerOf({ cell, dx: 0, dy: 0 });
    for (let row = y - CELL_SIDE / 2; row < y + CELL_SIDE / 2; row++) {
      for (let column = x - CELL_SIDE / 2; column < x + CELL_SIDE / 2; column++) changed.add(row * IMAGE_SIDE + column);
    }
  }
  let sum = 0;
  let count = 0;
  for (let k = 0; k < source.length; k++) {
    if (changed.has(Math.floor(k / 3))) continue;
    const difference = (source[k] as number) - (output[k] as number);
    sum += difference * difference;
    count++;
  }
  return 10 * Math.log10((255 * 255 * count) / sum);
}

/**
 * Parses and judges the picture that an edit of `renderScene(edit.source)` gave.
 *
 * @throws HyperBagelError `BAD_IMAGE` when the picture is not one of the world's.
 */
export function scoreEdit(
  edit: Edit,
  output: Uint8Array | Uint8ClampedArray,
): EditScores & { readonly parsed: Scene; readonly psnr: number | null } {
  const parsed = parseImage(output);
  return { parsed, ...judgeEdit(edit, parsed), psnr: editPsnr(edit, renderScene(edit.source), output) };
}

/** Whether an answer is right: the same string, to the letter. */
export function answerMatches(expected: string, answer: string): boolean {
  return answer === expected;
}
