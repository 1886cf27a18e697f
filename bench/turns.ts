// Two child processes that are measured in turns.
import { type PairedRatio, pairedRatio } from './arithmetic.js';

/** One side of a comparison: seconds per call, over at least that many seconds. */
export type Sampler = (seconds: number) => Promise<number>;

/** How long a comparison takes. */
export interface Effort {
  rounds: number;
  /** Of a turn at least. */
  seconds: number;
}

export interface Turns {
  a: number[];
  b: number[];
  ratio: PairedRatio;
}

/** Milliseconds between two turns: idle threads of ONNX Runtime spin for more than 20 ms after their work, on the same processors. */
const PAUSE_MS = 150;

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));

/** A-B-A-B: a turn of each that does not count, then `rounds` of them. The ratio is a to b. */
export async function takeTurns(a: Sampler, b: Sampler, rounds: number, seconds: number): Promise<Turns> {
  const [listA, listB]: [number[], number[]] = [[], []];
  for (let round = -1; round < rounds; round++) {
    await pause();
    const fromA = await a(seconds);
    await pause();
    const fromB = await b(seconds);
    if (round < 0) continue;
    listA.push(fromA);
    listB.push(fromB);
  }
  return { a: listA, b: listB, ratio: pairedRatio(listA, listB) };
}
