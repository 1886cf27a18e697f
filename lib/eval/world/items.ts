import { type Edit, type EditOp, genEdit } from './edits.js';
import { type Category, genT2I, type Prompt } from './prompts.js';
import { genQA, type Question, type QuestionType, questionApplies } from './questions.js';
import { badOption, FIRST_EVALUATION_SEED, STREAMS, start } from './random.js';
import { genScene, type Scene } from './scene.js';

/** One item of an evaluation: its place, which is also the row of its initial noise, and the seed that made it. */
export type Item<T> = T & { readonly row: number; readonly seed: number };

/** The first `count` prompts of ShapeEval in a category. @throws HyperBagelError `BAD_OPTION` */
export function promptItems(category: Category, count: number): Item<Prompt>[] {
  return firstSeeds(count).map((seed, row) => ({ row, seed, ...genT2I(start(STREAMS.textToImage, seed), category) }));
}

/** The first `count` items of EditEval for an op. @throws HyperBagelError `BAD_OPTION` */
export function editItems(op: EditOp, count: number): Item<Edit>[] {
  return firstSeeds(count).map((seed, row) => ({ row, seed, ...genEdit(start(STREAMS.editing, seed), op) }));
}

/** Types that ask about one object among others; a scene of one shape only would give the answer away. */
const NEEDS_TWO_SHAPES: readonly QuestionType[] = ['color_of', 'shape_of', 'where', 'size_of', 'compare_pos'];

/**
 * The first `count` questions of VQA of a type: one for each seed whose scene allows it.
 *
 * @throws HyperBagelError `BAD_OPTION`
 */
export function questionItems(type: QuestionType, count: number): Item<Question & { readonly scene: Scene }>[] {
  checkCount(count);
  const items: Item<Question & { readonly scene: Scene }>[] = [];
  for (let seed = FIRST_EVALUATION_SEED; items.length < count; seed++) {
    const random = start(STREAMS.understanding, seed);
    const scene = genScene(random);
    const shapes = new Set(scene.objects.map(({ shape }) => shape));
    if (NEEDS_TWO_SHAPES.includes(type) && shapes.size < 2) continue;
    if (!questionApplies(type, scene)) continue;
    items.push({ row: items.length, seed, scene, ...genQA(random, scene, [type]) });
  }
  return items;
}

function firstSeeds(count: number): number[] {
  checkCount(count);
  return Array.from({ length: count }, (_, i) => FIRST_EVALUATION_SEED + i);
}

function checkCount(count: number): void {
  if (!Number.isInteger(count) || count < 0 || count > 2 ** 20)
    throw badOption('count', 'an integer from 0 to 2^20', count);
}
