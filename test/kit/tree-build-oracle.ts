// What `tree_build` should give.
import { integer, type OpInputs, type OracleTensor, operand } from './cases.js';

/** A node of a tree: a path of tokens from the root. */
interface Node {
  path: string;
  parent: Node | undefined;
  token: number;
  source: number;
  rank: number;
  depth: number;
  children: Node[];
}

/** Every Out operand of `tree_build`, in plain float64 loops: the oracle of its cases. */
export function treeBuildOracle({ operands, attributes }: OpInputs): Record<string, OracleTensor> {
  const at = (name: string, i: number) => operand(operands, name).data[i] as number;
  const [b = 0, c = 0] = operand(operands, 'tokens').shape;
  const n = integer(attributes, 'capacity_rows');
  const vocabulary = integer(attributes, 'vocabulary');
  const out = Object.fromEntries(
    ['token', 'rank', 'seq', 'position', 'visible', 'index'].map((name) => [name, new Float64Array(n)]),
  ) as Record<string, Float64Array>;
  for (const name of ['parent', 'source', 'slot']) out[name] = new Float64Array(n).fill(-1);
  out.own = new Float64Array(2 * n);
  out.ancestors = new Float64Array(4 * n);
  out.first = new Float64Array(b + 1);
  const running = Array.from({ length: b }, (_, s) => s).filter((s) => at('finished', s) === 0);
  let row = 0;
  for (let s = 0; s < b; s++) {
    out.first[s] = row;
    if (!running.includes(s)) continue;
    const behind = running.filter((other) => other > s).length;
    const room = Math.min(at('budget', s), 128, n - row - behind, at('capacity', s) - at('root_slot', s));
    const root: Node = {
      path: '',
      parent: undefined,
      token: at('root', s),
      source: -1,
      rank: 0,
      depth: 0,
      children: [],
    };
    // what the answer has gone on by since; undefined: nobody knows
    const since = operands.since ? at('since', s) : at('output', s);
    const kept = operands.history?.shape[1] ?? 0;
    const passed = at('output', s) - since;
    const known = since >= 0 && passed >= 0 && passed < 128 && at('output', s) <= kept;
    const way = !operands.since
      ? []
      : known
        ? Array.from({ length: passed }, (_, i) => at('history', s * kept + since + i))
        : undefined;
    // way to every usable candidate, and its worth: the least value on the way from the root
    const ways: ([number, number][] | undefined)[] = [];
    const worth: (number | undefined)[] = [];
    const above: number[] = [];
    const tokens: number[] = [];
    const rank: number[] = [];
    for (const [prefix, base] of [
      ['', 0],
      ['more_', c],
    ] as const) {
      const width = operands[`${prefix}tokens`]?.shape[1] ?? 0;
      const before = prefix === '' ? way : [];
      const count = width === 0 ? 0 : Math.min(Math.max(at(`${prefix}count`, s), 0), width);
      for (let k = 0; k < count; k++) {
        const [token, parent, value] = ['tokens', 'parents', 'values'].map((name) =>
          at(`${prefix}${name}`, s * width + k),
        ) as [number, number, number];
        const usable = token >= 0 && token < vocabulary && parent >= -1 && parent < k && value > -Infinity;
        const i = base + k;
        const up = parent < 0 ? [] : ways[base + parent];
        ways[i] = usable && up ? [...up, [token, value]] : undefined;
        const path = ways[i];
        if (!before || !path || path.length <= before.length) continue;
        if (!before.every((wanted, d) => path[d]?.[0] === wanted)) continue;
        above[i] = path.length === before.length + 1 ? -1 : base + parent;
        tokens[i] = token;
        worth[i] = Math.min(...path.slice(before.length).map(([, v]) => v));
        rank.push(i);
      }
    }
    rank.sort((i, j) => ((worth[j] as number) > (worth[i] as number) ? 1 : worth[j] === worth[i] ? i - j : -1));
    const nodeOf = new Map<number, Node>([[-1, root]]);
    let nodes = 1;
    for (const i of rank) {
      const parent = nodeOf.get(above[i] as number);
      if (!parent || nodes >= room || parent.depth >= at('limit', s) - at('output', s) - 1) continue;
      const token = tokens[i] as number;
      let node = parent.children.find((child) => child.token === token);
      if (!node) {
        const depth = parent.depth + 1;
        node = { path: `${parent.path}/${token}`, parent, token, source: i, rank: nodes++, depth, children: [] };
        parent.children.push(node);
      }
      nodeOf.set(i, node);
    }
    const list: Node[] = [];
    const visit = (node: Node): void => {
      list.push(node);
      for (const child of node.children) visit(child);
    };
    visit(root);
    const put = (name: string, i: number, value: number) => {
      (out[name] as Float64Array)[i] = value | 0; // positions and slots wrap
    };
    list.forEach((node, i) => {
      const slot = at('root_slot', s);
      put('token', row + i, node.token);
      put('parent', row + i, node.parent ? list.indexOf(node.parent) : -1);
      put('source', row + i, node.source);
      put('rank', row + i, node.rank);
      put('seq', row + i, s);
      put('position', row + i, at('root_position', s) + node.depth);
      put('slot', row + i, slot + i);
      put('visible', row + i, slot);
      put('own', 2 * (row + i), slot);
      put('own', 2 * (row + i) + 1, slot + list.length);
      put('index', row + i, at('output', s) + node.depth);
      const words = [0, 0, 0, 0];
      for (let up: Node | undefined = node; up; up = up.parent) {
        const bit = list.indexOf(up);
        words[bit >> 5] = (words[bit >> 5] as number) | (1 << (bit & 31));
      }
      words.forEach((word, w) => {
        put('ancestors', 4 * (row + i) + w, word);
      });
    });
    row += list.length;
  }
  out.first[b] = row;
  const shapes: Record<string, number[]> = { own: [n, 2], ancestors: [n, 4], first: [b + 1] };
  return {
    ...Object.fromEntries(Object.entries(out).map(([name, data]) => [name, { shape: shapes[name] ?? [n], data }])),
    rows: { shape: [1], data: Float64Array.of(row) },
  };
}
