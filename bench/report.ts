import { formatTable } from '../lib/profile/table.js';
import { type Cost, type Floor, median, quantile } from './arithmetic.js';
import type { OpResult } from './op-row.js';
import type { RowName } from './rows.js';
import type { StepResult } from './steps.js';

/** One measured row, as it goes into JSON lines: times in seconds per op or step. */
export interface Measured extends RowName {
  isa: string;
  threads: number;
  median: number;
  p10: number;
  p90: number;
  p99: number;
  samples: number;
  cost: Cost;
  floor: Floor;
  /** Median over floor, and its inverse: the share of the measured roofline. */
  ratio: number;
  share: number;
  /** Rotated weights, share outside ops, what it ran on: whatever needs saying. */
  notes: Record<string, string | number>;
}

export function measured(
  row: RowName,
  where: { isa: string; threads: number },
  result: OpResult | StepResult,
): Measured {
  const { samples, cost, floor } = result;
  const notes: Measured['notes'] = {};
  if ('outside' in result) {
    notes.opsPerStep = result.ops;
    notes.outsideOps = result.outside;
    notes.about = result.about;
  } else {
    notes.opsPerRun = result.opsPerRun;
    notes.runsPerWait = result.runsPerWait;
    if (result.weights) {
      notes.weights = result.weights.copies;
      notes.weightBytes = result.weights.bytes;
    }
  }
  const middle = median(samples);
  return {
    ...row,
    isa: where.isa,
    threads: 'threads' in result ? result.threads : where.threads,
    median: middle,
    p10: quantile(samples, 0.1),
    p90: quantile(samples, 0.9),
    p99: quantile(samples, 0.99),
    samples: samples.length,
    cost,
    floor,
    ratio: middle / floor.seconds,
    share: floor.seconds / middle,
    notes,
  };
}

/** Three significant digits of a positive number, without an exponent. */
export function digits(x: number): string {
  if (!Number.isFinite(x) || x === 0) return x === 0 ? '0' : String(x);
  return x >= 100 ? x.toFixed(0) : x.toFixed(Math.min(9, 2 - Math.floor(Math.log10(x))));
}

function note({ notes }: Measured): string {
  const parts: string[] = [];
  if (notes.weights !== undefined) {
    parts.push(`${notes.weights} weights in turn, ${Math.round(Number(notes.weightBytes) / 2 ** 20)} MB`);
  }
  if (notes.about !== undefined) parts.push(String(notes.about));
  if (notes.outsideOps !== undefined) {
    parts.push(`${notes.opsPerStep} ops, ${(100 * Number(notes.outsideOps)).toFixed(1)} % outside ops`);
  }
  return parts.join('; ');
}

/** The rows as a table: microseconds, floor, ratio, and the rates that were reached. */
export function table(rows: readonly Measured[]): string {
  const head = [
    'row',
    'case',
    'threads',
    'us',
    'p10',
    'p90',
    'p99',
    'floor us',
    'of roofline',
    'bound',
    'Gflop/s',
    'GB/s',
    'notes',
  ];
  const us = (seconds: number) => digits(seconds * 1e6);
  const body = rows.map((row) => [
    row.name,
    row.case,
    String(row.threads),
    us(row.median),
    us(row.p10),
    us(row.p90),
    us(row.p99),
    us(row.floor.seconds),
    `${digits(100 * row.share)} %`,
    row.floor.bound,
    digits(row.cost.flops / row.median / 1e9),
    digits(row.cost.bytes / row.median / 1e9),
    note(row),
  ]);
  return formatTable([head, ...body]);
}
