import { evenly, fieldsOf, isOneOf, type Measured, mean, type PictureTask, roundRobin, type Suite } from './suite.js';
import {
  CATEGORIES,
  type Category,
  checkAttributes,
  checkPrompt,
  type Item,
  OVERALL_CATEGORIES,
  type Prompt,
  parseImage,
  promptItems,
  renderScene,
  type SceneRecord,
  sceneFromRecord,
  sceneToRecord,
} from './world/index.js';

export interface ShapesRecord {
  readonly category: Category;
  readonly row: number;
  readonly seed: number;
  readonly prompt: string;
  readonly parsed: SceneRecord;
  readonly ok: boolean;
}

export const SHAPES_SUITE: Suite<ShapesRecord> = {
  name: 'shapes',
  groups: CATEGORIES,
  groupOf: ({ category }) => category,
  keyOf: ({ category, seed }) => `${category} ${seed}`,
  outcomeOf: ({ parsed }) => JSON.stringify(parsed),
  verdictOf: ({ ok }) => (ok ? 'pass' : 'fail'),
  read: (value) => {
    const { category, row, seed, prompt, parsed, ok } = fieldsOf(value);
    if (!isOneOf(CATEGORIES, category) || typeof prompt !== 'string' || typeof ok !== 'boolean') return undefined;
    if (!Number.isSafeInteger(row) || !Number.isSafeInteger(seed)) return undefined;
    const scene = readScene(parsed);
    return scene && { category, row: row as number, seed: seed as number, prompt, parsed: scene, ok };
  },
};

/** Noises of a prompt whose diversity is measured. */
export const VARIANTS = 4;
/** Far enough from one another that no variant has another item's seed. */
const VARIANT_STRIDE = 2 ** 20;

/**
 * The prompts of ShapeEval, `count` in all, evenly over the categories; the first `diverse` of them come again from other noise.
 *
 * @throws HyperBagelError BAD_OPTION
 */
export function shapesTasks(count: number, diverse = 0): PictureTask<ShapesRecord>[] {
  const items = roundRobin(CATEGORIES.map((each, i) => promptItems(each, evenly(count, CATEGORIES.length, i))));
  const others = items
    .slice(0, diverse)
    .flatMap((item) => Array.from({ length: VARIANTS - 1 }, (_, i) => taskOf(item, i + 1)));
  return [...items.map((item) => taskOf(item, 0)), ...others];
}

function taskOf(item: Item<Prompt>, variant: number): PictureTask<ShapesRecord> {
  const { category, row, seed, text, check } = item;
  return {
    key: SHAPES_SUITE.keyOf({ category, row, seed, prompt: text, parsed: [0], ok: false }),
    slot: (row * CATEGORIES.length + CATEGORIES.indexOf(category)) * VARIANTS + variant,
    row,
    seed: seed + variant * VARIANT_STRIDE,
    variant,
    text,
    reference: renderScene(item.scene),
    judge: (pixels) => {
      const scene = parseImage(pixels);
      // the record's seed is the item's: that of the prompt
      return { category, row, seed, prompt: text, parsed: sceneToRecord(scene), ok: checkPrompt(check, scene) };
    },
  };
}

/** Shares of right pictures: by category, over the first six categories, and by attribute over all prompts that name it. */
export interface ShapesScores {
  readonly items: number;
  readonly categories: Readonly<Partial<Record<Category, number>>>;
  readonly overall: number;
  readonly attributes: Readonly<Record<string, number>>;
}

export function shapesScores(records: readonly ShapesRecord[]): ShapesScores {
  const of = (categories: readonly Category[]) => records.filter(({ category }) => categories.includes(category));
  const categories = Object.fromEntries(
    CATEGORIES.filter((category) => of([category]).length > 0).map((category) => [
      category,
      mean(of([category]).map(({ ok }) => ok)),
    ]),
  );
  const overall = mean(of(OVERALL_CATEGORIES).map(({ ok }) => ok));
  return { items: records.length, categories, overall, attributes: attributeScores(records) };
}

function attributeScores(records: readonly ShapesRecord[]): Record<string, number> {
  const rights = new Map<string, boolean[]>();
  for (const { category, row, parsed } of records) {
    const check = checkOf(category, row);
    for (const [attribute, right] of Object.entries(checkAttributes(check, sceneFromRecord(parsed)))) {
      rights.set(attribute, [...(rights.get(attribute) ?? []), right]);
    }
  }
  return Object.fromEntries([...rights].map(([attribute, values]) => [attribute, mean(values)]));
}

const checks = new Map<Category, Prompt['check'][]>();

/** What the prompt in this row demands. */
function checkOf(category: Category, row: number): Prompt['check'] {
  let known = checks.get(category) ?? [];
  if (known.length <= row) {
    known = promptItems(category, Math.max(64, 2 * row)).map(({ check }) => check);
    checks.set(category, known);
  }
  return known[row] as Prompt['check'];
}

/** A scene of parsed JSON, when it is one. */
export function readScene(value: unknown): SceneRecord | undefined {
  if (!Array.isArray(value) || value.slice(1).some((each) => !Array.isArray(each) || each.length !== 4))
    return undefined;
  try {
    return sceneToRecord(sceneFromRecord(value as unknown as SceneRecord));
  } catch {
    return undefined;
  }
}

export type ShapesLine = ShapesRecord & Measured;
