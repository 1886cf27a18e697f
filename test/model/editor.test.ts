// Editing one picture again and again: the same bits as without the kept context, and nothing computed twice.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import type { DrawOptions } from '../../lib/models/bagel/draw-options.js';
import type { Editor } from '../../lib/models/bagel/editor.js';
import { failure } from '../kit/failure.js';

const SCENE = 'examples/scene.png';
const STEPS: DrawOptions = { steps: 2, seed: 7 };

let bagel: Bagel;
let free: number;
let editor: Editor;
beforeAll(async () => {
  bagel = await Bagel.load();
  free = bagel.model.pool.free;
});
afterEach(() => {
  editor?.dispose();
  expect(bagel.model.pool.free).toBe(free);
});
afterAll(() => bagel.dispose());

const textTokens = (text: string) => bagel.model.frame(text).length;
/** Tokens of the picture as latents and as the vision encoder's, each with its frame. */
const PICTURE = 64 + 2 + (64 + 2);

function commonTokens(a: string, b: string): number {
  const [x, y] = [bagel.model.frame(a), bagel.model.frame(b)];
  let n = 0;
  while (n < x.length && x[n] === y[n]) n++;
  return n;
}

test('another instruction computes only what differs; results are those of edit', async () => {
  editor = await bagel.editor(SCENE);
  expect([editor.width, editor.height, editor.tokens]).toEqual([64, 64, 0]);
  const green = 'make the circle green';
  const blue = 'make the circle blue';
  const other = 'remove the large square';

  const first = await editor.edit(green, STEPS);
  // the text is in two contexts: behind the picture, and alone
  expect(first.context).toEqual({ computed: PICTURE + 2 * textTokens(green), reused: 0 });
  expect(editor.tokens).toBe(PICTURE + 2 * textTokens(green));
  expect(first.latents).toEqual((await bagel.edit(SCENE, green, STEPS)).latents);

  const common = commonTokens(green, blue);
  expect(common).toBeGreaterThan(3);
  const second = await editor.edit(blue, STEPS);
  expect(second.context).toEqual({ computed: 2 * (textTokens(blue) - common), reused: PICTURE + 2 * common });
  const alone = await bagel.edit(SCENE, blue, STEPS);
  expect(second.latents).toEqual(alone.latents);
  expect(second.image.data).toEqual(alone.image.data);
  expect(alone.context).toEqual({ computed: PICTURE + 2 * textTokens(blue), reused: 0 });

  const third = await editor.edit(other, STEPS);
  expect(third.context.computed).toBe(2 * (textTokens(other) - commonTokens(blue, other)));
  expect(third.latents).toEqual((await bagel.edit(SCENE, other, STEPS)).latents);
  // back to the first, longer or shorter
  expect((await editor.edit(green, STEPS)).latents).toEqual(first.latents);
});

test('another seed computes nothing', async () => {
  editor = await bagel.editor(SCENE);
  await editor.edit('make the circle green', STEPS);
  const again = await editor.edit('make the circle green', { ...STEPS, seed: 8 });
  expect(again.context).toEqual({ computed: 0, reused: PICTURE + 2 * textTokens('make the circle green') });
  expect(again.latents).toEqual((await bagel.edit(SCENE, 'make the circle green', { ...STEPS, seed: 8 })).latents);
});

test('a prefix of the last instruction, and one that goes on', async () => {
  editor = await bagel.editor(SCENE);
  const texts = ['make the circle green', 'make the circle', 'make the circle green and large'];
  for (const text of texts) {
    expect((await editor.edit(text, STEPS)).latents, text).toEqual((await bagel.edit(SCENE, text, STEPS)).latents);
  }
});

test('contexts that no step needs are not built', async () => {
  editor = await bagel.editor(SCENE);
  const text = 'make the circle green';
  const plain = await editor.edit(text, { ...STEPS, guidance: 1 });
  expect(plain.context).toEqual({ computed: PICTURE + textTokens(text), reused: 0 });
  const guided = await editor.edit(text, STEPS);
  expect(guided.context).toEqual({ computed: textTokens(text), reused: PICTURE + textTokens(text) });
  expect(guided.latents).toEqual((await bagel.edit(SCENE, text, STEPS)).latents);
});

test('thinking has a context of its own; the plan is written anew', async () => {
  editor = await bagel.editor(SCENE);
  const options = { ...STEPS, steps: 1, think: true };
  const first = await editor.edit('make it blue', options);
  const want = await bagel.edit(SCENE, 'make it blue', options);
  expect(first.thought).toBe(want.thought);
  expect(first.latents).toEqual(want.latents);
  const again = await editor.edit('make it blue', options);
  expect(again.context.computed).toBe(textTokens(again.thought as string));
  expect(again.latents).toEqual(want.latents);
});

test('edits may overlap', async () => {
  editor = await bagel.editor(SCENE);
  const texts = ['make the circle green', 'make the circle blue', 'remove the circle', 'make the circle green'];
  const drawings = await Promise.all(texts.map((text) => editor.edit(text, STEPS)));
  for (const [i, text] of texts.entries()) {
    expect(drawings[i]?.latents).toEqual((await bagel.edit(SCENE, text, STEPS)).latents);
  }
  expect((await editor.edit('remove the circle', STEPS)).context.reused).toBeGreaterThan(PICTURE);
});

test('cancelled and refused edits leave the editor as it was', async () => {
  editor = await bagel.editor(SCENE);
  const first = await editor.edit('make the circle green', STEPS);
  const aborted = new AbortController();
  aborted.abort();
  expect((await failure(() => editor.edit('make it blue', { ...STEPS, signal: aborted.signal }))).code).toBe(
    'CANCELLED',
  );
  const between = new AbortController();
  const options = { steps: 500, signal: between.signal, onStep: () => between.abort() };
  expect((await failure(() => editor.edit('make it red', options))).code).toBe('CANCELLED');
  expect((await failure(() => editor.edit('', STEPS))).code).toBe('BAD_OPTION');
  expect((await failure(() => editor.edit('x', { size: { width: 32, height: 32 } }))).operand).toBe('size');
  expect((await failure(() => editor.edit('a circle '.repeat(3000), STEPS))).code).toBe('CONTEXT_FULL');
  expect((await editor.edit('make the circle green', STEPS)).latents).toEqual(first.latents);
});

test('a disposed editor gives its cache back, also amid an edit, and refuses', async () => {
  editor = await bagel.editor(SCENE);
  const work = editor.edit('make the circle green', STEPS);
  editor.dispose();
  expect((await work).latents).toEqual((await bagel.edit(SCENE, 'make the circle green', STEPS)).latents);
  expect((await failure(() => editor.edit('make it blue'))).code).toBe('DISPOSED');
  editor.dispose();
  expect((await failure(() => bagel.editor('absent.png'))).code).toBe('IO');
});
