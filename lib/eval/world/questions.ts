import { otherOf } from './prompts.js';
import { badOption, checkOneOf, type Random } from './random.js';
import {
  BACKGROUNDS,
  COLORS,
  centerOf,
  genScene,
  type Scene,
  type SceneObject,
  SHAPES,
  uniqueObjects,
} from './scene.js';
import {
  colorName,
  colorShape,
  numberWord,
  PLACES,
  POSITIONS,
  plural,
  RELATION_WORDS,
  RELATIONS,
  shapeName,
  sizeColorShape,
  sizeName,
  withArticle,
} from './words.js';

/** Questions with an answer of a word or two. */
export const SHORT_QUESTION_TYPES = [
  'count_all',
  'count_shape',
  'count_color',
  'color_of',
  'shape_of',
  'where',
  'size_of',
  'exist',
  'compare_pos',
  'compare_count',
  'background',
] as const;
/** Questions whose answer tells the whole scene. */
export const LONG_QUESTION_TYPES = ['describe', 'json'] as const;
export const QUESTION_TYPES = [...SHORT_QUESTION_TYPES, ...LONG_QUESTION_TYPES] as const;
export type QuestionType = (typeof QUESTION_TYPES)[number];

export interface Question {
  readonly type: QuestionType;
  readonly question: string;
  readonly answer: string;
}

/** Question (one of two forms) and answer. */
type Exchange = readonly [question: string, answer: string];

interface Rule {
  /** Whether the scene allows the question; always, where absent. */
  readonly applies?: (scene: Scene) => boolean;
  readonly ask: (random: Random, scene: Scene, form: 0 | 1) => Exchange;
}

/** Distance between centres, in pixels along the axis, from which a relation counts as seen. */
const LEAST_DISTANCE = 10;

/** True when a is at least 10 pixels to the left of b (right of, above or below, by `relation`), whatever the other axis says. */
export function objectsRelate(
  relation: number,
  a: Pick<SceneObject, 'cell' | 'dx' | 'dy'>,
  b: Pick<SceneObject, 'cell' | 'dx' | 'dy'>,
): boolean {
  const from = centerOf(a);
  const to = centerOf(b);
  const distance = [to.x - from.x, from.x - to.x, to.y - from.y, from.y - to.y][relation];
  if (distance === undefined) throw badOption('relation', `an index below ${RELATIONS.length}`, relation);
  return distance >= LEAST_DISTANCE;
}

const RULES: Readonly<Record<QuestionType, Rule>> = {
  count_all: {
    ask: (_random, { objects }, form) => [
      ['how many objects are there?', 'count the objects.'][form] as string,
      numberWord(objects.length),
    ],
  },

  count_shape: {
    ask: (random, { objects }, form) => {
      const shape = random.int(4) !== 0 ? random.pick(objects).shape : random.int(SHAPES.length);
      const answer = numberWord(objects.filter((object) => object.shape === shape).length);
      return [countingQuestion(plural(shapeName(shape)), form), answer];
    },
  },

  count_color: {
    ask: (random, { objects }, form) => {
      const color = random.int(4) !== 0 ? random.pick(objects).color : random.int(COLORS.length);
      const answer = numberWord(objects.filter((object) => object.color === color).length);
      return [countingQuestion(`${colorName(color)} objects`, form), answer];
    },
  },

  color_of: {
    applies: (scene) => onlyOfTheir('shape', scene).length > 0,
    ask: (random, scene, form) => {
      const { shape, color } = random.pick(onlyOfTheir('shape', scene));
      return [`what ${form === 0 ? 'color is' : 'is the color of'} the ${shapeName(shape)}?`, colorName(color)];
    },
  },

  shape_of: {
    applies: (scene) => onlyOfTheir('color', scene).length > 0,
    ask: (random, scene, form) => {
      const { shape, color } = random.pick(onlyOfTheir('color', scene));
      const subject = `the ${colorName(color)} object`;
      return [`what ${form === 0 ? 'shape is' : 'is the shape of'} ${subject}?`, shapeName(shape)];
    },
  },

  where: {
    applies: (scene) => uniqueObjects(scene).length > 0,
    ask: (random, scene, form) => {
      const object = random.pick(uniqueObjects(scene));
      const beginning = form === 0 ? 'where is' : 'what is the position of';
      return [`${beginning} the ${colorShape(object)}?`, POSITIONS[object.cell] as string];
    },
  },

  size_of: {
    applies: (scene) => uniqueObjects(scene).length > 0,
    ask: (random, scene, form) => {
      const object = random.pick(uniqueObjects(scene));
      const subject = `the ${colorShape(object)}`;
      return [form === 0 ? `is ${subject} small or large?` : `what size is ${subject}?`, sizeName(object.size)];
    },
  },

  exist: {
    ask: (random, { objects }, form) => {
      const altered = random.int(2) === 1;
      let { shape, color } = random.pick(objects);
      if (altered) {
        if (random.int(2) === 0) shape = otherOf(random, SHAPES, shape);
        else color = otherOf(random, COLORS, color);
      }
      const there = objects.some((object) => object.shape === shape && object.color === color);
      const beginning = form === 0 ? 'is there' : 'do you see';
      return [`${beginning} ${withArticle(colorShape({ shape, color }))}?`, yesOrNo(there)];
    },
  },

  compare_pos: {
    applies: (scene) => uniqueObjects(scene).length > 1,
    ask: (random, scene, form) => {
      const unique = uniqueObjects(scene);
      const i = random.int(unique.length);
      const a = unique[i] as SceneObject;
      const b = unique[otherOf(random, unique, i)] as SceneObject;
      const relation = random.int(RELATIONS.length);
      const words = RELATION_WORDS[relation]?.[form];
      return [`is the ${colorShape(a)} ${words} the ${colorShape(b)}?`, yesOrNo(objectsRelate(relation, a, b))];
    },
  },

  compare_count: {
    ask: (random, { objects }, form) => {
      let more = random.pick(objects).shape;
      let fewer = otherOf(random, SHAPES, more);
      if (random.int(2) === 0) [more, fewer] = [fewer, more];
      const countOf = (shape: number) => objects.filter((object) => object.shape === shape).length;
      const beginning = form === 0 ? 'are there' : 'do you see';
      return [
        `${beginning} more ${plural(shapeName(more))} than ${plural(shapeName(fewer))}?`,
        yesOrNo(countOf(more) > countOf(fewer)),
      ];
    },
  },

  background: {
    ask: (_random, { background }, form) => [
      ['what color is the background?', 'what is the background color?'][form] as string,
      BACKGROUNDS[background] as string,
    ],
  },

  describe: {
    ask: (_random, scene, form) => [
      ['describe the image.', 'describe this picture in detail.'][form] as string,
      describeScene(scene),
    ],
  },

  json: {
    ask: (_random, scene, form) => [
      ['list the objects as json.', 'give me a json list of the objects.'][form] as string,
      listScene(scene),
    ],
  },
};

function countingQuestion(what: string, form: 0 | 1): string {
  return form === 0 ? `how many ${what} are there?` : `count the ${what}.`;
}

function yesOrNo(value: boolean): string {
  return value ? 'yes' : 'no';
}

/** The objects that are alone in having their shape, or their color. */
function onlyOfTheir(attribute: 'shape' | 'color', { objects }: Scene): SceneObject[] {
  return objects.filter((a) => !objects.some((b) => b !== a && b[attribute] === a[attribute]));
}

/** The answer to `describe`: a sentence on the whole, then one for each object in the order of the cells. */
export function describeScene({ background, objects }: Scene): string {
  const number = numberWord(objects.length);
  const noun = objects.length === 1 ? 'object' : 'objects';
  const whole = `The image shows ${number} ${noun} on ${withArticle(BACKGROUNDS[background] as string)} background.`;
  const each = objects.map((object) => `There is ${withArticle(sizeColorShape(object))} ${PLACES[object.cell]}.`);
  return [whole, ...each].join(' ');
}

/** The answer to `json`. Separators are ", " and ": ". */
export function listScene({ background, objects }: Scene): string {
  const list = objects.map(
    ({ shape, color, size, cell }) =>
      `{"shape": "${shapeName(shape)}", "color": "${colorName(color)}", "size": "${sizeName(size)}", "position": "${POSITIONS[cell]}"}`,
  );
  return `{"background": "${BACKGROUNDS[background]}", "objects": [${list.join(', ')}]}`;
}

/** Whether a question of this type can be asked about the scene. @throws HyperBagelError `BAD_OPTION` for an unknown type. */
export function questionApplies(type: QuestionType, scene: Scene): boolean {
  checkOneOf('type', QUESTION_TYPES, type);
  return RULES[type].applies?.(scene) ?? true;
}

/**
 * A question about the scene, of one of the types. Types that do not apply are drawn again.
 *
 * @param scene A scene of {@link genScene}: at least one object.
 * @throws HyperBagelError `BAD_OPTION` when a type is unknown or none applies.
 */
export function genQA(random: Random, scene: Scene, types: readonly QuestionType[]): Question {
  if (!types.some((type) => questionApplies(type, scene))) {
    throw badOption('types', 'at least one type that applies to the scene', types.join(', ') || 'none');
  }
  for (;;) {
    const type = random.pick(types);
    const form = random.int(2) as 0 | 1;
    if (!questionApplies(type, scene)) continue;
    const [question, answer] = RULES[type].ask(random, scene, form);
    return { type, question, answer };
  }
}

/** A scene with one long question or four short ones. */
export function genUnd(random: Random): { readonly scene: Scene; readonly questions: readonly Question[] } {
  const scene = genScene(random);
  const questions =
    random.int(2) === 0
      ? [genQA(random, scene, LONG_QUESTION_TYPES)]
      : Array.from({ length: 4 }, () => genQA(random, scene, SHORT_QUESTION_TYPES));
  return { scene, questions };
}
