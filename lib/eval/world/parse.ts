import { HyperBagelError } from '../../errors.js';
import { coverageOf } from './render.js';
import {
  BACKGROUND_RGB,
  CELL_COUNT,
  CELL_SIDE,
  COLOR_RGB,
  columnOf,
  IMAGE_BYTES,
  IMAGE_SIDE,
  type Rgb,
  rowOf,
  type Scene,
  type SceneObject,
  SHAPES,
  SIZES,
  UNREADABLE,
} from './scene.js';

/** Width of the frame, in pixels, that lies outside every cell and so shows the background only. */
const FRAME = 2;
const CELL_PIXELS = CELL_SIDE * CELL_SIDE;
/** Coverage below this counts as none. */
const FAINT = 0.15;
/** A cell with less coverage in all, or with fewer pixels more than half covered, is empty. */
const LEAST_COVERAGE = 14;
const LEAST_SOLID_PIXELS = 10;
/** An object is unreadable when the best template leaves more than this share of its own energy unexplained, */
const WORST_SHAPE_ERROR = 0.45;
/** or its color leaves this much squared error a pixel (all three channels). */
const WORST_COLOR_ERROR = 2500;
const MAX_SHIFT = 2;

/** How an object of one look and shift covers its cell. */
interface Template {
  readonly shape: number;
  readonly size: number;
  readonly dx: number;
  readonly dy: number;
  /** [CELL_SIDE, CELL_SIDE] row-major, 0 to 1. */
  readonly coverage: Float64Array;
  /** Sum of its squares. */
  readonly energy: number;
}

let cachedTemplates: readonly Template[] | undefined;

function templates(): readonly Template[] {
  cachedTemplates ??= [...makeTemplates()];
  return cachedTemplates;
}

function* makeTemplates(): Generator<Template> {
  for (let shape = 0; shape < SHAPES.length; shape++) {
    for (let size = 0; size < SIZES.length; size++) {
      const centered = coverageOf(shape, size);
      const energy = centered.reduce((sum, a) => sum + a * a, 0);
      for (let dy = -MAX_SHIFT; dy <= MAX_SHIFT; dy++) {
        for (let dx = -MAX_SHIFT; dx <= MAX_SHIFT; dx++) {
          yield { shape, size, dx, dy, coverage: shifted(centered, dx, dy), energy };
        }
      }
    }
  }
}

/** Every shape keeps two pixels from the border of its cell, so nothing is lost at the edge that it moves towards. */
function shifted(coverage: Float64Array, dx: number, dy: number): Float64Array {
  const result = new Float64Array(CELL_PIXELS);
  for (let row = Math.max(0, dy); row < CELL_SIDE + Math.min(0, dy); row++) {
    for (let column = Math.max(0, dx); column < CELL_SIDE + Math.min(0, dx); column++) {
      result[row * CELL_SIDE + column] = coverage[(row - dy) * CELL_SIDE + column - dx] as number;
    }
  }
  return result;
}

/**
 * What the picture shows. Objects that are seen but cannot be named have shape {@link UNREADABLE}. Renderings of every scene are
 * read back exactly.
 *
 * @param image `IMAGE_SIDE * IMAGE_SIDE * 3` bytes, row-major RGB.
 * @throws HyperBagelError `BAD_IMAGE` for any other length.
 */
export function parseImage(image: Uint8Array | Uint8ClampedArray): Scene {
  checkImage('image', image);
  const background = frameMedian(image);
  const objects: SceneObject[] = [];
  for (let cell = 0; cell < CELL_COUNT; cell++) {
    const object = parseCell(image, cell, background);
    if (object !== undefined) objects.push(object);
  }
  return { background: nearest(background, BACKGROUND_RGB), objects };
}

/** @throws HyperBagelError `BAD_IMAGE` when the image is not one of the world's. */
export function checkImage(operand: string, image: Uint8Array | Uint8ClampedArray): void {
  if (image.length === IMAGE_BYTES) return;
  const expected = `${IMAGE_SIDE}x${IMAGE_SIDE} RGB, ${IMAGE_BYTES} bytes`;
  const got = `${image.length} bytes`;
  throw new HyperBagelError('BAD_IMAGE', `shapes world: ${operand} must be ${expected}, got ${got}`, {
    operand,
    expected,
    got,
  });
}

/** Median of each channel over the frame; its number of pixels is even, so the mean of the two middle values. */
function frameMedian(image: ArrayLike<number>): Rgb {
  const channels: [number[], number[], number[]] = [[], [], []];
  for (let row = 0; row < IMAGE_SIDE; row++) {
    for (let column = 0; column < IMAGE_SIDE; column++) {
      const inside = row >= FRAME && row < IMAGE_SIDE - FRAME && column >= FRAME && column < IMAGE_SIDE - FRAME;
      if (inside) continue;
      for (const [channel, values] of channels.entries()) {
        values.push(image[(row * IMAGE_SIDE + column) * 3 + channel] as number);
      }
    }
  }
  const median = (values: number[]) => {
    values.sort((a, b) => a - b);
    const middle = values.length / 2;
    return ((values[middle - 1] as number) + (values[middle] as number)) / 2;
  };
  return [median(channels[0]), median(channels[1]), median(channels[2])];
}

function nearest(color: Rgb, table: readonly Rgb[]): number {
  const distances = table.map((entry) => squaredLength(minus(entry, color)));
  return distances.indexOf(Math.min(...distances));
}

function minus(a: Rgb, b: Rgb): Rgb {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

function squaredLength([red, green, blue]: Rgb): number {
  return red * red + green * green + blue * blue;
}

function parseCell(image: ArrayLike<number>, cell: number, background: Rgb): SceneObject | undefined {
  const pixels = cellMinusBackground(image, cell, background);
  let best = { color: -1, residual: Number.POSITIVE_INFINITY, coverage: new Float64Array(CELL_PIXELS) as Float64Array };
  for (const [color, rgb] of COLOR_RGB.entries()) {
    const { coverage, residual } = coverageInColor(pixels, minus(rgb, background));
    if (residual < best.residual) best = { color, residual, coverage };
  }

  const { color, residual, coverage } = best;
  let total = 0;
  let solid = 0;
  for (let k = 0; k < CELL_PIXELS; k++) {
    if ((coverage[k] as number) < FAINT) coverage[k] = 0;
    const a = coverage[k] as number;
    total += a;
    if (a > 0.5) solid++;
  }
  if (total < LEAST_COVERAGE || solid < LEAST_SOLID_PIXELS) return undefined;

  const { template, error } = nearestTemplate(coverage);
  const { size, dx, dy } = template;
  const unreadable = error > WORST_SHAPE_ERROR * template.energy || residual / CELL_PIXELS >= WORST_COLOR_ERROR;
  return { cell, shape: unreadable ? UNREADABLE : template.shape, color, size, dx, dy };
}

/** The pixels of a cell, less the background, [CELL_SIDE * CELL_SIDE, 3]. */
function cellMinusBackground(image: ArrayLike<number>, cell: number, background: Rgb): Float64Array {
  const top = FRAME + CELL_SIDE * rowOf(cell);
  const left = FRAME + CELL_SIDE * columnOf(cell);
  const pixels = new Float64Array(CELL_PIXELS * 3);
  for (let k = 0; k < CELL_PIXELS; k++) {
    const at = ((top + Math.floor(k / CELL_SIDE)) * IMAGE_SIDE + left + (k % CELL_SIDE)) * 3;
    for (let channel = 0; channel < 3; channel++) {
      pixels[k * 3 + channel] = (image[at + channel] as number) - (background[channel] as number);
    }
  }
  return pixels;
}

/** How much of each pixel the color explains, and the squared error that it leaves over the cell. */
function coverageInColor(pixels: Float64Array, direction: Rgb): { coverage: Float64Array; residual: number } {
  const [red, green, blue] = direction;
  const energy = squaredLength(direction);
  const coverage = new Float64Array(CELL_PIXELS);
  let residual = 0;
  for (let k = 0; k < CELL_PIXELS; k++) {
    const r = pixels[k * 3] as number;
    const g = pixels[k * 3 + 1] as number;
    const b = pixels[k * 3 + 2] as number;
    // A generated picture may have a background of exactly this color, which then cannot be seen on it.
    const a = energy === 0 ? 0 : Math.min(1, Math.max(0, (r * red + g * green + b * blue) / energy));
    coverage[k] = a;
    residual += squaredLength([r - a * red, g - a * green, b - a * blue]);
  }
  return { coverage, residual };
}

function nearestTemplate(coverage: Float64Array): { template: Template; error: number } {
  const all = templates();
  let template = all[0] as Template;
  let error = Number.POSITIVE_INFINITY;
  for (const candidate of all) {
    let sum = 0;
    for (let k = 0; k < CELL_PIXELS && sum < error; k++) {
      const difference = (coverage[k] as number) - (candidate.coverage[k] as number);
      sum += difference * difference;
    }
    if (sum < error) {
      template = candidate;
      error = sum;
    }
  }
  return { template, error };
}
