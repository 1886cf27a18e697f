import { HyperBagelError } from '../errors.js';

/** Most drafted nodes of a tree: with the root they fill the 128 bits of an ancestor mask. */
export const MAX_DRAFTED = 127;

/** Words of 32 bits that hold the ancestors of a node. */
export const ANCESTOR_WORDS = 4;

/** What a draft tree is made of; node i of all three lists is drafted node i. */
export interface DraftTreeInit {
  /** Token ids. */
  tokens: ArrayLike<number>;
  /** The node that each node continues: an index below its own, or -1 for the root, the last token that was emitted. */
  parents: ArrayLike<number>;
  /**
   * Natural logarithm of the estimated probability that the node is reached and accepted. They steer which nodes are verified and
   * in what order, never what is answered. A value above its parent's (0 at the root) counts as its parent's. Without them
   * the k children of a node and "none of them" are equally likely: -log(k + 1) per level.
   */
  values?: ArrayLike<number> | undefined;
}

/** Limits of a draft, without the root. */
export interface DraftBudget {
  nodes: number;
  depth: number;
  /** Nodes of a smaller value are hardly worth a thought: a drafter that estimates them may leave them out. Default: none are. */
  least?: number | undefined;
}

/** A draft tree with its root as node 0, in depth-first order, best child first ("value descending, index ascending"). */
export interface TreeLayout {
  /** Nodes with the root. */
  readonly nodes: number;
  /** The drafted node behind each node; -1 for the root. */
  readonly drafted: Int32Array;
  /** Token ids; -1 for the root. */
  readonly tokens: Int32Array;
  /** -1 for the root. */
  readonly parents: Int32Array;
  /** 0 for the root. */
  readonly depths: Int32Array;
  /** [nodes, 4]: bit j of a node's 128 bits is set when node j is the node itself or above it. */
  readonly ancestors: Uint32Array;
  /** -1 where there is none. */
  readonly firstChild: Int32Array;
  /** -1 where there is none. */
  readonly nextSibling: Int32Array;
  /** Nodes at and below each node: j is in the subtree of i when i <= j < i + size[i]. */
  readonly sizes: Int32Array;
}

function refuse(operand: string, message: string, expected: string, got: unknown): never {
  throw new HyperBagelError('BAD_OPTION', `draft tree: ${message}: expected ${expected}, got ${String(got)}`, {
    operand,
    expected,
    got: String(got),
  });
}

const isList = (value: unknown): value is ArrayLike<number> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

function checkList(operand: 'tokens' | 'parents' | 'values', list: unknown, length: number): ArrayLike<number> {
  if (!isList(list)) return refuse(operand, `${operand} is no list`, 'an array of numbers', typeof list);
  if (list.length !== length) refuse(operand, `${operand} has another length`, `${length} as tokens has`, list.length);
  return list;
}

/**
 * Candidate continuations of the last emitted token, as a tree: siblings are alternatives, a path is a run of tokens. Holds the
 * drafted nodes only; immutable.
 */
export class DraftTree {
  readonly tokens: Int32Array;
  readonly parents: Int32Array;
  /** Rounded to f32, as the device orders them; never above the parent's. */
  readonly values: Float32Array;
  /** 1 for a child of the root. */
  readonly depths: Uint8Array;
  #layout: TreeLayout | undefined;
  #order: Uint8Array | undefined;

  /**
   * @param vocabulary when given, tokens must be below it
   * @throws HyperBagelError BAD_OPTION, operand `tokens`, `parents` or `values`: lists of different lengths; more than 127 nodes;
   * a token that is no id; a parent at or behind its child (which a cycle always has); siblings with the same token; a value that
   * is NaN
   */
  constructor({ tokens, parents, values }: DraftTreeInit, vocabulary = 2 ** 31) {
    if (!isList(tokens)) refuse('tokens', 'tokens is no list', 'an array of numbers', typeof tokens);
    const n = tokens.length;
    if (n > MAX_DRAFTED) refuse('tokens', 'too many nodes', `at most ${MAX_DRAFTED}`, n);
    checkList('parents', parents, n);
    if (values !== undefined) checkList('values', values, n);
    this.tokens = new Int32Array(n);
    this.parents = new Int32Array(n);
    this.values = new Float32Array(n);
    this.depths = new Uint8Array(n);
    const youngest = new Int16Array(n + 1).fill(-1); // by parent + 1
    const elder = new Int16Array(n).fill(-1);
    for (let i = 0; i < n; i++) {
      const token = tokens[i] as number;
      const parent = parents[i] as number;
      if (!Number.isInteger(token) || token < 0 || token >= vocabulary) {
        refuse('tokens', `token ${i} is no token id`, `an integer from 0 to ${vocabulary - 1}`, token);
      }
      if (!Number.isInteger(parent) || parent < -1 || parent >= i) {
        refuse('parents', `the parent of node ${i} does not come before it`, `an integer from -1 to ${i - 1}`, parent);
      }
      for (let s = youngest[parent + 1] as number; s >= 0; s = elder[s] as number) {
        if (this.tokens[s] === token) {
          refuse('tokens', `nodes ${s} and ${i} are siblings with one token`, 'siblings with different tokens', token);
        }
      }
      elder[i] = youngest[parent + 1] as number;
      youngest[parent + 1] = i;
      this.tokens[i] = token;
      this.parents[i] = parent;
      this.depths[i] = parent < 0 ? 1 : (this.depths[parent] as number) + 1;
    }
    if (values) this.#takeValues(values);
    else this.#defaultValues();
  }

  #takeValues(values: ArrayLike<number>): void {
    for (let i = 0; i < this.size; i++) {
      const value = values[i] as number;
      if (typeof value !== 'number' || Number.isNaN(value)) {
        refuse('values', `value ${i} is no number`, 'the logarithm of a probability', value);
      }
      this.values[i] = Math.min(value, this.#above(i));
    }
  }

  #defaultValues(): void {
    const children = new Uint8Array(this.size + 1);
    for (const parent of this.parents) (children[parent + 1] as number)++;
    for (let i = 0; i < this.size; i++) {
      this.values[i] = this.#above(i) - Math.log(1 + (children[(this.parents[i] as number) + 1] as number));
    }
  }

  #above(i: number): number {
    const parent = this.parents[i] as number;
    return parent < 0 ? 0 : (this.values[parent] as number);
  }

  /** What a drafter returned, checked. A tree of another copy of this package is checked anew. */
  static from(proposal: DraftTree | DraftTreeInit, vocabulary?: number): DraftTree {
    if (!(proposal instanceof DraftTree)) return new DraftTree(proposal, vocabulary);
    if (vocabulary !== undefined) {
      for (const token of proposal.tokens) {
        if (token >= vocabulary) {
          refuse('tokens', 'a token is outside the vocabulary', `an integer from 0 to ${vocabulary - 1}`, token);
        }
      }
    }
    return proposal;
  }

  /** Number of drafted nodes. */
  get size(): number {
    return this.tokens.length;
  }

  /** Depth of the deepest node; 0 for a tree without nodes. */
  get depth(): number {
    let depth = 0;
    for (const d of this.depths) depth = Math.max(depth, d);
    return depth;
  }

  /** Drafted nodes, best first: value descending, index ascending. Every beginning of the list is a tree. */
  get order(): Uint8Array {
    this.#order ??= this.#sorted();
    return this.#order;
  }

  #sorted(): Uint8Array {
    const { values } = this;
    const order = new Uint8Array(this.size);
    let sorted = true;
    for (let i = 1; i < order.length; i++) {
      order[i] = i;
      sorted &&= (values[i] as number) <= (values[i - 1] as number);
    }
    return sorted ? order : order.sort((a, b) => (values[b] as number) - (values[a] as number) || a - b);
  }

  /** The tree in the form that is verified. */
  get layout(): TreeLayout {
    this.#layout ??= layOut(this);
    return this.#layout;
  }

  /** Drafted nodes whose path is the beginning of a continuation: what would be accepted if the model went on like this. */
  follow(continuation: ArrayLike<number>): number[] {
    const path: number[] = [];
    let at = -1;
    for (let i = 0; i < this.size && path.length < continuation.length; i++) {
      if (this.parents[i] !== at || this.tokens[i] !== continuation[path.length]) continue;
      at = i;
      path.push(i);
    }
    return path;
  }

  /** What is left once the answer has gone on with some tokens: the part below them, their last one the root. */
  after(tokens: readonly number[]): DraftTree {
    if (tokens.length === 0) return this;
    const path = this.follow(tokens);
    const root = path.at(-1) as number;
    const place = new Int32Array(this.size).fill(-1);
    const kept: number[] = [];
    for (let i = 0; path.length === tokens.length && i < this.size; i++) {
      const parent = this.parents[i] as number;
      if (parent !== root && (parent < 0 || place[parent] === -1)) continue;
      place[i] = kept.length;
      kept.push(i);
    }
    const reached = kept.length > 0 ? (this.values[root] as number) : 0;
    return new DraftTree({
      tokens: kept.map((i) => this.tokens[i] as number),
      parents: kept.map((i) => place[this.parents[i] as number] ?? -1),
      // what is worth nothing stays so
      values: kept.map((i) =>
        (this.values[i] as number) === -Infinity ? -Infinity : (this.values[i] as number) - reached,
      ),
    });
  }

  /** The tree without the nodes that hold one of these tokens and without what is below them. */
  without(tokens: readonly number[]): DraftTree {
    if (!this.tokens.some((token) => tokens.includes(token))) return this;
    const place = new Int32Array(this.size).fill(-1);
    const kept: number[] = [];
    for (let i = 0; i < this.size; i++) {
      const parent = this.parents[i] as number;
      if (tokens.includes(this.tokens[i] as number) || (parent >= 0 && place[parent] === -1)) continue;
      place[i] = kept.length;
      kept.push(i);
    }
    return new DraftTree({
      tokens: kept.map((i) => this.tokens[i] as number),
      parents: kept.map((i) => place[this.parents[i] as number] ?? -1),
      values: kept.map((i) => this.values[i] as number),
    });
  }

  /**
   * The union of trees, cut to a budget: nodes with the same parent and token become one with the larger value; the nodes with the
   * largest values stay (earlier trees and nodes first among equals), best first. A parent always stays with its child,
   * because its value is no smaller.
   *
   * @throws HyperBagelError BAD_OPTION, operand `budget.nodes` or `budget.depth`
   */
  static merge(trees: readonly DraftTree[], budget: DraftBudget): DraftTree {
    const nodes = checkBudget('nodes', budget.nodes);
    const depth = checkBudget('depth', budget.depth);
    const [only] = trees;
    if (trees.length === 1 && only && only.size <= nodes && only.depth <= depth) return only;
    const merged = { tokens: [] as number[], parents: [] as number[], values: [] as number[] };
    const known = new Map<number, number>();
    for (const tree of trees) {
      const place = new Int32Array(tree.size);
      for (let i = 0; i < tree.size; i++) {
        if ((tree.depths[i] as number) > depth) continue;
        const parent = tree.parents[i] as number;
        const above = parent < 0 ? -1 : (place[parent] as number);
        const token = tree.tokens[i] as number;
        const value = tree.values[i] as number;
        const key = (above + 1) * 2 ** 31 + token;
        const found = known.get(key);
        if (found === undefined) {
          known.set(key, merged.tokens.length);
          place[i] = merged.tokens.length;
          merged.tokens.push(token);
          merged.parents.push(above);
          merged.values.push(value);
        } else {
          place[i] = found;
          merged.values[found] = Math.max(merged.values[found] as number, value);
        }
      }
    }
    const at = (list: number[], i: number) => list[i] as number;
    const kept = merged.tokens
      .map((_, i) => i)
      .sort((a, b) => at(merged.values, b) - at(merged.values, a) || a - b)
      .slice(0, nodes);
    const renumbered = new Map(kept.map((old, i) => [old, i]));
    return new DraftTree({
      tokens: kept.map((i) => at(merged.tokens, i)),
      parents: kept.map((i) => renumbered.get(at(merged.parents, i)) ?? -1),
      values: kept.map((i) => at(merged.values, i)),
    });
  }
}

function checkBudget(name: 'nodes' | 'depth', value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= MAX_DRAFTED) return value;
  return refuse(`budget.${name}`, `the budget of ${name}`, `an integer from 0 to ${MAX_DRAFTED}`, value);
}

function layOut(tree: DraftTree): TreeLayout {
  const nodes = tree.size + 1;
  // sibling lists of drafted nodes, worst child put in first; the root's list is at 0
  const head = new Int16Array(nodes).fill(-1);
  const next = new Int16Array(nodes).fill(-1);
  const { order } = tree;
  for (let k = order.length - 1; k >= 0; k--) {
    const i = order[k] as number;
    const parent = (tree.parents[i] as number) + 1;
    next[i] = head[parent] as number;
    head[parent] = i;
  }
  const list = () => new Int32Array(nodes).fill(-1);
  const layout = {
    nodes,
    drafted: list(),
    tokens: list(),
    parents: list(),
    depths: new Int32Array(nodes),
    ancestors: new Uint32Array(ANCESTOR_WORDS * nodes),
    firstChild: list(),
    nextSibling: list(),
    sizes: new Int32Array(nodes).fill(1),
  };
  const place = new Int32Array(tree.size);
  layout.ancestors[0] = 1;
  let at = head[0] as number;
  for (let i = 1; i < nodes; i++) {
    const parent = tree.parents[at] as number;
    const above = parent < 0 ? 0 : (place[parent] as number);
    place[at] = i;
    layout.drafted[i] = at;
    layout.tokens[i] = tree.tokens[at] as number;
    layout.parents[i] = above;
    layout.depths[i] = tree.depths[at] as number;
    for (let w = 0; w < ANCESTOR_WORDS; w++) {
      layout.ancestors[ANCESTOR_WORDS * i + w] = layout.ancestors[ANCESTOR_WORDS * above + w] as number;
    }
    (layout.ancestors[ANCESTOR_WORDS * i + (i >> 5)] as number) |= 1 << (i & 31);
    if (head[parent + 1] === at) layout.firstChild[above] = i;
    // down, else to the nearest younger sibling of the node or of one above it
    let up = at;
    at = head[at + 1] as number;
    while (at < 0 && up >= 0) {
      at = next[up] as number;
      up = tree.parents[up] as number;
    }
  }
  for (let i = nodes - 1; i > 0; i--) {
    (layout.sizes[layout.parents[i] as number] as number) += layout.sizes[i] as number;
  }
  for (let i = 1; i < nodes; i++) {
    const sibling = i + (layout.sizes[i] as number);
    if (sibling < nodes && layout.parents[sibling] === layout.parents[i]) layout.nextSibling[i] = sibling;
  }
  return layout;
}
