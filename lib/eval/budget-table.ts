import { evaluationsOf, solverOf } from '../denoise/solver.js';
import { type Method, single } from './method.js';
import type { MethodResult } from './results.js';
import type { Table } from './tables.js';

/** A method's figure, and how often it evaluates the network for each branch of guidance. */
interface Entry {
  readonly series: string;
  readonly evaluations: number;
  readonly value: string;
}

/** Methods that differ in their steps only have one name without them. */
export function seriesOf(method: string): string {
  return method.replace(/(^|:)\d+(?=:|$)/, '');
}

/**
 * A figure by what each branch may cost: a row for each solver and guidance, a column for each number of evaluations; a method that
 * takes fewer stands in the next column that it fits in (Heun's N steps are 2 N - 1 evaluations). Undefined when there is nothing to
 * compare: fewer than two rows or two columns.
 *
 * @param value undefined where a method has no such figure
 */
export function budgetTable(
  title: string,
  results: readonly MethodResult[],
  value: (result: MethodResult) => string | undefined,
): Table | undefined {
  const shown = results.filter(({ isReference }, i) => !isReference && i > 0);
  const methods = shown.map(({ method }) => single(method));
  const budgets = [...new Set(methods.filter(({ solver }) => solver !== 'heun').flatMap(evaluations))].sort(
    (a, b) => a - b,
  );
  const entries = shown.flatMap((result, i): Entry[] => {
    const text = value(result);
    const [cost] = evaluations(methods[i] as Method);
    return text === undefined || cost === undefined
      ? []
      : [{ series: seriesOf(result.method), evaluations: cost, value: text }];
  });
  const series = [...new Set(entries.map((entry) => entry.series))];
  if (series.length < 2 || budgets.length < 2) return undefined;
  const cell = (name: string, column: number) => {
    const above = column === 0 ? 0 : (budgets[column - 1] as number);
    const fitting = entries.filter(
      (entry) => entry.series === name && entry.evaluations > above && entry.evaluations <= (budgets[column] as number),
    );
    // of several, the one that uses the budget best
    return fitting.sort((a, b) => b.evaluations - a.evaluations)[0]?.value ?? '';
  };
  return [
    [title, ...budgets.map((budget) => `at most ${budget}`)],
    ...series.map((name) => [name, ...budgets.map((_, column) => cell(name, column))]),
  ];
}

/** Evaluations of each branch: one number, or none for a student, whose steps its own files say. */
function evaluations({ solver, steps }: Method): number[] {
  if (solver === undefined || steps === undefined) return [];
  return [evaluationsOf(solverOf(solver), steps)];
}
