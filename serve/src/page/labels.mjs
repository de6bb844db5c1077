/** The classes: shown as they are, and changed on the spot where the server lets clients do so. */
import { element, input, make } from './elements.mjs';

/** @import { LabelList } from './types' */

/**
 * @param {LabelList} list
 * @param {boolean} isOwn whether they are the server's
 * @param {((labels: string[]) => void) | undefined} change undefined: they stay as they are
 */
export function drawLabels({ labels, warnings }, isOwn, change) {
  const chips = labels.map((label) => {
    if (change === undefined || labels.length === 1) return make('li', '', label);
    const remove = make('button', '', '×');
    remove.setAttribute('type', 'button');
    remove.ariaLabel = `Remove ${label}`;
    remove.onclick = () => {
      change(labels.filter((each) => each !== label));
      input('label').focus();
    };
    return make('li', '', label, remove);
  });
  element('labels').replaceChildren(...chips);
  element('label-form').hidden = change === undefined;
  element('own-labels').hidden = isOwn;
  element('label-form').onsubmit = (event) => {
    event.preventDefault();
    const names = input('label')
      .value.split(',')
      .map((name) => name.trim());
    const fresh = names.filter((name) => name && !labels.includes(name));
    input('label').value = '';
    if (fresh.length > 0) change?.([...labels, ...new Set(fresh)]);
  };
  const box = element('warnings');
  box.hidden = warnings.length === 0;
  const title = warnings.length === 1 ? 'One note on these classes' : `${warnings.length} notes on these classes`;
  box.querySelector('summary')?.replaceChildren(title);
  box.querySelector('ul')?.replaceChildren(...warnings.map((warning) => make('li', '', warning)));
}
