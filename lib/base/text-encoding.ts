/** Text in the encodings that people's files have: UTF-8, and UTF-16 as Windows' programs write it. */
import { createReadStream } from 'node:fs';
import { TextDecoder } from 'node:util';

/** Bytes read at a time. */
const PIECE = 1 << 20;

/** By the byte order mark; without one, UTF-16 of Latin letters is known by the zero byte beside the first. */
function encodingOf([first, second]: Uint8Array): 'utf-8' | 'utf-16le' | 'utf-16be' {
  if ((first === 0xff && second === 0xfe) || (first !== 0 && second === 0)) return 'utf-16le';
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0 && second !== undefined)) return 'utf-16be';
  return 'utf-8';
}

/** Without a byte order mark. @throws TypeError when it is neither UTF-8 nor UTF-16 */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder(encodingOf(bytes), { fatal: true }).decode(bytes);
}

/**
 * Text in pieces, for one that may be too large for a string.
 *
 * @param source path of a file, or bytes as they come
 * @throws as `decodeText`, and node:fs'
 */
export async function* textOf(source: string | AsyncIterable<unknown>): AsyncGenerator<string> {
  const pieces = typeof source === 'string' ? createReadStream(source, { highWaterMark: PIECE }) : source;
  let decoder: TextDecoder | undefined;
  for await (const bytes of pieces) {
    decoder ??= new TextDecoder(encodingOf(bytes as Buffer), { fatal: true });
    yield decoder.decode(bytes as Buffer, { stream: true });
  }
  const rest = decoder?.decode();
  if (rest) yield rest;
}

/** The lines of a text, each without its LF. @throws as `textOf` */
export async function* linesOf(source: string | AsyncIterable<unknown>): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of textOf(source)) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== '') yield rest;
}
