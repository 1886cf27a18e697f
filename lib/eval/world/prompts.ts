import { checkOneOf, type Random } from './random.js';
import {
  BACKGROUNDS,
  byCell,
  COLORS,
  type Scene,
  type SceneObject,
  SHAPES,
  sampleCells,
  sampleObject,
} from './scene.js';
import {
  cellsRelate,
  colorName,
  colorShape,
  joinAnd,
  numberWord,
  PLACES,
  plural,
  RELATION_WORDS,
  RELATIONS,
  shapeName,
  sizeColorShape,
  sizeName,
  withArticle,
} from './words.js';

/** Kinds of prompts. The overall score is the mean over {@link OVERALL_CATEGORIES}; `dense`, which says everything, is apart. */
export const CATEGORIES = ['single', 'two', 'counting', 'colors', 'position', 'color_attr', 'dense'] as const;
export type Category = (typeof CATEGORIES)[number];
export const OVERALL_CATEGORIES: readonly Category[] = CATEGORIES.slice(0, 6);

/** The attributes that a prompt names of one object; those not named are absent. */
export interface NamedObject {
  readonly shape: number;
  readonly color?: number;
  readonly size?: number;
  readonly cell?: number;
}

/** What a prompt demands of a picture. */
export interface PromptCheck {
  /** The objects, in the order named; the picture must have exactly as many. */
  readonly objects: readonly NamedObject[];
  /** Index of the background, when the prompt names one. */
  readonly background?: number;
  /** Index into RELATIONS: where the first object must be, seen from the second. */
  readonly relation?: number;
}

export interface Prompt {
  readonly category: Category;
  readonly text: string;
  /** The scene that the text was made from: one right picture of many. */
  readonly scene: Scene;
  readonly check: PromptCheck;
}

const PREFIXES: readonly ((x: string) => string)[] = [
  (x) => x,
  (x) => `a picture of ${x}`,
  (x) => `an image of ${x}`,
  (x) => `draw ${x}`,
  (x) => `a drawing of ${x}`,
  (x) => `please draw ${x}`,
  (x) => `show me ${x}`,
  (x) => `create an image with ${x}`,
];

/** Objects of a prompt, the words for them, and what is demanded of them. */
interface Content {
  readonly objects: readonly SceneObject[];
  readonly text: string;
  readonly named: readonly NamedObject[];
  readonly relation?: number;
}

/** The number of objects for each category. Both random ones are drawn for every category: the draws after them depend on it. */
function drawCounts(random: Random): Readonly<Record<Category, number>> {
  const counting = 2 + random.int(3);
  const dense = 1 + random.int(3);
  return { single: 1, two: 2, counting, colors: 1, position: 2, color_attr: 2, dense };
}

const CONTENT: Readonly<Record<Category, (random: Random, objects: readonly SceneObject[]) => Content>> = {
  single: (_random, objects) => {
    const [only] = objects as [SceneObject];
    return { objects, text: withArticle(shapeName(only.shape)), named: [{ shape: only.shape }] };
  },

  two: (random, objects) => {
    const [a, b] = withOtherShape(random, objects);
    const text = `${withArticle(shapeName(a.shape))} and ${withArticle(shapeName(b.shape))}`;
    return { objects: [a, b], text, named: [{ shape: a.shape }, { shape: b.shape }] };
  },

  counting: (random, objects) => {
    const [{ shape, color }] = objects as [SceneObject];
    const number = numberWord(objects.length);
    if (random.int(2) === 0) {
      return {
        objects: objects.map((object) => ({ ...object, shape, color })),
        text: `${number} ${colorName(color)} ${plural(shapeName(shape))}`,
        named: objects.map(() => ({ shape, color })),
      };
    }
    return {
      objects: objects.map((object) => ({ ...object, shape })),
      text: `${number} ${plural(shapeName(shape))}`,
      named: objects.map(() => ({ shape })),
    };
  },

  colors: (random, objects) => {
    const [{ shape, color, size }] = objects as [SceneObject];
    const withSize = random.int(3) === 0;
    const words = `${withSize ? `${sizeName(size)} ` : ''}${colorShape({ color, shape })}`;
    return { objects, text: withArticle(words), named: [withSize ? { shape, color, size } : { shape, color }] };
  },

  position: (random, objects) => {
    let [a, b] = withOtherShape(random, objects);
    const relation = random.int(RELATIONS.length);
    const form = random.int(2) as 0 | 1;
    do {
      a = { ...a, cell: random.int(9) };
      b = { ...b, cell: random.int(9) };
    } while (!cellsRelate(relation, a.cell, b.cell));
    const words = RELATION_WORDS[relation]?.[form];
    return {
      objects: [a, b],
      text: `${withArticle(shapeName(a.shape))} ${words} ${withArticle(shapeName(b.shape))}`,
      named: [{ shape: a.shape }, { shape: b.shape }],
      relation,
    };
  },

  color_attr: (random, objects) => {
    let [a, b] = withOtherShape(random, objects);
    if (b.color === a.color) b = { ...b, color: otherOf(random, COLORS, a.color) };
    return {
      objects: [a, b],
      text: `${withArticle(colorShape(a))} and ${withArticle(colorShape(b))}`,
      named: [a, b].map(({ shape, color }) => ({ shape, color })),
    };
  },

  dense: (_random, objects) => ({
    objects,
    text: joinAnd(objects.map((object) => `${withArticle(sizeColorShape(object))} ${PLACES[object.cell]}`)),
    named: objects.map(({ shape, color, size, cell }) => ({ shape, color, size, cell })),
  }),
};

function withOtherShape(random: Random, objects: readonly SceneObject[]): [SceneObject, SceneObject] {
  const [a, b] = objects as [SceneObject, SceneObject];
  return [a, b.shape === a.shape ? { ...b, shape: otherOf(random, SHAPES, a.shape) } : b];
}

/** An index into the table that is not `index`. */
export function otherOf(random: Random, table: readonly unknown[], index: number): number {
  return (index + 1 + random.int(table.length - 1)) % table.length;
}

/**
 * A text-to-image prompt of the category, with the scene behind it and the rules to judge a picture by.
 *
 * @throws HyperBagelError `BAD_OPTION` for an unknown category.
 */
export function genT2I(random: Random, category: Category): Prompt {
  checkOneOf('category', CATEGORIES, category);
  const background = random.int(BACKGROUNDS.length);
  const coin = random.int(2);
  const prefix = PREFIXES[random.int(PREFIXES.length)] as (x: string) => string;
  const cells = sampleCells(random, drawCounts(random)[category]);
  const drawn = cells.map((cell) => sampleObject(random, cell));
  const { objects, text, named, relation } = CONTENT[category](random, drawn);
  const saysBackground = coin === 0 || category === 'dense';
  const ending = saysBackground ? ` on ${withArticle(BACKGROUNDS[background] as string)} background` : '';
  return {
    category,
    text: prefix(text + ending),
    scene: { background, objects: byCell(objects) },
    check: {
      objects: named,
      ...(saysBackground ? { background } : {}),
      ...(relation === undefined ? {} : { relation }),
    },
  };
}
