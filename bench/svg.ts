// Bar charts as SVG: no fonts, scripts or files of others.

export interface Bar {
  label: string;
  /** At or above 0; what is no number is drawn as nothing and labelled so. */
  value: number;
  /** Printed after the bar. */
  text: string;
  /** Which of the series it belongs to. */
  series: number;
}

export interface Chart {
  title: string;
  /** What the length of a bar is. */
  axis: string;
  series: readonly string[];
  bars: readonly Bar[];
  /** A line across the bars at this value. */
  mark?: { value: number; label: string };
}

const COLOURS = ['#2f6db3', '#d9822b', '#3a8f5c', '#8c4fa8'];
const ROW = 18;
const LABEL_WIDTH = 430;
const BAR_WIDTH = 380;
const TEXT_WIDTH = 190;
const HEAD = 62;

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c);

const shortened = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Horizontal bars, one per line, on a scale from 0 to the largest value or the mark. */
export function barChart({ title, axis, series, bars, mark }: Chart): string {
  const finite = bars.map((bar) => bar.value).filter(Number.isFinite);
  const most = Math.max(mark?.value ?? 0, ...finite, Number.MIN_VALUE);
  const scale = (value: number) => (Number.isFinite(value) ? Math.max(0, (value / most) * BAR_WIDTH) : 0);
  const width = LABEL_WIDTH + BAR_WIDTH + TEXT_WIDTH;
  const height = HEAD + bars.length * ROW + 12;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="10" y="20" font-size="14" font-weight="bold">${escaped(title)}</text>`,
    `<text x="10" y="38" fill="#555555">${escaped(axis)}</text>`,
  ];
  let x = LABEL_WIDTH;
  series.forEach((name, i) => {
    lines.push(`<rect x="${x}" y="44" width="10" height="10" fill="${COLOURS[i % COLOURS.length]}"/>`);
    lines.push(`<text x="${x + 14}" y="53">${escaped(name)}</text>`);
    x += 34 + 6 * name.length;
  });
  bars.forEach(({ label, value, text, series: s }, i) => {
    const y = HEAD + i * ROW;
    const length = scale(value);
    lines.push(
      `<text x="${LABEL_WIDTH - 8}" y="${y + 12}" text-anchor="end">${escaped(shortened(label, 74))}<title>${escaped(label)}</title></text>`,
      `<rect x="${LABEL_WIDTH}" y="${y + 3}" width="${length.toFixed(1)}" height="${ROW - 6}" fill="${COLOURS[s % COLOURS.length]}"/>`,
      `<text x="${(LABEL_WIDTH + length + 6).toFixed(1)}" y="${y + 12}">${escaped(Number.isFinite(value) ? text : 'no figure')}</text>`,
    );
  });
  if (mark) {
    const at = (LABEL_WIDTH + scale(mark.value)).toFixed(1);
    lines.push(
      `<line x1="${at}" y1="${HEAD - 2}" x2="${at}" y2="${HEAD + bars.length * ROW}" stroke="#b00020" stroke-dasharray="3 3"/>`,
      `<text x="${at}" y="${HEAD - 6}" text-anchor="middle" fill="#b00020">${escaped(mark.label)}</text>`,
    );
  }
  return `${[...lines, '</svg>'].join('\n')}\n`;
}
