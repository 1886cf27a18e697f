// What the bench can measure. The ops and their cases are those of the tests.
import { opContracts } from '../lib/tensor/context.js';
import type { OpCase, OpCases } from '../test/kit/cases.js';

/** One line of the bench before it is measured. */
export interface RowName {
  kind: 'op' | 'step';
  name: string;
  case: string;
}

/** Steps of the bundled model: see steps.ts. */
export const STEPS = [
  'decode_step',
  'decode_step_16',
  'denoise_step',
  'denoise_step_apart',
  'denoise_step_unguided',
  'denoise_step_watched',
  'edit_step',
  'edit_step_apart',
  'vae_decode',
] as const;
export type StepName = (typeof STEPS)[number];

export function isStep(name: string): name is StepName {
  return (STEPS as readonly string[]).includes(name);
}

/** Names that may be asked for. */
export function names(): string[] {
  return [...opContracts().keys(), ...STEPS];
}

/** The cases of an op: test/cases/<op>.ts, bundled with the bench. */
export async function casesOf(op: string): Promise<OpCases> {
  const { cases } = (await import(`../test/cases/${op}.ts`)) as { cases: OpCases };
  return cases;
}

/** One small case, for what a call costs, and those made for the bench; only the first of these when it must be quick. */
export function benchCases(cases: OpCases, quick: boolean): OpCase[] {
  const small = cases.cases.find((c) => c.tags.includes('small'));
  const perf = cases.cases.filter((c) => c.tags.includes('perf'));
  return [...(small ? [small] : []), ...(quick ? perf.slice(0, 1) : perf)];
}

/** Every row of the bench, or of the names asked for. */
export async function listRows(asked: readonly string[] = names(), quick = false): Promise<RowName[]> {
  const rows: RowName[] = [];
  for (const name of names()) {
    if (!asked.includes(name)) continue;
    if (isStep(name)) {
      for (const dtype of ['f32', 'bf16']) rows.push({ kind: 'step', name, case: dtype });
    } else {
      for (const c of benchCases(await casesOf(name), quick)) rows.push({ kind: 'op', name, case: c.name });
    }
  }
  return rows;
}
