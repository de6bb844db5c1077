/**
 * Which fields of a sample are its image and its caption. A field is what a file's name has behind the key, without
 * regard to case: `jpg`, `input.jpg`. Its kind stands behind its last dot.
 */

import { parseJson } from '../../base/parse-json';
import { isImageHead } from '../../images/file-kind';
import { isImageName } from '../../images/find';
import { captionNamesIn, captionsIn, textIn } from './columns';
import type { DatasetOptions } from './dataset';

/** Bytes of each field, by its name in lower case; undefined of what is not wanted. */
export type Fields = ReadonlyMap<string, Buffer | undefined>;

export type FieldOptions = Pick<DatasetOptions, 'imageField' | 'captionField'>;

/** What a sample lacks; `unclear` when the user has to decide. */
export interface NoField {
  broken: string;
  unclear?: boolean;
}

/** Kinds that hold a caption. */
const TEXTS = ['txt', 'text', 'caption', 'captions', 'cap'];
const NO_CAPTION: NoField = { broken: 'no caption' };

const kindOf = (field: string) => field.slice(field.lastIndexOf('.') + 1);
export const isTextField = (field: string): boolean => TEXTS.includes(kindOf(field));
export const isClassField = (field: string): boolean => kindOf(field) === 'cls';
const isJsonField = (field: string): boolean => kindOf(field) === 'json';
const isImageField = (field: string, head: Buffer): boolean => isImageName(`x.${field}`) || isImageHead(head);

/** Whether its bytes are needed. */
export function isWanted(field: string, head: Buffer, { imageField, captionField }: FieldOptions): boolean {
  if (isTextField(field) || isClassField(field) || isJsonField(field) || isImageField(field, head)) return true;
  return field === imageField?.toLowerCase() || field === captionField?.toLowerCase();
}

/** What `--image-field` and `--caption-field` can name: the fields, and the keys of JSON. */
export function namesIn(fields: Fields): string[] {
  return [...fields].flatMap(([field, data]) => {
    const keys = isJsonField(field) ? Object.keys(objectIn(data)) : [];
    return [field, ...keys.map((key) => `${field}.${key}`)];
  });
}

/** The one that was asked for, or the only one that is an image by its name or its first bytes. */
export function imageIn(fields: Fields, { imageField }: FieldOptions): Buffer | NoField {
  const asked = imageField?.toLowerCase();
  const images = [...fields].filter(([field, data]) => {
    return asked === undefined ? data && isImageField(field, data) : field === asked;
  });
  if (images.length > 1) return several('image', names(images), '--image-field');
  return images[0]?.[1] ?? { broken: 'no image' };
}

/** What was asked for; else the only text field; else, without text fields, the only usual name in JSON. */
export function captionsOf(fields: Fields, { captionField }: FieldOptions): string[] | NoField {
  if (captionField !== undefined) return askedCaptions(fields, captionField);
  const texts = [...fields].filter(([field]) => isTextField(field));
  if (texts.length > 1) return several('caption', names(texts), '--caption-field');
  if (texts.length === 1) return textCaptions(texts[0]![1]);
  const captions = jsonCaptions([...fields].filter(([field]) => isJsonField(field)));
  if (captions !== NO_CAPTION || ![...fields.keys()].some(isClassField)) return captions;
  return { broken: 'a class number instead of a caption (--names FILE says what the classes are)', unclear: true };
}

/** `FIELD`, or `FIELD.KEY.KEY` of a JSON field. */
function askedCaptions(fields: Fields, asked: string): string[] | NoField {
  const lower = asked.toLowerCase();
  if (fields.has(lower)) {
    return isJsonField(lower) ? jsonCaptions([[lower, fields.get(lower)]]) : textCaptions(fields.get(lower));
  }
  const field = [...fields.keys()].find((each) => isJsonField(each) && lower.startsWith(`${each}.`));
  if (field === undefined) return NO_CAPTION;
  let value: unknown = objectIn(fields.get(field));
  for (const key of asked.slice(field.length + 1).split('.')) value = propertyOf(value, key);
  return someOf(captionsIn(value));
}

function textCaptions(bytes: Buffer | undefined): string[] | NoField {
  const text = bytes && textIn(bytes);
  return text === undefined ? { broken: 'caption that is neither UTF-8 nor UTF-16' } : someOf(captionsIn(text));
}

/** Those under a usual name of a caption. */
function jsonCaptions(fields: readonly [string, Buffer | undefined][]): string[] | NoField {
  const found: [name: string, captions: string[]][] = [];
  for (const [field, data] of fields) {
    const json = objectIn(data);
    for (const key of captionNamesIn(Object.keys(json))) found.push([`${field}.${key}`, captionsIn(json[key])]);
  }
  const captions = found.filter(([, some]) => some.length > 0);
  return captions.length > 1 ? several('caption', names(captions), '--caption-field') : someOf(captions[0]?.[1] ?? []);
}

/** The number in the field that was asked for, or in the only `.cls` field. */
export function classNumberIn(fields: Fields, { captionField }: FieldOptions): string | NoField {
  const asked = captionField?.toLowerCase();
  const found = [...fields].filter(([field]) => (asked === undefined ? isClassField(field) : field === asked));
  if (found.length > 1) return several('class', names(found), '--caption-field');
  if (found.length === 0) return { broken: 'no class' };
  const number = textIn(found[0]![1]!)?.trim() ?? '';
  return /^\d+$/.test(number) ? number.replace(/^0+(?=\d)/, '') : { broken: 'class that is no number' };
}

const names = (fields: readonly [string, unknown][]) => fields.map(([name]) => name);
const someOf = (captions: string[]) => (captions.length > 0 ? captions : NO_CAPTION);

function several(what: string, fields: readonly string[], flag: string): NoField {
  return { broken: `several fields could be the ${what}: ${fields.join(', ')} (${flag} names one)`, unclear: true };
}

/** Empty for what is no JSON object. */
function objectIn(bytes: Buffer | undefined): Record<string, unknown> {
  try {
    const value: unknown = parseJson(textIn(bytes!) ?? '');
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function propertyOf(value: unknown, key: string): unknown {
  const has = typeof value === 'object' && value !== null && Object.hasOwn(value, key);
  return has ? (value as Record<string, unknown>)[key] : undefined;
}
