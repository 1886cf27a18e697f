// A draft head that is as sure as the model itself drafts what the model will choose: both see the same noise.
import { afterAll, expect, test } from 'vitest';
import { ops } from '../../lib/index.js';
import { Context } from '../../lib/tensor/context.js';
import { normals, seeded } from '../kit/cases.js';

const cx = await Context.create({ device: 'cpu', threads: 2 });
afterAll(() => cx.dispose());

const V = 700;
const ROWS = 24;
const temperatures = [0, 0.3, 0.7, 1, 1.5, 20];

test('the best child is the token that sample picks, whatever the temperature, position and order of draft ids', async () => {
  const rng = seeded(5);
  const x = normals(rng, 'f32', [ROWS, V], { scale: 2 }).data;
  // draft id i is target id order[i]: any order will do, so this one is far from rising
  const order = Array.from({ length: V }, (_, i) => (i * 97) % V);
  const repeat = (values: number[]) => values.flatMap((v) => Array.from({ length: ROWS }, () => v));
  for (const depth of [0, 3]) {
    const draft = ops.draftTopk(cx, {
      logits: cx.tensor(
        'f32',
        [temperatures.length * ROWS, V],
        temperatures.flatMap(() =>
          Array.from(x, (_, i) => x[Math.floor(i / V) * V + (order[i % V] as number)] as number),
        ),
      ),
      seq: cx.tensor('i32', [temperatures.length * ROWS], repeat(temperatures.map((_, b) => b))),
      temperature: cx.tensor('f32', [temperatures.length], temperatures),
      seed: cx.tensor(
        'i32',
        [temperatures.length, 2],
        temperatures.flatMap((_, b) => [b * 77, b]),
      ),
      output: cx.tensor(
        'i32',
        [temperatures.length],
        temperatures.map((_, b) => 10 * b),
      ),
      ids: cx.tensor('i32', [V], order),
      k: 3,
      depth,
    });
    const best = (await draft.token.data()).filter((_, i) => i % 3 === 0);
    const values = await draft.value.data();
    for (const [b, temperature] of temperatures.entries()) {
      const n = ROWS;
      const ints = (value: number) =>
        cx.tensor(
          'i32',
          [n],
          Array.from({ length: n }, () => value),
        );
      const target = ops.sample(cx, {
        logits: cx.tensor('f32', [n, V], Float32Array.from(x)),
        seq: cx.zeros('i32', [n]),
        temperature: cx.tensor('f32', [1], [temperature]),
        topK: cx.zeros('i32', [1]),
        topP: cx.tensor('f32', [1], [1]),
        minP: cx.zeros('f32', [1]),
        seed: cx.tensor('i32', [1, 2], [b * 77, b]),
        position: ints(10 * b + depth),
      });
      expect(Array.from(best.slice(b * n, (b + 1) * n)), `temperature ${temperature}`).toEqual(
        Array.from(await target.data()),
      );
    }
    for (let i = 0; i < values.length; i += 3) {
      const [p, q, r] = values.slice(i, i + 3) as unknown as [number, number, number];
      expect(p <= 0 && q <= p && r <= q).toBe(true);
    }
  }
});
