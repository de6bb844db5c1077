/** The images that the deciding score got most wrong, as a grid of thumbnails. */
import { sentenceOf } from '../decide/sentence';
import type { EvalResult, Example } from '../evaluate/result';
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

interface Judgement {
  decidingScore: string;
  threshold: number;
}

/** The verdict at the report's own threshold, in words. */
function sentence({ score, top }: Example, { decidingScore, threshold }: Judgement): string {
  const { label, p, pYes } = top[0]!;
  const verdict = score >= threshold ? 'in' : 'out';
  return sentenceOf({
    verdict,
    rule: 'threshold',
    label,
    p,
    pYes,
    margin: { score: decidingScore, value: score, threshold },
  });
}

/** @param own an ID image; its class is unknown where the ID folder has no class folders */
function exampleCard(example: Example, own: boolean, { decidingScore, threshold }: Judgement): Markup {
  const { set, image, truth, score, top, thumbnail } = example;
  const more = top.slice(SHOWN);
  const origin = own ? html`is <strong>${truth ?? 'of unknown class'}</strong>` : html`from <strong>${set}</strong>`;
  const isRight = own === score >= threshold;
  return html`<li>
    ${thumbnail === null ? html`<p class="thumbnail">the image is no longer there</p>` : html`<img class="thumbnail" src="${thumbnail}" alt="Thumbnail of ${image}" decoding="async">`}
    <p class="which"><span>${origin}</span> <span title="${score}">${decidingScore} ${scoreValue(score)}</span></p>
    <p class="why">${sentence(example, { decidingScore, threshold })}</p>
    <p class="path">${image}${isRight && html` <em>(still judged right: ${own ? 'accepted' : 'rejected'})</em>`}</p>
    <div class="labels">${topList(top.slice(0, SHOWN))}
      ${more.length > 0 && html`<details><summary>${more.length} more</summary>${topList(more)}</details>`}</div>
  </li>`;
}

export function worstExamples({ worst, ...judgement }: EvalResult): Markup {
  const { decidingScore } = judgement;
  const part = (id: string, title: string, text: string, examples: readonly Example[], own: boolean) =>
    html`<h3 id="${id}">${title}</h3><p class="lead">${text}${examples.length === 0 && ': none were kept'}.</p>
      ${examples.length > 0 && html`<ul class="examples">${examples.map((example) => exampleCard(example, own, judgement))}</ul>`}`;
  const hasNo = [...worst.falseAccepts, ...worst.falseRejects].some(({ top }) => top.some(({ pYes }) => pYes !== null));
  return html`<p class="lead">With each image its top labels. <em>p</em>: how likely this label among all${
    hasNo &&
    html`; <em>yes</em> (p_yes) and <em>no</em> (1&nbsp;−&nbsp;p_yes): how likely that the image shows it at all`
  }.</p>
    ${part('false-accepts', 'OOD images accepted', `OOD images with the highest ${decidingScore}`, worst.falseAccepts, false)}
    ${part('false-rejects', 'ID images rejected', `ID images with the lowest ${decidingScore}`, worst.falseRejects, true)}`;
}
