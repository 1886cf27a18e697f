import path from 'node:path';
import { HyperBagelError } from '../../errors.js';
import { fileExists } from '../../io/model-file.js';
import { type EagleConfig, type EagleTarget, readEagleConfig } from '../../speculative/eagle/config.js';
import { EagleDrafter } from '../../speculative/eagle/drafter.js';
import { EagleHead } from '../../speculative/eagle/head.js';
import { eagleBytes, loadEagleWeights } from '../../speculative/eagle/weights.js';
import type { BagelConfig } from './config.js';
import type { BagelModel } from './model.js';
import type { Float } from './source.js';

/** A draft head that is to be loaded. */
export interface DraftHeadPlan {
  folder: string;
  config: EagleConfig;
  /** Bytes of its weights at most, and of its cache per token. */
  weights: number;
  perToken: number;
}

const targetOf = ({ llm }: BagelConfig): EagleTarget => llm;

/**
 * Finds a model's draft head and reads its configuration.
 *
 * @param model folder of the model; its head is in `draft/` there
 * @param wanted another folder, or none
 * @throws HyperBagelError BAD_OPTION, BAD_MODEL, IO
 */
export async function findDraftHead(
  model: string | undefined,
  wanted: string | false | undefined,
  config: BagelConfig,
  dtype: Float,
): Promise<DraftHeadPlan | undefined> {
  if (wanted === false) return undefined;
  if (wanted !== undefined && (typeof wanted !== 'string' || wanted === '')) {
    throw new HyperBagelError('BAD_OPTION', 'draft must be the folder of a draft head, or false', { operand: 'draft' });
  }
  const folder = wanted ?? (model === undefined ? undefined : path.join(model, 'draft'));
  if (folder === undefined) return undefined;
  if (wanted === undefined && !(await fileExists(path.join(folder, 'config.json')))) return undefined;
  const target = targetOf(config);
  const head = await readEagleConfig(folder, target);
  return { folder, config: head, ...eagleBytes(head, target, dtype) };
}

/**
 * Loads a draft head into a model; sessions that open from now on can draft with it.
 *
 * @throws HyperBagelError BAD_MODEL, IO
 */
export async function loadDraftHead(model: BagelModel, { folder, config }: DraftHeadPlan): Promise<void> {
  const { cx, dtype, weights, pool } = model;
  const head = await loadEagleWeights(cx, folder, config, targetOf(model.config), dtype);
  const { embedTokens, lmHead } = weights;
  model.drafter = new EagleDrafter(new EagleHead({ cx, dtype, embedTokens, lmHead, pages: pool.total }, config, head));
}
