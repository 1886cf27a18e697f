import { SOLVERS, type SolverName } from '../denoise/solver.js';
import { HyperBagelError } from '../errors.js';
import type { DrawOptions } from '../models/bagel/draw-options.js';

/**
 * Where guidance is on. `default`: as drawing (0.4, 1] and editing (0, 1] do without options; `guided`: at all times; `interval`:
 * (0.4, 1]; `unguided`: never.
 */
export const GUIDANCE_WORDS = ['default', 'guided', 'interval', 'unguided'] as const;
export type GuidanceWord = (typeof GUIDANCE_WORDS)[number];

/** One way to make pictures: what an evaluation compares. */
export interface Method {
  /** The canonical spelling; equal methods have equal names. */
  readonly name: string;
  /** Undefined for that of a student. */
  readonly solver: SolverName | undefined;
  /** Solver steps; undefined for a student on the grid it was trained for. */
  readonly steps: number | undefined;
  readonly guidance: GuidanceWord;
  /** Scales, the time shift and gamma, when they are not the defaults. */
  readonly numbers: Readonly<Partial<Record<NumberKey, number>>>;
  readonly student: string | undefined;
}

/** Numbers that a method may set: allowed range, and the option that takes it. */
const NUMBER_KEYS = {
  text: { low: 0, high: 1000, option: 'guidance' },
  image: { low: 0, high: 1000, option: 'imageGuidance' },
  shift: { low: 1e-3, high: 1000, option: 'shift' },
  gamma: { low: 0, high: 1, option: 'gamma' },
} as const;
type NumberKey = keyof typeof NUMBER_KEYS;

const STUDENT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** More methods than this in one run are a slip of the keyboard. */
const MAX_METHODS = 500;

/** The syntax in words, for `--help` and error messages. */
export const METHOD_SYNTAX =
  `fields joined by colons, in any order: a solver (${SOLVERS.join(', ')}), a number of steps, where guidance is on (guided, ` +
  'interval, unguided; default: as draw and edit do), student=NAME, text=SCALE, image=SCALE, shift=S, gamma=G (of tcd); commas in a ' +
  'field make one method each, as in euler,heun:6:guided,unguided';

/** The method that everything is compared with: the undistilled model with the public application's sampler. */
export const TEACHER: Method = single('euler:50');

/**
 * The methods that a text spells: {@link METHOD_SYNTAX}.
 *
 * @throws HyperBagelError BAD_OPTION
 */
export function parseMethods(text: string): Method[] {
  const fields = text.split(':').map(alternatives);
  const count = fields.reduce((product, field) => product * field.length, 1);
  if (count > MAX_METHODS) throw badMethod(text, `at most ${MAX_METHODS} methods`, `${count}`);
  let combined: string[][] = [[]];
  for (const field of fields) combined = combined.flatMap((before) => field.map((each) => [...before, each]));
  return combined.map((each) => fromFields(each, text));
}

/** One method of a text that spells one. @throws HyperBagelError BAD_OPTION */
export function single(text: string): Method {
  const [method, ...more] = parseMethods(text);
  if (method === undefined || more.length > 0) throw badMethod(text, 'one method', `${more.length + 1}`);
  return method;
}

/** The values of a field; a key before the first counts for all: "gamma=0,1" is "gamma=0", "gamma=1". */
function alternatives(field: string): string[] {
  const key = /^[a-z]+=/.exec(field)?.[0] ?? '';
  return field
    .slice(key.length)
    .split(',')
    .map((value) => key + value.trim());
}

function fromFields(fields: readonly string[], text: string): Method {
  const seen = new Map<string, string>();
  const set = (what: string, value: string) => {
    if (seen.has(what)) throw badMethod(text, `one ${what}`, `${seen.get(what)} and ${value}`);
    seen.set(what, value);
  };
  for (const field of fields) {
    const [key, value] = field.includes('=') ? (field.split('=', 2) as [string, string]) : ['', field];
    if (key === '' && (SOLVERS as readonly string[]).includes(value)) set('solver', value);
    else if (key === '' && (GUIDANCE_WORDS as readonly string[]).includes(value)) set('guidance', value);
    else if (key === '' && /^\d{1,4}$/.test(value)) set('steps', value);
    else if (key === 'student' && STUDENT_NAME.test(value)) set('student', value);
    else if (Object.hasOwn(NUMBER_KEYS, key)) set(key, checkNumber(key as NumberKey, value, text));
    else throw badMethod(text, METHOD_SYNTAX, field === '' ? 'an empty field' : field);
  }
  const student = seen.get('student');
  const solver = (seen.get('solver') ?? solverOf(student, seen.has('gamma'))) as SolverName | undefined;
  if (seen.has('gamma') && solver !== 'tcd') throw badMethod(text, 'gamma with the solver tcd only', fields.join(':'));
  const steps = seen.has('steps') ? Number(seen.get('steps')) : stepsOf(solver, student);
  if (steps !== undefined && (steps < 1 || steps > 1000)) throw badMethod(text, '1 to 1000 steps', `${steps}`);
  const guidance = (seen.get('guidance') ?? 'default') as GuidanceWord;
  const numbers: Partial<Record<NumberKey, number>> = {};
  for (const key of Object.keys(NUMBER_KEYS) as NumberKey[]) {
    if (seen.has(key)) numbers[key] = Number(seen.get(key));
  }
  if (guidance === 'unguided' && (numbers.text !== undefined || numbers.image !== undefined)) {
    throw badMethod(text, 'no scales beside unguided', fields.join(':'));
  }
  return named({ solver, steps, guidance, numbers, student });
}

/** The solver when nobody names one. */
function solverOf(student: string | undefined, hasGamma: boolean): SolverName | undefined {
  if (hasGamma) return 'tcd';
  return student === undefined ? 'euler' : undefined;
}

/** Steps when nobody says how many. */
function stepsOf(solver: SolverName | undefined, student: string | undefined): number | undefined {
  if (solver === 'one-step') return 1;
  return student === undefined ? 50 : undefined;
}

function checkNumber(key: NumberKey, value: string, text: string): string {
  const { low, high } = NUMBER_KEYS[key];
  const number = /^(\d+\.?\d*|\.\d+)$/.test(value) ? Number(value) : Number.NaN;
  if (number >= low && number <= high) return String(number);
  throw badMethod(text, `${key} to be a number from ${low} to ${high}`, value);
}

function named(parts: Omit<Method, 'name'>): Method {
  const { solver, steps, guidance, numbers, student } = parts;
  const fields = [
    ...(student === undefined ? [] : [`student=${student}`]),
    ...(solver === undefined ? [] : [solver]),
    ...(steps === undefined ? [] : [String(steps)]),
    ...(guidance === 'default' ? [] : [guidance]),
    ...Object.entries(numbers).map(([key, value]) => `${key}=${value}`),
  ];
  return { ...parts, name: fields.join(':') };
}

/** Whether a method is plain Euler steps of the undistilled, guided model. */
function isPlain({ solver, guidance, student }: Method): boolean {
  return solver === 'euler' && guidance !== 'unguided' && student === undefined;
}

/**
 * The row that belongs beside a method: the undistilled, guided model by plain Euler with as many steps. Undefined when the method is
 * that itself, or such a row is among `others` already.
 */
export function referenceFor(method: Method, steps: number, others: readonly Method[]): Method | undefined {
  if (isPlain(method)) return undefined;
  const { guidance } = method;
  const fits = (other: Method) =>
    isPlain(other) && other.steps === steps && (guidance === 'unguided' || guidance === other.guidance);
  if (others.some(fits)) return undefined;
  const words = guidance === 'unguided' ? 'default' : guidance;
  return named({ solver: 'euler', steps, guidance: words, numbers: {}, student: undefined });
}

/** A file name of its own for each method. */
export function folderOf(method: Method): string {
  return method.name.replaceAll(':', '-').replaceAll('=', '_');
}

/** What `draw` or `edit` takes to work by this method. */
export function optionsOf({ solver, steps, guidance, numbers, student }: Method): DrawOptions {
  const places = {
    default: {},
    guided: { interval: [0, 1] },
    interval: { interval: [0.4, 1] },
    unguided: { guidance: 1, imageGuidance: 1 },
  } as const;
  const set = Object.entries(numbers).map(([key, value]) => [NUMBER_KEYS[key as NumberKey].option, value]);
  return { steps, solver, student, ...places[guidance], ...(Object.fromEntries(set) as DrawOptions) };
}

function badMethod(text: string, expected: string, got: string): HyperBagelError {
  return new HyperBagelError('BAD_OPTION', `method "${text}": expected ${expected}; got ${got}`, {
    operand: 'method',
    expected,
    got,
  });
}
