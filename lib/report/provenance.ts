/** Bottom of the page: what was left out, where the numbers come from, what they mean. */
import type { EvalResult, ImageSet } from '../evaluate/result';
import { count, counted } from './format';
import { html, type Markup } from './html';
import { METRIC_NAMES } from './metric-names';
import { scrollBox } from './score-tables';

/** Null when every image was read. */
export function unreadableTable({ id, ood }: EvalResult): Markup | null {
  const rows = Object.entries({ ID: id, ...ood }).flatMap(([set, { unreadable }]) =>
    unreadable.map(
      ({ image, code, message }) =>
        html`<tr><th scope="row">${set}</th><td class="text">${image}</td><td class="text"><code>${code}</code> ${message}</td></tr>`,
    ),
  );
  if (rows.length === 0) return null;
  const table = html`<table class="numbers">
    <caption class="hidden">Unreadable images</caption>
    <thead><tr><th scope="col">Set</th><th scope="col" class="text">Image</th><th scope="col" class="text">Why</th></tr></thead>
    <tbody>${rows}</tbody>
  </table>`;
  return html`<p class="lead">${counted(rows.length, 'image')} could not be read and ${rows.length === 1 ? 'is' : 'are'} in no figure of this page.</p>
    ${scrollBox('Unreadable images', table)}`;
}

const copyable = (text: string) =>
  html`<code>${text}</code> <button type="button" class="copy needs-script" data-copy="${text}">Copy</button>`;

const filesOf = ({ folder, images, otherFiles }: ImageSet) =>
  `${folder}, ${count(images)}${otherFiles > 0 ? `; ${counted(otherFiles, 'file')} of another kind left alone` : ''}`;

export function provenanceList({ provenance, id, ood, created, format }: EvalResult): Markup {
  const { model, preprocessing, labels, templates, negatives, versions, command } = provenance;
  const entry = (name: string, ...values: (Markup | string)[]) =>
    html`<dt>${name}</dt>${values.map((value) => html`<dd>${value}</dd>`)}`;
  return html`<dl class="provenance">
    ${entry('Model', `${model.path} (${model.kind}, ${model.precision})`, html`content ID ${copyable(model.contentId)}`)}
    ${entry('Preprocessing', preprocessing)}
    ${entry('Labels', count(labels.count), html`SHA-256 ${copyable(labels.sha256)}`)}
    ${entry('Templates', `${templates.name}, ${count(templates.count)}`, html`SHA-256 ${copyable(templates.sha256)}`)}
    ${negatives && entry('Negative words', `${count(negatives.count)} in ${negatives.groups} groups`, html`SHA-256 ${copyable(negatives.sha256)}`)}
    ${entry('ID images', filesOf(id))}
    ${Object.entries(ood).map(([set, of]) => entry(`OOD images, ${set}`, filesOf(of)))}
    ${entry(
      'Versions',
      Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', '),
    )}
    ${entry('Command', copyable(command))}
    ${entry('Created', created)}
    ${entry('Format', format)}
  </dl>`;
}

export function definitionList({ scores }: EvalResult): Markup {
  const entry = (name: string, text: string) => html`<dt>${name}</dt><dd>${text}</dd>`;
  const arrow = (higherIsBetter: boolean) => (higherIsBetter ? '↑' : '↓');
  return html`<h3>Metrics</h3>
    <dl class="definitions">
      ${METRIC_NAMES.map(({ name, higherIsBetter, meaning }) => entry(`${name} ${arrow(higherIsBetter)}`, meaning))}
      ${entry('Average', 'The plain mean over the OOD sets, whatever their sizes.')}
      ${entry(
        '95 % confidence interval',
        'Repeated with other images of the same kind, 95 of 100 such intervals would hold the true figure. The interval of an average is the mean of the sets’ intervals: wide enough however the sets’ errors hang together.',
      )}
      ${entry('Threshold', 'Of the deciding score: the highest that keeps at least 95 % of the ID images. An image is accepted when its score is at least the threshold.')}
    </dl>
    <h3>Scores</h3>
    <p class="lead">Higher means more likely one of your own.</p>
    <dl class="definitions">${Object.entries(scores).map(([name, { formula, source }]) => entry(name, `${formula}. ${source}.`))}</dl>`;
}
