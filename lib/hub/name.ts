/** Names on the hub: OWNER/NAME, and a revision after an @. */

export interface HubName {
  /** OWNER/NAME */
  name: string;
  /** Branch, tag or commit; `main` when none was given. */
  revision: string;
}

/** The hub's own rules, but for names without an owner. */
const PART = /^(?!.*(?:--|\.\.))\w(?:[\w.-]{0,94}\w)?$/;
/** Ends of files that a path of two parts leads to. */
const FILE = /\.(?:pt|pth|bin|ckpt|safetensors|onnx|json|tar|zip|git|ipynb)$/i;
const REVISION = /^(?!.*\.\.)[\w][\w./-]{0,199}$/;

/** Null for what cannot be a name on the hub, or looks like the path of a file. */
export function parseHubName(text: string): HubName | null {
  const [name, revision] = split(text);
  const parts = name.split('/');
  if (parts.length !== 2 || !parts.every((part) => PART.test(part)) || FILE.test(name)) return null;
  return REVISION.test(revision) ? { name, revision } : null;
}

function split(text: string): [name: string, revision: string] {
  const at = text.indexOf('@');
  return at === -1 ? [text, 'main'] : [text.slice(0, at), text.slice(at + 1)];
}

/** As one writes it: the revision only where it is not the default. */
export function shownName({ name, revision }: HubName): string {
  return revision === 'main' ? name : `${name}@${revision}`;
}

/** What files on this disk are called after a name; no two have the same, for no name holds `--` or `@`. */
export function fileStem(name: string, revision: string): string {
  return `${name.replace('/', '--')}@${encodeURIComponent(revision)}`;
}
