// What all calls found, as one file.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { formatTable } from '../../lib/profile/table.js';
import { version } from '../../lib/version.js';
import { cardState, slug } from './card.js';
import { Journal } from './journal.js';
import type { PieceResult, Row } from './plan.js';

/** What the pack was made from; scripts/gpu-pack.mjs writes it. */
export interface Pack {
  device: 'cuda' | 'simt';
  /** Of the checkout, `+` when files differ from it. */
  commit: string;
  /** Hash of the kernels' sources. */
  sources: string;
  nvcc: string | null;
}

export interface Machine {
  card: string;
  arch: string;
  pack: Pack;
  version: string;
  node: string;
  state: ReturnType<typeof cardState>;
}

export interface StepReport {
  step: string;
  /** Every piece has ended. */
  done: boolean;
  seconds: number;
  pieces: Record<string, { seconds: number; result: PieceResult }>;
}

export function readPack(root: string): Pack {
  return JSON.parse(readFileSync(path.join(root, 'pack.json'), 'utf8')) as Pack;
}

export function machineOf(pack: Pack, card: string, arch: string): Machine {
  return { card, arch, pack, version, node: process.version, state: cardState() };
}

export function writeReport(folder: string, step: string, done: boolean): StepReport {
  const pieces = Object.fromEntries(new Journal(folder, step).done());
  const seconds = Object.values(pieces).reduce((sum, piece) => sum + piece.seconds, 0);
  const report = { step, done, seconds, pieces };
  writeFileSync(path.join(folder, `${step}.json`), `${JSON.stringify(report, null, 1)}\n`);
  return report;
}

export function readReport(folder: string, step: string): StepReport | null {
  const file = path.join(folder, `${step}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as StepReport) : null;
}

const results = (report: StepReport) =>
  Object.entries(report.pieces).map(([piece, { result }]) => ({ piece, ...result }));

export const failuresOf = (report: StepReport): string[] =>
  results(report).flatMap(({ piece, failures }) => failures.map((text) => `${report.step}, ${piece}: ${text}`));

/** Rows with the peer's time beside ours. */
function beside(rows: readonly Row[]): (Row & { peer?: { by: string; median: number; about?: string } })[] {
  const own = rows.filter(({ by }) => by === 'hyper-bagel');
  const peers = rows.filter(({ by }) => by !== 'hyper-bagel');
  return own.map((row) => {
    const peer = peers.find((p) => p.name === row.name && p.case === row.case);
    return peer
      ? { ...row, peer: { by: peer.by, median: peer.median, ...(peer.about ? { about: peer.about } : {}) } }
      : row;
  });
}

/** Writes `<card>.json` from the steps' files; returns its path. */
export function merge(folder: string, machine: Machine, names: readonly string[]): string {
  const reports = names.flatMap((name) => readReport(folder, name) ?? []);
  const rows = reports.flatMap((report) => results(report).flatMap((result) => result.rows ?? []));
  const merged = {
    ...machine,
    stateAfter: cardState(),
    steps: Object.fromEntries(
      reports.map((report) => [
        report.step,
        {
          done: report.done,
          seconds: report.seconds,
          pieces: Object.fromEntries(
            results(report).map(({ piece, rows: _, ...rest }) => [
              piece,
              { ...rest, seconds: report.pieces[piece]?.seconds },
            ]),
          ),
        },
      ]),
    ),
    failures: reports.flatMap(failuresOf),
    rows: beside(rows),
  };
  const file = path.join(folder, `${slug(machine.card)}.json`);
  writeFileSync(file, `${JSON.stringify(merged, null, 1)}\n`);
  return file;
}

const figure = (seconds: number) => (seconds * 1e6).toPrecision(4);

/** The summary: a line per step, the rows, the failures. */
export function summary(folder: string, names: readonly string[]): string {
  const reports = names.flatMap((name) => readReport(folder, name) ?? []);
  const steps = reports.map((report) => {
    const all = results(report);
    const count = (what: (r: (typeof all)[number]) => boolean) => `${all.filter(what).length}`;
    return [
      report.step,
      report.done ? 'done' : 'not done',
      count(({ failures, skipped }) => failures.length === 0 && !skipped),
      count(({ failures }) => failures.length > 0),
      count(({ failures, skipped }) => failures.length === 0 && skipped !== undefined),
      report.seconds.toFixed(1),
    ];
  });
  const rows = beside(reports.flatMap((report) => results(report).flatMap((result) => result.rows ?? [])));
  const skipped = reports.flatMap((report) =>
    results(report).flatMap((r) => (r.skipped ? [`${report.step}, ${r.piece}: skipped, ${r.skipped}`] : [])),
  );
  const parts = [formatTable([['step', '', 'good', 'failed', 'skipped', 's'], ...steps])];
  if (rows.length > 0) {
    parts.push(
      formatTable([
        ['what', 'us', 'floor us', 'ratio', 'peer us'],
        ...rows.map((row) => [
          `${row.name}: ${row.case}`,
          figure(row.median),
          row.floor === null ? '-' : figure(row.floor),
          row.ratio === null ? '-' : row.ratio.toFixed(2),
          row.peer ? figure(row.peer.median) : '-',
        ]),
      ]),
    );
  }
  return [...parts, ...skipped, ...reports.flatMap(failuresOf).map((text) => `FAILED ${text}`)].join('\n');
}
