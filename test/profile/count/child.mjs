// Decodes a few tokens with the addon of HYPER_BAGEL_ADDON_PATH and prints the instructions of a round: node child.mjs STEPPER OFFSET
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Bagel } from '../../../dist/index.js';

const ROUNDS = 1;
const [, , stepperFile, offset] = process.argv;
const stepper = createRequire(import.meta.url)(stepperFile);
const bagel = await Bagel.load(undefined, { device: 'cpu', threads: 1 });
const session = bagel.session();
await session.addText('what is it?');
const decode = (maxTokens) => session.answer({ maxTokens, speculate: 'off', stop: [] }).result;
await decode(2); // records
const executor = readdirSync('/proc/self/task').find(
  (thread) => readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim() === 'hb-executor',
);
const addon = realpathSync(process.env.HYPER_BAGEL_ADDON_PATH);
const map = readFileSync('/proc/self/maps', 'utf8')
  .split('\n')
  .find((line) => line.endsWith(addon));
const base = Number.parseInt(map.split('-')[0], 16);
stepper.start(Number(executor), base + Number(offset), ROUNDS);
await decode(ROUNDS + 1);
process.stdout.write(`${JSON.stringify({ counts: stepper.counts(), ops: bagel.context.counters().ops })}\n`);
await bagel.dispose();
