export * as denoise from './denoise/index.js';
export { type ErrorCode, type ErrorDetails, HyperBagelError } from './errors.js';
export { ERROR_CODES } from './generated/error-codes.js';
export * as ops from './generated/ops.js';
export { decodeImage, Image, type ImageFormat, type ImageSource } from './io/image.js';
export { modelHash } from './io/model-hash.js';
export { Tokenizer } from './io/tokenizer.js';
export {
  type Answer,
  type AnswerOptions,
  type AnswerPiece,
  AnswerStream,
  type RoundReport,
  type Speculate,
  type SpeculateBy,
  type SpeculationStats,
} from './models/bagel/answer.js';
export type { AnswerManyItem, AnswerManyOptions, AnswerManyResult } from './models/bagel/answer-many.js';
export { type AskOptions, Bagel, bundledModel, type DrawItem, type LoadOptions } from './models/bagel/bagel.js';
export { type BagelConfig, readConfig } from './models/bagel/config.js';
export type { DrawingOf, ManyOptions } from './models/bagel/draw-many.js';
export type { DrawingMetadata } from './models/bagel/draw-metadata.js';
export type { Drawing, DrawOptions, DrawStep } from './models/bagel/draw-options.js';
export { Editor } from './models/bagel/editor.js';
export { Session } from './models/bagel/session.js';
export { addonInfo } from './native/load.js';
export type { DeviceDrafter, Drafter, HostDrafter } from './speculative/drafter.js';
export { NgramDrafter, type NgramOptions } from './speculative/ngram.js';
export { NgramMemory, type NgramMemoryOptions } from './speculative/ngram-memory.js';
export { type DraftBudget, DraftTree, type DraftTreeInit, type TreeLayout } from './speculative/tree.js';
export { Activity, Context, type ContextOptions, instructionSets, opContracts, probeCard } from './tensor/context.js';
export { BYTES, type DataOf, DTYPES, type DType, fromBf16, toBf16 } from './tensor/dtype.js';
export { Program } from './tensor/program.js';
export { Tensor } from './tensor/tensor.js';
export { version } from './version.js';
