/** The app of examples/electron in a real archive, packed by its own configuration: what is where, and that it loads from there. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import * as asar from '@electron/asar';
import { findLibtorch } from '../../lib/libtorch/find';
import { rootOf } from '../../lib/libtorch/inspect';
import { openArchive, type Packing, packApp } from '../support/asar';
import { installExample } from '../support/example';
import { photos } from '../support/paths';

/** Of the utility process: opens what main.js opens in a packed app, judges a photo, and tells what was loaded from where. */
const PROGRAM = `
  const path = require('node:path');
  const [resources, photo] = process.argv.slice(1);
  const resource = (name) => path.join(resources, name);
  const { createWorker } = require(resource('app.asar/worker.js'));
  const work = createWorker((event) => {
    if (event.type === 'error' || event.type === 'failed') throw new Error(event.message);
    if (event.type !== 'answer') return;
    const { sharedObjects } = process.report.getReport();
    console.log(JSON.stringify({ ...event, sharedObjects }));
  });
  (async () => {
    await work({ type: 'open', model: resource('model.pt'), libtorch: resource('libtorch') });
    await work({ type: 'labels', labels: ['ferry', 'car', 'piano'] });
    await work({ type: 'add', paths: [photo] });
  })();
`;

describe('the packed app of examples/electron', () => {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'clipn-asar-')));
  const resources = path.join(folder, 'resources');
  const example = installExample('electron');
  let packing: Packing;
  let packed: Awaited<ReturnType<typeof packApp>>;

  before(async () => {
    mkdirSync(resources);
    process.env['CLIPN_LIBTORCH'] = rootOf(findLibtorch({ supported: 'any' }).dir);
    packing = await require(path.join(example.folder, 'electron-builder.config.js'))();
    packed = await packApp(example.folder, packing, path.join(folder, 'staging'), resources);
  });
  after(() => {
    example.remove();
    rmSync(folder, { recursive: true });
  });

  test('has its own code in the archive, and no configuration or types', () => {
    const own = packed.packed.filter((entry) => !entry.startsWith('node_modules/'));
    const page = ['index.html', 'page.css', 'page.js'].map((name) => `page/${name}`);
    const scripts = ['main', 'preload', 'utility', 'worker'].map((name) => `${name}.js`);
    assert.deepEqual(own.sort(), [...scripts, 'package.json', ...page].sort());
  });

  test('has every native library outside the archive, and nothing else of this package', () => {
    const native = packed.packed.filter((entry) => {
      const head = asar.extractFile(packed.archive, entry).subarray(0, 4).toString('latin1');
      return head === '\x7fELF';
    });
    assert.deepEqual(native, []);
    const prebuilds = `node_modules/clipn-native/prebuilds/${process.platform}-${process.arch}`;
    const ofClipn = packed.unpacked.filter((entry) => entry.startsWith('node_modules/clipn-native/'));
    assert.ok(ofClipn.length >= 2 && ofClipn.every((entry) => path.dirname(entry) === prebuilds), `${ofClipn}`);
    const others = packed.unpacked.filter((entry) => !ofClipn.includes(entry));
    assert.ok(others.length > 0 && others.every((entry) => entry.startsWith('node_modules/@img/')), `${others}`);
  });

  test('finds them there, with libtorch and the model beside the archive', async () => {
    openArchive(packed.archive, packed.unpacked, ['@img']);
    const env = { PATH: process.env['PATH'], CLIPN_CACHE_DIR: path.join(folder, 'cache'), GOMP_SPINCOUNT: '1000' };
    const args = ['-e', PROGRAM, resources, path.join(photos, 'boats.jpg')];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, env });
    const { label, sharedObjects } = JSON.parse(stdout) as { label: string; sharedObjects: string[] };
    assert.equal(label, 'ferry');

    const loaded = (pattern: RegExp) => sharedObjects.filter((file) => pattern.test(path.basename(file)));
    const outside = path.join(resources, 'app.asar.unpacked/node_modules');
    const prebuilds = path.join(outside, 'clipn-native/prebuilds', `${process.platform}-${process.arch}`);
    assert.deepEqual(loaded(/clipn/).map(path.dirname), [prebuilds, prebuilds]);
    const ofSharp = loaded(/sharp|vips/);
    assert.ok(
      ofSharp.length >= 2 && ofSharp.every((file) => file.startsWith(path.join(outside, '@img'))),
      `${ofSharp}`,
    );
    const libtorch = loaded(/torch|c10/);
    assert.ok(libtorch.length >= 3, `${libtorch}`);
    assert.ok(
      libtorch.every((file) => file.startsWith(path.join(resources, 'libtorch'))),
      `${libtorch}`,
    );
  });
});
