import { readNoise as read } from '../io/noise-file.js';

/** Packed initial noise of one picture, f32 [tokens, channels]. @throws HyperBagelError as `readNoise` of lib/io */
export async function readNoise(file: string, channels: number): Promise<Float32Array> {
  return (await read(file, ['tokens', channels])).data;
}
