import { describe, expect, test } from 'vitest';
import { CONTESTS, relativeError } from '../../bench/peers/contests.js';
import { attentionGraphs, linearGraphs, type PeerGraph } from '../../bench/peers/graphs.js';
import { peersInstalled } from '../../bench/peers/install.js';
import { encodeModel, Message } from '../../bench/peers/onnx.js';
import { casesOf, listRows } from '../../bench/rows.js';
import { seeded } from '../kit/cases.js';
import { aloneInputs } from '../kit/run-case.js';

type Field = { field: number; value: bigint | Uint8Array };

/** Fields of a protobuf message: an independent reading of the wire format. */
function parse(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('the message ends in a varint');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const take = (n: number) => {
      if (at + n > bytes.length) throw new Error('the message ends in a field');
      at += n;
      return bytes.subarray(at - n, at);
    };
    const value = tag % 8 === 0 ? varint() : take(tag % 8 === 5 ? 4 : Number(varint()));
    fields.push({ field: tag >> 3, value });
  }
  return fields;
}

const all = (fields: Field[], field: number) => fields.filter((f) => f.field === field).map((f) => f.value);
const messages = (fields: Field[], field: number) => all(fields, field).map((v) => parse(v as Uint8Array));
const texts = (fields: Field[], field: number) =>
  all(fields, field).map((v) => new TextDecoder().decode(v as Uint8Array));

describe('the protobuf writer', () => {
  test('varints, negative ones too, lengths and floats as the wire format has them', () => {
    expect([...new Message().int(1, 150).encode()]).toEqual([0x08, 0x96, 0x01]);
    expect([...new Message().int(2, -1).encode()]).toEqual([0x10, ...Array(9).fill(0xff), 0x01]);
    expect([...new Message().string(2, 'testing').encode()]).toEqual([0x12, 7, ...Buffer.from('testing')]);
    expect([...new Message().float(2, 1).encode()]).toEqual([0x15, 0, 0, 0x80, 0x3f]);
    const long = new Message().bytes(20, new Uint8Array(300)).encode();
    expect([...long.subarray(0, 4)]).toEqual([0xa2, 0x01, 0xac, 0x02]);
    expect(long.length).toBe(304);
  });

  test('a model has its nodes, attributes, constants and shapes', () => {
    const data = Float32Array.of(1, -2, 3, 4, 5, 6);
    const model = parse(
      encodeModel({
        nodes: [
          { op: 'Gemm', inputs: ['x', 'w'], outputs: ['y'], attributes: { transB: 1 } },
          {
            op: 'FusedMatMul',
            domain: 'com.microsoft',
            inputs: ['y', '', 'x'],
            outputs: ['z'],
            attributes: { alpha: { float: 0.5 }, perm: { ints: [2, 0] } },
          },
        ],
        inputs: { x: [4, 3] },
        outputs: { z: [4, 2] },
        constants: { w: { shape: [2, 3], data } },
        opset: 23,
      }),
    );
    expect(all(model, 1)).toEqual([10n]);
    expect(messages(model, 8).map((m) => [texts(m, 1)[0], all(m, 2)[0]])).toEqual([
      ['', 23n],
      ['com.microsoft', 1n],
    ]);
    const [graph = []] = messages(model, 7);
    const nodes = messages(graph, 1);
    expect(nodes.map((n) => [texts(n, 4), texts(n, 7), texts(n, 1), texts(n, 2)])).toEqual([
      [['Gemm'], [], ['x', 'w'], ['y']],
      [['FusedMatMul'], ['com.microsoft'], ['y', '', 'x'], ['z']],
    ]);
    const [transB] = messages(nodes[0] ?? [], 5);
    expect([texts(transB ?? [], 1), all(transB ?? [], 3), all(transB ?? [], 20)]).toEqual([['transB'], [1n], [2n]]);
    const [alpha, perm] = messages(nodes[1] ?? [], 5);
    expect(Buffer.from(all(alpha ?? [], 2)[0] as Uint8Array).readFloatLE()).toBe(0.5);
    expect([all(alpha ?? [], 20), all(perm ?? [], 8), all(perm ?? [], 20)]).toEqual([[1n], [2n, 0n], [7n]]);
    const [w = []] = messages(graph, 5);
    expect([all(w, 1), all(w, 2), texts(w, 8)]).toEqual([[2n, 3n], [1n], ['w']]);
    expect(Buffer.from(all(w, 9)[0] as Uint8Array)).toEqual(Buffer.from(data.buffer));
    const shapeOf = (field: number) => {
      const [info = []] = messages(graph, field);
      const [tensor = []] = messages(messages(info, 2)[0] ?? [], 1);
      return [texts(info, 1)[0], all(tensor, 1)[0], messages(messages(tensor, 2)[0] ?? [], 1).map((d) => all(d, 1)[0])];
    };
    expect([shapeOf(11), shapeOf(12)]).toEqual([
      ['x', 1n, [4n, 3n]],
      ['z', 1n, [4n, 2n]],
    ]);
  });
});

describe('contests', () => {
  test('measure cases of the tests, with a promise for the instruction sets that have one', async () => {
    const rows = (await listRows()).map((row) => `${row.name}: ${row.case}`);
    for (const { op, ours, peer } of CONTESTS) {
      expect(rows).toContain(`${op}: ${ours}`);
      expect(rows).toContain(`${op}: ${peer}`);
    }
    const bf16 = CONTESTS.find((c) => c.name.startsWith('linear') && c.name.includes('bf16'));
    expect(['amx', 'avx512bf16', 'avx2'].map((isa) => bf16?.limit(isa))).toEqual([1 / 4, 1 / 1.6, undefined]);
  });

  test('an output is as wrong as its worst row, and no number is infinitely wrong', () => {
    const want = Float64Array.of(1, 100, 0.5, 0.25);
    expect(relativeError(Float64Array.of(1, 101, 0.5, 0.25), want, 2)).toBeCloseTo(0.01, 12);
    expect(relativeError(Float64Array.of(1, 100, 0.5, 0.3), want, 2)).toBeCloseTo(0.1, 12);
    expect(relativeError(Float64Array.of(1, Number.NaN, 0.5, 0.25), want, 2)).toBe(Number.POSITIVE_INFINITY);
    expect(relativeError(Float64Array.of(Number.NaN, 100, 0.5, 0.25), want, 2)).toBe(Number.POSITIVE_INFINITY);
    expect(relativeError(want.subarray(1), want, 2)).toBe(Number.POSITIVE_INFINITY);
  });

  test('every attention graph is fed the keys, values and mask that the case means', async () => {
    const { cases, oracle } = await casesOf('paged_attention');
    const c = cases.find(({ name }) => name === CONTESTS.find((x) => x.op === 'paged_attention')?.ours);
    if (!c) throw new Error('no such case');
    const inputs = c.build(seeded(7));
    const [row, head, d, slots] = [41, 5, 128, 2048];
    const want = oracle(aloneInputs('paged_attention', inputs, row)).out?.data.subarray(head * d, (head + 1) * d);
    const [byHead, bySlot, apart, products] = attentionGraphs(inputs);
    const attend = (graph: PeerGraph | undefined, q: number, k: (slot: number) => number) => {
      const feed = (name: string) => graph?.feeds[name]?.data ?? new Float32Array();
      const scores = Array.from({ length: slots }, (_, slot) => {
        let sum = 0;
        for (let i = 0; i < d; i++) sum += (feed('q')[q + i] as number) * (feed('k')[k(slot) + i] as number);
        return sum / Math.sqrt(d) + (feed('bias')[row * slots + slot] as number);
      });
      const most = Math.max(...scores);
      const weights = scores.map((s) => Math.exp(s - most));
      const sum = weights.reduce((x, y) => x + y, 0);
      return Float64Array.from({ length: d }, (_, i) =>
        weights.reduce((x, w, slot) => x + (w / sum) * (feed('v')[k(slot) + i] as number), 0),
      );
    };
    const [byRow, byHeads] = [(row * 8 + head) * d, (head * 64 + row) * d];
    const inHead = (slot: number) => (head * slots + slot) * d;
    const inSlot = (slot: number) => (slot * 8 + head) * d;
    for (const got of [
      attend(byHead, byRow, inHead),
      attend(bySlot, byRow, inSlot),
      attend(apart, byHeads, inHead),
      attend(products, byHeads, inHead),
    ]) {
      expect(relativeError(got, want ?? new Float64Array(), d)).toBeLessThan(1e-6);
    }
    // and their outputs are read in the order of the op's
    const y = Float32Array.from({ length: 64 * 8 * d }, (_, i) => i);
    expect(byHead?.row(y, row)[head * d]).toBe(byRow);
    expect(products?.row(y, row)[head * d]).toBe(byHeads);
  });

  test('the weight of a linear is transposed for a product and left for Gemm', async () => {
    const { cases } = await casesOf('linear');
    const c = cases.find(({ name }) => name === 'one row');
    const inputs = c?.build(seeded(7));
    if (!inputs) throw new Error('no such case');
    const weight = inputs.operands.weight?.data as Float64Array;
    const [product, gemm] = linearGraphs(inputs).map(({ model }) => {
      const [w = []] = messages(messages(parse(model), 7)[0] ?? [], 5);
      const raw = all(w, 9)[0] as Uint8Array;
      return { dims: all(w, 1).map(Number), at: (i: number) => Buffer.from(raw).readFloatLE(4 * i) };
    });
    expect(product?.dims).toEqual([64, 48]);
    expect(gemm?.dims).toEqual([48, 64]);
    expect(product?.at(5 * 48 + 3)).toBe(weight[3 * 64 + 5]);
    expect(gemm?.at(3 * 64 + 5)).toBe(weight[3 * 64 + 5]);
  });

  test('peers that are not installed are noticed', () => {
    expect(() => peersInstalled('/nowhere')).not.toThrow();
    expect(peersInstalled('/nowhere')).toBe(false);
  });
});
