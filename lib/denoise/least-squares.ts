import { HyperBagelError } from '../errors.js';

/**
 * Least squares over samples that come one by one: the affine map from `inputs` numbers to `outputs` numbers with the least sum of
 * squared errors, by the normal equations in float64 with a little ridge.
 */
export class AffineFit {
  readonly #inputs: number;
  readonly #outputs: number;
  /** (inputs + 1) x (inputs + 1), the last row and column for the constant. */
  readonly #gram: Float64Array;
  /** (inputs + 1) x outputs */
  readonly #moments: Float64Array;
  #count = 0;

  constructor(inputs: number, outputs: number) {
    this.#inputs = inputs;
    this.#outputs = outputs;
    this.#gram = new Float64Array((inputs + 1) ** 2);
    this.#moments = new Float64Array((inputs + 1) * outputs);
  }

  add(x: ArrayLike<number>, y: ArrayLike<number>): void {
    const n = this.#inputs + 1;
    const at = (i: number) => (i < this.#inputs ? (x[i] as number) : 1);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) this.#gram[i * n + j] = (this.#gram[i * n + j] as number) + at(i) * at(j);
      for (let k = 0; k < this.#outputs; k++) {
        const m = i * this.#outputs + k;
        this.#moments[m] = (this.#moments[m] as number) + at(i) * (y[k] as number);
      }
    }
    this.#count++;
  }

  /**
   * y = weight x + bias; weight [outputs, inputs] row-major.
   *
   * @throws HyperBagelError BAD_OPTION without samples, or with samples that are not finite
   */
  solve(): { weight: Float64Array; bias: Float64Array } {
    const n = this.#inputs + 1;
    const lower = new Float64Array(n * n);
    const get = (m: Float64Array, i: number, j: number) => m[i * n + j] as number;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = get(this.#gram, i, j) + (i === j ? 1e-6 * this.#count : 0);
        for (let k = 0; k < j; k++) sum -= get(lower, i, k) * get(lower, j, k);
        if (i === j && !(sum > 0))
          throw new HyperBagelError('BAD_OPTION', 'nothing to fit: no samples, or none finite');
        lower[i * n + j] = i === j ? Math.sqrt(sum) : sum / get(lower, j, j);
      }
    }
    const weight = new Float64Array(this.#outputs * this.#inputs);
    const bias = new Float64Array(this.#outputs);
    for (let k = 0; k < this.#outputs; k++) {
      const solution = Float64Array.from({ length: n }, (_, i) => this.#moments[i * this.#outputs + k] as number);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < i; j++) solution[i] = (solution[i] as number) - get(lower, i, j) * (solution[j] as number);
        solution[i] = (solution[i] as number) / get(lower, i, i);
      }
      for (let i = n - 1; i >= 0; i--) {
        for (let j = i + 1; j < n; j++)
          solution[i] = (solution[i] as number) - get(lower, j, i) * (solution[j] as number);
        solution[i] = (solution[i] as number) / get(lower, i, i);
      }
      weight.set(solution.subarray(0, this.#inputs), k * this.#inputs);
      bias[k] = solution[this.#inputs] as number;
    }
    return { weight, bias };
  }
}
