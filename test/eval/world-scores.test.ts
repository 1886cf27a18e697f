// The scores on constructed right and wrong pictures.
import { describe, expect, test } from 'vitest';
import {
  answerMatches,
  CATEGORIES,
  checkAttributes,
  checkPrompt,
  EDITS,
  type Edit,
  editItems,
  editPsnr,
  judgeEdit,
  type PromptCheck,
  parseImage,
  promptItems,
  renderScene,
  type Scene,
  sceneFromRecord,
  scoreEdit,
} from '../../lib/eval/world/index.js';

// Indices: circle 0, square 1, triangle 2, diamond 3, cross 4; red 0, green 1, blue 2; small 0, large 1; white 0, black 1.

describe('prompts', () => {
  const circleAndSquare: PromptCheck = {
    objects: [
      { shape: 0, color: 0 },
      { shape: 1, color: 1 },
    ],
    background: 1,
  };
  test.each<[string, Parameters<typeof sceneFromRecord>[0], boolean]>([
    ['both', [1, [0, 0, 0, 1], [5, 1, 1, 0]], true],
    ['both, the other way round', [1, [0, 1, 1, 1], [5, 0, 0, 0]], true],
    ['colors swapped', [1, [0, 0, 1, 1], [5, 1, 0, 0]], false],
    ['another background', [0, [0, 0, 0, 1], [5, 1, 1, 0]], false],
    ['one missing', [1, [0, 0, 0, 1]], false],
    ['one too many', [1, [0, 0, 0, 1], [5, 1, 1, 0], [6, 1, 1, 0]], false],
    ['an unreadable one too many', [1, [0, 0, 0, 1], [5, 1, 1, 0], [6, -1, 1, 0]], false],
    ['an unreadable one in place of the square', [1, [0, 0, 0, 1], [5, -1, 1, 0]], false],
    ['two circles', [1, [0, 0, 0, 1], [5, 0, 0, 0]], false],
  ])('a red circle and a green square on black: %s', (_name, record, expected) => {
    expect(checkPrompt(circleAndSquare, sceneFromRecord(record))).toBe(expected);
  });

  test('the assignment is searched, not taken in order', () => {
    // The first object fits both names, the second only the first name.
    const check = { objects: [{ shape: 0 }, { shape: 0, color: 0, size: 1 }] };
    expect(checkPrompt(check, sceneFromRecord([0, [0, 0, 0, 1], [1, 0, 2, 0]]))).toBe(true);
    expect(checkPrompt(check, sceneFromRecord([0, [0, 0, 2, 1], [1, 0, 0, 0]]))).toBe(false);
  });

  test('a cell counts where it is named', () => {
    const check = { objects: [{ shape: 0, color: 0, size: 1, cell: 4 }] };
    expect(checkPrompt(check, sceneFromRecord([0, [4, 0, 0, 1]]))).toBe(true);
    expect(checkPrompt(check, sceneFromRecord([0, [3, 0, 0, 1]]))).toBe(false);
  });

  test.each<[string, number, number, number, boolean]>([
    ['left of', 0, 3, 4, true],
    ['left of', 0, 4, 3, false],
    ['left of, two rows lower', 0, 6, 1, true],
    ['left of, same column', 0, 1, 4, false],
    ['right of', 1, 5, 3, true],
    ['above', 2, 1, 4, true],
    ['above, same row', 2, 3, 4, false],
    ['below', 3, 8, 2, true],
    ['below', 3, 2, 8, false],
  ])('a circle %s a square (%i): circle in %i, square in %i', (_name, relation, circle, square, expected) => {
    const check = { objects: [{ shape: 0 }, { shape: 1 }], relation };
    const rows = [
      [circle, 0, 0, 0],
      [square, 1, 0, 0],
    ] as [number, number, number, number][];
    const scene = sceneFromRecord([0, ...rows.sort(([a], [b]) => a - b)]);
    expect(checkPrompt(check, scene)).toBe(expected);
  });

  test.each(CATEGORIES)('%s: the scene behind a prompt passes, spoiled ones fail', (category) => {
    for (const { scene, check, seed } of promptItems(category, 60)) {
      const parsed = parseImage(renderScene(scene));
      expect(checkPrompt(check, parsed), `seed ${seed}`).toBe(true);
      const [first, ...rest] = parsed.objects as [Scene['objects'][number], ...Scene['objects']];
      expect(checkPrompt(check, { ...parsed, objects: rest })).toBe(false);
      expect(checkPrompt(check, { ...parsed, objects: [{ ...first, shape: -1 }, ...rest] })).toBe(false);
      const otherBackground = { ...parsed, background: (parsed.background + 1) % 5 };
      expect(checkPrompt(check, otherBackground)).toBe(check.background === undefined);
    }
  });
});

describe('edits', () => {
  test.each(EDITS)('%s: the target has full marks, the source fails as it should', (op) => {
    for (const edit of editItems(op, 60)) {
      const best = scoreEdit(edit, renderScene(edit.target));
      expect(best).toMatchObject({ parsed: edit.target, success: true, instruct: true, keep: true });
      expect(best.psnr).toBe(op === 'background' ? null : Number.POSITIVE_INFINITY);
      const untouched = scoreEdit(edit, renderScene(edit.source));
      expect(untouched).toMatchObject({ success: false, instruct: false, keep: true });
    }
  });

  const recolor: Pick<Edit, 'source' | 'target'> = {
    source: sceneFromRecord([0, [0, 0, 0, 1], [4, 1, 1, 0]]),
    target: sceneFromRecord([0, [0, 0, 2, 1], [4, 1, 1, 0]]),
  };
  test.each<[string, Parameters<typeof sceneFromRecord>[0], boolean, boolean, boolean]>([
    ['right', [0, [0, 0, 2, 1], [4, 1, 1, 0]], true, true, true],
    ['background lost', [1, [0, 0, 2, 1], [4, 1, 1, 0]], false, false, true],
    ['size lost on the way', [0, [0, 0, 2, 0], [4, 1, 1, 0]], false, false, true],
    ['the other object changed', [0, [0, 0, 2, 1], [4, 1, 2, 0]], false, true, false],
    ['the other object gone', [0, [0, 0, 2, 1]], false, true, false],
    ['a new object', [0, [0, 0, 2, 1], [4, 1, 1, 0], [8, 1, 1, 0]], false, true, true],
    ['unreadable', [0, [0, -1, 2, 1], [4, 1, 1, 0]], false, false, true],
  ])('recolor, %s', (_name, record, success, instruct, keep) => {
    expect(judgeEdit(recolor, sceneFromRecord(record))).toEqual({ success, instruct, keep });
  });

  const move: Pick<Edit, 'source' | 'target'> = {
    source: sceneFromRecord([0, [0, 0, 0, 1], [4, 1, 1, 0]]),
    target: sceneFromRecord([0, [4, 1, 1, 0], [6, 0, 0, 1]]),
  };
  test.each<[string, Parameters<typeof sceneFromRecord>[0], boolean, boolean, boolean]>([
    ['right', [0, [4, 1, 1, 0], [6, 0, 0, 1]], true, true, true],
    ['copied, not moved', [0, [0, 0, 0, 1], [4, 1, 1, 0], [6, 0, 0, 1]], false, false, true],
    ['removed', [0, [4, 1, 1, 0]], false, false, true],
    ['to the wrong cell', [0, [4, 1, 1, 0], [7, 0, 0, 1]], false, false, true],
  ])('move, %s', (_name, record, success, instruct, keep) => {
    expect(judgeEdit(move, sceneFromRecord(record))).toEqual({ success, instruct, keep });
  });

  test('PSNR leaves out the changed cells and only those', () => {
    const edit: Edit = { op: 'recolor', instruction: '', ...recolor };
    const source = renderScene(edit.source);
    const inside = source.slice();
    for (let row = 2; row < 22; row++) inside.fill(0, (row * 64 + 2) * 3, (row * 64 + 22) * 3);
    expect(editPsnr(edit, source, inside)).toBe(Number.POSITIVE_INFINITY);

    // The same difference d on every byte outside: 10 log10(255^2 / d^2).
    const shifted = inside.map((value, k) => (value === source[k] ? value - 5 : value));
    expect(editPsnr(edit, source, shifted)).toBeCloseTo(20 * Math.log10(255 / 5), 10);

    // One byte just outside the cell, of (4096 - 400) * 3.
    const corner = source.slice();
    corner[(1 * 64 + 2) * 3] = (source[(1 * 64 + 2) * 3] as number) - 10;
    expect(editPsnr(edit, source, corner)).toBeCloseTo(10 * Math.log10((255 * 255 * 3696 * 3) / 100), 10);
  });

  test('PSNR of a move leaves out both cells; of a background edit there is none', () => {
    const edit: Edit = { op: 'move', instruction: '', ...move };
    expect(editPsnr(edit, renderScene(edit.source), renderScene(edit.target))).toBe(Number.POSITIVE_INFINITY);
    const background = editItems('background', 1)[0] as Edit;
    expect(editPsnr(background, renderScene(background.source), renderScene(background.source))).toBeNull();
  });

  test('BAD_IMAGE names the picture that is wrong', () => {
    const edit: Edit = { op: 'move', instruction: '', ...move };
    const image = renderScene(edit.source);
    const wrong = (operand: string) => expect.objectContaining({ code: 'BAD_IMAGE', operand });
    expect(() => editPsnr(edit, image.subarray(1), image)).toThrow(wrong('source'));
    expect(() => editPsnr(edit, image, image.subarray(1))).toThrow(wrong('output'));
  });
});

test('an answer matches to the letter', () => {
  expect(answerMatches('top left', 'top left')).toBe(true);
  for (const answer of ['top left.', 'Top left', ' top left', 'left', '']) {
    expect(answerMatches('top left', answer)).toBe(false);
  }
});

describe('attributes of prompts', () => {
  const check: PromptCheck = { objects: [{ shape: 0, color: 0, cell: 0 }, { shape: 1 }], background: 1, relation: 0 };
  const judged = (record: Parameters<typeof sceneFromRecord>[0]) => checkAttributes(check, sceneFromRecord(record));
  const ALL = { count: true, shape: true, color: true, cell: true, relation: true, background: true };

  test('a right picture has all that are named, and no others are judged', () => {
    expect(judged([1, [0, 0, 0, 1], [2, 1, 5, 0]])).toEqual(ALL);
  });

  test('each fails alone', () => {
    expect(judged([0, [0, 0, 0, 1], [2, 1, 5, 0]])).toEqual({ ...ALL, background: false });
    expect(judged([1, [0, 0, 0, 1], [2, 1, 5, 0], [8, 4, 4, 0]])).toEqual({ ...ALL, count: false });
    expect(judged([1, [0, 0, 3, 1], [2, 1, 5, 0]])).toEqual({ ...ALL, color: false, relation: false });
    expect(judged([1, [0, 4, 0, 1], [2, 1, 5, 0]])).toEqual({ ...ALL, shape: false, relation: false });
    expect(judged([1, [0, 1, 4, 1], [2, 0, 0, 0]])).toEqual({ ...ALL, relation: false });
  });

  test('two of a kind need two', () => {
    const two: PromptCheck = { objects: [{ shape: 3 }, { shape: 3 }] };
    expect(checkAttributes(two, sceneFromRecord([0, [1, 3, 0, 0]]))).toEqual({ count: false, shape: false });
    expect(checkAttributes(two, sceneFromRecord([0, [1, 3, 0, 0], [2, 3, 1, 1]]))).toEqual({
      count: true,
      shape: true,
    });
  });

  test('the world renders every prompt right', () => {
    for (const { check: each, scene } of CATEGORIES.flatMap((category) => promptItems(category, 10))) {
      expect(Object.values(checkAttributes(each, parseImage(renderScene(scene))))).not.toContain(false);
    }
  });
});
