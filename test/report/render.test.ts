import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { EvalResult } from '../../lib/evaluate/result';
import { renderReport, reportCsv } from '../../lib/report/render';
import { exampleResult, hostile, plainResult } from '../support/eval-result';

let result: EvalResult;
before(async () => {
  result = await exampleResult();
});

/** Rows of RFC 4180 text. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  // A cell, quoted or not, and what ends it.
  for (const [, quoted, bare, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/g)) {
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? bare!);
    if (end === '\r\n') rows.push([]);
    if (end === '') break;
  }
  return rows.slice(0, -1);
}

/** Text of the first element that `pattern` opens, without tags. */
const textOf = (html: string) =>
  html
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();

describe('the CSV', () => {
  test('holds the very numbers of the JSON, a row per score and set and one per average', () => {
    const [header, ...rows] = parseCsv(reportCsv(result));
    const records = rows.map((row) => Object.fromEntries(row.map((cell, i) => [header![i]!, cell])));
    const metrics = ['auroc', 'auprIn', 'auprOut', 'fprAtIdTpr95', 'fprAtOodTpr95'] as const;
    const expected = Object.entries(result.scores).flatMap(([score, { sets, average }]) => [
      ...Object.entries(sets).map(([set, of]) => {
        const { auroc, fprAtIdTpr95 } = of.intervals;
        const ends = [auroc.low, auroc.high, fprAtIdTpr95.low, fprAtIdTpr95.high];
        return [score, set, ...metrics.map((key) => of[key]), ...ends, result.id.images, result.ood[set]!.images];
      }),
      [score, 'average', ...metrics.map((key) => average[key]), '', '', '', '', result.id.images, ''],
    ]);
    const wanted = JSON.parse(JSON.stringify(expected)) as (string | number)[][];
    assert.equal(records.length, 8 * 5);
    assert.deepEqual(
      records.map((record) =>
        Object.entries(record).map(([key, cell]) =>
          ['score', 'set'].includes(key) || cell === '' ? cell : Number(cell),
        ),
      ),
      wanted,
    );
  });

  test('quotes names with commas, quotes and line ends', () => {
    const name = 'a, "b"\r\nc';
    const { sets, ...rest } = result.scores['atd']!;
    const renamed = { ...result, scores: { [name]: { ...rest, sets: { [name]: sets['SUN']! } } } };
    const [, row] = parseCsv(reportCsv(renamed));
    assert.deepEqual(row!.slice(0, 2), [name, name]);
  });
});

describe('the page', () => {
  test('has every metric of every score on every set, exact in a title and short in the cell', async () => {
    const page = await renderReport(result);
    for (const [score, { sets, average }] of Object.entries(result.scores)) {
      for (const metrics of [average, ...Object.values(sets)]) {
        for (const key of ['auroc', 'auprIn', 'auprOut', 'fprAtIdTpr95', 'fprAtOodTpr95'] as const) {
          const cell = new RegExp(`<td title="${metrics[key]}"[^>]*>(.*?)</td>`, 's').exec(page);
          assert.ok(cell, `${score} ${key}`);
          assert.match(textOf(cell[1]!), new RegExp(`^(◆ )?${(100 * metrics[key]).toFixed(1)}\\b`));
        }
      }
    }
  });

  test('marks the best of a column, ties too: the highest AUROC, the lowest FPR', async () => {
    const page = await renderReport(result);
    for (const [key, pick] of [
      ['auroc', Math.max],
      ['fprAtIdTpr95', Math.min],
    ] as const) {
      const body = new RegExp(`<tbody data-metric="${key}">(.*?)</tbody>`, 's').exec(page)![1]!;
      const marked = [...body.matchAll(/<td title="([^"]*)" class="best">/g)].map((match) => Number(match[1]));
      const columns = Object.keys(result.ood).map((set) =>
        Object.values(result.scores).map((of) => of.sets[set]![key]),
      );
      const averages = Object.values(result.scores).map((of) => of.average[key]);
      const best = [averages, ...columns].flatMap((column) => column.filter((value) => value === pick(...column)));
      assert.deepEqual(marked.sort(), best.sort());
    }
  });

  test('says in its verdict what the deciding score does', async () => {
    const page = await renderReport(result);
    const verdict = textOf(/<p class="verdict">(.*?)<\/p>/s.exec(page)![1]!);
    const { auroc, fprAtIdTpr95 } = result.scores['atd']!.average;
    for (const figure of ['atd', (100 * auroc).toFixed(1), (100 * fprAtIdTpr95).toFixed(1)]) {
      assert.ok(verdict.includes(figure), `${figure} in: ${verdict}`);
    }
    assert.ok(verdict.includes(String(Number(result.threshold.toPrecision(4)))), verdict);
  });

  test('puts the published numbers beside its own with their difference', async () => {
    const page = await renderReport(result);
    const section = /<section id="published".*?<\/section>/s.exec(page)![0];
    const { auroc, fprAtIdTpr95 } = result.scores['atd']!.sets['SUN']!;
    const row = /<tr><th scope="row">atd <span class="on">on<\/span> SUN<\/th>(.*?)<\/tr>/s.exec(section)![1]!;
    const cells = [...row.matchAll(/<td[^>]*>(.*?)<\/td>/g)].map((cell) => cell[1]!.replace('−', '-'));
    const difference = (own: number, theirs: number) => (own - theirs).toFixed(1).replace(/^(?=\d)/, '+');
    const own = [100 * auroc, 100 * fprAtIdTpr95] as const;
    assert.deepEqual(cells, [
      ...['94.2', own[0].toFixed(1), difference(own[0], 94.18)],
      ...['25.7', own[1].toFixed(1), difference(own[1], 25.69)],
    ]);
  });

  test('leaves out what an evaluation does not have', async () => {
    const page = await renderReport(plainResult(result));
    for (const id of ['published', 'calibration', 'unreadable']) assert.ok(!page.includes(`id="${id}"`), id);
    assert.match(page, /OOD images with the highest mcm: none were kept/);
    assert.match(page, /no class folders/);
    assert.ok(!/NaN|undefined|null|\[object/.test(textOf(page.replace(/<(script|style)\b.*?<\/\1>/gs, ''))));
  });

  test('says which of the worst images are judged right all the same, and where no class is known', async () => {
    const { falseAccepts, falseRejects } = result.worst;
    const worst = {
      falseAccepts: [falseAccepts[0]!, { ...falseAccepts[1]!, score: result.threshold - 1e-6 }],
      falseRejects: [falseRejects[0]!, { ...falseRejects[1]!, score: result.threshold, truth: null }],
    };
    const page = await renderReport({ ...result, worst });
    const cards = [...page.matchAll(/<li>\s*<img class="thumbnail"(.*?)<\/li>\s*(?=<li>|<\/ul>)/gs)].map(
      (card) => card[1]!,
    );
    const judged = cards.map((card) => /judged right: (\w+)/.exec(card)?.[1]);
    assert.deepEqual(judged, [undefined, 'rejected', undefined, 'accepted']);
    assert.match(cards[3]!, /is <strong>of unknown class/);
  });

  test('says of each of the worst images what decided', async () => {
    const top = [{ label: 'cat', p: 0.9, pYes: 0.834 }];
    const [accepted, rejected] = [result.worst.falseAccepts[0]!, result.worst.falseRejects[0]!];
    const worst = {
      falseAccepts: [{ ...accepted, top, score: 0.75 }],
      falseRejects: [{ ...rejected, top, score: 0.25 }],
    };
    const text = textOf(await renderReport({ ...result, threshold: 0.5, worst }));
    assert.ok(
      text.includes('Looks most like “cat” (p_yes 83 %), and its score (atd 0.75) reaches the threshold of 0.5.'),
    );
    assert.ok(text.includes('but its score (atd 0.25) is below the threshold of 0.5: none of your classes.'));
  });

  test('never prints markup that a label, path or message brings', async () => {
    const evil = '</script></style></title><img src=x onerror="window.pwned=1">\'"&<!--';
    const page = await renderReport(hostile(result, evil));
    assert.ok(!page.includes('<img src=x'));
    assert.equal(page.match(/<script\b/g)!.length, 5, 'its own scripts and data only');
    const data = /<script type="application\/json" id="chart-data">(.*?)<\/script>/s.exec(page)![1]!;
    const { scores } = JSON.parse(data) as { scores: { sets: { name: string }[] }[] };
    assert.equal(scores[0]!.sets[1]!.name, `SUN${evil}`);
  });

  test('stays usable in size with 1,000 classes', async () => {
    const page = await renderReport(await exampleResult(1000));
    assert.equal(page.match(/<tr><th scope="row">[^<]*<\/th>\s*<td data-value=/g)!.length, 1000);
    assert.ok(page.length < 1.5e6, `${page.length} characters`);
  });
});

test('a result of format 1 is still rendered, with its format named', async () => {
  const old = { ...result, format: 'clipn-native eval 1' } as unknown as EvalResult;
  assert.match(await renderReport(old), /<dd>clipn-native eval 1<\/dd>/);
});
