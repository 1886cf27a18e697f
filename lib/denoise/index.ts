export { bagelGrid, checkGrid, everyOther, isSubgrid, MAX_STEPS, shift, shiftedGrid } from './grid.js';
export {
  type Branch,
  branchesFor,
  type Guidance,
  guide,
  guidedField,
  RENORMS,
  type Renorm,
  type Scales,
  scalesAt,
} from './guidance.js';
export { planSteps, SCHEDULE_COLUMNS, type StepPlan, scheduleTable } from './schedule.js';
export {
  endpoints,
  evaluationsOf,
  integrate,
  SOLVERS,
  type Solver,
  type SolverName,
  type Stage,
  solverOf,
  stagesOf,
  type VelocityField,
} from './solver.js';
