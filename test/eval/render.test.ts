import { describe, expect, test } from 'vitest';
import { budgetTable } from '../../lib/eval/budget-table.js';
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyphHas } from '../../lib/eval/font.js';
import { qualityPlot } from '../../lib/eval/plot.js';
import type { MethodResult } from '../../lib/eval/results.js';
import { contactSheet } from '../../lib/eval/sheet.js';
import { fidelityTable, methodsTable } from '../../lib/eval/tables.js';
import { promptItems, renderScene } from '../../lib/eval/world/index.js';
import { escapeHtml, htmlTable } from '../../lib/io/html.js';

function result(method: string, nfe: number, overall: number, psnr?: number | null): MethodResult {
  const categories = { dense: overall };
  return {
    method,
    isReference: method === 'euler:9',
    shapes: {
      scores: { items: 9, categories, overall, attributes: { count: 0.5 } },
      cost: { steps: 9, nfe, ms: 10, denoiseMs: 8 },
      ...(psnr === undefined ? {} : { nearness: { pictures: 9, psnr, latents: 0.1, channels: 0.02, colours: 0.3 } }),
      distribution: { pictures: 9, kid: 12, kidError: 3, diversity: method === 'euler:50' ? 20 : 15 },
    },
  };
}
const RESULTS = [
  result('euler:50', 91, 0.8),
  result('heun:4:guided', 14, 0.75, 33),
  result('euler:9', 18, 0.7, null),
  result('heun:8:guided', 30, 0.78, 38),
];

describe('font', () => {
  const dots = (character: string) =>
    Array.from({ length: GLYPH_WIDTH * GLYPH_HEIGHT }, (_, i) =>
      glyphHas(character, i % GLYPH_WIDTH, Math.floor(i / GLYPH_WIDTH)) ? '#' : '.',
    ).join('');

  test('every character of methods and prompts has a glyph of its own', () => {
    const characters = [...'abcdefghijklmnopqrstuvwxyz0123456789:=.,-_*'];
    const glyphs = characters.map(dots);
    for (const glyph of glyphs) expect(glyph).toContain('#');
    expect(new Set(glyphs).size).toBe(characters.length);
    expect(dots(' ')).not.toContain('#');
    expect(dots('A')).toBe(dots('a'));
    expect(dots('é')).toBe(dots(' '));
  });
});

test('the sheet shows each picture where its row and column meet', () => {
  const prompts = promptItems('dense', 2);
  const pictures = prompts.map(({ scene }) => renderScene(scene));
  const rows = ['euler:4', 'multistep:8:interval'].map((label) => ({ label, pictures }));
  const { data, width, height } = contactSheet({ columns: prompts.map(({ text }) => text), rows });
  const left = width - 2 * 68;
  const top = height - 2 * 68;
  for (const [i, picture] of pictures.entries()) {
    for (const row of [0, 1]) {
      for (const [x, y] of [
        [0, 0],
        [32, 32],
        [63, 63],
        [12, 52],
      ] as const) {
        const at = ((top + row * 68 + y) * width + left + i * 68 + x) * 3;
        expect([...data.subarray(at, at + 3)]).toEqual([...picture.subarray((y * 64 + x) * 3, (y * 64 + x) * 3 + 3)]);
      }
    }
  }
  // words stand above and beside the pictures
  const ink = (x0: number, y0: number, x1: number, y1: number) => {
    let count = 0;
    for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) if (data[(y * width + x) * 3] === 40) count++;
    return count;
  };
  expect(ink(left, 0, width, top)).toBeGreaterThan(100);
  expect(ink(0, top, left, top + 64)).toBeGreaterThan(30);
  expect(ink(0, top + 68, left, top + 68 + 64)).toBeGreaterThan(60);
});

describe('plot', () => {
  test('a line for each solver and guidance, a dot for each method, all inside', () => {
    const svg = qualityPlot(RESULTS);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    for (const title of ['ShapeEval, overall', 'PSNR to the teacher', 'KID']) expect(svg).toContain(title);
    expect(svg).not.toContain('EditEval');
    for (const name of ['>euler<', '>heun:guided<']) expect(svg).toContain(name);
    // overall, dense and KID have four dots each; equal pictures and the teacher have no PSNR
    expect(svg.match(/<circle /g)).toHaveLength(4 + 4 + 2 + 4);
    const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? [];
    for (const [, x, y] of svg.matchAll(/cx="([\d.]+)" cy="([\d.]+)"/g)) {
      expect(Number(x)).toBeLessThan(Number(width));
      expect(Number(y)).toBeLessThan(Number(height));
    }
  });

  test('higher is up, more evaluations are to the right', () => {
    const svg = qualityPlot([result('euler:4', 8, 0.2), result('euler:8', 16, 0.6)]);
    const [a, b] = [...svg.matchAll(/cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)]);
    expect(b?.[0]).toBeGreaterThan(a?.[0] ?? Number.NaN);
    expect(b?.[1]).toBeLessThan(a?.[1] ?? Number.NaN);
  });

  test('equal values and single methods have axes too', () => {
    for (const some of [[result('euler:4', 8, 0)], [result('euler:4', 8, 1), result('euler:8', 8, 1)]]) {
      expect(qualityPlot(some)).not.toMatch(/NaN|Infinity|undefined/);
    }
  });
});

test('a figure by evaluations of each branch', () => {
  const results = [
    result('euler:50', 91, 0.8),
    result('euler:4:guided', 8, 0.1, 21),
    result('euler:8:guided', 16, 0.2, 22),
    result('heun:2:guided', 6, 0.3, 23),
    result('heun:3:guided', 10, 0.35, 23.5),
    result('heun:4:guided', 14, 0.4, 24),
    result('euler:9', 18, 0.7, 30),
    result('multistep:8:unguided', 8, 0.5, null),
    result('student=fast', 6, 0.9, 40),
  ];
  const overall = ({ shapes }: MethodResult) => shapes?.scores.overall.toFixed(2);
  expect(budgetTable('overall', results, overall)).toEqual([
    ['overall', 'at most 4', 'at most 8'],
    ['euler:guided', '0.10', '0.20'],
    ['heun:guided', '0.30', '0.40'],
    ['multistep:unguided', '', '0.50'],
  ]);
  expect(budgetTable('overall', results.slice(0, 3), overall)).toBeUndefined();
  expect(budgetTable('overall', RESULTS, overall)).toBeUndefined();
});

describe('tables', () => {
  test('methods: references are marked, columns without anything left out', () => {
    expect(methodsTable(RESULTS)).toEqual([
      ['method', 'NFE', 'ms', 'shapes', 'dense', 'PSNR dB', 'latents'],
      ['euler:50', '91', '10', '0.800', '0.800', '', ''],
      ['heun:4:guided', '14', '10', '0.750', '0.750', '33.0', '0.100'],
      ['euler:9 *', '18', '10', '0.700', '0.700', 'equal', '0.100'],
      ['heun:8:guided', '30', '10', '0.780', '0.780', '38.0', '0.100'],
    ]);
  });

  test('fidelity beside the teacher', () => {
    const [head, teacher, other] = fidelityTable(RESULTS);
    expect(head).toEqual(['method', 'KID', '+-', 'channels %', 'colours', 'diversity', 'of teacher', 'count']);
    expect(teacher).toEqual(['euler:50', '12.000', '3.000', '', '', '20.0', '1.000', '0.500']);
    expect(other).toEqual(['heun:4:guided', '12.000', '3.000', '2.0', '0.300', '15.0', '0.750', '0.500']);
  });

  test('HTML is escaped', () => {
    expect(escapeHtml(`<a b="c">&'`)).toBe('&lt;a b=&quot;c&quot;&gt;&amp;&#39;');
    expect(htmlTable([['<h>'], ['<b>']])).toContain('&lt;b&gt;');
  });
});
