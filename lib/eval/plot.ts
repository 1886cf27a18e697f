import { escapeHtml } from '../io/html.js';
import { seriesOf } from './budget-table.js';
import type { MethodResult } from './results.js';

interface Point {
  readonly nfe: number;
  readonly value: number;
}

/** The points of methods that differ in their number of steps only. */
interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

interface Panel {
  readonly title: string;
  readonly nfe: (result: MethodResult) => number | undefined;
  readonly value: (result: MethodResult) => number | null | undefined;
}

const drawNfe = ({ shapes }: MethodResult) => shapes?.cost.nfe;
const PANELS: readonly Panel[] = [
  { title: 'ShapeEval, overall', nfe: drawNfe, value: ({ shapes }) => shapes?.scores.overall },
  { title: 'ShapeEval, dense', nfe: drawNfe, value: ({ shapes }) => shapes?.scores.categories.dense },
  { title: 'PSNR to the teacher, dB', nfe: drawNfe, value: ({ shapes }) => shapes?.nearness?.psnr },
  {
    title: 'KID to the world',
    nfe: drawNfe,
    value: ({ shapes }) => shapes?.distribution?.kid,
  },
  {
    title: 'EditEval, success',
    nfe: ({ edits }) => edits?.cost.nfe,
    value: ({ edits }) => edits?.scores.overall.success,
  },
  {
    title: 'edits: PSNR to the teacher, dB',
    nfe: ({ edits }) => edits?.cost.nfe,
    value: ({ edits }) => edits?.nearness?.psnr,
  },
];

/** Distinct in hue and lightness, for white paper. */
const COLORS = ['#1f5fa8', '#c2571a', '#2c7d4f', '#7b4aa0', '#8a6d00', '#b03060'];
const DASHES = ['', '7 4', '2 3', '9 3 2 3'];
const WIDTH = 420;
const HEIGHT = 270;
const MARGIN = { left: 52, right: 14, top: 30, bottom: 42 };
const LEGEND_LINE = 20;

/** Quality against network evaluations, as an SVG file: a panel for each figure, a line for each solver and guidance. */
export function qualityPlot(results: readonly MethodResult[]): string {
  const panels = PANELS.map((panel) => ({ panel, series: seriesIn(results, panel) })).filter(
    ({ series }) => series.length > 0,
  );
  const names = [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))];
  const style = styles(names);
  const columns = Math.min(2, Math.max(1, panels.length));
  const rows = Math.ceil(panels.length / columns);
  const width = columns * WIDTH;
  const legendColumns = Math.max(1, Math.floor(width / 210));
  const height = rows * HEIGHT + 16 + LEGEND_LINE * Math.ceil(names.length / legendColumns);
  const body = panels.map(({ panel, series }, i) => {
    const at = `translate(${(i % columns) * WIDTH} ${Math.floor(i / columns) * HEIGHT})`;
    return `<g transform="${at}">${panelSvg(panel.title, series, style)}</g>`;
  });
  const legend = names.map((name, i) => {
    const x = MARGIN.left + (i % legendColumns) * 210;
    const y = rows * HEIGHT + 12 + Math.floor(i / legendColumns) * LEGEND_LINE;
    return `<path d="M${x} ${y}h28" ${style(name)}/><text x="${x + 34}" y="${y + 4}">${escapeHtml(name)}</text>`;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="quality against network evaluations" ` +
    `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n` +
    '<style>text{font:12px system-ui,sans-serif;fill:#1c1c1c}.axis{stroke:#8c8c8c}.grid{stroke:#e6e6e6}.title{font-weight:600}</style>\n' +
    `<rect width="${width}" height="${height}" fill="#fff"/>\n${[...body, ...legend].join('\n')}\n</svg>\n`
  );
}

function seriesIn(results: readonly MethodResult[], panel: Panel): Series[] {
  const groups = new Map<string, Point[]>();
  for (const result of results) {
    const nfe = panel.nfe(result);
    const value = panel.value(result);
    if (nfe === undefined || value === undefined || value === null || !Number.isFinite(value)) continue;
    const name = seriesOf(result.method);
    groups.set(name, [...(groups.get(name) ?? []), { nfe, value }]);
  }
  return [...groups].map(([name, points]) => ({ name, points: points.sort((a, b) => a.nfe - b.nfe) }));
}

/** A colour for each solver or student, a dash for each guidance. */
function styles(names: readonly string[]): (name: string) => string {
  const split = (name: string) => {
    const fields = name.split(':');
    return { kind: fields[0] ?? '', rest: fields.slice(1).join(':') };
  };
  const kinds = [...new Set(names.map((name) => split(name).kind))];
  const rests = [...new Set(names.map((name) => split(name).rest))].sort();
  return (name) => {
    const { kind, rest } = split(name);
    const dash = DASHES[rests.indexOf(rest) % DASHES.length] as string;
    const color = COLORS[kinds.indexOf(kind) % COLORS.length] as string;
    return `fill="none" stroke="${color}" stroke-width="1.8"${dash === '' ? '' : ` stroke-dasharray="${dash}"`}`;
  };
}

function panelSvg(title: string, series: readonly Series[], style: (name: string) => string): string {
  const points = series.flatMap((each) => each.points);
  const nfes = points.map(({ nfe }) => nfe);
  const [least, most] = [Math.min(...nfes), Math.max(...nfes)];
  const ticks = niceTicks(points.map(({ value }) => value));
  const [low, high] = [ticks[0] as number, ticks.at(-1) as number];
  const inner = { width: WIDTH - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const x = (nfe: number) =>
    MARGIN.left + inner.width * (most > least ? Math.log(nfe / least) / Math.log(most / least) : 0.5);
  const y = (value: number) => MARGIN.top + inner.height * (1 - (value - low) / (high - low));
  const bottom = MARGIN.top + inner.height;
  const digits = Math.max(0, -Math.floor(Math.log10((ticks[1] as number) - low)));
  const grid = ticks.map((tick) => {
    const at = y(tick).toFixed(1);
    return (
      `<path class="grid" d="M${MARGIN.left} ${at}h${inner.width}"/>` +
      `<text x="${MARGIN.left - 6}" y="${Number(at) + 4}" text-anchor="end">${tick.toFixed(digits)}</text>`
    );
  });
  const marks = [1, 2, 4, 6, 8, 12, 24, 49, 100, 200, 400].filter((nfe) => nfe >= least && nfe <= most);
  const axis = (marks.length > 1 ? marks : [least]).map((nfe) => {
    const at = x(nfe).toFixed(1);
    return (
      `<path class="axis" d="M${at} ${bottom}v4"/>` +
      `<text x="${at}" y="${bottom + 17}" text-anchor="middle">${nfe}</text>`
    );
  });
  const lines = series.map(({ name, points: own }) => {
    const path = own.map(({ nfe, value }, i) => `${i === 0 ? 'M' : 'L'}${x(nfe).toFixed(1)} ${y(value).toFixed(1)}`);
    const dots = own.map(
      ({ nfe, value }) =>
        `<circle cx="${x(nfe).toFixed(1)}" cy="${y(value).toFixed(1)}" r="2.6" ${dotStyle(style(name))}/>`,
    );
    return `<path d="${path.join('')}" ${style(name)}/>${dots.join('')}`;
  });
  return [
    `<text class="title" x="${MARGIN.left}" y="18">${escapeHtml(title)}</text>`,
    ...grid,
    `<path class="axis" d="M${MARGIN.left} ${bottom}h${inner.width}"/>`,
    ...axis,
    `<text x="${MARGIN.left + inner.width / 2}" y="${bottom + 34}" text-anchor="middle">network evaluations</text>`,
    ...lines,
  ].join('\n');
}

function dotStyle(lineStyle: string): string {
  return `fill="${/stroke="([^"]+)"/.exec(lineStyle)?.[1]}"`;
}

/** Some round numbers that hold all values between the first and the last. */
function niceTicks(values: readonly number[]): number[] {
  const high = Math.max(...values);
  const least = Math.min(...values);
  // equal values stand in the middle
  const low = high > least ? least : least - Math.abs(least || 1) / 10;
  const span = high > least ? high - low : 2 * (high - low);
  const power = 10 ** Math.floor(Math.log10(span / 5));
  const step = power * ([1, 2, 5, 10].find((factor) => span / (power * factor) <= 6) ?? 10);
  const first = Math.floor(low / step);
  const last = Math.max(first + 1, Math.ceil((low + span) / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}
