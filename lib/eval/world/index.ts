export { EDITS, type Edit, type EditOp, genEdit } from './edits.js';
export { editItems, type Item, promptItems, questionItems } from './items.js';
export { parseImage } from './parse.js';
export { CATEGORIES, type Category, genT2I, OVERALL_CATEGORIES, type Prompt, type PromptCheck } from './prompts.js';
export {
  genQA,
  genUnd,
  LONG_QUESTION_TYPES,
  QUESTION_TYPES,
  type Question,
  type QuestionType,
  questionApplies,
  SHORT_QUESTION_TYPES,
} from './questions.js';
export { FIRST_EVALUATION_SEED, type Random, STREAMS, start } from './random.js';
export { renderScene } from './render.js';
export {
  genScene,
  IMAGE_BYTES,
  IMAGE_SIDE,
  type Scene,
  type SceneObject,
  type SceneRecord,
  sceneFromRecord,
  sceneToJson,
  sceneToRecord,
  UNREADABLE,
} from './scene.js';
export {
  ATTRIBUTES,
  type Attribute,
  answerMatches,
  checkAttributes,
  checkPrompt,
  type EditScores,
  editPsnr,
  judgeEdit,
  scoreEdit,
} from './scores.js';
