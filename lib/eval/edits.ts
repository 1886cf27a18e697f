import { Image } from '../io/image.js';
import { readScene } from './shapes.js';
import { evenly, fieldsOf, isOneOf, type Measured, mean, type PictureTask, roundRobin, type Suite } from './suite.js';
import {
  EDITS,
  type EditOp,
  editItems,
  IMAGE_SIDE,
  renderScene,
  type SceneRecord,
  sceneToRecord,
  scoreEdit,
} from './world/index.js';

export interface EditsRecord {
  readonly op: EditOp;
  readonly row: number;
  readonly seed: number;
  readonly instruction: string;
  readonly parsed: SceneRecord;
  readonly success: boolean;
  readonly instruct: boolean;
  readonly keep: boolean;
  /** dB outside the changed cells, to two digits, at most {@link MAX_PSNR}; null for background edits. */
  readonly psnr: number | null;
}

/** Stands for equality: JSON has no infinity, and means no use for one. */
export const MAX_PSNR = 99;

export const EDITS_SUITE: Suite<EditsRecord> = {
  name: 'edits',
  groups: EDITS,
  groupOf: ({ op }) => op,
  keyOf: ({ op, seed }) => `${op} ${seed}`,
  outcomeOf: ({ parsed }) => JSON.stringify(parsed),
  verdictOf: ({ success, instruct, keep }) => `${success ? 'pass' : 'fail'}, ${instruct}, ${keep}`,
  read: (value) => {
    const { op, row, seed, instruction, parsed, success, instruct, keep, psnr } = fieldsOf(value);
    if (!isOneOf(EDITS, op) || typeof instruction !== 'string') return undefined;
    if (![success, instruct, keep].every((each) => typeof each === 'boolean')) return undefined;
    if (!Number.isSafeInteger(row) || !Number.isSafeInteger(seed)) return undefined;
    if (psnr !== null && !(typeof psnr === 'number' && Number.isFinite(psnr))) return undefined;
    const scene = readScene(parsed);
    return scene && ({ op, row, seed, instruction, parsed: scene, success, instruct, keep, psnr } as EditsRecord);
  },
};

/** The items of EditEval, `count` in all, evenly over the ops. @throws HyperBagelError BAD_OPTION */
export function editsTasks(count: number): PictureTask<EditsRecord>[] {
  const items = roundRobin(EDITS.map((op, i) => editItems(op, evenly(count, EDITS.length, i))));
  return items.map((edit) => {
    const { op, row, seed, instruction } = edit;
    return {
      key: `${op} ${seed}`,
      slot: row * EDITS.length + EDITS.indexOf(op),
      row,
      seed,
      variant: 0,
      text: instruction,
      source: Image.fromRaw(renderScene(edit.source), IMAGE_SIDE, IMAGE_SIDE),
      reference: renderScene(edit.target),
      judge: (pixels) => {
        const { parsed, success, instruct, keep, psnr } = scoreEdit(edit, pixels);
        const rounded = psnr === null ? null : Math.min(MAX_PSNR, Math.round(psnr * 100) / 100);
        return { op, row, seed, instruction, parsed: sceneToRecord(parsed), success, instruct, keep, psnr: rounded };
      },
    };
  });
}

export interface EditFigures {
  readonly success: number;
  readonly instruct: number;
  readonly keep: number;
  /** Mean dB outside the changed cells; null where no edit leaves anything outside. */
  readonly psnr: number | null;
}

export interface EditsScores {
  readonly items: number;
  readonly ops: Readonly<Partial<Record<EditOp, EditFigures>>>;
  readonly overall: EditFigures;
}

export function editsScores(records: readonly EditsRecord[]): EditsScores {
  const ops = Object.fromEntries(
    EDITS.map((op) => [op, records.filter((record) => record.op === op)] as const)
      .filter(([, some]) => some.length > 0)
      .map(([op, some]) => [op, figures(some)]),
  );
  return { items: records.length, ops, overall: figures(records) };
}

function figures(records: readonly EditsRecord[]): EditFigures {
  const psnrs = records.flatMap(({ psnr }) => (psnr === null ? [] : [psnr]));
  return {
    success: mean(records.map(({ success }) => success)),
    instruct: mean(records.map(({ instruct }) => instruct)),
    keep: mean(records.map(({ keep }) => keep)),
    psnr: psnrs.length === 0 ? null : mean(psnrs),
  };
}

export type EditsLine = EditsRecord & Measured;
