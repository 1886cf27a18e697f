import { badOption } from './random.js';
import { COLORS, columnOf, type Look, rowOf, SHAPES, SIZES } from './scene.js';

/** Names of the nine cells. */
export const POSITIONS = [
  'top left',
  'top',
  'top right',
  'left',
  'center',
  'right',
  'bottom left',
  'bottom',
  'bottom right',
] as const;

/** Where an object is, as a phrase, for each cell. */
export const PLACES = [
  'at the top left',
  'at the top',
  'at the top right',
  'on the left',
  'in the center',
  'on the right',
  'at the bottom left',
  'at the bottom',
  'at the bottom right',
] as const;

/** Spatial relations, in the order of their numbers: "a R b" says where a is, seen from b. */
export const RELATIONS = ['left', 'right', 'above', 'below'] as const;
/** Two ways to say each relation. */
export const RELATION_WORDS = [
  ['to the left of', 'left of'],
  ['to the right of', 'right of'],
  ['above', 'over'],
  ['below', 'under'],
] as const;

const NUMBERS = ['zero', 'one', 'two', 'three', 'four'] as const;

/** @throws HyperBagelError `BAD_OPTION` beyond four: the world has no words for more. */
export function numberWord(count: number): string {
  const word = NUMBERS[count];
  if (word === undefined) throw badOption('count', 'an integer from 0 to 4', count);
  return word;
}

/** The words with their indefinite article. */
export function withArticle(words: string): string {
  return `${/^[aeiou]/.test(words) ? 'an' : 'a'} ${words}`;
}

export function plural(noun: string): string {
  return noun.endsWith('ss') ? `${noun}es` : `${noun}s`;
}

/** "x", "x and y", "x, y and z". */
export function joinAnd(items: readonly string[]): string {
  if (items.length < 2) return items.join('');
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

export function shapeName(shape: number): string {
  return word('shape', SHAPES, shape);
}

export function colorName(color: number): string {
  return word('color', COLORS, color);
}

export function sizeName(size: number): string {
  return word('size', SIZES, size);
}

/** "red circle" */
export function colorShape({ color, shape }: Pick<Look, 'color' | 'shape'>): string {
  return `${colorName(color)} ${shapeName(shape)}`;
}

/** "large red circle" */
export function sizeColorShape(look: Look): string {
  return `${sizeName(look.size)} ${colorShape(look)}`;
}

function word(operand: string, table: readonly string[], index: number): string {
  const found = table[index];
  if (found === undefined) throw badOption(operand, `an index below ${table.length}`, index);
  return found;
}

/** True when `relation` holds between an object in cell a and one in cell b: more along its axis than across it. */
export function cellsRelate(relation: number, a: number, b: number): boolean {
  const columns = columnOf(b) - columnOf(a);
  const rows = rowOf(b) - rowOf(a);
  switch (RELATIONS[relation]) {
    case 'left':
      return columns > 0 && Math.abs(rows) <= columns;
    case 'right':
      return columns < 0 && Math.abs(rows) <= -columns;
    case 'above':
      return rows > 0 && Math.abs(columns) <= rows;
    case 'below':
      return rows < 0 && Math.abs(columns) <= -rows;
    default:
      throw badOption('relation', `an index below ${RELATIONS.length}`, relation);
  }
}
