/** HTML that cannot be broken by what it holds: every value that a template does not mark as markup is escaped. */

import { printable } from '../base/wording';

/** Text that is markup already: of `html`, or a file of ours. */
export class Markup {
  constructor(readonly text: string) {}
}

export type Value = string | number | Markup | null | undefined | false | readonly Value[];

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function render(value: Value): string {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(render).join('');
  if (value === null || value === undefined || value === false) return '';
  return printable(String(value), '\n\t').replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

/** Template tag: text is escaped for element content and quoted attributes; nothing is printed for null, undefined and false. */
export function html(strings: TemplateStringsArray, ...values: Value[]): Markup {
  return new Markup(String.raw({ raw: strings }, ...values.map(render)));
}

/** JSON for a `<script type="application/json">`: no `<`, so that no tag can end or open in it. */
export function jsonScript(id: string, data: unknown): Markup {
  const json = JSON.stringify(data).replaceAll('<', '\\u003c');
  return html`<script type="application/json" id="${id}">${new Markup(json)}</script>`;
}
