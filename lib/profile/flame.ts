import { escapeHtml } from '../io/html.js';
import { familyOf } from './events.js';
import { isRange, lanesOf, nameOf, type ProfileNode, type RangeNode } from './ranges.js';

/** Pixels. */
const WIDTH = 1200;
const ROW = 18;
const GAP = 26;
const MARGIN = 10;
/** Narrower boxes are left out, narrower labels too. */
const LEAST_BOX = 0.35;
const LEAST_LABEL = 24;
const CHARACTER = 6.2;

/** Distinct in hue on white; ranges are grey. */
const COLORS: Readonly<Record<string, string>> = {
  linear: '#7aa6d8',
  attention: '#e08e5b',
  'norms and RoPE': '#7fbf8e',
  'convolution and pixels': '#b596cf',
  embeddings: '#d8c15f',
  speculation: '#e295ac',
  'sampling and solver': '#6fc0c0',
  other: '#c4b8a8',
};
const RANGE_COLORS = ['#cfd4da', '#dde1e6'];
const COPY_COLOR = '#efefef';

/**
 * A profile as an SVG file: time to the right, ranges above what they hold, ops in the colour of their family. The first panel shows all of
 * it, the second one run of what took most of the time.
 *
 * @param top see `rangeTree`; not empty
 */
export function flameChart(top: readonly ProfileNode[]): string {
  const panels = [panelOf('all of it', top)];
  const example = exampleOf(top);
  if (example) panels.push(panelOf(`one of these: ${example.name}`, [example]));
  const drawn: string[] = [];
  const families = new Set<string>();
  let y = MARGIN;
  for (const panel of panels) {
    drawn.push(text(MARGIN, y + 13, `${panel.title}, ${duration(panel.endNs - panel.startNs)}`, 't'));
    y += GAP;
    for (const lane of panel.lanes) {
      drawLane(lane, 0, y, panel, drawn, families);
      y += ROW * depthOf(lane) + 6;
    }
    y += GAP / 2;
  }
  let x = MARGIN;
  for (const family of Object.keys(COLORS).filter((name) => families.has(name))) {
    drawn.push(
      `<rect x="${x}" y="${y}" width="12" height="12" fill="${COLORS[family]}"/>`,
      text(x + 17, y + 10, family),
    );
    x += 17 + family.length * CHARACTER + 22;
  }
  const height = y + 12 + MARGIN;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="flame chart" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">\n` +
    '<style>text{font:11px system-ui,sans-serif;fill:#1c1c1c}text.t{font-weight:600;font-size:13px}</style>\n' +
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>\n${drawn.join('\n')}\n</svg>\n`
  );
}

interface Panel {
  title: string;
  lanes: ProfileNode[][];
  startNs: number;
  endNs: number;
}

function panelOf(title: string, nodes: readonly ProfileNode[]): Panel {
  const startNs = Math.min(...nodes.map((node) => node.startNs));
  const endNs = Math.max(...nodes.map((node) => node.endNs));
  return { title, lanes: lanesOf(nodes), startNs, endNs };
}

/** The middle one, in order of time, of the ranges of one name that took most time: of those that come often and hold ranges. */
function exampleOf(top: readonly ProfileNode[]): RangeNode | undefined {
  const byName = new Map<string, RangeNode[]>();
  const visit = (nodes: readonly ProfileNode[]) => {
    for (const node of nodes.filter(isRange)) {
      if (node.children.some(isRange)) byName.set(node.name, [...(byName.get(node.name) ?? []), node]);
      visit(node.children);
    }
  };
  visit(top);
  const time = (nodes: readonly RangeNode[]) => nodes.reduce((sum, { startNs, endNs }) => sum + endNs - startNs, 0);
  const [most] = [...byName.values()].filter((nodes) => nodes.length > 2).sort((a, b) => time(b) - time(a));
  return most?.[Math.floor(most.length / 2)];
}

function depthOf(nodes: readonly ProfileNode[]): number {
  return nodes.reduce((most, node) => Math.max(most, 1 + (isRange(node) ? depthOf(node.children) : 0)), 0);
}

function drawLane(
  nodes: readonly ProfileNode[],
  depth: number,
  y: number,
  panel: Panel,
  drawn: string[],
  families: Set<string>,
): void {
  const scale = (WIDTH - 2 * MARGIN) / Math.max(1, panel.endNs - panel.startNs);
  for (const node of nodes) {
    const width = (node.endNs - node.startNs) * scale;
    if (width < LEAST_BOX) continue;
    const x = MARGIN + (node.startNs - panel.startNs) * scale;
    const top = y + depth * ROW;
    drawn.push(
      `<rect x="${x.toFixed(1)}" y="${top}" width="${Math.max(0.3, width - 0.3).toFixed(1)}" height="${ROW - 1}" ` +
        `fill="${colorOf(node, depth, families)}"/>`,
    );
    if (width >= LEAST_LABEL) drawn.push(text(x + 3, top + 12.5, clipped(labelOf(node), width - 6)));
    if (isRange(node)) drawLane(node.children, depth + 1, y, panel, drawn, families);
  }
}

function colorOf(node: ProfileNode, depth: number, families: Set<string>): string {
  if (isRange(node)) return RANGE_COLORS[depth % RANGE_COLORS.length] as string;
  if (node.op === '') return COPY_COLOR;
  const family = familyOf(node.op);
  families.add(family);
  return COLORS[family] as string;
}

const labelOf = (node: ProfileNode) => `${nameOf(node)} ${duration(node.endNs - node.startNs)}`;

function clipped(label: string, width: number): string {
  const most = Math.floor(width / CHARACTER);
  return label.length <= most ? label : label.slice(0, most);
}

function duration(ns: number): string {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(2)} s`;
  return ns >= 1e6 ? `${(ns / 1e6).toFixed(2)} ms` : `${(ns / 1e3).toFixed(1)} us`;
}

function text(x: number, y: number, words: string, style?: string): string {
  return `<text x="${x.toFixed(1)}" y="${y}"${style ? ` class="${style}"` : ''}>${escapeHtml(words)}</text>`;
}
