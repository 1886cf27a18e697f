/** A 5x7 bitmap font of what methods and prompts are written in, so that sheets do not depend on fonts of the machine. */
export const GLYPH_WIDTH = 5;
export const GLYPH_HEIGHT = 7;

/** Seven rows of five bits for each character, as hexadecimal pairs. */
const GLYPHS: Readonly<Record<string, string>> = {
  ' ': '00000000000000',
  '*': '00150e1f0e1500',
  '-': '0000001f000000',
  '.': '00000000000c0c',
  ',': '000000000c0408',
  ':': '000c0c000c0c00',
  '=': '00001f001f0000',
  _: '0000000000001f',
  '/': '01020204080810',
  '?': '0e110102040004',
  '(': '02040808080402',
  ')': '08040202020408',
  '0': '0e11131519110e',
  '1': '040c040404040e',
  '2': '0e11010204081f',
  '3': '1f02040201110e',
  '4': '02060a121f0202',
  '5': '1f101e0101110e',
  '6': '0608101e11110e',
  '7': '1f010204080808',
  '8': '0e11110e11110e',
  '9': '0e11110f01020c',
  a: '00000e010f110f',
  b: '1010161911111e',
  c: '00000e1010110e',
  d: '01010d1311110f',
  e: '00000e111f100e',
  f: '0609081c080808',
  g: '000f11110f010e',
  h: '10101619111111',
  i: '04000c0404040e',
  j: '0200060202120c',
  k: '10101214181412',
  l: '0c04040404040e',
  m: '00001a15151111',
  n: '00001619111111',
  o: '00000e1111110e',
  p: '00001e111e1010',
  q: '00000d130f0101',
  r: '00001619101010',
  s: '00000e100e011e',
  t: '08081c08080906',
  u: '0000111111130d',
  v: '00001111110a04',
  w: '0000111115150a',
  x: '0000110a040a11',
  y: '000011110f010e',
  z: '00001f0204081f',
};

/** Whether the glyph of a character (in lower case; blank when it has none) covers this pixel. */
export function glyphHas(character: string, x: number, y: number): boolean {
  const rows = GLYPHS[character.toLowerCase()] ?? '00000000000000';
  const bits = Number.parseInt(rows.slice(2 * y, 2 * y + 2), 16);
  return ((bits >> (GLYPH_WIDTH - 1 - x)) & 1) === 1;
}
