// The mutator: what a damaged or lying file may look like. All choices come from a seed.
import { seeded } from '../kit/cases.js';

/** Choices from a seed. */
export class Dice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  /** An integer from 0 to n - 1. */
  below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }
}

/** Integers at which 8, 16, 32 and 64-bit arithmetic, doubles and sizes of files turn over. */
const EDGES = [
  0n,
  1n,
  2n,
  127n,
  128n,
  255n,
  65_535n,
  100_000_001n,
  2n ** 30n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Stands for lists within lists, deeper than a stack. */
const DEEP = '<deep>';

/** Values that a JSON document from elsewhere may hold where something else belongs. */
const ODD_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  0.5,
  1,
  3,
  16,
  17,
  1e6,
  1e7,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e21,
  1e308,
  -1e308,
  5e-324,
  '',
  '1',
  'toString',
  '../ema.safetensors',
  '/etc/passwd',
  'a\u0000b',
  '\ud800',
  'x'.repeat(5000),
  [],
  {},
  [[]],
  [0],
  [-1],
  [1, 2, 3, 4, 5, 6, 7, 8, 9],
  [2 ** 32, 2 ** 32],
  [2 ** 40, 2 ** 40, 0],
  { a: 1 },
  DEEP,
];

const ODD_KEYS = ['__proto__', 'constructor', 'toString', '', 'length', '__metadata__', '0', 'weight_map'];

/** One of them, as a value of its own: what is changed later must not change the next execution. */
const oddValue = (dice: Dice): unknown => structuredClone(dice.pick(ODD_VALUES));

/** NaN, infinities, the largest and the smallest numbers, as f32 and as two bf16. */
const ODD_FLOATS = [0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 0x00000001, 0x80000000, 0x7fc07fc0, 0xff807f80];

/** One to four changes anywhere: bits, bytes, numbers at the edges, slices that go, come twice or move, an early end. */
export function mutateBytes(bytes: Uint8Array, dice: Dice): Buffer {
  let copy: Buffer = Buffer.from(bytes);
  for (let rounds = 1 + dice.below(4); rounds > 0; rounds--) copy = mutateOnce(copy, dice);
  return copy;
}

function mutateOnce(copy: Buffer, dice: Dice): Buffer {
  if (copy.length === 0) return Buffer.from([dice.below(256)]);
  const at = dice.below(copy.length);
  const end = Math.min(copy.length, at + 1 + dice.below(dice.chance(0.5) ? 16 : copy.length));
  switch (dice.below(9)) {
    case 0:
      copy[at] = (copy[at] as number) ^ (1 << dice.below(8));
      return copy;
    case 1:
      for (let i = at; i < Math.min(end, at + 8); i++) copy[i] = dice.below(256);
      return copy;
    case 2:
      return writeNumber(copy, at, dice.pick(EDGES), dice);
    case 3:
      return writeNumber(copy, at, BigInt(copy.length + dice.below(9) - 4 - dice.below(2) * at), dice);
    case 4:
      return copy.subarray(0, at);
    case 5:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(end)]);
    case 6:
      return Buffer.concat([copy.subarray(0, end), copy.subarray(at)]);
    case 7:
      return copy.fill(dice.pick([0, 0x20, 0x7f, 0xff]), at, end);
    default: {
      const from = dice.below(copy.length);
      copy.copy(copy, at, from, from + end - at);
      return copy;
    }
  }
}

/** A number of 1, 2, 4 or 8 bytes of either byte order, as far as the bytes reach. */
function writeNumber(copy: Buffer, at: number, value: bigint, dice: Dice): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  const size = dice.pick([1, 2, 4, 8]);
  const number = bytes.subarray(0, size);
  if (dice.chance(0.5)) number.reverse();
  number.copy(copy, at);
  return copy;
}

/** Numbers of a body become NaN, infinite, huge or tiny. */
export function mutateFloats(bytes: Uint8Array, from: number, dice: Dice): Buffer {
  const copy = Buffer.from(bytes);
  const words = Math.floor((copy.length - from) / 4);
  if (words < 1) return copy;
  const count = dice.chance(0.2) ? words : 1 + dice.below(8);
  const value = dice.pick(ODD_FLOATS);
  for (let i = 0; i < count; i++) copy.writeUInt32LE(value, from + 4 * (count === words ? i : dice.below(words)));
  return copy;
}

/** The text of a document with one to three changes: of values, keys, places, nesting, or of its very characters. */
export function mutateJson(bytes: Uint8Array, dice: Dice): Buffer {
  if (dice.chance(0.15)) return mutateBytes(bytes, dice);
  let root: unknown;
  try {
    root = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return mutateBytes(bytes, dice);
  }
  for (let rounds = 1 + dice.below(3); rounds > 0; rounds--) root = changeNode(root, dice);
  const text = (JSON.stringify(root) ?? '').replaceAll(
    JSON.stringify(DEEP),
    `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
  );
  if (dice.chance(0.05)) return Buffer.from(text.replace(/"([^"]+)":/, '"$1":1,"$1":'));
  if (dice.chance(0.03))
    return Buffer.from(text.replace(/-?\d+/, dice.pick(['1e999', '-1e999', 'NaN', '1e-999', '00'])));
  if (dice.chance(0.02)) return Buffer.from(`${'['.repeat(20_000)}${text}${']'.repeat(20_000)}`);
  return Buffer.from(text);
}

type Container = unknown[] | Record<string, unknown>;
const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null;

function changeNode(root: unknown, dice: Dice): unknown {
  if (!isContainer(root) || dice.chance(0.02)) return oddValue(dice);
  // down to a random depth
  let node: Container = root;
  for (;;) {
    const inner: Container[] = Object.values(node).filter(isContainer);
    if (inner.length === 0 || dice.chance(0.25)) break;
    node = dice.pick(inner);
  }
  const keys = Object.keys(node);
  const key = keys.length === 0 ? '0' : dice.pick(keys);
  const values = node as Record<string, unknown>;
  const value = values[key];
  const set = (name: string, to: unknown) =>
    // so that __proto__ becomes a key like any other
    Object.defineProperty(node, name, { value: to, enumerable: true, configurable: true, writable: true });
  switch (dice.below(8)) {
    case 0:
    case 1:
      set(key, oddValue(dice));
      break;
    case 2:
      if (Array.isArray(node)) node.splice(Number(key), 1);
      else delete node[key];
      break;
    case 3:
      if (Array.isArray(node)) node.push(structuredClone(value), structuredClone(value));
      else set(dice.pick(ODD_KEYS), structuredClone(value));
      break;
    case 4:
      set(key, structuredClone(values[keys.length === 0 ? '0' : dice.pick(keys)]));
      break;
    case 5:
      set(key, Number(dice.pick(EDGES)));
      break;
    case 6:
      if (typeof value === 'number') set(key, value + dice.pick([-1, 1, 2, 8, 0.5, -value, value, 15 * value]));
      else if (typeof value === 'string') set(key, mutateBytes(Buffer.from(value), dice).toString());
      else set(key, [value]);
      break;
    default:
      set(key, { [key]: value });
  }
  return root;
}

/** A safetensors file with a change to its header, its data or the number between them. */
export function mutateSafetensors(bytes: Uint8Array, dice: Dice): Buffer {
  const copy = Buffer.from(bytes);
  const start = 8 + Number(copy.readBigUInt64LE(0));
  const kind = dice.below(10);
  if (kind === 0) return mutateBytes(copy, dice);
  if (kind === 1) {
    copy.writeBigUInt64LE(dice.chance(0.5) ? dice.pick(EDGES) : BigInt(start + dice.below(17) - 16));
    return copy;
  }
  if (kind === 2) return copy.subarray(0, dice.below(copy.length));
  if (kind <= 4) return mutateFloats(copy, start, dice);
  const header = kind === 5 ? mutateBytes(copy.subarray(8, start), dice) : mutateJson(copy.subarray(8, start), dice);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, copy.subarray(start)]);
}
