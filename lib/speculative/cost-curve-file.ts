import { keepMeasurement, loadMeasurement } from '../io/kept-measurement.js';
import { CostCurve, type CostCurveInit } from './cost-curve.js';

/** What a measurement holds for. */
export interface CostCurveKey {
  /** Hash of the model's weights. */
  model: string;
  /** The device with its name, such as a processor's or a card's. */
  device: string;
  isa: string;
  threads: number;
  dtype: string;
}

const KIND = 'cost curve';

/** The fields in one order. */
const ordered = ({ model, device, isa, threads, dtype }: CostCurveKey) => ({ model, device, isa, threads, dtype });

/** A stored measurement; undefined when there is none for this key, or the file is damaged or not ours. */
export function loadCostCurve(key: CostCurveKey, folder?: string): Promise<CostCurve | undefined> {
  return loadMeasurement(KIND, ordered(key), (value) => new CostCurve(value as CostCurveInit), folder);
}

/** Stores a measurement. Returns false when it cannot be stored, which only means that it is made again. */
export function storeCostCurve(key: CostCurveKey, { stepMs, points }: CostCurve, folder?: string): Promise<boolean> {
  return keepMeasurement(KIND, ordered(key), { stepMs, points }, folder);
}
