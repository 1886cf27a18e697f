import { otherOf } from './prompts.js';
import { checkOneOf, type Random } from './random.js';
import {
  BACKGROUNDS,
  byCell,
  COLORS,
  freeCells,
  genScene,
  type Scene,
  type SceneObject,
  SHAPES,
  SIZES,
  uniqueObjects,
} from './scene.js';
import { colorName, colorShape, PLACES, POSITIONS, shapeName, sizeColorShape, withArticle } from './words.js';

export const EDITS = ['recolor', 'remove', 'add', 'replace', 'resize', 'move', 'background'] as const;
export type EditOp = (typeof EDITS)[number];

export interface Edit {
  readonly op: EditOp;
  readonly instruction: string;
  readonly source: Scene;
  readonly target: Scene;
}

/** Instruction, and what becomes of the object it is about. */
type ObjectEdit = readonly [instruction: string, changed: SceneObject | undefined];

/** Edits of one object; `reference` is the words that pick it out in the source. */
const OBJECT_EDITS: Readonly<
  Record<
    Exclude<EditOp, 'add' | 'background'>,
    (random: Random, object: SceneObject, reference: string, source: Scene) => ObjectEdit
  >
> = {
  recolor: (random, object, reference) => {
    const color = otherOf(random, COLORS, object.color);
    const name = colorName(color);
    const texts = [
      `change the color of ${reference} to ${name}`,
      `make ${reference} ${name}`,
      `paint ${reference} ${name}`,
    ];
    return [random.pick(texts), { ...object, color }];
  },

  remove: (random, _object, reference) => [`${random.pick(['remove', 'delete', 'take away'])} ${reference}`, undefined],

  replace: (random, object, reference) => {
    const shape = otherOf(random, SHAPES, object.shape);
    const name = withArticle(shapeName(shape));
    const texts = [`replace ${reference} with ${name}`, `turn ${reference} into ${name}`];
    return [random.pick(texts), { ...object, shape }];
  },

  resize: (random, object, reference) => {
    const size = 1 - object.size;
    const texts =
      SIZES[size] === 'small'
        ? [`make ${reference} smaller`, `shrink ${reference}`]
        : [`make ${reference} larger`, `enlarge ${reference}`];
    return [random.pick(texts), { ...object, size }];
  },

  move: (random, object, reference, source) => {
    const cell = random.pick(freeCells(source));
    return [`${random.pick(['move', 'shift'])} ${reference} to the ${POSITIONS[cell]}`, { ...object, cell }];
  },
};

function genBackgroundEdit(random: Random): Omit<Edit, 'op'> {
  const source = genScene(random);
  const background = otherOf(random, BACKGROUNDS, source.background);
  const name = BACKGROUNDS[background] as string;
  const texts = [
    `change the background to ${name}`,
    `make the background ${name}`,
    `use ${withArticle(name)} background`,
  ];
  return { instruction: random.pick(texts), source, target: { ...source, background } };
}

function genAddition(random: Random): Omit<Edit, 'op'> {
  const source = genScene(random);
  const shape = random.int(SHAPES.length);
  const color = random.int(COLORS.length);
  const size = random.int(SIZES.length);
  const cell = random.pick(freeCells(source));
  const added: SceneObject = { cell, shape, color, size, dx: 0, dy: 0 };
  const verb = random.pick(['add', 'put', 'place']);
  return {
    instruction: `${verb} ${withArticle(sizeColorShape(added))} ${PLACES[cell]}`,
    source,
    target: { ...source, objects: byCell([...source.objects, added]) },
  };
}

/**
 * An editing item: source scene, instruction, and the scene it asks for.
 *
 * @param op Drawn when absent.
 * @throws HyperBagelError `BAD_OPTION` for an unknown op.
 */
export function genEdit(random: Random, op: EditOp = random.pick(EDITS)): Edit {
  checkOneOf('op', EDITS, op);
  if (op === 'background') return { op, ...genBackgroundEdit(random) };
  if (op === 'add') return { op, ...genAddition(random) };

  let source = genScene(random);
  while (uniqueObjects(source).length === 0) source = genScene(random);
  const object = random.pick(uniqueObjects(source));
  const reference = random.int(3) !== 0 ? `the ${colorShape(object)}` : `the object ${PLACES[object.cell]}`;
  const [instruction, changed] = OBJECT_EDITS[op](random, object, reference, source);
  const others = source.objects.filter((other) => other !== object);
  return {
    op,
    instruction,
    source,
    target: { ...source, objects: byCell(changed === undefined ? others : [...others, changed]) },
  };
}
