import { type Random, start } from './world/index.js';
import { IMAGE_SIDE } from './world/scene.js';

/**
 * Features of a picture from a fixed network of random weights (few-step-denoising 5.6): three 3x3 convolutions of stride 2, widths 32, 64
 * and 128, leaky ReLU 0.2, weights N(0, 2 / fan-in); the mean and the standard deviation of every channel of every layer over the picture.
 * Random filters see edges, colours and textures; no trained network is needed to tell two distributions apart.
 */
const WIDTHS = [3, 32, 64, 128] as const;
const LEAK = 0.2;
/** Makes the weights; part of the definition. */
const STREAM = 100;
const SEED = 0;

/** Numbers of features of a picture: 448. */
export const FEATURES = 2 * WIDTHS.slice(1).reduce((sum, width) => sum + width, 0);

interface Layer {
  readonly inputs: number;
  readonly outputs: number;
  /** [outputs, 3, 3, inputs] */
  readonly weights: Float64Array;
}

let cachedLayers: readonly Layer[] | undefined;

function layers(): readonly Layer[] {
  if (cachedLayers) return cachedLayers;
  const random = start(STREAM, SEED);
  cachedLayers = WIDTHS.slice(1).map((outputs, i) => {
    const inputs = WIDTHS[i] as number;
    const scale = Math.sqrt(2 / (9 * inputs));
    return {
      inputs,
      outputs,
      weights: Float64Array.from({ length: 9 * inputs * outputs }, () => scale * normal(random)),
    };
  });
  return cachedLayers;
}

/** A standard normal number (Box and Muller). */
function normal(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log((random.u32() + 0.5) / 2 ** 32));
  return radius * Math.cos((2 * Math.PI * random.u32()) / 2 ** 32);
}

/** @param pixels IMAGE_SIDE * IMAGE_SIDE * 3 bytes, row-major RGB */
export function pictureFeatures(pixels: Uint8Array): Float32Array {
  let side = IMAGE_SIDE;
  let values = Float64Array.from(pixels, (value) => value / 127.5 - 1);
  const means: number[] = [];
  const deviations: number[] = [];
  for (const layer of layers()) {
    values = convolve(values, side, layer);
    side /= 2;
    for (let channel = 0; channel < layer.outputs; channel++) {
      let sum = 0;
      let squares = 0;
      for (let at = channel; at < values.length; at += layer.outputs) {
        const value = values[at] as number;
        sum += value;
        squares += value * value;
      }
      const mean = sum / (side * side);
      means.push(mean);
      deviations.push(Math.sqrt(Math.max(0, squares / (side * side) - mean * mean)));
    }
  }
  return Float32Array.from([...means, ...deviations]);
}

/** 3x3, stride 2, one row and column of zeros around, then leaky ReLU: [side, side, inputs] to [side / 2, side / 2, outputs]. */
function convolve(input: Float64Array, side: number, { inputs, outputs, weights }: Layer): Float64Array<ArrayBuffer> {
  const half = side / 2;
  const result = new Float64Array(half * half * outputs);
  const patch = new Float64Array(9 * inputs);
  for (let row = 0; row < half; row++) {
    for (let column = 0; column < half; column++) {
      patch.fill(0);
      for (let tap = 0; tap < 9; tap++) {
        const y = 2 * row + Math.floor(tap / 3) - 1;
        const x = 2 * column + (tap % 3) - 1;
        if (y < 0 || x < 0 || y >= side || x >= side) continue;
        const from = (y * side + x) * inputs;
        for (let channel = 0; channel < inputs; channel++) {
          patch[tap * inputs + channel] = input[from + channel] as number;
        }
      }
      const at = (row * half + column) * outputs;
      for (let k = 0; k < outputs; k++) {
        const sum = dot(patch, weights, k * patch.length);
        result[at + k] = sum < 0 ? LEAK * sum : sum;
      }
    }
  }
  return result;
}

/** Most of the time goes here: three sums at once, for the processor has more than one adder. */
function dot(x: Float64Array, weights: Float64Array, from: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  for (let k = 0; k < x.length; k += 3) {
    a += (x[k] as number) * (weights[from + k] as number);
    b += (x[k + 1] as number) * (weights[from + k + 1] as number);
    c += (x[k + 2] as number) * (weights[from + k + 2] as number);
  }
  return a + b + c;
}
