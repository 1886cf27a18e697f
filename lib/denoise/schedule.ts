import { type Guidance, type Scales, scalesAt } from './guidance.js';
import { type Solver, type Stage, stagesOf } from './solver.js';

/** One evaluation of the network: a solver's stage, with the guidance scales in force. */
export interface StepPlan extends Stage, Scales {}

/** Columns of a schedule row: `ScheduleColumn` in csrc/ops/guided_update.h. */
export const SCHEDULE_COLUMNS = 8;
export const TEXT_SCALE_COLUMN = 5;
export const IMAGE_SCALE_COLUMN = 6;

/**
 * Evaluations over a grid, with the guidance in force at each. Where guidance switches on or off, the field changes, so a multistep
 * solver begins anew.
 */
export function planSteps(grid: Float32Array, guidance: Guidance, solver: Solver = { kind: 'euler' }): StepPlan[] {
  const scales = (step: number) => scalesAt(guidance, grid[step] as number);
  const stages = stagesOf(solver, grid, (step) => scales(step).text !== scales(step - 1).text);
  return stages.map((stage) => ({ ...stage, ...scalesAt(guidance, stage.time) }));
}

/** The device-side table [rows, 8]: time, p, q, w, r, text scale, image scale, renorm minimum. x' = p x + q v + w v_prev + r z. */
export function scheduleTable(plan: readonly StepPlan[], renormMin: number, rows = plan.length): Float32Array {
  const table = new Float32Array(rows * SCHEDULE_COLUMNS);
  plan.forEach(({ time, p, q, w, r, text, image }, i) => {
    table.set([time, p, q, w, r, text, image, renormMin], i * SCHEDULE_COLUMNS);
  });
  return table;
}
