import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { readArgs, UsageError } from '../../lib/cli/command';
import { metricsCommand } from '../../lib/cli/commands/metrics';
import { readLabelledScores, readScoreFile } from '../../lib/metrics/score-file';
import { writeParquet } from '../support/parquet';
import { goldenFile } from '../support/paths';
import { runCli } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-scores-'));
after(() => rmSync(folder, { recursive: true }));

let files = 0;
function file(content: string | Buffer): string {
  const name = path.join(folder, `scores-${files++}.txt`);
  writeFileSync(name, content);
  return name;
}

async function read(content: string | Buffer, column?: string, header?: boolean): Promise<number[]> {
  return [...(await readScoreFile(file(content), { column, header }))];
}

describe('a column of a Parquet file', () => {
  const table = path.join(folder, 'scores.parquet');
  const write = () =>
    writeParquet(table, {
      image: ['a', 'b', 'c', 'd'],
      atd: [0.25, -1 / 0, 0.75, 1e-7],
      count: [1n, 2n, 3n, 4n],
      set: ['mine', 'sun', 'mine', 'places'],
      gap: [1, Number.NaN, 2, 3],
      msp: [1, 2, null, 4],
    });

  test('by name or number, whole numbers too', async () => {
    await write();
    assert.deepEqual([...(await readScoreFile(table, { column: 'atd' }))], [0.25, -1 / 0, 0.75, 1e-7]);
    assert.deepEqual([...(await readScoreFile(table, { column: '2' }))], [0.25, -1 / 0, 0.75, 1e-7]);
    assert.deepEqual([...(await readScoreFile(table, { column: 'count' }))], [1, 2, 3, 4]);
  });

  test('with one that tells the sets', async () => {
    await write();
    const { id, ood } = await readLabelledScores(table, { column: 'atd', labelColumn: 'set', idLabel: 'mine' });
    assert.deepEqual([...id], [0.25, 0.75]);
    assert.deepEqual(
      ood.map(([name, scores]) => [name, ...scores]),
      [
        ['sun', -1 / 0],
        ['places', 1e-7],
      ],
    );
  });

  for (const [column, message] of [
    [undefined, /has several columns: name one with `column` \(--column\)/],
    ['odd', /has no column "odd" among image, atd, /],
    ['7', /has no column "7"/],
    ['image', /row 1: the score is not a number/],
    ['gap', /row 2: the score is NaN/],
    ['msp', /row 3: there is no score/],
  ] as const) {
    test(`${column}: refused, naming file and row`, async () => {
      await write();
      await assert.rejects(readScoreFile(table, { column }), (error: Error & { code: string }) => {
        assert.equal(error.code, 'ERR_CLIPN_SCORES');
        assert.match(error.message, /scores\.parquet/);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('cut short: refused; missing: an I/O error', async () => {
    await write();
    const cut = path.join(folder, 'cut.parquet');
    writeFileSync(cut, readFileSync(table).subarray(0, 200));
    await assert.rejects(readScoreFile(cut, { column: 'atd' }), { code: 'ERR_CLIPN_SCORES' });
    await assert.rejects(readScoreFile(path.join(folder, 'none.parquet'), { column: 'atd' }), { code: 'ERR_CLIPN_IO' });
  });
});

describe('one number a line', () => {
  for (const [what, content, expected] of [
    ['with any line end, spaces around, and none at the end', ' 1\r\n2 \n3\r4', [1, 2, 3, 4]],
    ['empty lines at the end', '1\n2\n\n \n', [1, 2]],
    ['with comments, as numpy.savetxt writes them', '# scores\n1\n#2\n3\n', [1, 3]],
    ['with a byte order mark', '\ufeff1\n', [1]],
    ['in UTF-16', Buffer.from('\ufeff1\r\n2\r\n', 'utf16le'), [1, 2]],
    ['decimals and exponents', '1.5\n-.25\n+3.\n1e-7\n-2.5E+3\n0\n', [1.5, -0.25, 3, 1e-7, -2500, 0]],
    ['infinities of Python and C', '-inf\ninf\n+Infinity\n', [-1 / 0, 1 / 0, 1 / 0]],
  ] as const) {
    test(what, async () => assert.deepEqual(await read(content), expected));
  }

  for (const [what, content, message] of [
    ['a word', '1\nhalf\n', /line 2: "half" is not a number/],
    ['NaN', '# head\n1\nnan\n', /line 3: the score is NaN/],
    ['an empty line', '1\n\n2\n', /line 2: the line is empty/],
    ['a hexadecimal number', '0x10\n', /line 1: "0x10" is not a number/],
    ['two numbers', '1 2\n', /line 1: "1 2" is not a number/],
    ['CSV', 'a,1\n', /line 1: several values: name one with `column` \(--column\)/],
    ['nothing', '', /holds no scores/],
    ['comments alone', '#\n#\n', /holds no scores/],
    ['no UTF-8', Buffer.from([0x31, 0xe9, 0x0a]), /is not UTF-8/],
  ] as const) {
    test(`${what}: refused, naming file and line`, async () => {
      await assert.rejects(read(content), (error: Error & { code: string }) => {
        assert.equal(error.code, 'ERR_CLIPN_SCORES');
        assert.match(error.message, /^\S+scores-\d+\.txt\b/);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('a missing file is an I/O error', async () => {
    await assert.rejects(readScoreFile(path.join(folder, 'none')), { code: 'ERR_CLIPN_IO' });
  });
});

describe('a CSV column', () => {
  const csv = 'image,score\n"a, b.jpg",0.5\n"say ""hi""",-1\n';
  for (const [what, content, column, header, expected] of [
    ['by name', csv, 'score', true, [0.5, -1]],
    ['by number', csv, '2', true, [0.5, -1]],
    ['by number, without a header', 'a,1\nb,2\n', '2', false, [1, 2]],
    ['alone in its file', 'score\n1\n2\n', 'score', true, [1, 2]],
  ] as const) {
    test(what, async () => assert.deepEqual(await read(content, column, header), expected));
  }

  for (const [what, content, column, header, message] of [
    ['an unknown name', csv, 'scores', true, /line 1: no column "scores" among image, score/],
    ['a name given to two columns', 'a,a\n1,2\n', 'a', true, /line 1: several columns are named "a"/],
    ['a number beyond the last column', csv, '3', true, /line 1: there is no column 3, only 2/],
    ['a score where the header should be', 'a,1\nb,2\n', '2', true, /line 1: 1 stands where a header .*--no-header/],
    ['a header where there should be none', csv, '2', false, /line 1: "score" is not a number/],
    ['a name without a header', 'a,1\n', 'a', false, /line 1: without a header .* "a"/],
    ['a word below the header', 'a,b\n1,2\n3,x\n', 'b', true, /line 3: "x" is not a number/],
    ['an empty cell', 'a,b\n1,2\n3,\n', 'b', true, /line 3: "" is not a number/],
    ['NaN', 'a,b\n1,NaN\n', '2', true, /line 2: the score is NaN/],
    ['a row with more cells', 'a,b\n1,2\n3,4,5\n', 'b', true, /line 3: .*expect 2, got 3/],
    ['a quote that is not closed', 'a,b\n1,"2\n3,4\n', 'b', true, /line 3: .*quote/i],
    ['a header alone', 'a,b\n', 'b', true, /holds no scores/],
  ] as const) {
    test(`${what}: refused, naming the line`, async () => {
      await assert.rejects(read(content, column, header), { code: 'ERR_CLIPN_SCORES', message });
    });
  }
});

describe('metrics', { concurrency: 2 }, () => {
  const { signal } = new AbortController();
  const { exact_plateau: plateau, ties_across_groups: ties } = JSON.parse(
    readFileSync(goldenFile('worked-example.json'), 'utf8'),
  ).metrics;
  const lines = (scores: number[]) => file(scores.join('\n'));
  const metrics = (...args: string[]) => runCli(['metrics', ...args], folder);

  test('prints the metrics of each set and their average, in file order', async () => {
    const sets = ['--ood', `far=${lines(plateau.ood_scores)}`, '--ood', `near=${lines(ties.ood_scores)}`];
    const { code, out } = await metrics('--id', lines(plateau.id_scores), ...sets, '--json');
    assert.equal(code, 0);
    const found = JSON.parse(out);
    assert.deepEqual(Object.keys(found.sets), ['far', 'near']);
    const names = ['auroc', 'auprIn', 'auprOut', 'fprAtIdTpr95', 'fprAtOodTpr95'];
    assert.deepEqual(Object.keys(found.sets.far), [...names, 'intervals', 'scores']);
    assert.deepEqual(Object.keys(found.average), names);
    assert.ok(Math.abs(found.sets.far.auroc - plateau.auroc) < 1e-12);
    assert.equal(found.sets.far.fprAtIdTpr95, plateau.fpr95_official_interp);
    assert.equal(found.average.auroc, (found.sets.far.auroc + found.sets.near.auroc) / 2);
    assert.deepEqual([found.id.scores, found.sets.near.scores, found.rule], [20, 4, 'interpolated']);
  });

  test('prints a table for people that tells the two rates apart; --rule reads another convention', async () => {
    const scores = ['--id', lines(ties.id_scores), '--ood', `a=${lines(ties.ood_scores)}`];
    const { out } = await metrics(...scores, '--rule', 'reached');
    assert.match(
      out,
      /^OOD set .*FPR at ID TPR 95 .*FPR at OOD TPR 95\na +75\.00 .* 75\.00 .* 100\.00\naverage +75\.00/,
    );
  });

  test('reads ID and OOD images from one CSV, each label but that of ID a set', async () => {
    const rows = [
      ...plateau.id_scores.map((score: number) => `mine,${score}`),
      ...plateau.ood_scores.map((score: number) => `far,${score}`),
      ...ties.ood_scores.map((score: number) => `near,${score}`),
    ];
    const table = file(`set,msp\n${rows.join('\n')}\n`);
    const columns = ['--column', 'msp', '--label-column', 'set'];
    const { out } = await metrics('--table', table, ...columns, '--id-label', 'mine', '--json');
    const found = JSON.parse(out);
    assert.deepEqual(Object.keys(found.sets), ['far', 'near']);
    assert.ok(Math.abs(found.sets.far.auroc - plateau.auroc) < 1e-12);
    const refused = await metrics('--table', table, ...columns, '--id-label', 'id');
    assert.equal(refused.code, 1);
    assert.match(refused.err, /has only mine, far, near in set/);
  });

  test('reads another column of the ID file', async () => {
    const csv = (name: string, scores: number[]) => file(`${name}\n${scores.join('\n')}\n`);
    const args = ['--id', csv('conf', plateau.id_scores), '--id-column', 'conf'];
    const { out } = await metrics(...args, '--ood', `far=${csv('s', plateau.ood_scores)}`, '--column', 's', '--json');
    assert.ok(Math.abs(JSON.parse(out).sets.far.auroc - plateau.auroc) < 1e-12);
  });

  test('says that the sign may be wrong where ID images score lower by more than chance, and turns it', async () => {
    const lower = (scores: number[]) => lines(scores.map((score) => -score));
    const args = ['--id', lower(plateau.id_scores), '--ood', `far=${lower(plateau.ood_scores)}`];
    const wrong = await metrics(...args);
    assert.match(wrong.err, /on far the AUROC is .* below one half by more than chance.*--lower-is-id/);
    const turned = await metrics(...args, '--lower-is-id', '--json');
    assert.equal(turned.err, '');
    assert.ok(Math.abs(JSON.parse(turned.out).sets.far.auroc - plateau.auroc) < 1e-12);
  });

  for (const [what, args, message] of [
    ['no ID file', ['--ood', 'a=b'], /--id is missing/],
    ['no OOD file', ['--id', 'a'], /--ood is missing/],
    ['a set without a name', ['--id', 'a', '--ood', 'file.txt'], /file\.txt is not NAME=FILE/],
    ['a table beside an ID file', ['--table', 'a', '--id', 'b'], /--table and --id exclude each other/],
    ['a table without the label of ID', ['--table', 'a'], /--id-label is missing/],
    ['a label without a table', ['--id', 'a', '--ood', 'a=b', '--id-label', '1'], /--id-label goes with --table/],
    ['a name given twice', ['--id', 'a', '--ood', 'a=b', '--ood', 'a=c'], /two OOD sets are named a/],
  ] as const) {
    test(`${what}: wrong usage`, async () => {
      await assert.rejects(
        async () => metricsCommand.run(readArgs(metricsCommand, args), signal),
        (error) => {
          return error instanceof UsageError && message.test(error.message);
        },
      );
    });
  }

  test('a broken line: exit code 1, file and line on stderr, nothing on stdout', async () => {
    const bad = file('1\nNaN\n');
    const { code, out, err } = await metrics('--id', bad, '--ood', `a=${bad}`, '--json');
    assert.deepEqual([code, out], [1, '']);
    assert.ok(err.startsWith(`ERR_CLIPN_SCORES: ${bad}, line 2: the score is NaN`), err);
  });
});
