/** The state of the empty context. */
export const ROOT = 0;

const grown = (list: Int32Array) => {
  const larger = new Int32Array(2 * list.length);
  larger.set(list);
  return larger;
};

/**
 * A suffix automaton over texts of tokens that grow at their end, with exact counts of what followed each context of up to
 * `maxContext` tokens. A state stands for all contexts that occur at the same places, `length` is its longest; `link` leads to the state
 * of the longest shorter context that also occurs elsewhere, so the links from a context's state visit all its suffixes.
 *
 * `add` takes amortised constant time for a bounded number of distinct continuations per context: the automaton's own growth is
 * amortised constant, and of the suffixes at the text's end only the at most `maxContext + 1` states with counts are visited. Memory is
 * linear: fewer than 2 states and 3 edges per token. Contexts never reach across the beginning of a text. Tokens are any 32-bit
 * integers. Construction: Blumer et al. 1985, for several texts at once.
 *
 * The lists are open to readers in this folder, for a drafter's inner loop; only this class writes them.
 */
export class SuffixAutomaton {
  /** Tokens of the longest context of a state. */
  length = new Int32Array(64);
  /** -1 for the root. */
  link = new Int32Array(64);
  /** Times that a context of the state was followed by a token. */
  total = new Int32Array(64);
  /** Different tokens that followed. */
  distinct = new Int32Array(64);
  /** First edge of a state, -1 without any. The edges of a state are in order of their counts, largest first. */
  head = new Int32Array(64);
  #tail = new Int32Array(64);
  #states = 0;

  edgeToken = new Int32Array(64);
  edgeTarget = new Int32Array(64);
  /** Times that the edge's token followed a context of the state. */
  edgeCount = new Int32Array(64);
  /** -1 behind the last. */
  edgeNext = new Int32Array(64);
  #edges = 0;
  /** The root has an edge for every token there is, so it has a table instead. */
  readonly #first = new Map<number, number>();

  #last = ROOT;
  /** The longest suffix of the text of at most `maxContext` tokens: its state and length. */
  #end = ROOT;
  #endLength = 0;
  #size = 0;

  constructor(readonly maxContext: number) {
    this.#state(0);
  }

  /** Tokens added. */
  get size(): number {
    return this.#size;
  }

  /** State of the text's last `endLength` tokens, at most `maxContext`. */
  get end(): number {
    return this.#end;
  }

  get endLength(): number {
    return this.#endLength;
  }

  /** Bytes of the lists. */
  get bytes(): number {
    return 4 * (6 * this.length.length + 4 * this.edgeToken.length);
  }

  clear(): void {
    this.#states = 0;
    this.#edges = 0;
    this.#first.clear();
    this.#size = 0;
    this.#state(0);
    this.begin();
  }

  /** What is added next begins a new text. */
  begin(): void {
    this.#last = ROOT;
    this.#end = ROOT;
    this.#endLength = 0;
  }

  copy(): SuffixAutomaton {
    const copy = new SuffixAutomaton(this.maxContext);
    copy.length = this.length.slice();
    copy.link = this.link.slice();
    copy.total = this.total.slice();
    copy.distinct = this.distinct.slice();
    copy.head = this.head.slice();
    copy.#tail = this.#tail.slice();
    copy.#states = this.#states;
    copy.edgeToken = this.edgeToken.slice();
    copy.edgeTarget = this.edgeTarget.slice();
    copy.edgeCount = this.edgeCount.slice();
    copy.edgeNext = this.edgeNext.slice();
    copy.#edges = this.#edges;
    for (const [token, state] of this.#first) copy.#first.set(token, state);
    copy.#last = this.#last;
    copy.#end = this.#end;
    copy.#endLength = this.#endLength;
    copy.#size = this.#size;
    return copy;
  }

  /** The state after a token, -1 when the token never followed. */
  target(state: number, token: number): number {
    if (state === ROOT) return this.#first.get(token) ?? -1;
    const edge = this.#edge(state, token);
    return edge < 0 ? -1 : (this.edgeTarget[edge] as number);
  }

  /** The state of the longest suffix of a state's contexts that has at most `length` tokens. */
  shorten(state: number, length: number): number {
    let at = state;
    while (at !== ROOT && (this.length[this.link[at] as number] as number) >= length) at = this.link[at] as number;
    return at;
  }

  add(token: number): void {
    this.#size++;
    this.#extend(token);
    // the growth may have moved the context to a state of its own
    const context = this.shorten(this.#end, this.#endLength);
    for (let s = context; s !== ROOT; s = this.link[s] as number) this.#count(s, token);
    this.#endLength = Math.min(this.#endLength + 1, this.maxContext);
    this.#end = this.shorten(this.target(context, token), this.#endLength);
  }

  #extend(token: number): void {
    const from = this.#last;
    const known = this.target(from, token);
    if (known >= 0) {
      this.#last = this.#only(from, token, known);
      return;
    }
    const state = this.#state((this.length[from] as number) + 1);
    let at = from;
    let target = -1;
    for (; at >= 0; at = this.link[at] as number) {
      target = this.target(at, token);
      if (target >= 0) break;
      this.#connect(at, token, state);
    }
    const link = at < 0 ? ROOT : this.#only(at, token, target); // may replace the lists
    this.link[state] = link;
    this.#last = state;
  }

  /** The state whose longest context is that of `from` with the token behind it: the target itself or a part split off. */
  #only(from: number, token: number, target: number): number {
    const length = (this.length[from] as number) + 1;
    if (this.length[target] === length) return target;
    const part = this.#state(length);
    this.total[part] = this.total[target] as number;
    this.distinct[part] = this.distinct[target] as number;
    for (let e = this.head[target] as number; e >= 0; e = this.edgeNext[e] as number) {
      this.#append(part, this.edgeToken[e] as number, this.edgeTarget[e] as number, this.edgeCount[e] as number);
    }
    this.link[part] = this.link[target] as number;
    this.link[target] = part;
    for (let at = from; at >= 0; at = this.link[at] as number) {
      if (at === ROOT) {
        if (this.#first.get(token) !== target) break;
        this.#first.set(token, part);
      } else {
        const edge = this.#edge(at, token);
        if (edge < 0 || this.edgeTarget[edge] !== target) break;
        this.edgeTarget[edge] = part;
      }
    }
    return part;
  }

  #edge(state: number, token: number): number {
    let edge = this.head[state] as number;
    while (edge >= 0 && this.edgeToken[edge] !== token) edge = this.edgeNext[edge] as number;
    return edge;
  }

  /** Counts a continuation and keeps the edges in order: the edge trades places with the first that had as many. */
  #count(state: number, token: number): void {
    const { edgeToken, edgeTarget, edgeCount, edgeNext } = this;
    let edge = this.head[state] as number;
    let first = edge;
    while (edgeToken[edge] !== token) {
      edge = edgeNext[edge] as number;
      if (edgeCount[edge] !== edgeCount[first]) first = edge;
    }
    const count = edgeCount[edge] as number;
    if (count === 0) (this.distinct[state] as number)++;
    (this.total[state] as number)++;
    edgeCount[first] = count + 1;
    if (first === edge) return;
    const target = edgeTarget[edge] as number;
    edgeToken[edge] = edgeToken[first] as number;
    edgeTarget[edge] = edgeTarget[first] as number;
    edgeToken[first] = token;
    edgeTarget[first] = target;
  }

  #connect(state: number, token: number, target: number): void {
    if (state === ROOT) this.#first.set(token, target);
    else this.#append(state, token, target, 0);
  }

  #append(state: number, token: number, target: number, count: number): void {
    const edge = this.#edges++;
    if (edge === this.edgeToken.length) {
      this.edgeToken = grown(this.edgeToken);
      this.edgeTarget = grown(this.edgeTarget);
      this.edgeCount = grown(this.edgeCount);
      this.edgeNext = grown(this.edgeNext);
    }
    this.edgeToken[edge] = token;
    this.edgeTarget[edge] = target;
    this.edgeCount[edge] = count;
    this.edgeNext[edge] = -1;
    if ((this.head[state] as number) < 0) this.head[state] = edge;
    else this.edgeNext[this.#tail[state] as number] = edge;
    this.#tail[state] = edge;
  }

  #state(length: number): number {
    const state = this.#states++;
    if (state === this.length.length) {
      this.length = grown(this.length);
      this.link = grown(this.link);
      this.total = grown(this.total);
      this.distinct = grown(this.distinct);
      this.head = grown(this.head);
      this.#tail = grown(this.#tail);
    }
    this.length[state] = length;
    this.link[state] = -1;
    this.total[state] = 0;
    this.distinct[state] = 0;
    this.head[state] = -1;
    this.#tail[state] = -1;
    return state;
  }
}
