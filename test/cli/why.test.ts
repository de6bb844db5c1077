import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createReadStream, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { mapName } from '../../lib/cli/why-maps';
import { apiModel } from '../support/api-model';
import { cliProgram } from '../support/built';
import { photos, repository } from '../support/paths';
import { keepLibtorch, runCli } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-why-cli-'));
const at = (...names: string[]) => path.join(folder, ...names);
const [cat, rocket] = ['cat.jpg', 'rocket.jpg'].map((name) => path.join(photos, name)) as [string, string];
let flags: string[];
const check = (...args: string[]) => runCli(['check', ...args, ...flags], at('cache'));

before(async () => {
  keepLibtorch();
  flags = ['--labels', 'cat,dog,bus', '--templates', 'plain', '--model', await apiModel(), '--device', 'cpu'];
});
after(() => rmSync(folder, { recursive: true }));

describe('check --why', { concurrency: 2 }, () => {
  test('prints a sentence below each row of the table', async () => {
    const { code, out } = await check(cat, rocket, '--why');
    const lines = out.trimEnd().split('\n');
    assert.equal(code, 0);
    assert.equal(lines.length, 5);
    assert.match(lines[1]!, /^cat\.jpg /);
    assert.match(lines[3]!, /^rocket\.jpg /);
    for (const line of [lines[2]!, lines[4]!]) assert.match(line, /^ {2}Looks most like “(cat|dog|bus)” \(p_yes .*\.$/);
  });

  test('with --json gives all of it, and without it nothing more than before', async () => {
    const [why, plain] = await Promise.all([check(cat, '--json', '--why'), check(cat, '--json')]);
    const { why: reasons, ...rest } = JSON.parse(why.out);
    assert.deepEqual(rest, JSON.parse(plain.out));
    assert.deepEqual(Object.keys(reasons), ['sentence', 'labels', 'otherLabels', 'map']);
    assert.equal(reasons.map.values.length, 9);
  });
});

describe('check --why-maps', { concurrency: 2 }, () => {
  test('writes a PNG for each image that could be read', async () => {
    const { code, out } = await check(cat, at('missing.jpg'), rocket, '--why-maps', at('maps', 'new'));
    assert.equal(code, 1);
    assert.match(out, /Looks most like/);
    assert.deepEqual(readdirSync(at('maps', 'new')).sort(), ['0001-cat.jpg.png', '0003-rocket.jpg.png']);
    const { format, width, height } = await sharp(at('maps', 'new', '0001-cat.jpg.png')).metadata();
    const own = await sharp(cat).metadata();
    assert.deepEqual([format, width, height], ['png', own.width, own.height]);
  });

  test('draws the image of standard input, too', async () => {
    const args = [cliProgram(), 'check', '-', ...flags, '--why-maps', at('from-stdin')];
    const env = { ...process.env, CLIPN_CACHE_DIR: at('cache'), NO_COLOR: '1' };
    const child = spawn(process.execPath, args, { cwd: repository, env, stdio: ['pipe', 'ignore', 'inherit'] });
    createReadStream(cat).pipe(child.stdin!);
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
    assert.ok(readFileSync(at('from-stdin', '0001--.png')).length > 1000);
  });

  test('of a model without maps says why there are none', async () => {
    const clip = ['--labels', 'cat,dog', '--templates', 'plain', '--model', await apiModel('clip'), '--score', 'msp'];
    const args = ['check', cat, ...clip, '--threshold', '0.5', '--why-maps', at('none')];
    const { code, err, out } = await runCli(args, at('cache'));
    assert.equal(code, 0);
    assert.match(err, /no maps: a plain CLIP/);
    assert.match(out, /\n {2}Looks most like “(cat|dog)” \(p /);
  });
});

describe('the name of a map', () => {
  test('differs for images of one name', () => {
    assert.notEqual(mapName(0, 'a/photo.jpg'), mapName(1, 'b/photo.jpg'));
  });

  test('stays in its folder and is no hidden file, whatever the image is called', () => {
    for (const image of [
      '../../etc/passwd',
      '..',
      '.',
      '-',
      'a\\..\\b',
      'nul\u0000.png',
      '/',
      'ä ö/ü:*?.jpg',
      'x'.repeat(300),
    ]) {
      const name = mapName(4, image);
      assert.match(name, /^0005-[\p{L}\p{N}._-]*\.png$/u);
      assert.equal(path.resolve(folder, name), path.join(folder, name));
      assert.ok(Buffer.byteLength(name) < 255);
    }
  });
});
