import {
  BACKGROUND_RGB,
  CELL_SIDE,
  COLOR_RGB,
  centerOf,
  checkScene,
  IMAGE_BYTES,
  IMAGE_SIDE,
  RADII,
  type Rgb,
  type Scene,
  SHAPES,
} from './scene.js';

type Shape = (typeof SHAPES)[number];

/** Signed distance in pixels from the outline of a shape of radius r, at (x, y) from its centre; negative inside. y points down. */
const DISTANCE: Readonly<Record<Shape, (x: number, y: number, r: number) => number>> = {
  circle: (x, y, r) => Math.sqrt(x * x + y * y) - r,
  square: (x, y, r) => Math.max(Math.abs(x), Math.abs(y)) - 0.875 * r,
  triangle: (x, y, r) => Math.max(y - 0.8 * r, (15 * Math.abs(x) - 8 * (y + r)) / 17),
  // biome-ignore lint/suspicious/noApproximativeNumericConstant: the world is defined by this literal
  diamond: (x, y, r) => (Math.abs(x) + Math.abs(y) - r) * 0.7071067811865476,
  cross: (x, y, r) => {
    const ax = Math.abs(x);
    const ay = Math.abs(y);
    const t = r / 3;
    return Math.min(Math.max(ax - r, ay - t), Math.max(ax - t, ay - r));
  },
  ring: (x, y, r) => Math.abs(Math.sqrt(x * x + y * y) - 0.72 * r) - 0.28 * r,
};

/**
 * How much of each pixel around its centre an object covers, 0 to 1, [CELL_SIDE, CELL_SIDE] row-major. float64 and only operations
 * that IEEE 754 rounds exactly, so the values have the same bits everywhere.
 */
export function coverageOf(shape: number, size: number): Float64Array {
  const distance = DISTANCE[SHAPES[shape] as Shape];
  const radius = RADII[size] as number;
  const coverage = new Float64Array(CELL_SIDE * CELL_SIDE);
  for (let i = 0; i < CELL_SIDE; i++) {
    for (let j = 0; j < CELL_SIDE; j++) {
      const d = distance(j + 0.5 - CELL_SIDE / 2, i + 0.5 - CELL_SIDE / 2, radius);
      coverage[i * CELL_SIDE + j] = Math.min(1, Math.max(0, 0.5 - d));
    }
  }
  return coverage;
}

/**
 * The picture of a scene.
 *
 * @returns `IMAGE_SIDE * IMAGE_SIDE * 3` bytes, row-major RGB.
 * @throws HyperBagelError `BAD_OPTION` when an index is outside its table.
 */
export function renderScene(scene: Scene): Uint8Array {
  checkScene(scene);
  const image = new Uint8Array(IMAGE_BYTES);
  const background = BACKGROUND_RGB[scene.background] as Rgb;
  for (let at = 0; at < IMAGE_BYTES; at += 3) image.set(background, at);
  for (const object of scene.objects) {
    const color = COLOR_RGB[object.color] as Rgb;
    const coverage = coverageOf(object.shape, object.size);
    const { x, y } = centerOf(object);
    const top = y - CELL_SIDE / 2;
    const left = x - CELL_SIDE / 2;
    for (const [k, a] of coverage.entries()) {
      const row = top + Math.floor(k / CELL_SIDE);
      const at = (row * IMAGE_SIDE + left + (k % CELL_SIDE)) * 3;
      for (let channel = 0; channel < 3; channel++) {
        const old = image[at + channel] as number;
        image[at + channel] = Math.floor(old * (1 - a) + (color[channel] as number) * a + 0.5);
      }
    }
  }
  return image;
}
