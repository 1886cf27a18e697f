// The same work as a case of the tests, as ONNX graphs: every way that the peer has of doing it.
import type { OpInputs } from '../../test/kit/cases.js';
import { operand, real } from '../../test/kit/cases.js';
import { keyIndex, PAGE, valueIndex } from '../../test/kit/paged.js';
import { encodeModel, type FloatArray, type Node } from './onnx.js';

/** One way of doing a case. */
export interface PeerGraph {
  name: string;
  model: Uint8Array;
  feeds: Record<string, FloatArray>;
  /** Shape of the output `y`. */
  shape: number[];
  /** One row of the op's output in the output of the graph. */
  row(y: Float32Array, row: number): Float64Array;
}

const floats = (shape: number[], data: Float32Array): FloatArray => ({ shape, data });

/** x W^T with a constant weight, which the peer may rearrange when it loads. */
export function linearGraphs({ operands }: OpInputs): PeerGraph[] {
  const x = operand(operands, 'x');
  const weight = operand(operands, 'weight');
  const [n = 0, k = 0] = x.shape;
  const m = weight.shape[0] ?? 0;
  const transposed = new Float32Array(k * m);
  for (let i = 0; i < m; i++) {
    for (let c = 0; c < k; c++) transposed[c * m + i] = weight.data[i * k + c] as number;
  }
  const graph = (name: string, node: Node, w: FloatArray): PeerGraph => ({
    name,
    model: encodeModel({ nodes: [node], inputs: { x: [n, k] }, outputs: { y: [n, m] }, constants: { w } }),
    feeds: { x: floats([n, k], Float32Array.from(x.data)) },
    shape: [n, m],
    row: (y, row) => Float64Array.from(y.subarray(row * m, (row + 1) * m)),
  });
  const io = { inputs: ['x', 'w'], outputs: ['y'] };
  return [
    graph('MatMul', { op: 'MatMul', ...io }, floats([k, m], transposed)),
    graph(
      'Gemm, weight transposed',
      { op: 'Gemm', ...io, attributes: { transB: 1 } },
      floats([m, k], Float32Array.from(weight.data)),
    ),
  ];
}

/** Attention of one sequence's rows as dense tensors: keys and values in slot order, the mask as a bias. */
function dense({ operands }: OpInputs) {
  const q = operand(operands, 'q');
  const [k, v] = [operand(operands, 'k_cache'), operand(operands, 'v_cache')];
  const [n = 0, h = 0, d = 0] = q.shape;
  if (k.shape[1] !== h) throw new Error('the peer is given one key head per query head');
  const table = operand(operands, 'page_table').data;
  const slots = Array.from({ length: n }, (_, i) => Number(operands.own?.data[2 * i + 1] ?? 0)).reduce(
    (a, b) => Math.max(a, b),
    Math.max(...Array.from(operand(operands, 'visible').data, Number)),
  );
  const bias = new Float32Array(n * slots).fill(Number.NEGATIVE_INFINITY);
  for (let i = 0; i < n; i++) {
    bias.fill(0, i * slots, i * slots + Number(operand(operands, 'visible').data[i]));
    const [first = 0, last = 0] = operands.own ? operands.own.data.subarray(2 * i, 2 * i + 2) : [];
    for (let slot = first; slot < last; slot++) {
      const bit = slot - first;
      const word = Number(operands.ancestors?.data[4 * i + (bit >> 5)] ?? -1);
      if ((word >> (bit & 31)) & 1) bias[i * slots + slot] = 0;
    }
  }
  const keys = new Float32Array(h * slots * d);
  const values = new Float32Array(h * slots * d);
  for (let head = 0; head < h; head++) {
    for (let slot = 0; slot < slots; slot++) {
      const page = Number(table[Math.floor(slot / PAGE)]);
      for (let c = 0; c < d; c++) {
        const at = (head * slots + slot) * d + c;
        keys[at] = k.data[keyIndex(k, page, head, c, slot)] as number;
        values[at] = v.data[valueIndex(v, page, head, c, slot)] as number;
      }
    }
  }
  return { n, h, d, slots, bias, keys, values, q: Float32Array.from(q.data) };
}

/** A copy of [a, b, c] as [b, a, c]. */
function swapped(data: Float32Array, a: number, b: number, c: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      const from = (i * b + j) * c;
      out.set(data.subarray(from, from + c), (j * a + i) * c);
    }
  }
  return out;
}

/** softmax(scale q k^T + bias) v: fused operators with two layouts of keys and values, and the four products apart. */
export function attentionGraphs(inputs: OpInputs): PeerGraph[] {
  const { n, h, d, slots, bias, keys, values, q } = dense(inputs);
  const scale = { float: real(inputs.attributes, 'scale') };
  const mask = (shape: number[]) => floats(shape, bias);
  const flat = (y: Float32Array, row: number) => Float64Array.from(y.subarray(row * h * d, (row + 1) * h * d));
  const byHead = (y: Float32Array, row: number) => flat(swapped(y, h, n, d), row);
  const graph = (
    name: string,
    nodes: Node[],
    feeds: Record<string, FloatArray>,
    shape: number[],
    row: PeerGraph['row'],
    opset?: number,
  ): PeerGraph => ({
    name,
    model: encodeModel({
      nodes,
      inputs: Object.fromEntries(Object.entries(feeds).map(([key, feed]) => [key, feed.shape])),
      outputs: { y: shape },
      ...(opset ? { opset } : {}),
    }),
    feeds,
    shape,
    row,
  });
  const fused: Node = {
    op: 'MultiHeadAttention',
    domain: 'com.microsoft',
    inputs: ['q', 'k', 'v', '', '', 'bias'],
    outputs: ['y'],
    attributes: { num_heads: h, scale },
  };
  const heads = [1, h, slots, d];
  const rows = { q: floats([1, n, h * d], q), bias: mask([1, 1, n, slots]) };
  return [
    graph(
      'MultiHeadAttention, keys by head',
      [fused],
      { ...rows, k: floats(heads, keys), v: floats(heads, values) },
      [1, n, h * d],
      flat,
    ),
    graph(
      'MultiHeadAttention, keys by slot',
      [fused],
      {
        ...rows,
        k: floats([1, slots, h * d], swapped(keys, h, slots, d)),
        v: floats([1, slots, h * d], swapped(values, h, slots, d)),
      },
      [1, n, h * d],
      flat,
    ),
    graph(
      'Attention of opset 23',
      [{ op: 'Attention', inputs: ['q', 'k', 'v', 'bias'], outputs: ['y'], attributes: { scale } }],
      {
        q: floats([1, h, n, d], swapped(q, n, h, d)),
        k: floats(heads, keys),
        v: floats(heads, values),
        bias: mask([n, slots]),
      },
      [1, h, n, d],
      byHead,
      23,
    ),
    graph(
      'MatMul, Add, Softmax, MatMul',
      [
        {
          op: 'FusedMatMul',
          domain: 'com.microsoft',
          inputs: ['q', 'k'],
          outputs: ['s'],
          attributes: { alpha: scale, transB: 1 },
        },
        { op: 'Add', inputs: ['s', 'bias'], outputs: ['t'] },
        { op: 'Softmax', inputs: ['t'], outputs: ['p'], attributes: { axis: -1 } },
        { op: 'MatMul', inputs: ['p', 'v'], outputs: ['y'] },
      ],
      {
        q: floats([h, n, d], swapped(q, n, h, d)),
        k: floats([h, slots, d], keys),
        v: floats([h, slots, d], values),
        bias: mask([n, slots]),
      },
      [h, n, d],
      byHead,
    ),
  ];
}

/** The graphs of a case. */
export function peerGraphs(op: string, inputs: OpInputs): PeerGraph[] {
  if (op === 'linear') return linearGraphs(inputs);
  if (op === 'paged_attention') return attentionGraphs(inputs);
  throw new Error(`no peer graph of ${op}`);
}
