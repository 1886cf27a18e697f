// What reads files from elsewhere, each as one function of a folder: it returns, or throws one of our errors.
import { cpSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { decodeImage } from '../../lib/io/image.js';
import { modelHash } from '../../lib/io/model-hash.js';
import { readNoise } from '../../lib/io/noise-file.js';
import { openModelFiles, readTensors } from '../../lib/io/safetensors.js';
import { Tokenizer } from '../../lib/io/tokenizer.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { readConfig } from '../../lib/models/bagel/config.js';
import { findDraftHead, loadDraftHead } from '../../lib/models/bagel/draft-head.js';
import { readRgbMap } from '../../lib/models/bagel/preview.js';
import { listStudents, readStudent, Students } from '../../lib/models/bagel/student.js';
import { type Dice, mutateBytes, mutateJson, mutateSafetensors } from './mutate.js';
import { writeModel, writePictures, writeTensors } from './seeds.js';

/** Pictures may have so many pixels here: what a decoder may take is this many, whatever the file. */
export const MAX_PIXELS = 2 ** 20;

export interface Target {
  readonly name: string;
  /** Of the executions, out of all shares. */
  readonly share: number;
  /** Files, relative to the folder, of which each execution changes one. */
  readonly files: readonly string[];
  /** Bytes that an execution may need beside what its files justify. */
  readonly own?: number;
  /** @param file the one that was changed */
  run(folder: string, file: string): Promise<void>;
}

/** Any change that fits the kind of file. */
export function mutateFile(name: string, bytes: Uint8Array, dice: Dice): Buffer {
  if (name.endsWith('.json')) return mutateJson(bytes, dice);
  if (name.endsWith('.safetensors')) return mutateSafetensors(bytes, dice);
  return mutateBytes(bytes, dice);
}

const PICTURES = [
  'rgba.png',
  'palette.png',
  'adam7.png',
  'baseline.jpg',
  'progressive.jpg',
  'lossy.webp',
  'lossless.webp',
  'image.gif',
  'lzw.tiff',
  'tiled.tiff',
  'image.avif',
];

/** Writes what targets read into a folder. */
export async function writeSeeds(folder: string): Promise<void> {
  await writeModel(path.join(folder, 'model'));
  await writeTensors(path.join(folder, 'tensors'));
  await writePictures(path.join(folder, 'pictures'));
  cpSync('models/tiny/vocab.json', path.join(folder, 'plain-tokenizer', 'vocab.json'), { recursive: true });
  for (const name of ['merges.txt', 'tokenizer_config.json']) {
    cpSync(path.join('models/tiny', name), path.join(folder, 'plain-tokenizer', name));
  }
}

/**
 * The targets over a folder of {@link writeSeeds}.
 *
 * @param bagel the model of that folder, loaded before anything was changed
 */
export function allTargets(bagel: Bagel): Target[] {
  const { model } = bagel;
  const tokenize = async (folder: string) => {
    const tokenizer = await Tokenizer.load(folder);
    tokenizer.decode(tokenizer.encode('two <|im_start|> naïve 12 🙂\n\tred circles'));
  };
  return [
    {
      name: 'tensors',
      share: 40,
      files: ['tensors/some.safetensors'],
      run: async (folder) => void (await readTensors(path.join(folder, 'tensors', 'some.safetensors'))),
    },
    {
      name: 'noise',
      share: 8,
      files: ['tensors/noise.safetensors'],
      run: async (folder) => void (await readNoise(path.join(folder, 'tensors', 'noise.safetensors'), ['n', 8])),
    },
    {
      name: 'index',
      share: 6,
      files: ['model/ae.safetensors.index.json', 'model/ae-1.safetensors', 'model/ae-2.safetensors'],
      run: async (folder) => {
        await openModelFiles(path.join(folder, 'model'), 'ae');
        await modelHash(path.join(folder, 'model'), ['ae']);
      },
    },
    {
      name: 'configuration',
      share: 15,
      files: ['config.json', 'llm_config.json', 'vit_config.json', 'latent_rgb.json'].map((name) => `model/${name}`),
      run: async (folder) => {
        const config = await readConfig(path.join(folder, 'model'));
        await readRgbMap(path.join(folder, 'model'), config);
      },
    },
    {
      name: 'tokenizer',
      share: 5,
      files: ['model/tokenizer.json', 'model/tokenizer_config.json'],
      run: (folder) => tokenize(path.join(folder, 'model')),
    },
    {
      name: 'plain tokenizer',
      share: 3,
      files: ['vocab.json', 'merges.txt', 'tokenizer_config.json'].map((name) => `plain-tokenizer/${name}`),
      run: (folder) => tokenize(path.join(folder, 'plain-tokenizer')),
    },
    {
      name: 'picture',
      share: 14,
      files: PICTURES.map((name) => `pictures/${name}`),
      // eight bytes a pixel in the file, and again as they are converted
      own: 16 * MAX_PIXELS,
      run: async (folder, file) => {
        const image = await decodeImage(path.join(folder, file), { maxPixels: MAX_PIXELS });
        if (image.data.length !== image.width * image.height * 3) throw new Error('a picture of another size');
      },
    },
    {
      name: 'student settings',
      share: 6,
      files: ['model/students/whole/student.json', 'model/students/low-rank/student.json'],
      run: async (folder) => {
        for (const name of await listStudents(path.join(folder, 'model'))) {
          await readStudent(path.join(folder, 'model', 'students', name, 'student.json'));
        }
      },
    },
    {
      name: 'student',
      share: 2,
      files: ['whole', 'low-rank'].flatMap((name) =>
        ['student.json', 'gen.safetensors'].map((file) => `model/students/${name}/${file}`),
      ),
      run: async (folder, file) => {
        const students = new Students(model, path.join(folder, 'model'), bagel.modelHash);
        await students.get(path.basename(path.dirname(file)));
      },
    },
    {
      name: 'draft head',
      share: 2,
      files: ['model/draft/config.json', 'model/draft/model.safetensors'],
      run: async (folder) => {
        const plan = await findDraftHead(path.join(folder, 'model'), undefined, bagel.config, bagel.dtype);
        if (plan) await loadDraftHead(model, plan);
      },
    },
    {
      name: 'model',
      share: 1,
      files: [
        ...['config.json', 'llm_config.json', 'vit_config.json', 'latent_rgb.json', 'tokenizer.json'],
        ...['ema.safetensors', 'ae-1.safetensors', 'ae-2.safetensors', 'ae.safetensors.index.json'],
        ...['draft/config.json', 'draft/model.safetensors'],
      ].map((name) => `model/${name}`),
      run: async (folder) => {
        const options = { threads: 1, cacheTokens: 256, keepMeasurements: false } as const;
        const loaded = await Bagel.load(path.join(folder, 'model'), options);
        try {
          const image = readFileSync(path.join(folder, 'pictures', 'rgba.png'));
          await loaded.ask('how many?', { images: [image], maxTokens: 3, speculate: 'off' });
          await loaded.draw('red', { steps: 1, seed: 1, size: { width: 8, height: 8 } });
        } finally {
          await loaded.dispose();
        }
      },
    },
  ];
}
