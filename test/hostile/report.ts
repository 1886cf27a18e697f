import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';

/** An execution that found something. */
export interface Failure {
  seed: number;
  target: string;
  /** The changed file, relative to the folder. */
  file: string;
  problem: string;
}

/** What the worker prints at its end, as JSON. */
export interface Summary {
  executions: number;
  /** Executions that threw nothing. */
  accepted: number;
  /** The others, by code. */
  codes: Record<string, number>;
  /** Executions and milliseconds by target. */
  targets: Record<string, { executions: number; ms: number }>;
  failures: Failure[];
  /** Whether peaks of memory could be measured, or why not. */
  memory: string;
}

/** Where changed files that found something are kept. */
export const KEPT = path.join('.cache', 'hostile-found');

/** Keeps the changed file of an execution. */
export function keep(folder: string, { seed, file }: Omit<Failure, 'problem'>): void {
  mkdirSync(KEPT, { recursive: true });
  copyFileSync(path.join(folder, file), path.join(KEPT, `${seed}-${path.basename(file)}`));
}
