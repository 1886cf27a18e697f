// The shapes world against its published vectors: draws, scenes, pictures, prompts, instructions, questions.
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import {
  CATEGORIES,
  type Category,
  EDITS,
  type EditOp,
  genEdit,
  genQA,
  genScene,
  genT2I,
  genUnd,
  IMAGE_SIDE,
  QUESTION_TYPES,
  type QuestionType,
  questionItems,
  renderScene,
  type Scene,
  type SceneRecord,
  sceneFromRecord,
  sceneToJson,
  sceneToRecord,
  start,
} from '../../lib/eval/world/index.js';

const sha256 = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof HyperBagelError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

describe('draws', () => {
  test.each([
    [1, 0, [952719018, 677937900, 398007811, 441464448, 913441940]],
    [3, 1073741824, [2999319633, 1874175583, 2753431143]],
  ])('of stream %i, seed %i', (stream, seed, expected) => {
    const random = start(stream, seed);
    expect(expected.map(() => random.u32())).toEqual(expected);
  });

  test('integers are the high part of the 32 bits', () => {
    const bits = start(1, 0);
    const integers = start(1, 0);
    for (const n of [1, 2, 3, 9, 1000, 2 ** 21]) {
      expect(integers.int(n)).toBe(Number((BigInt(bits.u32()) * BigInt(n)) >> 32n));
    }
  });

  test.each([
    ['a negative seed', () => start(1, -1)],
    ['a seed of 33 bits', () => start(1, 2 ** 32)],
    ['a fractional stream', () => start(0.5, 1)],
    ['int(0)', () => start(1, 1).int(0)],
    ['int beyond exact products', () => start(1, 1).int(2 ** 21 + 1)],
    ['a pick from nothing', () => start(1, 1).pick([])],
  ])('BAD_OPTION for %s', (_name, run) => {
    expect(codeOf(run)).toBe('BAD_OPTION');
  });
});

interface Vector {
  name: string;
  scene: () => Scene;
  text?: [actual: () => string, expected: string];
  json: string;
  sha256: string;
  /** At (0,0), (12,12), (32,32) and (52,12). */
  pixels: string;
}

const prompt = (seed: number, category: Category) => genT2I(start(1, seed), category);
const edit = (seed: number, op?: EditOp) => genEdit(start(3, seed), op);

const VECTORS: readonly Vector[] = [
  {
    name: 'scene 0',
    scene: () => genScene(start(2, 0)),
    json: '{"background":"white","objects":[{"shape":"circle","color":"cyan","size":"small","row":0,"col":1,"dx":0,"dy":0},{"shape":"circle","color":"green","size":"large","row":0,"col":2,"dx":0,"dy":0},{"shape":"ring","color":"cyan","size":"large","row":1,"col":1,"dx":0,"dy":0},{"shape":"circle","color":"orange","size":"large","row":2,"col":2,"dx":0,"dy":0}]}',
    sha256: '4710b883879ffa00459191f043b3d0c5389cf8bc2837de2abc7db600ce73c81a',
    pixels: '245,245,245 245,245,245 245,245,245 40,170,60',
  },
  {
    name: 'scene 1',
    scene: () => genScene(start(2, 1)),
    json: '{"background":"black","objects":[{"shape":"diamond","color":"purple","size":"large","row":1,"col":2,"dx":0,"dy":0}]}',
    sha256: '5eb280be87b7a3bdb222f698d976ee5e077f7e055fb6b6148c4685c942798c39',
    pixels: '16,16,16 16,16,16 16,16,16 16,16,16',
  },
  {
    name: 'scene 2',
    scene: () => genScene(start(2, 2)),
    json: '{"background":"black","objects":[{"shape":"diamond","color":"orange","size":"small","row":0,"col":0,"dx":0,"dy":0},{"shape":"square","color":"purple","size":"small","row":0,"col":1,"dx":0,"dy":0}]}',
    sha256: '53197607a82174781532526fe0a4fb90df2c389d4d759d93b51037fd47988904',
    pixels: '16,16,16 245,130,30 16,16,16 16,16,16',
  },
  {
    name: 'scene 3',
    scene: () => genScene(start(2, 3)),
    json: '{"background":"gray","objects":[{"shape":"square","color":"red","size":"small","row":0,"col":1,"dx":0,"dy":0}]}',
    sha256: 'aaa6a1d1db8ec71a011170f68005fc7b43dd3b31a1f4dd7d39486db6c9d60134',
    pixels: '128,128,128 128,128,128 128,128,128 128,128,128',
  },
  {
    name: 'prompt 0',
    scene: () => prompt(0, 'single').scene,
    text: [() => prompt(0, 'single').text, 'a triangle on a black background'],
    json: '{"background":"black","objects":[{"shape":"triangle","color":"green","size":"large","row":0,"col":0,"dx":0,"dy":0}]}',
    sha256: '2e8132d7c68066d8384a059906b2e77a1c766f12796f2488a3bbe051e6633c35',
    pixels: '16,16,16 40,170,60 16,16,16 16,16,16',
  },
  {
    name: 'prompt 1',
    scene: () => prompt(1, 'counting').scene,
    text: [() => prompt(1, 'counting').text, 'an image of three red crosses'],
    json: '{"background":"black","objects":[{"shape":"cross","color":"red","size":"large","row":1,"col":0,"dx":0,"dy":0},{"shape":"cross","color":"red","size":"large","row":1,"col":1,"dx":0,"dy":0},{"shape":"cross","color":"red","size":"small","row":2,"col":2,"dx":0,"dy":0}]}',
    sha256: '3e74f2b05734023395712bb569b90b0b55ce37095eb5a8f4e17aaba4f2a462b1',
    pixels: '16,16,16 16,16,16 220,40,40 16,16,16',
  },
  {
    name: 'prompt 2',
    scene: () => prompt(2, 'position').scene,
    text: [() => prompt(2, 'position').text, 'show me a cross under a diamond'],
    json: '{"background":"navy","objects":[{"shape":"diamond","color":"red","size":"large","row":0,"col":0,"dx":0,"dy":0},{"shape":"cross","color":"pink","size":"large","row":1,"col":0,"dx":0,"dy":0}]}',
    sha256: '835177f8c5c4b1803a097efecc9b5265ddd9eeabc40685b084b33b5465967c83',
    pixels: '20,30,80 220,40,40 20,30,80 20,30,80',
  },
  {
    name: 'prompt 3',
    scene: () => prompt(3, 'dense').scene,
    text: [
      () => prompt(3, 'dense').text,
      'show me a small orange ring at the top left and a small orange circle in the center on a tan background',
    ],
    json: '{"background":"tan","objects":[{"shape":"ring","color":"orange","size":"small","row":0,"col":0,"dx":0,"dy":0},{"shape":"circle","color":"orange","size":"small","row":1,"col":1,"dx":0,"dy":0}]}',
    sha256: 'e2aea70c1e68f6271ba40b3bbb9285b94f2cf202b2b21e70a94c24e658ebc3a7',
    pixels: '222,205,170 222,205,170 245,130,30 222,205,170',
  },
  {
    name: 'edit 0',
    scene: () => edit(0, 'recolor').target,
    text: [() => edit(0, 'recolor').instruction, 'make the object on the right purple'],
    json: '{"background":"gray","objects":[{"shape":"circle","color":"cyan","size":"small","row":1,"col":1,"dx":0,"dy":0},{"shape":"triangle","color":"purple","size":"large","row":1,"col":2,"dx":0,"dy":0},{"shape":"ring","color":"yellow","size":"large","row":2,"col":0,"dx":0,"dy":0}]}',
    sha256: '5f95ccd53636940248a1f3763c44085838d53d636870f4779599e8e4048b59ca',
    pixels: '128,128,128 128,128,128 60,210,220 128,128,128',
  },
  {
    name: 'edit 1',
    scene: () => edit(1, 'move').target,
    text: [() => edit(1, 'move').instruction, 'shift the object on the left to the top'],
    json: '{"background":"black","objects":[{"shape":"circle","color":"green","size":"large","row":0,"col":0,"dx":0,"dy":0},{"shape":"ring","color":"red","size":"small","row":0,"col":1,"dx":0,"dy":0},{"shape":"triangle","color":"pink","size":"small","row":1,"col":2,"dx":0,"dy":0},{"shape":"ring","color":"blue","size":"small","row":2,"col":1,"dx":0,"dy":0}]}',
    sha256: '16bac36dda89b2beac0a31b278d35324f5c11a6d7213e8401619e8c2aab0e39b',
    pixels: '16,16,16 40,170,60 16,16,16 16,16,16',
  },
];

describe.each(VECTORS)('$name', (vector) => {
  test('scene and text', () => {
    expect(sceneToJson(vector.scene())).toBe(vector.json);
    if (vector.text !== undefined) expect(vector.text[0]()).toBe(vector.text[1]);
  });

  test('picture', () => {
    const image = renderScene(vector.scene());
    const pixel = (x: number, y: number) => {
      const at = (y * IMAGE_SIDE + x) * 3;
      return image.subarray(at, at + 3).join(',');
    };
    expect([pixel(0, 0), pixel(12, 12), pixel(32, 32), pixel(52, 12)].join(' ')).toBe(vector.pixels);
    expect(sha256(image)).toBe(vector.sha256);
  });
});

test('the pictures of 2000 scenes', () => {
  const images = Array.from({ length: 2000 }, (_, seed) => renderScene(genScene(start(2, seed))));
  expect(sha256(...images)).toBe('e8bc0508a27df337b0a542e222444cfea1be98b3decb4d87b1a3f864a6988d15');
});

describe('texts of the first evaluation seeds', () => {
  const FIRST = 1073741824;

  test('prompts of each category', () => {
    expect(Object.fromEntries(CATEGORIES.map((category) => [category, prompt(FIRST, category).text]))).toEqual({
      single: 'a cross on a gray background',
      two: 'a cross and a circle on a gray background',
      counting: 'two orange crosses on a gray background',
      colors: 'a large purple cross on a gray background',
      position: 'a cross right of a circle on a gray background',
      color_attr: 'an orange cross and a pink circle on a gray background',
      dense:
        'a small green diamond on the left, a small pink diamond at the bottom left and a small green diamond at the bottom on a gray background',
    });
  });

  test('instructions of each op', () => {
    expect(Object.fromEntries(EDITS.map((op) => [op, edit(FIRST, op).instruction]))).toEqual({
      recolor: 'paint the blue ring yellow',
      remove: 'remove the blue ring',
      add: 'put a small pink cross at the bottom right',
      replace: 'turn the blue ring into a circle',
      resize: 'make the blue ring larger',
      move: 'shift the blue ring to the top left',
      background: 'use a gray background',
    });
  });

  test.each([
    [
      FIRST,
      [
        ['exist', 'is there a red square?', 'yes'],
        ['where', 'what is the position of the red square?', 'top right'],
        ['count_shape', 'count the squares.', 'one'],
        ['count_all', 'count the objects.', 'one'],
      ],
    ],
    [
      FIRST + 1,
      [
        ['compare_pos', 'is the blue triangle under the blue cross?', 'yes'],
        ['where', 'where is the yellow ring?', 'right'],
        ['background', 'what is the background color?', 'black'],
        ['where', 'where is the blue cross?', 'left'],
      ],
    ],
    [
      FIRST + 2,
      [
        [
          'json',
          'give me a json list of the objects.',
          '{"background": "white", "objects": [{"shape": "ring", "color": "orange", "size": "small", "position": "left"}]}',
        ],
      ],
    ],
    [
      FIRST + 3,
      [
        [
          'describe',
          'describe this picture in detail.',
          'The image shows four objects on a white background. There is a large cyan square at the top left. There is a small cyan ring in the center. There is a small cyan circle at the bottom. There is a small green cross at the bottom right.',
        ],
      ],
    ],
  ])('questions and answers of seed %i', (seed, expected) => {
    const { questions } = genUnd(start(2, seed));
    expect(questions.map(({ type, question, answer }) => [type, question, answer])).toEqual(expected);
  });
});

describe('edits', () => {
  test('an op is drawn when none is given', () => {
    const ops = new Set(Array.from({ length: 100 }, (_, seed) => edit(seed).op));
    expect([...ops].sort()).toEqual([...EDITS].sort());
  });

  test.each(EDITS)('%s changes what it should and nothing else', (op) => {
    const difference = { recolor: 1, remove: 1, add: 1, replace: 1, resize: 1, move: 2, background: 0 }[op];
    const more = { recolor: 0, remove: -1, add: 1, replace: 0, resize: 0, move: 0, background: 0 }[op];
    for (let seed = 0; seed < 200; seed++) {
      const { source, target } = edit(seed, op);
      const at = (scene: Scene, cell: number) => JSON.stringify(scene.objects.find((object) => object.cell === cell));
      const changed = [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((cell) => at(source, cell) !== at(target, cell));
      expect(changed.length).toBe(difference);
      expect(target.objects.length - source.objects.length).toBe(more);
      expect(target.background === source.background).toBe(op !== 'background');
      expect(() => renderScene(target)).not.toThrow();
    }
  });
});

describe('records', () => {
  test('a scene survives its record', () => {
    const scene = genScene(start(2, 0));
    expect(sceneToRecord(scene)).toEqual([0, [1, 0, 6, 0], [2, 0, 1, 1], [4, 5, 6, 1], [8, 0, 4, 1]]);
    expect(sceneFromRecord(sceneToRecord(scene))).toEqual(scene);
  });

  test.each<[string, SceneRecord]>([
    ['a background outside the table', [5]],
    ['a cell outside the grid', [0, [9, 0, 0, 0]]],
    ['a shape outside the table', [0, [0, 6, 0, 0]]],
    ['a shape below unreadable', [0, [0, -2, 0, 0]]],
    ['a color outside the table', [0, [0, 0, 8, 0]]],
    ['a size outside the table', [0, [0, 0, 0, 2]]],
    ['two objects in one cell', [0, [3, 0, 0, 0], [3, 1, 0, 0]]],
    ['a fraction', [0, [0, 0.5, 0, 0]]],
  ])('BAD_OPTION for %s', (_name, record) => {
    expect(codeOf(() => sceneFromRecord(record))).toBe('BAD_OPTION');
  });

  test('BAD_OPTION for a picture of an unreadable object', () => {
    expect(codeOf(() => renderScene(sceneFromRecord([0, [3, -1, 0, 0]])))).toBe('BAD_OPTION');
  });
});

describe('wrong requests', () => {
  const lone = sceneFromRecord([0, [4, 0, 0, 0]]);
  test.each<[string, () => unknown]>([
    ['an unknown category', () => prompt(0, 'many' as Category)],
    ['an unknown op', () => edit(0, 'rotate' as EditOp)],
    ['an unknown question', () => genQA(start(2, 0), lone, ['why' as QuestionType])],
    ['a type that does not apply', () => genQA(start(2, 0), lone, ['compare_pos'])],
    ['no types', () => genQA(start(2, 0), lone, [])],
    ['a count of -1', () => questionItems('where', -1)],
  ])('BAD_OPTION for %s', (_name, run) => {
    expect(codeOf(run)).toBe('BAD_OPTION');
  });

  test('every type has questions', () => {
    for (const type of QUESTION_TYPES)
      expect(questionItems(type, 3).map((item) => item.type)).toEqual([type, type, type]);
  });
});
