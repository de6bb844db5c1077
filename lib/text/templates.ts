/** Template sets: the sentences that a class name is put into (spec 2.1). */
import { createHash } from 'node:crypto';
import { ClipnError } from '../base/errors';
import { readListFile } from '../base/list-file';
import clipn from '../data/templates/clipn.json';
import openai from '../data/templates/openai.json';

/** Sentences that a class name is put into, each at its `{}`. */
export interface TemplateSet {
  /** What banks and reports call it. */
  readonly name: string;
  /** At least one; each has `{}` where the name goes. */
  readonly templates: readonly string[];
  /** sha256 (hex) of the templates joined by LF. */
  readonly sha256: string;
}

/** Templates as a caller gives them: the name of a set, a file, or a set of one's own. */
export type TemplatesInput = string | Pick<TemplateSet, 'name' | 'templates'>;

const BUILT_IN: Readonly<Record<string, readonly string[]>> = {
  /** The 128 lines CLIPN was evaluated with, their quotes included (spec 2.1). */
  clipn,
  /** OpenAI's 80 for ImageNet. */
  openai,
  plain: ['a photo of a {}.'],
  /** NegLabel's, for labels and for words alike (Jiang et al., ICLR 2024). */
  nice: ['The nice {}.'],
};

/** @throws ClipnError ERR_CLIPN_TEMPLATES for no template, a line without `{}`, or one with a special token. */
export function makeTemplateSet(name: string, templates: readonly string[]): TemplateSet {
  if (templates.length === 0) throw new ClipnError('ERR_CLIPN_TEMPLATES', `template set ${name} is empty`);
  templates.forEach((template, index) => {
    if (typeof template !== 'string' || !template.includes('{}')) {
      const message = `template ${index + 1} of ${name} has no {}: ${JSON.stringify(template)}`;
      throw new ClipnError('ERR_CLIPN_TEMPLATES', message);
    }
    if (/<\|?(start|end)_?of_?text\|?>/i.test(template)) {
      const message = `template ${index + 1} of ${name} contains a special token, which would move the read-out`;
      throw new ClipnError('ERR_CLIPN_TEMPLATES', message);
    }
  });
  const sha256 = createHash('sha256').update(templates.join('\n')).digest('hex');
  return Object.freeze({ name, templates: Object.freeze([...templates]), sha256 });
}

/**
 * A template set by name ('clipn', 'openai', 'plain', 'nice') or from a file with a template a line or a JSON array.
 *
 * @throws ClipnError ERR_CLIPN_TEMPLATES when there is neither such a set nor such a file, or a template lacks `{}`.
 */
export async function loadTemplates(nameOrPath: string): Promise<TemplateSet> {
  if (Object.hasOwn(BUILT_IN, nameOrPath)) return makeTemplateSet(nameOrPath, BUILT_IN[nameOrPath]!);
  const templates = await readListFile(nameOrPath, 'ERR_CLIPN_TEMPLATES', 'ERR_CLIPN_TEMPLATES');
  return makeTemplateSet(nameOrPath, templates);
}

/** The template with the class name at every `{}`. */
export function fillTemplate(template: string, label: string): string {
  return template.replaceAll('{}', () => label);
}
