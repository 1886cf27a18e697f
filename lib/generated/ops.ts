// Made by `npm run gen` from the op contracts in csrc/ops. Do not edit.
import type { Context } from '../tensor/context.js';
import { DTYPES, type DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';

function dtypeNumber(dtype: DType | undefined): number | undefined {
  return dtype === undefined ? undefined : DTYPES.indexOf(dtype);
}

function choiceNumber(choice: string | undefined, choices: readonly string[]): number | undefined {
  return choice === undefined ? undefined : choices.indexOf(choice);
}

export interface RmsNormArgs<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16'> {
  /** [N D]: rows to normalise. */
  x: Tensor<T>;
  /** [N D]: added to x before normalising. */
  residual?: Tensor<NoInfer<T>> | undefined;
  /** [D]: scale. */
  weight: Tensor<W>;
  /** [D]: scale of rows at or beyond `split`. */
  weightGen?: Tensor<NoInfer<W>> | undefined;
  /** [1]: first row of the second expert: rows below it use the plain weights, the others the `_gen` ones. */
  split?: Tensor<'i32'> | undefined;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
  /** added to the mean of squares; default 0.000001. */
  eps?: number | undefined;
}

/**
 * Root-mean-square norm of each row, with an optional fused residual add.
 *
 * `h = x + residual; out = h / sqrt(mean(h^2) + eps) * weight`
 *
 * Returns
 * - `out` [N D]: normalised rows.
 * - `sum` [N D]: x + residual, rounded to the dtype of x; only with a residual.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function rmsNorm<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16'>(
  cx: Context,
  args: RmsNormArgs<T, W>,
): { out: Tensor<T>; sum?: Tensor<T> | undefined } {
  const [out, sum] = cx.run(0, [args.x, args.residual, args.weight, args.weightGen, args.split, args.rows], [args.eps]);
  return { out: out as Tensor<T>, sum: (sum ?? undefined) as Tensor<T> | undefined };
}

export interface LayerNormArgs<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16'> {
  /** [N D]: rows to normalise. */
  x: Tensor<T>;
  /** [D]: scale. */
  weight: Tensor<W>;
  /** [D]: shift. */
  bias: Tensor<NoInfer<W>>;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
  /** added to the variance; default 0.000001. */
  eps?: number | undefined;
}

/**
 * Layer norm of each row.
 *
 * `out = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias`
 *
 * Returns
 * - `out` [N D]: normalised rows.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function layerNorm<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16'>(
  cx: Context,
  args: LayerNormArgs<T, W>,
): Tensor<T> {
  return cx.run(1, [args.x, args.weight, args.bias, args.rows], [args.eps])[0] as Tensor<T>;
}

export interface EmbeddingArgs<T extends 'f32' | 'bf16', O extends 'f32' | 'bf16' = T> {
  /** [V D]: rows to pick from. */
  table: Tensor<T>;
  /** [N]: row of the table per output row; clamped to [0, V). */
  ids: Tensor<'i32'>;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
  /** dtype of out; default the dtype of T. */
  dtype?: O | undefined;
}

/**
 * Picks rows of a table; also gathers rows of any tensor.
 *
 * `out[n] = table[ids[n]]`
 *
 * Returns
 * - `out` [N D]: picked rows.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function embedding<T extends 'f32' | 'bf16', O extends 'f32' | 'bf16' = T>(
  cx: Context,
  args: EmbeddingArgs<T, O>,
): Tensor<NoInfer<O>> {
  return cx.run(2, [args.table, args.ids, args.rows], [dtypeNumber(args.dtype)])[0] as Tensor<NoInfer<O>>;
}

export interface EmbedAddArgs<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16', V extends 'f32' | 'bf16'> {
  /** [N D]: rows. */
  x: Tensor<T>;
  /** [P D]: embeddings to add, positions for example. */
  table: Tensor<W>;
  /** [N]: row of table per row; clamped to [0, P). */
  ids: Tensor<'i32'>;
  /** [Q D]: a second table, times for example. */
  table2?: Tensor<V> | undefined;
  /** [N]: row of table2 per row; clamped to [0, Q). */
  ids2?: Tensor<'i32'> | undefined;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
}

/**
 * Adds one or two looked-up embeddings to each row.
 *
 * `out[n] = (x[n] + table2[ids2[n]]) + table[ids[n]]`
 *
 * Returns
 * - `out` [N D]: x + table[ids] + table2[ids2], summed in f32.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function embedAdd<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16', V extends 'f32' | 'bf16'>(
  cx: Context,
  args: EmbedAddArgs<T, W, V>,
): Tensor<T> {
  return cx.run(3, [args.x, args.table, args.ids, args.table2, args.ids2, args.rows], [])[0] as Tensor<T>;
}

export interface ConcatRowsArgs<T extends 'f32' | 'bf16' | 'i32' | 'u8'> {
  /** [N D]: first rows. */
  a: Tensor<T>;
  /** [M D]: rows after them. */
  b: Tensor<NoInfer<T>>;
}

/**
 * Rows of b after rows of a.
 *
 * `out = [a; b]`
 *
 * Returns
 * - `out` [R D]: R = N + M.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function concatRows<T extends 'f32' | 'bf16' | 'i32' | 'u8'>(cx: Context, args: ConcatRowsArgs<T>): Tensor<T> {
  return cx.run(4, [args.a, args.b], [])[0] as Tensor<T>;
}

export interface CastArgs<T extends 'f32' | 'bf16', O extends 'f32' | 'bf16' = T> {
  /** any shape: values. */
  x: Tensor<T>;
  /** dtype of out; default the dtype of T. */
  dtype?: O | undefined;
}

/**
 * Changes the dtype.
 *
 * `out = round(x)`
 *
 * Returns
 * - `out` : the same values, rounded to nearest even.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function cast<T extends 'f32' | 'bf16', O extends 'f32' | 'bf16' = T>(
  cx: Context,
  args: CastArgs<T, O>,
): Tensor<NoInfer<O>> {
  return cx.run(5, [args.x], [dtypeNumber(args.dtype)])[0] as Tensor<NoInfer<O>>;
}

export interface PackWeightArgs<T extends 'f32' | 'bf16'> {
  /** [M K]: weight, one row per output. */
  weight: Tensor<T>;
  /** [M2 K]: rows appended after it. */
  second?: Tensor<NoInfer<T>> | undefined;
  /** [M3 K]: rows appended after those. */
  third?: Tensor<NoInfer<T>> | undefined;
}

/**
 * Concatenates weights by rows and brings them into the backend's packed layout.
 *
 * `out = pack([weight; second; third])`
 *
 * Returns
 * - `out` [R K]: the same matrix in the packed layout.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function packWeight<T extends 'f32' | 'bf16'>(cx: Context, args: PackWeightArgs<T>): Tensor<T> {
  return cx.run(6, [args.weight, args.second, args.third], [])[0] as Tensor<T>;
}

export interface LinearArgs<
  T extends 'f32' | 'bf16',
  W extends 'f32' | 'bf16',
  B extends 'f32' | 'bf16',
  O extends 'f32' | 'bf16' = T,
> {
  /** [N K]: input rows. */
  x: Tensor<T>;
  /** [M K]: one row per output; for swiglu the gate rows, then the up rows. */
  weight: Tensor<W>;
  /** [M]: added before the activation. */
  bias?: Tensor<B> | undefined;
  /** [M K]: weight of rows at or beyond `split`. */
  weightGen?: Tensor<NoInfer<W>> | undefined;
  /** [M]: bias of rows at or beyond `split`. */
  biasGen?: Tensor<NoInfer<B>> | undefined;
  /** [N R]: added after the activation. */
  residual?: Tensor<NoInfer<O>> | undefined;
  /** [1]: first row of the second expert: rows below it use the plain weights, the others the `_gen` ones. */
  split?: Tensor<'i32'> | undefined;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
  /** applied to x W^T + bias; default none. */
  activation?: 'none' | 'gelu_tanh' | 'silu' | 'swiglu' | undefined;
  /** dtype of out; default the dtype of T. */
  dtype?: O | undefined;
}

/**
 * Matrix product with a weight, with fused bias, activation, residual and two-expert routing.
 *
 * `out = activation(x W^T + bias) + residual; swiglu: silu(x Wgate^T) * (x Wup^T); accumulation in f32, K in order`
 *
 * Returns
 * - `out` [N R]: R = M, or M / 2 for swiglu.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function linear<
  T extends 'f32' | 'bf16',
  W extends 'f32' | 'bf16',
  B extends 'f32' | 'bf16',
  O extends 'f32' | 'bf16' = T,
>(cx: Context, args: LinearArgs<T, W, B, O>): Tensor<NoInfer<O>> {
  return cx.run(
    7,
    [args.x, args.weight, args.bias, args.weightGen, args.biasGen, args.residual, args.split, args.rows],
    [choiceNumber(args.activation, ['none', 'gelu_tanh', 'silu', 'swiglu']), dtypeNumber(args.dtype)],
  )[0] as Tensor<NoInfer<O>>;
}

export interface RopeTableArgs {
  /** [N]: position id per row. */
  positions: Tensor<'i32'>;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
  /** head size, even. */
  dim: number;
  /** base of the frequencies. */
  theta: number;
}

/**
 * Cosines and sines of rotary positions, shared by all layers of a step.
 *
 * `a_i = f32(position) * f32(theta^(-2i/dim)); out = [cos a | sin a]`
 *
 * Returns
 * - `out` [N R]: cos of the dim/2 angles, then their sin.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function ropeTable(cx: Context, args: RopeTableArgs): Tensor<'f32'> {
  return cx.run(8, [args.positions, args.rows], [args.dim, args.theta])[0] as Tensor<'f32'>;
}

export interface QkNormRopeAppendArgs<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16'> {
  /** [N C]: q heads, k heads and v heads side by side, C = (H + 2 G) D. */
  qkv: Tensor<T>;
  /** [D]: scale of the q norm; heads are not normed without it. */
  qNorm?: Tensor<W> | undefined;
  /** [D]: scale of the k norm. */
  kNorm?: Tensor<NoInfer<W>> | undefined;
  /** [D]: scale of the q norm of rows at or beyond `split`. */
  qNormGen?: Tensor<NoInfer<W>> | undefined;
  /** [D]: scale of the k norm of rows at or beyond `split`. */
  kNormGen?: Tensor<NoInfer<W>> | undefined;
  /** [N D]: cosines and sines from rope_table. */
  rope: Tensor<'f32'>;
  /** [N]: sequence (row of page_table) of each row; clamped to [0, B). */
  seq: Tensor<'i32'>;
  /** [N]: cache slot that the row's k and v go to; negative: not appended. */
  slots: Tensor<'i32'>;
  /** [B P]: cache page per sequence and page index. */
  pageTable: Tensor<'i32'>;
  /** [X G D S]: keys, transposed within a page. */
  kCache: Tensor<NoInfer<T>>;
  /** [X G S D]: values. */
  vCache: Tensor<NoInfer<T>>;
  /** [1]: first row of the second expert: rows below it use the plain weights, the others the `_gen` ones. */
  split?: Tensor<'i32'> | undefined;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
  /** added to the mean of squares; default 0.000001. */
  eps?: number | undefined;
}

/**
 * RMS norm of each q and k head, rotary embedding, and the append of k and v to the paged cache.
 *
 * `h = rms(h) * norm per head (h without norms, as in a draft head's layers); h = h * cos + [-h2 | h1] * sin (half rotation); k_cache, v_cache at page_table[seq][slot / 64], slot % 64`
 *
 * Returns
 * - `q` [N H D]: normed and rotated queries.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function qkNormRopeAppend<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16'>(
  cx: Context,
  args: QkNormRopeAppendArgs<T, W>,
): Tensor<T> {
  return cx.run(
    9,
    [
      args.qkv,
      args.qNorm,
      args.kNorm,
      args.qNormGen,
      args.kNormGen,
      args.rope,
      args.seq,
      args.slots,
      args.pageTable,
      args.kCache,
      args.vCache,
      args.split,
      args.rows,
    ],
    [args.eps],
  )[0] as Tensor<T>;
}

export interface PagedAttentionArgs<T extends 'f32' | 'bf16'> {
  /** [N H D]: queries. */
  q: Tensor<T>;
  /** [X G D S]: keys, transposed within a page; H is a multiple of G. */
  kCache: Tensor<NoInfer<T>>;
  /** [X G S D]: values. */
  vCache: Tensor<NoInfer<T>>;
  /** [B P]: cache page per sequence and page index. */
  pageTable: Tensor<'i32'>;
  /** [N]: sequence (row of page_table) of each row; clamped to [0, B). */
  seq: Tensor<'i32'>;
  /** [N]: the row sees slots 0 .. visible - 1; clamped to [0, P * 64]. */
  visible: Tensor<'i32'>;
  /** [N 2]: the row also sees slots own[0] .. own[1] - 1 (at or beyond visible). */
  own?: Tensor<'i32'> | undefined;
  /** [N 4]: of its own slots, only those whose bit (slot - own[0]) is set in these 128 bits. */
  ancestors?: Tensor<'i32'> | undefined;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
  /** factor of q k^T, 1 / sqrt(D) as a rule. */
  scale: number;
}

/**
 * Attention of a ragged batch of rows over the paged cache: causal, full, or masked by tree ancestors.
 *
 * `out = softmax(scale * q K^T) V over the visible slots in slot order; exact row maximum, one f32 FMA chain per output`
 *
 * Returns
 * - `out` [N H D]: a row that sees nothing gives zeros.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function pagedAttention<T extends 'f32' | 'bf16'>(cx: Context, args: PagedAttentionArgs<T>): Tensor<T> {
  return cx.run(
    10,
    [args.q, args.kCache, args.vCache, args.pageTable, args.seq, args.visible, args.own, args.ancestors, args.rows],
    [args.scale],
  )[0] as Tensor<T>;
}

export interface DenseAttentionArgs<T extends 'f32' | 'bf16'> {
  /** [N 3 H D]: q, k and v of each row side by side. */
  qkv: Tensor<T>;
  /** [N 2]: the row sees rows ranges[0] .. ranges[1] - 1; all rows when absent. */
  ranges?: Tensor<'i32'> | undefined;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
  /** factor of q k^T, 1 / sqrt(D) as a rule. */
  scale: number;
}

/**
 * Attention among the rows of the call, full within each row's range: the ViT and the VAE.
 *
 * `out = softmax(scale * q K^T) V over rows ranges[0] .. ranges[1] - 1 in order`
 *
 * Returns
 * - `out` [N H D]: a row that sees nothing gives zeros.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function denseAttention<T extends 'f32' | 'bf16'>(cx: Context, args: DenseAttentionArgs<T>): Tensor<T> {
  return cx.run(11, [args.qkv, args.ranges, args.rows], [args.scale])[0] as Tensor<T>;
}

export interface CopyPagesArgs<T extends 'f32' | 'bf16'> {
  /** [X G D S]: keys. */
  kCache: Tensor<T>;
  /** [X G S D]: values. */
  vCache: Tensor<NoInfer<T>>;
  /** [N 2]: source and destination page; a pair with a negative page is unused, one out of range is skipped and flagged. */
  pairs: Tensor<'i32'>;
}

/**
 * Copies cache pages: what a fork does to a partly filled last page.
 *
 * `cache[pairs[n][1]] = cache[pairs[n][0]], n in order`
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function copyPages<T extends 'f32' | 'bf16'>(cx: Context, args: CopyPagesArgs<T>): void {
  cx.run(12, [args.kCache, args.vCache, args.pairs], []);
}

export interface SampleArgs {
  /** [N V]: scores. */
  logits: Tensor<'f32'>;
  /** [N]: sequence of each row, whose settings it takes; clamped to [0, B). */
  seq: Tensor<'i32'>;
  /** [B]: 0 (or less, or NaN): the largest logit, lowest id on ties. */
  temperature: Tensor<'f32'>;
  /** [B]: keep the k largest logits, lower ids first on ties; 0 or less: all. */
  topK: Tensor<'i32'>;
  /** [B]: then keep tokens, best first, while the mass before them (of what top-k left, at this temperature) is below p; the best always stays; 1 or more, or NaN: all. */
  topP: Tensor<'f32'>;
  /** [B]: then keep tokens of at least this share of the largest probability; 0 or less, or NaN: all; more than 1 acts as 1. */
  minP: Tensor<'f32'>;
  /** [B 2]: low and high half of the 64-bit seed. */
  seed: Tensor<'i32'>;
  /** [N]: index of the token in the answer. */
  position: Tensor<'i32'>;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
}

/**
 * Picks a token per row: greedy, or sampled by position-keyed Gumbel noise.
 *
 * `token = argmax over kept ids of (logit - largest logit) / temperature + G(seed, position, id), G = -log(-log U), U = (w + 0.5) 2^-32, w = word id % 4 of Philox4x32-10, key = seed, counter = (id / 4, position, purpose token << 24, 0); lowest id on ties. A row with NaN or +inf, or of -inf only, sets the not-a-number flag and gives the lowest id of its largest number (0 without one)`
 *
 * Returns
 * - `token` [N]: chosen ids.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function sample(cx: Context, args: SampleArgs): Tensor<'i32'> {
  return cx.run(
    13,
    [args.logits, args.seq, args.temperature, args.topK, args.topP, args.minP, args.seed, args.position, args.rows],
    [],
  )[0] as Tensor<'i32'>;
}

export interface TreeBuildArgs {
  /** [B C]: candidate tokens of each sequence. */
  tokens: Tensor<'i32'>;
  /** [B C]: candidate that each one follows: an index below its own, or -1 for the root. */
  parents: Tensor<'i32'>;
  /** [B C]: logarithm of the estimated probability that the candidate is reached and accepted; a candidate is worth no more than what it follows; -inf: unused. */
  values: Tensor<'f32'>;
  /** [B]: candidates of each sequence; clamped to [0, C]. */
  count: Tensor<'i32'>;
  /** [B]: tokens of the answer that the candidates come after; without it `output`, the root itself. */
  since?: Tensor<'i32'> | undefined;
  /** [B L]: tokens of the answer; given together with `since`. */
  history?: Tensor<'i32'> | undefined;
  /** [B M]: candidates of a second drafter, numbered from C on. */
  moreTokens?: Tensor<'i32'> | undefined;
  /** [B M]: candidate of the same drafter, counted from its first. */
  moreParents?: Tensor<'i32'> | undefined;
  /** [B M]: their values. */
  moreValues?: Tensor<'f32'> | undefined;
  /** [B]: how many; clamped to [0, M]. */
  moreCount?: Tensor<'i32'> | undefined;
  /** [B]: most nodes of each tree, the root included; clamped to [1, 128]. */
  budget: Tensor<'i32'>;
  /** [B]: token of the root: the last one of the answer, not yet in the cache. */
  root: Tensor<'i32'>;
  /** [B]: its rotary position. */
  rootPosition: Tensor<'i32'>;
  /** [B]: its cache slot: the committed length. */
  rootSlot: Tensor<'i32'>;
  /** [B]: tokens of the answer so far. */
  output: Tensor<'i32'>;
  /** [B]: most tokens of the answer: no node is deeper than limit - output - 1. */
  limit: Tensor<'i32'>;
  /** [B]: cache slots that the sequence's pages hold. */
  capacity: Tensor<'i32'>;
  /** [B]: not 0: the sequence takes no rows. */
  finished: Tensor<'i32'>;
  /** N, at least B. */
  capacityRows: number;
  /** tokens lie in [0, vocabulary). */
  vocabulary: number;
}

/**
 * Draft trees of a ragged batch from scored candidates: select, merge, number depth first, derive the masks.
 *
 * `a candidate's value is min(values, value of what it follows); candidates are taken in the order "value descending, index ascending" until the budget, the rows, the cache or the answer's limit is full: one whose parent was not taken is left out, one that repeats a sibling's token is merged with it. Nodes are numbered depth first, children in the order in which they were taken. A candidate with a value that is not a number, a token out of range or a parent that is no index below its own is left out and flagged. With `since`, the tokens history[since .. output) are followed down the first drafter's candidates: what lies below the end of that path are the candidates, its children those of the root, values on the way do not count; there are none where the path is not among them, is longer than 127 tokens or not in the history. Every running sequence has a root; sequences take rows in order, each leaves one row for every sequence behind it. Rows beyond `rows` hold 0, parent, source and slot -1`
 *
 * Returns
 * - `token` [N]: token of each row.
 * - `parent` [N]: its parent, counted from the tree's root; -1 for a root.
 * - `source` [N]: candidate that it came from; -1 for a root.
 * - `rank` [N]: when it was taken: 0 for a root, 1 for the best node of its tree.
 * - `seq` [N]: sequence of each row.
 * - `position` [N]: rotary position: the root's plus the depth.
 * - `slot` [N]: cache slot: the root's plus the number in the tree; -1 beyond `rows`.
 * - `visible` [N]: slots below the root's.
 * - `own` [N 2]: slots of the tree.
 * - `ancestors` [N 4]: 128 bits: bit j is set for node j on the path from the root.
 * - `index` [N]: index in the answer of the token that the row predicts.
 * - `first` [F]: first row of each sequence, and one past the last: F = B + 1.
 * - `rows` [1]: rows in use.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function treeBuild(
  cx: Context,
  args: TreeBuildArgs,
): {
  token: Tensor<'i32'>;
  parent: Tensor<'i32'>;
  source: Tensor<'i32'>;
  rank: Tensor<'i32'>;
  seq: Tensor<'i32'>;
  position: Tensor<'i32'>;
  slot: Tensor<'i32'>;
  visible: Tensor<'i32'>;
  own: Tensor<'i32'>;
  ancestors: Tensor<'i32'>;
  index: Tensor<'i32'>;
  first: Tensor<'i32'>;
  rows: Tensor<'i32'>;
} {
  const [token, parent, source, rank, seq, position, slot, visible, own, ancestors, index, first, rows] = cx.run(
    14,
    [
      args.tokens,
      args.parents,
      args.values,
      args.count,
      args.since,
      args.history,
      args.moreTokens,
      args.moreParents,
      args.moreValues,
      args.moreCount,
      args.budget,
      args.root,
      args.rootPosition,
      args.rootSlot,
      args.output,
      args.limit,
      args.capacity,
      args.finished,
    ],
    [args.capacityRows, args.vocabulary],
  );
  return {
    token: token as Tensor<'i32'>,
    parent: parent as Tensor<'i32'>,
    source: source as Tensor<'i32'>,
    rank: rank as Tensor<'i32'>,
    seq: seq as Tensor<'i32'>,
    position: position as Tensor<'i32'>,
    slot: slot as Tensor<'i32'>,
    visible: visible as Tensor<'i32'>,
    own: own as Tensor<'i32'>,
    ancestors: ancestors as Tensor<'i32'>,
    index: index as Tensor<'i32'>,
    first: first as Tensor<'i32'>,
    rows: rows as Tensor<'i32'>,
  };
}

export interface TreeVerifyArgs {
  /** [N]: token that the model chose after each row. */
  target: Tensor<'i32'>;
  /** [N]: token of each row. */
  token: Tensor<'i32'>;
  /** [N]: its parent, counted from the tree's root; -1 for a root. */
  parent: Tensor<'i32'>;
  /** [F]: first row of each sequence, and one past the last: F = B + 1. */
  first: Tensor<'i32'>;
  /** [B K]: stop tokens of each; negative entries are unused. */
  stop: Tensor<'i32'>;
  /** [B]: most tokens of each answer. */
  limit: Tensor<'i32'>;
  /** [B]: token that the next round feeds. */
  tokens: Tensor<'i32'>;
  /** [B]: its rotary position. */
  positions: Tensor<'i32'>;
  /** [B]: its cache slot: the committed length. */
  slots: Tensor<'i32'>;
  /** [B]: tokens of the answer so far. */
  output: Tensor<'i32'>;
  /** [B]: 0 running, 1 stop token, 2 length limit. */
  finished: Tensor<'i32'>;
  /** [B L]: the tokens of the answer; those beyond L are not kept. */
  history: Tensor<'i32'>;
  /** W, most nodes on a path: it ends there. */
  width: number;
}

/**
 * Exact-match verification of draft trees, and the device-side state of a decode loop: stop tokens, length limit, what the next round reads.
 *
 * `from the root: the target of the node is the next token of the answer; a stop token ends the answer (finished 1, not counted), limit ends it (finished 2, counted); else the first child with that token is accepted, or the round ends and the token is fed next. positions and slots grow by `accepted`, output by the tokens that count. Rows out of range are clamped and flagged; a sequence that had finished, or has no rows, stays as it is`
 *
 * Returns
 * - `path` [B W]: accepted nodes, counted from the tree's root; -1 behind them.
 * - `accepted` [B]: how many: the tokens that the round gave; 0 when it did not run.
 * - `event` [B E]: accepted, index of the first token in the answer, finished, nodes of the tree, then the tokens, -1 behind them.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function treeVerify(
  cx: Context,
  args: TreeVerifyArgs,
): { path: Tensor<'i32'>; accepted: Tensor<'i32'>; event: Tensor<'i32'> } {
  const [path, accepted, event] = cx.run(
    15,
    [
      args.target,
      args.token,
      args.parent,
      args.first,
      args.stop,
      args.limit,
      args.tokens,
      args.positions,
      args.slots,
      args.output,
      args.finished,
      args.history,
    ],
    [args.width],
  );
  return { path: path as Tensor<'i32'>, accepted: accepted as Tensor<'i32'>, event: event as Tensor<'i32'> };
}

export interface KvCommitArgs<T extends 'f32' | 'bf16'> {
  /** [X G D S]: keys of all layers, one layer's pages after another's. */
  kCache: Tensor<T>;
  /** [X G S D]: values. */
  vCache: Tensor<NoInfer<T>>;
  /** [B P]: page within a layer per sequence and page index. */
  pageTable: Tensor<'i32'>;
  /** [B W]: accepted nodes of each tree, ascending, the root (0) first. */
  path: Tensor<'i32'>;
  /** [B]: how many; clamped to [0, W]. */
  accepted: Tensor<'i32'>;
  /** [B]: committed length once they are accepted: the root's slot + accepted. */
  slots: Tensor<'i32'>;
  /** X is a multiple of it. */
  layers: number;
}

/**
 * Moves the keys and values of accepted tree nodes to where plain decoding would have put them.
 *
 * `base = slots - accepted; j = 1 .. accepted - 1 in order: cache[base + j] = cache[base + path[j]] in every layer. path[j] >= j, so no later source is overwritten; an entry that is not, or lies outside the pages, is skipped and flagged`
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function kvCommit<T extends 'f32' | 'bf16'>(cx: Context, args: KvCommitArgs<T>): void {
  cx.run(16, [args.kCache, args.vCache, args.pageTable, args.path, args.accepted, args.slots], [args.layers]);
}

export interface PenalizeArgs {
  /** [N V]: scores. */
  logits: Tensor<'f32'>;
  /** [B]: repetition penalty of each sequence; 1, 0 or less, or NaN: none. */
  penalty: Tensor<'f32'>;
  /** [B L]: the tokens of each answer. */
  history: Tensor<'i32'>;
  /** [B]: how many; clamped to [0, L]. */
  count: Tensor<'i32'>;
  /** [N]: sequence of each row; clamped to [0, B). */
  seq: Tensor<'i32'>;
  /** [N]: token of each row of a draft tree; the root's is part of the history. */
  token?: Tensor<'i32'> | undefined;
  /** [N]: its parent, counted from the tree's root; -1 for a root. */
  parent?: Tensor<'i32'> | undefined;
  /** [F]: first row of each sequence, and one past the last: F = B + 1. */
  first?: Tensor<'i32'> | undefined;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
}

/**
 * Repetition penalty: tokens that the answer already holds, on the row's own path too, become less likely.
 *
 * `for every distinct token of the history and of the row's path below the root: logit = logit > 0 ? logit / penalty : logit * penalty. Tokens out of [0, V) count for nothing`
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function penalize(cx: Context, args: PenalizeArgs): void {
  cx.run(
    17,
    [args.logits, args.penalty, args.history, args.count, args.seq, args.token, args.parent, args.first, args.rows],
    [],
  );
}

export interface FilteredSoftmaxArgs {
  /** [N V]: scores. */
  logits: Tensor<'f32'>;
  /** [N]: sequence of each row, whose settings it takes; clamped to [0, B). */
  seq: Tensor<'i32'>;
  /** [B]: as in sample: 0 (or less, or NaN) puts all on the largest. */
  temperature: Tensor<'f32'>;
  /** [B]: as in sample. */
  topK: Tensor<'i32'>;
  /** [B]: as in sample. */
  topP: Tensor<'f32'>;
  /** [B]: as in sample. */
  minP: Tensor<'f32'>;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
}

/**
 * The law that sample draws from: probabilities after temperature, top-k, top-p and min-p. On the `cpu` backend only: it serves classic_verify.
 *
 * `out = e^((logit - largest logit) / temperature) over the kept ids, divided by its sum. A row with NaN or +inf, or of -inf only, sets the not-a-number flag; all of it goes to the lowest id of its largest number (0 without one)`
 *
 * Returns
 * - `out` [N V]: probabilities; 0 for ids that the filters drop.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function filteredSoftmax(cx: Context, args: FilteredSoftmaxArgs): Tensor<'f32'> {
  return cx.run(
    18,
    [args.logits, args.seq, args.temperature, args.topK, args.topP, args.minP, args.rows],
    [],
  )[0] as Tensor<'f32'>;
}

export interface ClassicVerifyArgs {
  /** [N V]: the target's law after each node, as weights; entries that are NaN, negative or infinite count as 0 and set the not-a-number flag, and so does a row without weight, which acts as all on id 0. */
  target: Tensor<'f32'>;
  /** [N V]: the law that a node's token was drawn from, given all that was drawn before it, as weights (likewise; a node whose row has no weight is passed over); absent: no token was drawn. */
  draft?: Tensor<'f32'> | undefined;
  /** [N]: 0: the node's token was chosen without chance and its row of draft is not read; absent: all were drawn. */
  drawn?: Tensor<'i32'> | undefined;
  /** [N]: token of each node; that of a root is not read. */
  token: Tensor<'i32'>;
  /** [N]: parent of each node, counted from its tree's root, which is 0; parents precede children, siblings are tested in order. A node with another parent, or with a token outside [0, V), is passed over with all below it, and sets the clamp flag. */
  parent: Tensor<'i32'>;
  /** [F]: first node of each tree, then the number of nodes: B + 1 entries, clamped to [0, N]; a tree that would end before it begins is empty, and nodes beyond a tree's 128th are passed over. Both set the clamp flag. */
  first: Tensor<'i32'>;
  /** [B 2]: low and high half of the 64-bit seed. */
  seed: Tensor<'i32'>;
  /** [B]: index in the answer of the first token that this round can give. */
  position: Tensor<'i32'>;
  /** [N]: take the place of the generator's, in [0, 1): a node's decides about it, a root's draws the last token; others are clamped. */
  coins?: Tensor<'f32'> | undefined;
  /** leaves first by the weight of their paths, on a chain block verification; or token by token from the root; default traversal. */
  mode?: 'traversal' | 'token' | undefined;
}

/**
 * Verifies drawn draft trees so that what is emitted has the law of plain sampling; for its tokens see tree_verify. On the `cpu` backend only: a classic law needs the drafts' laws and several passes over the vocabulary; devices verify by exact match.
 *
 * `p, r: rows of target and draft divided by their sums, r all on the token where it was not drawn; u: coins; a, b of the root: 1, p. traversal (arXiv 2505.12398; on a chain arXiv 2403.10444): a child x of a node enters with a_x = min(a b(x) / r(x), 1), b_x = p_x; leaves first: accepted with its path if u < a; else its parent's R = max(a b - r, 0), Z = sum R, b = R / Z, a = Z / (Z + 1 - a), and the next child enters; token (arXiv 2211.17192, over siblings arXiv 2305.09781): a child x is accepted if u < min(b(x) / r(x), 1), else b = max(b - r, 0) / Z; next = first id whose cumulated b of the last accepted node is above u; never one with b = 0; u = (w0 2^20 + w1 / 2^12 + 0.5) 2^-52, w of Philox4x32-10, key = seed, counter = (node, position, purpose accept << 24, 0), for the token (0, position, purpose residual << 24, 0)`
 *
 * Returns
 * - `path` [B 128]: accepted nodes, counted from the root, which is the first; -1 behind them.
 * - `accepted` [B]: how many: the tokens that the round gave, the last one among them; 0 for a tree without nodes.
 * - `next` [B]: the token after the path; -1 for a tree without nodes.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function classicVerify(
  cx: Context,
  args: ClassicVerifyArgs,
): { path: Tensor<'i32'>; accepted: Tensor<'i32'>; next: Tensor<'i32'> } {
  const [path, accepted, next] = cx.run(
    19,
    [args.target, args.draft, args.drawn, args.token, args.parent, args.first, args.seed, args.position, args.coins],
    [choiceNumber(args.mode, ['traversal', 'token'])],
  );
  return { path: path as Tensor<'i32'>, accepted: accepted as Tensor<'i32'>, next: next as Tensor<'i32'> };
}

export interface EmitArgs<T extends 'f32' | 'bf16' | 'i32' | 'u8'> {
  /** any shape: bytes that the host gets. */
  payload: Tensor<T>;
  /** [1]: 0: nothing is emitted. */
  when?: Tensor<'i32'> | undefined;
  /** number by which the host tells records apart. */
  channel: number;
}

/**
 * Sends a tensor to the host through the context's ring, in order.
 *
 * `ring <- (channel, payload)`
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function emit<T extends 'f32' | 'bf16' | 'i32' | 'u8'>(cx: Context, args: EmitArgs<T>): void {
  cx.run(20, [args.payload, args.when], [args.channel]);
}

export interface IncrementArgs {
  /** [N]: counters, a step index for example. */
  x: Tensor<'i32'>;
  /** added to each; default 1. */
  by?: number | undefined;
}

/**
 * Adds a constant to device-side counters.
 *
 * `x = x + by (wraps)`
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function increment(cx: Context, args: IncrementArgs): void {
  cx.run(21, [args.x], [args.by]);
}

export interface TimeEmbeddingArgs<T extends 'f32', O extends 'f32' | 'bf16' = T> {
  /** [S C]: a column holds the times, in [0, 1], or other numbers: a schedule, or [S 1]. */
  times: Tensor<T>;
  /** [B]: row of `times` per output row; clamped to [0, S). */
  step: Tensor<'i32'>;
  /** R, even; default 256. */
  dim?: number | undefined;
  /** of `times`, below C; default 0. */
  column?: number | undefined;
  /** dtype of out; default the dtype of T. */
  dtype?: O | undefined;
}

/**
 * Sinusoidal embedding of a diffusion time or of a guidance scale, unscaled.
 *
 * `a_i = t * f32(exp(-ln(10000) i / (dim/2))) in f32, i = 0 .. dim/2 - 1; out = [cos a | sin a]`
 *
 * Returns
 * - `out` [B R]: cosines, then sines.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function timeEmbedding<T extends 'f32', O extends 'f32' | 'bf16' = T>(
  cx: Context,
  args: TimeEmbeddingArgs<T, O>,
): Tensor<NoInfer<O>> {
  return cx.run(22, [args.times, args.step], [args.dim, args.column, dtypeNumber(args.dtype)])[0] as Tensor<NoInfer<O>>;
}

export interface GuidedUpdateArgs {
  /** [N C]: latents, one row per token. */
  x: Tensor<'f32'>;
  /** [N C]: velocity in the full context. */
  v: Tensor<'f32'>;
  /** [N C]: velocity without the text. */
  vText?: Tensor<'f32'> | undefined;
  /** [N C]: velocity without the image. */
  vImage?: Tensor<'f32'> | undefined;
  /** [N C]: velocity of the row before, for solvers with a memory; this row's afterwards. */
  previous?: Tensor<'f32'> | undefined;
  /** [N C]: fresh noise, for stochastic solvers. */
  noise?: Tensor<'f32'> | undefined;
  /** [S 8]: per step: time, p, q, w, r, text scale, image scale, renorm minimum. */
  schedule: Tensor<'f32'>;
  /** [1]: row of the schedule; clamped to [0, S). */
  step: Tensor<'i32'>;
  /** [J]: rows where each image starts, then N; one image when absent. */
  images?: Tensor<'i32'> | undefined;
  /** how the guided velocity is brought back to the norm of v; default global. */
  renorm?: 'global' | 'channel' | 'text_channel' | undefined;
  /** 1: also give `denoised`; default 0. */
  denoise?: number | undefined;
}

/**
 * Classifier-free guidance with renorm, and the solver's update of the latents, in one pass.
 *
 * `text scale <= 1 or no v_text: u = v. else g = v_text + st (v - v_text); global, channel: h = v_image + si (g - v_image) if si > 1 else g; u = h clamp(|v| / (|h| + 1e-8), min, 1), norms per image or per row; text_channel: g' = g clamp(|v| / (|g| + 1e-8), min, 1) per row; u = v_image + si (g' - v_image) if si > 1 else g'. denoised = x - time u; x = p x + q u + w previous + r noise; velocity = previous = u`
 *
 * Returns
 * - `velocity` [N C]: the guided velocity.
 * - `denoised` [N C]: where the velocity leads: the clean latents as seen from here.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function guidedUpdate(
  cx: Context,
  args: GuidedUpdateArgs,
): { velocity: Tensor<'f32'>; denoised?: Tensor<'f32'> | undefined } {
  const [velocity, denoised] = cx.run(
    23,
    [args.x, args.v, args.vText, args.vImage, args.previous, args.noise, args.schedule, args.step, args.images],
    [choiceNumber(args.renorm, ['global', 'channel', 'text_channel']), args.denoise],
  );
  return { velocity: velocity as Tensor<'f32'>, denoised: (denoised ?? undefined) as Tensor<'f32'> | undefined };
}

export interface PhiloxNormalArgs<O extends 'f32' | 'bf16' = 'f32'> {
  /** [B 2]: low and high half of the 64-bit seed, one per image. */
  seed: Tensor<'i32'>;
  /** [1]: position within the purpose, a step index for example; 0 when absent. */
  position?: Tensor<'i32'> | undefined;
  /** [J]: rows where each image starts, then R; one image when absent. */
  images?: Tensor<'i32'> | undefined;
  /** R. */
  rowsCount: number;
  /** C. */
  columns: number;
  /** what the draws are for: see core/noise.h. */
  purpose: number;
  /** added to every draw; default 0. */
  mean?: number | undefined;
  /** factor of every draw; default 1. */
  deviation?: number | undefined;
  /** dtype of out; default f32. */
  dtype?: O | undefined;
}

/**
 * Counter-based normal noise: a seed gives the same bits on every backend.
 *
 * `Philox4x32-10, key = seed, counter = (index / 4, position, purpose << 24, 0); Box-Muller on words (0,1) and (2,3): sqrt(-2 log U) of the first word times cos, then sin, of 2 pi U of the second, U = (w + 0.5) 2^-32; out = mean + deviation * draw`
 *
 * Returns
 * - `out` [R C]: normal draws, numbered row-major within each image.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function philoxNormal<O extends 'f32' | 'bf16' = 'f32'>(
  cx: Context,
  args: PhiloxNormalArgs<O>,
): Tensor<NoInfer<O>> {
  return cx.run(
    24,
    [args.seed, args.position, args.images],
    [args.rowsCount, args.columns, args.purpose, args.mean, args.deviation, dtypeNumber(args.dtype)],
  )[0] as Tensor<NoInfer<O>>;
}

export interface Conv2dArgs<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16', B extends 'f32' | 'bf16'> {
  /** [H W C]: image, channels last. */
  x: Tensor<T>;
  /** [M K]: one row per output channel, columns (kernel row, kernel column, channel). */
  weight: Tensor<W>;
  /** [M]: added per output channel. */
  bias: Tensor<B>;
  /** [Y X M]: added last. */
  residual?: Tensor<NoInfer<T>> | undefined;
  /** side of the square kernel; default 3. */
  kernel?: number | undefined;
  /** step in both directions; default 1. */
  stride?: number | undefined;
  /** zeros above and left; default 1. */
  padBegin?: number | undefined;
  /** zeros below and right; default 1. */
  padEnd?: number | undefined;
}

/**
 * Two-dimensional convolution of one channels-last image.
 *
 * `out[y,x,m] = bias[m] + sum over (i,j,c) of x[y*stride + i - pad_begin, x*stride + j - pad_begin, c] * weight[m,(i,j,c)] + residual`
 *
 * Returns
 * - `out` [Y X M]: Y = (H + pad_begin + pad_end - kernel) / stride + 1, X alike.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function conv2d<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16', B extends 'f32' | 'bf16'>(
  cx: Context,
  args: Conv2dArgs<T, W, B>,
): Tensor<T> {
  return cx.run(
    25,
    [args.x, args.weight, args.bias, args.residual],
    [args.kernel, args.stride, args.padBegin, args.padEnd],
  )[0] as Tensor<T>;
}

export interface ConvWeightArgs<T extends 'f32' | 'bf16'> {
  /** [M C Y X]: a checkpoint's convolution weight. */
  weight: Tensor<T>;
}

/**
 * Brings a channels-first convolution weight into the order of conv2d.
 *
 * `out[m, (y, x, c)] = weight[m, c, y, x]`
 *
 * Returns
 * - `out` [M K]: columns (kernel row, kernel column, channel).
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function convWeight<T extends 'f32' | 'bf16'>(cx: Context, args: ConvWeightArgs<T>): Tensor<T> {
  return cx.run(26, [args.weight], [])[0] as Tensor<T>;
}

export interface GroupNormArgs<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16'> {
  /** [H W C]: image, channels last. */
  x: Tensor<T>;
  /** [C]: scale. */
  weight: Tensor<W>;
  /** [C]: shift. */
  bias: Tensor<NoInfer<W>>;
  /** groups of neighbouring channels; default 32. */
  groups?: number | undefined;
  /** added to the variance; default 0.000001. */
  eps?: number | undefined;
  /** applied last; swish(x) = x * sigmoid(x); default none. */
  activation?: 'none' | 'swish' | undefined;
}

/**
 * Group norm of one channels-last image, with an optional fused swish.
 *
 * `per group: y = (x - mean) / sqrt(var + eps) * weight + bias; out = y or y * sigmoid(y)`
 *
 * Returns
 * - `out` [H W C]: normalised image.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function groupNorm<T extends 'f32' | 'bf16', W extends 'f32' | 'bf16'>(
  cx: Context,
  args: GroupNormArgs<T, W>,
): Tensor<T> {
  return cx.run(
    27,
    [args.x, args.weight, args.bias],
    [args.groups, args.eps, choiceNumber(args.activation, ['none', 'swish'])],
  )[0] as Tensor<T>;
}

export interface UpsampleNearestArgs<T extends 'f32' | 'bf16'> {
  /** [H W C]: image, channels last. */
  x: Tensor<T>;
  /** copies per side; default 2. */
  factor?: number | undefined;
}

/**
 * Repeats every pixel factor x factor times.
 *
 * `out[y, x] = in[y / factor, x / factor]`
 *
 * Returns
 * - `out` [Y X C]: Y = H * factor, X = W * factor.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function upsampleNearest<T extends 'f32' | 'bf16'>(cx: Context, args: UpsampleNearestArgs<T>): Tensor<T> {
  return cx.run(28, [args.x], [args.factor])[0] as Tensor<T>;
}

export interface PatchifyArgs<T extends 'f32' | 'bf16'> {
  /** [H W C]: image or latent, channels last; sides are multiples of patch. */
  x: Tensor<T>;
  /** side of a patch. */
  patch: number;
}

/**
 * Cuts an image into square patches, one row each.
 *
 * `out[(y, x), (i, j, c)] = in[y*patch + i, x*patch + j, c]`
 *
 * Returns
 * - `out` [N K]: patches row-major; columns (row in patch, column in patch, channel).
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function patchify<T extends 'f32' | 'bf16'>(cx: Context, args: PatchifyArgs<T>): Tensor<T> {
  return cx.run(29, [args.x], [args.patch])[0] as Tensor<T>;
}

export interface UnpatchifyArgs<T extends 'f32' | 'bf16'> {
  /** [N K]: patches row-major; columns (row in patch, column in patch, channel). */
  x: Tensor<T>;
  /** side of a patch. */
  patch: number;
  /** patches per column; N is a multiple of it. */
  height: number;
  /** factor of every value; default 1. */
  scale?: number | undefined;
  /** added after the factor; default 0. */
  shift?: number | undefined;
}

/**
 * Puts square patches back into an image, with an affine map of the values.
 *
 * `out[y*patch + i, x*patch + j, c] = in[(y, x), (i, j, c)] * scale + shift`
 *
 * Returns
 * - `out` [Y X C]: image or latent, channels last.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function unpatchify<T extends 'f32' | 'bf16'>(cx: Context, args: UnpatchifyArgs<T>): Tensor<T> {
  return cx.run(30, [args.x], [args.patch, args.height, args.scale, args.shift])[0] as Tensor<T>;
}

export interface NormalizePixelsArgs {
  /** [H W C]: pixels. */
  x: Tensor<'u8'>;
}

/**
 * Pixels to values.
 *
 * `out = (x / 255 - 0.5) / 0.5`
 *
 * Returns
 * - `out` [H W C]: values in [-1, 1].
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function normalizePixels(cx: Context, args: NormalizePixelsArgs): Tensor<'f32'> {
  return cx.run(31, [args.x], [])[0] as Tensor<'f32'>;
}

export interface DenormalizePixelsArgs<T extends 'f32' | 'bf16'> {
  /** [H W C]: values, [-1, 1] as a rule. */
  x: Tensor<T>;
}

/**
 * Values to pixels.
 *
 * `out = trunc(clamp(x * 0.5 + 0.5, 0, 1) * 255); NaN gives 0`
 *
 * Returns
 * - `out` [H W C]: pixels, truncated as the reference does.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function denormalizePixels<T extends 'f32' | 'bf16'>(cx: Context, args: DenormalizePixelsArgs<T>): Tensor<'u8'> {
  return cx.run(32, [args.x], [])[0] as Tensor<'u8'>;
}

export interface VaeLatentArgs<T extends 'f32' | 'bf16'> {
  /** [H W M]: mean channels, then log-variance channels. */
  moments: Tensor<T>;
  /** [H W Z]: standard normal draws; the mean alone when absent. */
  noise?: Tensor<NoInfer<T>> | undefined;
  /** scale factor of the autoencoder. */
  scale: number;
  /** shift factor of the autoencoder. */
  shift: number;
}

/**
 * The scaled latent of the autoencoder's moments.
 *
 * `out = scale * (mean + exp(logvar / 2) * noise - shift)`
 *
 * Returns
 * - `out` [H W Z]: scaled latent, Z = M / 2.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function vaeLatent<T extends 'f32' | 'bf16'>(cx: Context, args: VaeLatentArgs<T>): Tensor<T> {
  return cx.run(33, [args.moments, args.noise], [args.scale, args.shift])[0] as Tensor<T>;
}

export interface ConcatColumnsArgs<T extends 'f32' | 'bf16'> {
  /** [N A]: first columns. */
  a: Tensor<T>;
  /** [N B]: columns after them. */
  b: Tensor<NoInfer<T>>;
  /** [N C]: last columns. */
  c?: Tensor<NoInfer<T>> | undefined;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
}

/**
 * Rows side by side: the inputs of a draft head's projections.
 *
 * `out[n] = [a[n] | b[n] | c[n]]`
 *
 * Returns
 * - `out` [N D]: all columns side by side, D = A + B + C.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function concatColumns<T extends 'f32' | 'bf16'>(cx: Context, args: ConcatColumnsArgs<T>): Tensor<T> {
  return cx.run(34, [args.a, args.b, args.c, args.rows], [])[0] as Tensor<T>;
}

export interface DraftExtendArgs {
  /** [N]: token that the model chose after each row of the round. */
  target: Tensor<'i32'>;
  /** [B W]: accepted nodes of each tree, counted from its root. */
  path: Tensor<'i32'>;
  /** [B]: how many; clamped to [0, W]. */
  accepted: Tensor<'i32'>;
  /** [F]: first row of each tree, and one past the last: F = B + 1. */
  first: Tensor<'i32'>;
  /** [B]: rotary position of the next root, once those are accepted. */
  positions: Tensor<'i32'>;
  /** [B]: its cache slot. */
  slots: Tensor<'i32'>;
  /** [B]: not 0: entries are written, nothing is drafted. */
  finished: Tensor<'i32'>;
  /** [B]: 0: nothing is drafted; without it every sequence wants drafts. */
  wanted?: Tensor<'i32'> | undefined;
}

/**
 * Rows of a draft head's pass over what a round accepted: entry t of its cache takes the feature of token t and the embedding of token t + 1.
 *
 * `for each sequence, j = 0 .. accepted - 1: source = first + path[j], token = target[source], slot = slots - accepted + j, position = positions - accepted + j. Entries of all sequences side by side, in order; those beyond `rows` hold 0, slot -1. A source out of range is clamped and flagged`
 *
 * Returns
 * - `source` [N]: row of the round whose feature the entry takes.
 * - `token` [N]: token that the entry takes: the one after that row.
 * - `seq` [N]: sequence of each entry.
 * - `position` [N]: rotary position: that of the row.
 * - `slot` [N]: cache slot: that of the row once it is committed; -1 beyond `rows`.
 * - `visible` [N]: slots that the entry sees: slot + 1.
 * - `rows` [1]: entries in use.
 * - `last` [B]: the last entry of each sequence that goes on, in order.
 * - `lastSeq` [B]: the sequence.
 * - `live` [1]: how many go on.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function draftExtend(
  cx: Context,
  args: DraftExtendArgs,
): {
  source: Tensor<'i32'>;
  token: Tensor<'i32'>;
  seq: Tensor<'i32'>;
  position: Tensor<'i32'>;
  slot: Tensor<'i32'>;
  visible: Tensor<'i32'>;
  rows: Tensor<'i32'>;
  last: Tensor<'i32'>;
  lastSeq: Tensor<'i32'>;
  live: Tensor<'i32'>;
} {
  const [source, token, seq, position, slot, visible, rows, last, lastSeq, live] = cx.run(
    35,
    [args.target, args.path, args.accepted, args.first, args.positions, args.slots, args.finished, args.wanted],
    [],
  );
  return {
    source: source as Tensor<'i32'>,
    token: token as Tensor<'i32'>,
    seq: seq as Tensor<'i32'>,
    position: position as Tensor<'i32'>,
    slot: slot as Tensor<'i32'>,
    visible: visible as Tensor<'i32'>,
    rows: rows as Tensor<'i32'>,
    last: last as Tensor<'i32'>,
    lastSeq: lastSeq as Tensor<'i32'>,
    live: live as Tensor<'i32'>,
  };
}

export interface DraftTopkArgs {
  /** [N V]: scores over the draft vocabulary. */
  logits: Tensor<'f32'>;
  /** [N]: sequence of each row; clamped to [0, B). */
  seq: Tensor<'i32'>;
  /** [B]: 0 (or less, or NaN): no noise. */
  temperature: Tensor<'f32'>;
  /** [B 2]: low and high half of the 64-bit seed. */
  seed: Tensor<'i32'>;
  /** [B]: index in the answer of the next token, a child of the root. */
  output: Tensor<'i32'>;
  /** [V]: target id of each draft id, all different; without it they are the same. Negative: never drafted. */
  ids?: Tensor<'i32'> | undefined;
  /** [1]: live rows: rows at or beyond this count are neither read nor written. */
  rows?: Tensor<'i32'> | undefined;
  /** children per row. */
  k: number;
  /** depth of the rows' nodes; 0: the root. Noise is that of output + depth; default 0. */
  depth?: number | undefined;
  /** temperature of the values where there is noise; default 1. */
  beta?: number | undefined;
}

/**
 * The k likeliest next tokens of each drafted node, under the very noise that will choose the target's.
 *
 * `score = (logit - largest logit) / temperature + G(seed, output + depth, ids[i]), G as in sample; without noise logit - largest logit. Larger scores first, lower draft ids on ties; -inf is never drafted. value = score / beta - log sum exp(score / beta), beta 1 without noise: the coupled rule of drafter-invariant sampling (Daliri et al. 2024, arXiv 2408.07978). A row with NaN or +inf, or of -inf only, sets the not-a-number flag and drafts nothing`
 *
 * Returns
 * - `token` [N K]: target ids of the k best, best first; -1 where there are no more.
 * - `value` [N K]: their logarithms, at most 0; -inf beside -1.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function draftTopk(cx: Context, args: DraftTopkArgs): { token: Tensor<'i32'>; value: Tensor<'f32'> } {
  const [token, value] = cx.run(
    36,
    [args.logits, args.seq, args.temperature, args.seed, args.output, args.ids, args.rows],
    [args.k, args.depth, args.beta],
  );
  return { token: token as Tensor<'i32'>, value: value as Tensor<'f32'> };
}

export interface DraftExpandArgs {
  /** [N K]: children of each row's node, from draft_topk; negative: none. */
  token: Tensor<'i32'>;
  /** [N K]: their logarithms. */
  value: Tensor<'f32'>;
  /** [N]: sequence of each row, ascending. */
  seq: Tensor<'i32'>;
  /** [N]: candidate that the row's node is; without it roots. */
  node?: Tensor<'i32'> | undefined;
  /** [N]: value of that candidate; 0 for roots. */
  reached?: Tensor<'f32'> | undefined;
  /** [N 4]: 128 bits: slots from the root's on that its path fills. */
  ancestors?: Tensor<'i32'> | undefined;
  /** [1]: rows in use; clamped to [0, N]. */
  rows: Tensor<'i32'>;
  /** [B]: rotary position of the root. */
  positions: Tensor<'i32'>;
  /** [B]: its cache slot: the committed length. */
  slots: Tensor<'i32'>;
  /** [B]: cache slots that the sequence's pages hold. */
  capacity: Tensor<'i32'>;
  /** [B T]: tokens that end the answer: never drafted; negative: unused. */
  stop?: Tensor<'i32'> | undefined;
  /** [B C]: candidates of each sequence. */
  tokens: Tensor<'i32'>;
  /** [B C]: candidate that each follows, an index below its own; -1: the root. */
  parents: Tensor<'i32'>;
  /** [B C]: their values; -inf: unused. */
  values: Tensor<'f32'>;
  /** [B]: one past the last candidate of each sequence. */
  count: Tensor<'i32'>;
  /** depth of the children; level * K is at most 128. */
  level: number;
}

/**
 * One level of a dynamic draft tree: its children become candidates, the best of them the rows of the next level.
 *
 * `candidate c (level 1) or K + (level - 2) K^2 + j K + c: child c of the sequence's row j, value = reached + value; the rest of the level is -inf, count ends with it. The K children with the largest values (lower candidates first on ties) are run next, if their slot is below capacity (EAGLE-2, arXiv 2406.16858). Sequences without rows keep their candidates. Rows beyond next_rows hold 0, slot -1; a sequence out of range or out of order, or a row too many, is left out and flagged`
 *
 * Returns
 * - `nextToken` [M]: the rows of the next level, at most K per sequence: their tokens.
 * - `nextSource` [M]: row of this level whose output is their feature.
 * - `nextSeq` [M]: sequence.
 * - `nextPosition` [M]: rotary position: the root's plus level - 1.
 * - `nextSlot` [M]: cache slot: the root's plus (level - 1) K + rank; -1 beyond.
 * - `nextVisible` [M]: slots below the root's.
 * - `nextOwn` [M 2]: slots of the rows of all levels.
 * - `nextAncestors` [M 4]: which of them the row sees: its path and itself.
 * - `nextNode` [M]: candidate that the row is.
 * - `nextReached` [M]: its value.
 * - `nextRows` [1]: rows in use.
 *
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function draftExpand(
  cx: Context,
  args: DraftExpandArgs,
): {
  nextToken: Tensor<'i32'>;
  nextSource: Tensor<'i32'>;
  nextSeq: Tensor<'i32'>;
  nextPosition: Tensor<'i32'>;
  nextSlot: Tensor<'i32'>;
  nextVisible: Tensor<'i32'>;
  nextOwn: Tensor<'i32'>;
  nextAncestors: Tensor<'i32'>;
  nextNode: Tensor<'i32'>;
  nextReached: Tensor<'f32'>;
  nextRows: Tensor<'i32'>;
} {
  const [
    nextToken,
    nextSource,
    nextSeq,
    nextPosition,
    nextSlot,
    nextVisible,
    nextOwn,
    nextAncestors,
    nextNode,
    nextReached,
    nextRows,
  ] = cx.run(
    37,
    [
      args.token,
      args.value,
      args.seq,
      args.node,
      args.reached,
      args.ancestors,
      args.rows,
      args.positions,
      args.slots,
      args.capacity,
      args.stop,
      args.tokens,
      args.parents,
      args.values,
      args.count,
    ],
    [args.level],
  );
  return {
    nextToken: nextToken as Tensor<'i32'>,
    nextSource: nextSource as Tensor<'i32'>,
    nextSeq: nextSeq as Tensor<'i32'>,
    nextPosition: nextPosition as Tensor<'i32'>,
    nextSlot: nextSlot as Tensor<'i32'>,
    nextVisible: nextVisible as Tensor<'i32'>,
    nextOwn: nextOwn as Tensor<'i32'>,
    nextAncestors: nextAncestors as Tensor<'i32'>,
    nextNode: nextNode as Tensor<'i32'>,
    nextReached: nextReached as Tensor<'f32'>,
    nextRows: nextRows as Tensor<'i32'>,
  };
}
