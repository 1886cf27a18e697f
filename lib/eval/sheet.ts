import { Image } from '../io/image.js';
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyphHas } from './font.js';
import { IMAGE_SIDE } from './world/scene.js';

/** Pictures of the same prompts by several methods. */
export interface Sheet {
  /** Prompts. */
  readonly columns: readonly string[];
  readonly rows: readonly { readonly label: string; readonly pictures: readonly (Uint8Array | undefined)[] }[];
}

const GAP = 4;
const PITCH = IMAGE_SIDE + GAP;
/** Characters and lines stand one or three pixels apart. */
const LETTER = GLYPH_WIDTH + 1;
const LINE = GLYPH_HEIGHT + 3;
const PAPER = 255;
const INK = 40;

/** A row of pictures for each method, a column for each prompt, with both written beside. */
export function contactSheet({ columns, rows }: Sheet): Image {
  const heads = columns.map((text) => wrap(text, Math.floor(IMAGE_SIDE / LETTER)));
  const left = GAP * 2 + LETTER * Math.max(0, ...rows.map(({ label }) => label.length));
  const top = GAP * 2 + LINE * Math.max(0, ...heads.map((lines) => lines.length));
  const canvas = new Canvas(left + columns.length * PITCH, top + rows.length * PITCH);
  for (const [i, lines] of heads.entries()) {
    for (const [j, line] of lines.entries()) canvas.text(line, left + i * PITCH, GAP + j * LINE);
  }
  for (const [j, { label, pictures }] of rows.entries()) {
    const y = top + j * PITCH;
    canvas.text(label, GAP, y + Math.floor((IMAGE_SIDE - GLYPH_HEIGHT) / 2));
    for (const [i, pixels] of pictures.entries()) if (pixels) canvas.picture(pixels, left + i * PITCH, y);
  }
  return canvas.image();
}

/** Lines of at most `width` characters, broken between words. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

class Canvas {
  readonly #pixels: Uint8Array;

  constructor(
    private readonly width: number,
    private readonly height: number,
  ) {
    this.#pixels = new Uint8Array(width * height * 3).fill(PAPER);
  }

  text(text: string, x: number, y: number): void {
    for (const [i, character] of [...text].entries()) {
      for (let row = 0; row < GLYPH_HEIGHT; row++) {
        for (let column = 0; column < GLYPH_WIDTH; column++) {
          if (glyphHas(character, column, row)) this.#dot(x + i * LETTER + column, y + row);
        }
      }
    }
  }

  #dot(x: number, y: number): void {
    if (x < this.width && y < this.height)
      this.#pixels.fill(INK, (y * this.width + x) * 3, (y * this.width + x + 1) * 3);
  }

  picture(pixels: Uint8Array, x: number, y: number): void {
    const bytes = IMAGE_SIDE * 3;
    for (let row = 0; row < IMAGE_SIDE; row++) {
      this.#pixels.set(pixels.subarray(row * bytes, (row + 1) * bytes), ((y + row) * this.width + x) * 3);
    }
  }

  image(): Image {
    return Image.fromRaw(this.#pixels, this.width, this.height);
  }
}
