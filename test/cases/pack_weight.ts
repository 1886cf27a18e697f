import type { OpCase, OpCases, OperandData, OpInputs, OracleTensor, Rng } from '../kit/cases.js';
import { normals, operand } from '../kit/cases.js';

type Float = 'f32' | 'bf16';

function one(name: string, tag: 'small' | 'edge' | 'perf', dtype: Float, rows: number[], k: number): OpCase {
  const parts = ['weight', 'second', 'third'];
  const build = (rng: Rng): OpInputs => ({
    operands: Object.fromEntries(rows.map((m, i) => [parts[i] as string, normals(rng, dtype, [m, k])])),
    attributes: {},
  });
  return { name, tags: [tag], dims: { M: rows.reduce((a, b) => a + b, 0), K: k }, build };
}

/** All rows of the parts, and how many columns a row takes. */
function stacked({ operands }: OpInputs) {
  const parts = ['weight', 'second', 'third'].flatMap((name) => (operands[name] ? [operand(operands, name)] : []));
  const k = parts[0]?.shape[1] ?? 0;
  const rows = parts.flatMap((p) =>
    Array.from({ length: p.shape[0] ?? 0 }, (_, i) => p.data.subarray(i * k, (i + 1) * k)),
  );
  const bf16 = parts[0]?.dtype === 'bf16';
  return { rows, k, bf16, columns: bf16 ? Math.ceil(k / 32) * 32 : k };
}

/** Elements as they lie in memory: `place` gives row and column; beyond the matrix there are zeros. */
function stored(
  rows: readonly OperandData[],
  k: number,
  columns: number,
  place: (at: number) => readonly [number, number],
): Record<string, OracleTensor> {
  const data = new Float64Array(Math.ceil(rows.length / 16) * 16 * columns);
  for (let at = 0; at < data.length; at++) {
    const [row, column] = place(at);
    data[at] = rows[row]?.[column] ?? 0;
  }
  return { out: { shape: [rows.length, k], data } };
}

export const cases: OpCases = {
  op: 'pack_weight',
  cases: [
    one('f32', 'small', 'f32', [32, 24], 24),
    one('bf16', 'small', 'bf16', [48], 64),
    one('q, k and v', 'small', 'bf16', [48, 16, 16], 96),
    one('parts that share a panel', 'small', 'f32', [5, 18, 3], 20),
    one('bf16 parts that share a panel', 'edge', 'bf16', [5, 18, 3], 37),
    one('one element', 'edge', 'f32', [1], 1),
    one('one bf16 element', 'edge', 'bf16', [1], 1),
    one('rows beyond the last panel', 'edge', 'bf16', [17], 33),
    one('no rows', 'edge', 'f32', [0], 8),
    one('an empty part', 'edge', 'f32', [3, 0, 2], 8),
    one('no columns', 'edge', 'bf16', [3], 0),
    one('q, k and v of the 7B model', 'perf', 'bf16', [3584, 512, 512], 3584),
  ],
  /** The cpu's layout as csrc/core/tensor.h describes it, told by where each stored element comes from. */
  oracle(inputs) {
    const { rows, k, columns, bf16 } = stacked(inputs);
    return stored(rows, k, columns, (at) => {
      const panel = Math.floor(at / (16 * columns));
      const within = at % (16 * columns);
      const [row, column] = bf16
        ? [Math.floor((within % 32) / 2), Math.floor(within / 32) * 2 + (within % 2)]
        : [within % 16, Math.floor(within / 16)];
      return [panel * 16 + row, column];
    });
  },
  /** Rows with their padding. */
  onDevice(inputs) {
    const { rows, k, columns } = stacked(inputs);
    return stored(rows, k, columns, (at) => [Math.floor(at / columns), at % columns]);
  },
  exact: ['out'],
};
