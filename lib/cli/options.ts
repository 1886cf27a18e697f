import { type Command, InvalidArgumentError, Option } from 'commander';

/** Options that every command with a model takes. */
export interface ModelFlags {
  model?: string;
  device?: 'auto' | 'cpu' | 'cuda';
  dtype?: 'f32' | 'bf16';
  threads?: number;
  json?: true;
  /** False with --no-cache. */
  cache: boolean;
  /** Folder of a draft head; false: that of the model folder is not loaded either. */
  draft?: string | false;
}

export function addModelOptions(command: Command): Command {
  return command
    .option('-m, --model <dir>', 'model folder in the public layout (default: the bundled tiny model)')
    .addOption(
      new Option('--device <name>', 'where to compute (default: HYPER_BAGEL_DEVICE, else auto)').choices([
        'auto',
        'cpu',
        'cuda',
      ]),
    )
    .addOption(
      new Option('--dtype <name>', 'activations and cache; weights too with bf16 (default: f32)').choices([
        'f32',
        'bf16',
      ]),
    )
    .option(
      '--threads <n>',
      'compute threads (default: HYPER_BAGEL_THREADS, else what the process may use)',
      integer(1, 256),
    )
    .option('--no-cache', 'measure this machine anew, and keep nothing in the cache folder of the user')
    .option('--json', 'print one JSON object instead of text');
}

/** For commands whose answers are drafted. */
export function addDraftOption(command: Command): Command {
  return command.option(
    '--draft <dir>',
    "folder of an EAGLE-3 draft head (default: draft/ in the model's folder, if any)",
  );
}

/** A parser of whole numbers from `min` to `max`. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^[-+]?\d+$/.test(text) && Number.isSafeInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number ${rangeText(min, max, Number.MAX_SAFE_INTEGER)}.`);
  };
}

/** A parser of finite numbers from `min` to `max`. */
export function real(min: number, max: number = Number.MAX_VALUE): (text: string) => number {
  return (text) => {
    const value = parseReal(text);
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a number ${rangeText(min, max, Number.MAX_VALUE)}.`);
  };
}

/** NaN unless the text is a plain decimal number; `Number` alone would take '', '0x1' and 'Infinity'. */
function parseReal(text: string): number {
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

function rangeText(min: number, max: number, unlimited: number): string {
  return max === unlimited ? `of at least ${min}` : `from ${min} to ${max}`;
}

/** Parses `WIDTHxHEIGHT` in pixels. Which sizes a model can draw is the model's business. */
export function size(text: string): { width: number; height: number } {
  const [, width, height] = /^(\d{1,6})x(\d{1,6})$/i.exec(text) ?? [];
  if (width === undefined || height === undefined) {
    throw new InvalidArgumentError('Expected WIDTHxHEIGHT in pixels, for example 64x64.');
  }
  return { width: Number(width), height: Number(height) };
}

/** Parses `LOW,HIGH` with 0 <= LOW <= HIGH <= 1. */
export function interval(text: string): [number, number] {
  const [low = Number.NaN, high = Number.NaN, ...more] = text.split(',').map(parseReal);
  if (more.length === 0 && low >= 0 && low <= high && high <= 1) return [low, high];
  throw new InvalidArgumentError('Expected LOW,HIGH with 0 <= LOW <= HIGH <= 1, for example 0.4,1.');
}

/** Parses times in [0, 1], separated by commas. Whether they are a grid is the model's business. */
export function times(text: string): number[] {
  const list = text.split(',').map(parseReal);
  if (list.length > 1 && list.every((time) => time >= 0 && time <= 1)) return list;
  throw new InvalidArgumentError('Expected times from 0 to 1, separated by commas, for example 1,0.75,0.');
}

/** For options that may be given several times. */
export function collect(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

/** The object without its undefined members, as options with exact types want it. */
export function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
