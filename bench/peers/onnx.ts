// Writes ONNX models: the protobuf wire format, and as much of onnx.proto3 as a graph of a few nodes with constants needs.
// Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3.

/** A protobuf message under construction. Fields are written in the order of the calls. */
export class Message {
  readonly #parts: Uint8Array[] = [];

  #varint(value: bigint): void {
    const bytes: number[] = [];
    // negative int64s take ten bytes of two's complement
    let rest = BigInt.asUintN(64, value);
    do {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      bytes.push(rest > 0n ? low | 0x80 : low);
    } while (rest > 0n);
    this.#parts.push(Uint8Array.from(bytes));
  }

  #tag(field: number, wireType: 0 | 2 | 5): void {
    this.#varint(BigInt(field * 8 + wireType));
  }

  int(field: number, value: number): this {
    this.#tag(field, 0);
    this.#varint(BigInt(value));
    return this;
  }

  float(field: number, value: number): this {
    this.#tag(field, 5);
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    this.#parts.push(bytes);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, 2);
    this.#varint(BigInt(value.length));
    this.#parts.push(value);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.encode());
  }

  encode(): Uint8Array {
    const out = new Uint8Array(this.#parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

/** A float32 tensor, row-major. */
export interface FloatArray {
  shape: number[];
  data: Float32Array;
}

export type Attribute = number | { float: number } | { ints: number[] };

export interface Node {
  op: string;
  /** Default: the standard operators. */
  domain?: 'com.microsoft';
  /** An empty name leaves an optional input out. */
  inputs: string[];
  outputs: string[];
  /** Plain numbers are integers. */
  attributes?: Record<string, Attribute>;
}

/** All tensors are float32. */
export interface Graph {
  nodes: Node[];
  inputs: Record<string, number[]>;
  outputs: Record<string, number[]>;
  constants?: Record<string, FloatArray>;
  /** Version of the standard operators; default 17. */
  opset?: number;
}

const FLOAT = 1;

function attribute(name: string, value: Attribute): Message {
  const message = new Message().string(1, name);
  if (typeof value === 'number') return message.int(3, value).int(20, 2);
  if ('float' in value) return message.float(2, value.float).int(20, 1);
  for (const i of value.ints) message.int(8, i);
  return message.int(20, 7);
}

function node({ op, domain, inputs, outputs, attributes = {} }: Node): Message {
  const message = new Message();
  for (const name of inputs) message.string(1, name);
  for (const name of outputs) message.string(2, name);
  message.string(4, op);
  for (const [name, value] of Object.entries(attributes)) message.message(5, attribute(name, value));
  if (domain) message.string(7, domain);
  return message;
}

function valueInfo(name: string, shape: readonly number[]): Message {
  const dims = new Message();
  for (const dim of shape) dims.message(1, new Message().int(1, dim));
  const tensor = new Message().int(1, FLOAT).message(2, dims);
  return new Message().string(1, name).message(2, new Message().message(1, tensor));
}

function constant(name: string, { shape, data }: FloatArray): Message {
  const message = new Message();
  for (const dim of shape) message.int(1, dim);
  const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return message.int(2, FLOAT).string(8, name).bytes(9, raw);
}

/** A ModelProto of a graph. */
export function encodeModel({ nodes, inputs, outputs, constants = {}, opset = 17 }: Graph): Uint8Array {
  const graph = new Message();
  for (const n of nodes) graph.message(1, node(n));
  graph.string(2, 'graph');
  for (const [name, value] of Object.entries(constants)) graph.message(5, constant(name, value));
  for (const [name, shape] of Object.entries(inputs)) graph.message(11, valueInfo(name, shape));
  for (const [name, shape] of Object.entries(outputs)) graph.message(12, valueInfo(name, shape));
  const version = (domain: string, number: number) => new Message().string(1, domain).int(2, number);
  return new Message()
    .int(1, 10)
    .message(7, graph)
    .message(8, version('', opset))
    .message(8, version('com.microsoft', 1))
    .encode();
}
