// The solvers as a user of the package has them: any field, nothing but numbers.
import { expect, test } from 'vitest';
import { denoise } from '../../lib/index.js';

test('a field of one line, followed by every solver, ends where it must', () => {
  const toward =
    (point: number): denoise.VelocityField =>
    (x, t) =>
      x.map((value) => (value - point) / t);
  for (const name of denoise.SOLVERS) {
    const end = denoise.integrate(toward(0.25), denoise.solverOf(name), denoise.checkGrid([1, 0.6, 0]), [1, -2], {
      noise: () => [0.3, -0.7],
    });
    for (const value of end) expect(value).toBeCloseTo(0.25, 12);
  }
});
