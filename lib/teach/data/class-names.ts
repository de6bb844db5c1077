/** Names of classes: what `--names` says, and the captions that templates make of them. */
import { ClipnError } from '../../base/errors';
import { listItems, readText } from '../../base/list-file';
import { parseJson } from '../../base/parse-json';
import { fillTemplate, loadTemplates } from '../../text/templates';
import type { DataClass } from './dataset';

/** Classes in the order in which they are first seen; those of one name are one class. */
export class ClassList {
  readonly classes: DataClass[] = [];
  readonly #indexOf = new Map<string, number>();

  private constructor(private readonly templates: readonly string[]) {}

  static async of(templates: string): Promise<ClassList> {
    return new ClassList((await loadTemplates(templates)).templates);
  }

  /** @param words the class's name, then synonyms. @returns the class's number */
  add(words: readonly string[]): number {
    const name = words[0]!;
    let index = this.#indexOf.get(name);
    if (index === undefined) {
      index = this.classes.length;
      this.#indexOf.set(name, index);
      const captions = words.flatMap((word) => this.templates.map((template) => fillTemplate(template, word)));
      this.classes.push({ name, captions: [...new Set(captions)] });
    }
    return index;
  }
}

/**
 * A JSON object of folder or class number → name or list of names; or a list, one name a line or a JSON array, of the
 * classes 0, 1, …
 *
 * @throws ClipnError ERR_CLIPN_TEACH_DATA
 */
export async function readNames(path: string): Promise<Map<string, string[]>> {
  const text = await readText(path, 'ERR_CLIPN_TEACH_DATA', 'ERR_CLIPN_TEACH_DATA');
  const entries = text.trimStart().startsWith('{') ? Object.entries(objectIn(text, path)) : listIn(text, path);
  if (entries.length === 0) throw refusal(path, 'it holds no names');
  return new Map(
    entries.map(([key, value]) => {
      const words: unknown[] = Array.isArray(value) ? value : [value];
      const valid = words.length > 0 && words.every((word) => typeof word === 'string' && word.trim() !== '');
      if (!valid) throw refusal(path, `${key} has neither a name nor a list of names`);
      return [key, words as string[]];
    }),
  );
}

function objectIn(text: string, path: string): object {
  try {
    return parseJson(text) as object;
  } catch (cause) {
    throw refusal(path, (cause as Error).message, cause);
  }
}

function listIn(text: string, path: string): [string, string][] {
  return listItems(text, path, 'ERR_CLIPN_TEACH_DATA').map(({ text: name, line }, index) => {
    // A line left out would give every class below it another's name.
    if (line !== null && line !== index + 1)
      throw refusal(path, `line ${index + 1} is blank: class ${index} has no name`);
    return [String(index), name.trim()];
  });
}

function refusal(path: string, what: string, cause?: unknown): ClipnError {
  return new ClipnError('ERR_CLIPN_TEACH_DATA', `names file ${path}: ${what}`, {
    cause,
    hint: 'Give a JSON object, {"folder or class number": "name", "other": ["name", "synonym"]}, or one name a line.',
  });
}
