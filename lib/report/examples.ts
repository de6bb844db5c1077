/** The images that the deciding score got most wrong, as a grid of thumbnails. */
import type { EvalResult, Example } from '../eval-result';
import { percent, scoreValue } from './format';
import { html, type Markup } from './html';

/** Labels that are shown at once; more are folded away. */
const SHOWN = 3;

type Top = Example['top'][number];

/** A share as text over a bar; the text alone says it all. */
const cell = (name: string, share: number, kind: string) =>
  html`<span title="${share}">${name} <b>${percent(share, 0)}</b> % <span class="bar ${kind}" style="--share:${percent(share, 1)}%"></span></span>`;

/** A model without a no tower has no pYes. */
function topItem({ label, p, pYes }: Top): Markup {
  const answers = pYes !== null && [cell('yes', pYes, 'yes'), cell('no', 1 - pYes, 'no')];
  return html`<li><span class="label">${label}</span> ${cell('p', p, 'p')}${answers}</li>`;
}

const topList = (top: readonly Top[]) => html`<ol class="top">${top.map(topItem)}</ol>`;

function exampleCard({ set, image, truth, score, top, thumbnail }: Example, decidingScore: string): Markup {
  const more = top.slice(SHOWN);
  return html`<li>
    ${thumbnail === null ? html`<p class="thumbnail">the image is no longer there</p>` : html`<img class="thumbnail" src="${thumbnail}" alt="Thumbnail of ${image}" decoding="async">`}
    <p class="which"><span>${truth === null ? html`from <strong>${set}</strong>` : html`is <strong>${truth}</strong>`}</span>
      <span title="${score}">${decidingScore} ${scoreValue(score)}</span></p>
    <p class="path">${image}</p>
    <div class="labels">${topList(top.slice(0, SHOWN))}
      ${more.length > 0 && html`<details><summary>${more.length} more</summary>${topList(more)}</details>`}</div>
  </li>`;
}

export function worstExamples({ worst, decidingScore, threshold }: EvalResult): Markup {
  const part = (id: string, title: string, text: string, examples: readonly Example[], none: string) =>
    html`<h3 id="${id}">${title}</h3>
      ${examples.length === 0 ? html`<p class="lead">${none}</p>` : html`<p class="lead">${text}</p><ul class="examples">${examples.map((example) => exampleCard(example, decidingScore))}</ul>`}`;
  const least = `${decidingScore} of at least ${scoreValue(threshold)}`;
  return html`<p class="lead">With each image its top labels. <em>p</em>: how likely this label among all; <em>yes</em> (p_yes) and <em>no</em> (1&nbsp;−&nbsp;p_yes): how likely that the image shows it at all.</p>
    ${part('false-accepts', 'Strangers let in', `OOD images with the highest ${decidingScore}.`, worst.falseAccepts, `No OOD image has ${least}.`)}
    ${part('false-rejects', 'Your own turned away', `ID images with the lowest ${decidingScore}.`, worst.falseRejects, `Every ID image has ${least}.`)}`;
}
