import { badOption, type Random } from './random.js';

/** Images of the world are square, RGB, one byte a channel, row-major: `IMAGE_SIDE * IMAGE_SIDE * 3` bytes. */
export const IMAGE_SIDE = 64;
export const IMAGE_BYTES = IMAGE_SIDE * IMAGE_SIDE * 3;
/** Cells lie in a 3x3 grid, numbered row by row; the one in row r, column c is CELL_SIDE pixels wide, centred on {@link centerOf}. */
export const GRID_SIDE = 3;
export const CELL_COUNT = 9;
export const CELL_SIDE = 20;

export type Rgb = readonly [red: number, green: number, blue: number];

/** The tables of the world. Scenes hold indices into them. */
export const SHAPES = ['circle', 'square', 'triangle', 'diamond', 'cross', 'ring'] as const;
export const COLORS = ['red', 'green', 'blue', 'yellow', 'orange', 'purple', 'cyan', 'pink'] as const;
export const SIZES = ['small', 'large'] as const;
export const BACKGROUNDS = ['white', 'black', 'gray', 'navy', 'tan'] as const;

export const COLOR_RGB: readonly Rgb[] = [
  [220, 40, 40],
  [40, 170, 60],
  [50, 90, 235],
  [240, 215, 40],
  [245, 130, 30],
  [150, 60, 190],
  [60, 210, 220],
  [245, 130, 190],
];
export const BACKGROUND_RGB: readonly Rgb[] = [
  [245, 245, 245],
  [16, 16, 16],
  [128, 128, 128],
  [20, 30, 80],
  [222, 205, 170],
];
/** Radius in pixels of each size. */
export const RADII = [4.5, 7.5] as const;

/** The shape of an object that the parser saw but could not name. */
export const UNREADABLE = -1;

/** What an object looks like, as indices into {@link SHAPES}, {@link COLORS} and {@link SIZES}. */
export interface Look {
  /** {@link UNREADABLE} in parsed scenes only. */
  readonly shape: number;
  readonly color: number;
  readonly size: number;
}

export interface SceneObject extends Look {
  /** 0 to 8, row by row. */
  readonly cell: number;
  /** Shift of the centre in whole pixels, -2 to 2. Zero in every scene the generators make; the parser reports what it sees. */
  readonly dx: number;
  readonly dy: number;
}

export interface Scene {
  /** Index into {@link BACKGROUNDS}. */
  readonly background: number;
  /** In ascending order of their cells, at most one in each. */
  readonly objects: readonly SceneObject[];
}

/** A scene as the recorded evaluations write it: background, then cell, shape, color and size of each object. */
export type SceneRecord = readonly [number, ...(readonly [number, number, number, number])[]];

export function columnOf(cell: number): number {
  return cell % GRID_SIDE;
}

export function rowOf(cell: number): number {
  return Math.floor(cell / GRID_SIDE);
}

/** The centre of an object in pixels; it is a corner between four pixels. */
export function centerOf({ cell, dx, dy }: Pick<SceneObject, 'cell' | 'dx' | 'dy'>): { x: number; y: number } {
  return { x: 12 + CELL_SIDE * columnOf(cell) + dx, y: 12 + CELL_SIDE * rowOf(cell) + dy };
}

export function byCell(objects: readonly SceneObject[]): SceneObject[] {
  return [...objects].sort((a, b) => a.cell - b.cell);
}

export function sameLook(a: Look, b: Look): boolean {
  return a.shape === b.shape && a.color === b.color && a.size === b.size;
}

/** The cells without an object, ascending. */
export function freeCells(scene: Scene): number[] {
  return ALL_CELLS.filter((cell) => scene.objects.every((object) => object.cell !== cell));
}

/** The objects that no other one equals in both shape and color. */
export function uniqueObjects(scene: Scene): SceneObject[] {
  return scene.objects.filter((a) => !scene.objects.some((b) => b !== a && b.shape === a.shape && b.color === a.color));
}

const ALL_CELLS: readonly number[] = Array.from({ length: CELL_COUNT }, (_, cell) => cell);

/** `count` different cells, in the order drawn. */
export function sampleCells(random: Random, count: number): number[] {
  const cells = [...ALL_CELLS];
  for (let i = 0; i < count; i++) {
    const j = i + random.int(CELL_COUNT - i);
    [cells[i], cells[j]] = [cells[j] as number, cells[i] as number];
  }
  return cells.slice(0, count);
}

/** An object of random look in this cell. */
export function sampleObject(random: Random, cell: number): SceneObject {
  const shape = random.int(SHAPES.length);
  const color = random.int(COLORS.length);
  const size = random.int(SIZES.length);
  return { cell, shape, color, size, dx: 0, dy: 0 };
}

/** A scene of one to four objects; in one of three, later objects tend to repeat the first one's shape or color. */
export function genScene(random: Random): Scene {
  const background = random.int(BACKGROUNDS.length);
  const count = 1 + random.int(4);
  const repeats = random.int(3) === 0;
  const cells = sampleCells(random, count).sort((a, b) => a - b);
  const objects = cells.map((cell) => sampleObject(random, cell));
  if (!repeats) return { background, objects };
  const [first, ...rest] = objects as [SceneObject, ...SceneObject[]];
  const repeated = rest.map((object) => {
    const shape = random.int(2) === 0 ? first.shape : object.shape;
    const color = random.int(2) === 0 ? first.color : object.color;
    return { ...object, shape, color };
  });
  return { background, objects: [first, ...repeated] };
}

/** The scene in words, as compact JSON: background, then shape, color, size, row, col, dx and dy of each object. An unreadable shape is null. */
export function sceneToJson(scene: Scene): string {
  return JSON.stringify({
    background: BACKGROUNDS[scene.background],
    objects: scene.objects.map(({ shape, color, size, cell, dx, dy }) => ({
      shape: shape === UNREADABLE ? null : SHAPES[shape],
      color: COLORS[color],
      size: SIZES[size],
      row: rowOf(cell),
      col: columnOf(cell),
      dx,
      dy,
    })),
  });
}

export function sceneToRecord(scene: Scene): SceneRecord {
  return [
    scene.background,
    ...scene.objects.map(({ cell, shape, color, size }) => [cell, shape, color, size] as const),
  ];
}

/**
 * The scene of a record. Records hold no shifts, so dx and dy are 0.
 *
 * @throws HyperBagelError `BAD_OPTION` when an index is outside its table or cells do not ascend.
 */
export function sceneFromRecord(record: SceneRecord): Scene {
  const [background, ...rows] = record;
  const objects = rows.map(([cell, shape, color, size]) => ({ cell, shape, color, size, dx: 0, dy: 0 }));
  const scene = { background, objects };
  checkScene(scene, UNREADABLE);
  return scene;
}

/**
 * Refuses what is no scene.
 *
 * @param lowestShape 0 where every shape must be known, {@link UNREADABLE} for parsed scenes.
 * @throws HyperBagelError `BAD_OPTION`
 */
export function checkScene(scene: Scene, lowestShape: 0 | typeof UNREADABLE = 0): void {
  const within = (name: string, value: number, lowest: number, highest: number) => {
    if (Number.isInteger(value) && value >= lowest && value <= highest) return;
    throw badOption(name, `an integer from ${lowest} to ${highest}`, value);
  };
  within('background', scene.background, 0, BACKGROUNDS.length - 1);
  let lowestCell = 0;
  for (const [i, object] of scene.objects.entries()) {
    within(`cell of object ${i}, in ascending order,`, object.cell, lowestCell, CELL_COUNT - 1);
    within(`shape of object ${i}`, object.shape, lowestShape, SHAPES.length - 1);
    within(`color of object ${i}`, object.color, 0, COLORS.length - 1);
    within(`size of object ${i}`, object.size, 0, SIZES.length - 1);
    within(`dx of object ${i}`, object.dx, -2, 2);
    within(`dy of object ${i}`, object.dy, -2, 2);
    lowestCell = object.cell + 1;
  }
}
