// The charts of the bench: what `--svg` writes.
import { median } from './arithmetic.js';
import type { ContestResult } from './peers/contests.js';
import type { Measured } from './report.js';
import { barChart } from './svg.js';

const percent = (share: number) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** Share of the measured roofline that every row reaches; one colour for what bounds it. */
export function rowsChart(rows: readonly Measured[], machine: string): string {
  return barChart({
    title: 'Share of the measured roofline',
    axis: `floor / median; ${machine}`,
    series: ['bound by arithmetic', 'bound by memory'],
    bars: rows.map(({ name, case: c, share, floor }) => ({
      label: `${name}: ${c}`,
      value: share,
      text: percent(share),
      series: floor.bound === 'flops' ? 0 : 1,
    })),
    mark: { value: 1, label: 'roofline' },
  });
}

/** Milliseconds of both engines and the floor, contest by contest. */
export function peersChart(results: readonly ContestResult[], machine: string): string {
  const ms = (seconds: number) => seconds * 1e3;
  return barChart({
    title: 'Beside ONNX Runtime',
    axis: `median, relative to the peer; ${machine}`,
    series: ['hyper-bagel', 'ONNX Runtime', 'floor'],
    bars: results.flatMap(({ name, threads, turns, floor }) => {
      const peer = median(turns.b);
      const bar = (seconds: number, series: number, label = '') => ({
        label,
        value: seconds / peer,
        text: `${ms(seconds).toFixed(2)} ms`,
        series,
      });
      const label = `${name}, ${threads} thread${threads === 1 ? '' : 's'}`;
      return [bar(median(turns.a), 0, label), bar(peer, 1), bar(floor.seconds, 2)];
    }),
    mark: { value: 1, label: 'ONNX Runtime' },
  });
}
