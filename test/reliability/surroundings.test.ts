/** A computer that gives less than one expects: no cache folder that can be written, no home folder, few file handles. */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os, { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cacheDir, cacheDirIfAny } from '../../lib/base/cache-dir';
import { apiModel } from '../support/api-model';
import { builtLibrary, cliProgram } from '../support/built';
import { drawImages } from '../support/image-tree';
import { mounting, skipWithoutMounts } from '../support/mounts';
import { keepLibtorch } from '../support/run-cli';
import { closeServers } from '../support/wheel-server';
import { commandOf, type Ended, ended, placeAt, type WritingVerb, writingVerbs } from '../support/writing-verbs';

const root = mkdtempSync(path.join(tmpdir(), 'clipn-surroundings-'));
const at = (...names: string[]) => path.join(root, ...names);
let verbs: WritingVerb[];
let model: string;

before(async () => {
  keepLibtorch();
  verbs = await writingVerbs(at('inputs'));
  model = await apiModel();
});
after(() => {
  closeServers();
  rmSync(root, { recursive: true });
});

const NEED_CACHE = ['eval', 'fetch model', 'fetch libtorch'];
const KEEP_BANKS = ['labels', 'check', 'calibrate'];
const named = (name: string) => verbs.find((verb) => verb.name.startsWith(name))!;

/** That the verb did its work without a cache, or said by a code that it needs one and how to get it: eval takes --store. */
function assertCopes(name: string, { code, err }: Ended, reason: RegExp, remedyOfEval: RegExp): void {
  if (NEED_CACHE.includes(name)) {
    const remedy = name === 'eval' ? remedyOfEval : /with CLIPN_CACHE_DIR/;
    assert.equal(code, 1, err);
    assert.match(err, /^ERR_CLIPN_IO: /m);
    assert.match(err, reason);
    assert.match(err, remedy);
  } else {
    assert.equal(code, 0, err);
    if (KEEP_BANKS.includes(name)) assert.match(err, /^warning: the label bank was not cached/m);
  }
}

describe('a cache folder that may not be written', { concurrency: 2, skip: skipWithoutMounts }, () => {
  for (const name of ['labels', 'check', 'calibrate', 'eval', 'fetch model', 'fetch libtorch']) {
    test(`${name} ${NEED_CACHE.includes(name) ? 'says so and what to do' : 'works, with a note'}`, async () => {
      const place = placeAt(at('read-only', name));
      mkdirSync(place.cache);
      const { args, env } = commandOf(named(name), place);
      const script = `mount --bind "${place.cache}" "${place.cache}" || exit 99
        mount -o remount,ro,bind "${place.cache}" || exit 99
        "$0" "$@"`;
      const command = mounting(script, [process.execPath, ...args]);
      const run = await ended(command.program, command.args, env);
      assertCopes(name, run, /EROFS/, /read-only: name another/);
      assert.deepEqual(readdirSync(place.cache), []);
    });
  }
});

describe('a cache folder that is a file', { concurrency: 2 }, () => {
  for (const name of ['check', 'eval', 'fetch libtorch']) {
    test(`${name} ${NEED_CACHE.includes(name) ? 'says so and what to do' : 'works, with a note'}`, async () => {
      const place = placeAt(at('file', name));
      writeFileSync(place.cache, 'mine');
      const { args, env } = commandOf(named(name), place);
      assertCopes(name, await ended(process.execPath, args, env), /ENOTDIR|EEXIST/, /Check that the path exists/);
    });
  }
});

describe('a user without a home folder', { concurrency: 2 }, () => {
  for (const name of ['labels', 'check', 'eval', 'fetch libtorch']) {
    test(`${name} ${NEED_CACHE.includes(name) ? 'says so and what to do' : 'works, with a note'}`, async () => {
      const place = placeAt(at('homeless', name));
      const { args, env } = commandOf(named(name), place);
      const { CLIPN_CACHE_DIR: _, XDG_CACHE_HOME: __, ...others } = env as NodeJS.ProcessEnv;
      // As where HOME is unset and the user is in no list of users: the system names no folder.
      const run = await ended('bash', ['-c', 'cd "$0" && exec "$@"', place.folder, process.execPath, ...args], {
        ...others,
        HOME: '',
      });
      assertCopes(name, run, /no home folder/, /CLIPN_CACHE_DIR/);
      assert.deepEqual(readdirSync(place.folder), ['out'], 'something was written into the current folder');
    });
  }

  test('has no cache folder unless one is named, whichever way the system says so', (t) => {
    for (const home of [() => '', () => 'relative', () => assert.fail('uv_os_homedir returned ENOENT')]) {
      const mock = t.mock.method(os, 'homedir', home);
      assert.equal(cacheDirIfAny({}), null);
      assert.throws(() => cacheDir({}), { code: 'ERR_CLIPN_IO', hint: /CLIPN_CACHE_DIR/ });
      assert.equal(cacheDir({ CLIPN_CACHE_DIR: '/a' }), '/a');
      assert.equal(cacheDir({ XDG_CACHE_HOME: '/x' }), '/x/clipn-native');
      mock.mock.restore();
    }
  });
});

describe('few file handles', { concurrency: 2 }, () => {
  /** Under `ulimit -n`. */
  const limited = (handles: number, args: readonly string[]) =>
    ended('bash', ['-c', `ulimit -n ${handles}; exec "$0" "$@"`, process.execPath, ...args], {
      ...process.env,
      CLIPN_CACHE_DIR: at('few'),
      NO_COLOR: '1',
    });

  test('40 are enough to evaluate a folder of 5,000 images: none is left out', async () => {
    await drawImages(at('drawn'), [''], 10, 1);
    const drawn = readdirSync(at('drawn'));
    for (const [folder, count] of [
      ['many', 5000],
      ['some', 50],
    ] as const) {
      mkdirSync(at(folder));
      for (let i = 0; i < count; i++) linkSync(at('drawn', drawn[i % drawn.length]!), at(folder, `${i}.png`));
    }
    const sets = ['--id', at('many'), '--ood', `some=${at('some')}`, '--labels', 'cat,dog'];
    const words = ['eval', ...sets, '--model', model, '--templates', 'plain', '--json'];
    const { code, out, err } = await limited(40, [cliProgram(), ...words]);
    assert.equal(code, 0, err);
    const { id, ood } = JSON.parse(out);
    assert.deepEqual([id.images, id.unreadable, ood.some.images], [5000, [], 50]);
  });

  test('when none is left an image is not called damaged, and is answered when there are some again', async () => {
    await drawImages(at('one'), [''], 3, 7);
    writeFileSync(at('one', 'note.txt'), 'no image');
    const script = `
      const fs = require('node:fs');
      const { loadModel, evaluate, calibrate } = require(${JSON.stringify(builtLibrary())});
      const folder = ${JSON.stringify(at('one'))};
      const images = ['000.png', '001.png', '002.png'].map((name) => folder + '/' + name);
      const codes = (results) => results.map(({ verdict, error }) => error ? error.code : typeof verdict);
      const failure = (promise) => promise.then(() => 'worked', ({ code, hint }) => code + ' ' + /ulimit/.test(hint));
      (async () => {
        const model = await loadModel(${JSON.stringify(model)});
        const detector = await model.createDetector(['cat', 'dog'], { labelBank: { templates: 'plain' } });
        await detector.check(images[0]);
        const held = [];
        try { for (;;) held.push(fs.openSync('/dev/null')); } catch {}
        const none = codes(await detector.check(images));
        const calibrated = await failure(calibrate(model, detector.bank, Array(40).fill(images[0])));
        const evaluated = await failure(evaluate({ model, id: folder, ood: { x: folder }, labels: ['cat', 'dog'] }));
        const loaded = await failure(loadModel(${JSON.stringify(model)}));
        for (const file of held) fs.closeSync(file);
        console.log(JSON.stringify({ none, calibrated, evaluated, loaded, again: codes(await detector.check(images)) }));
        await model.close();
      })();
    `;
    const { code, out, err } = await limited(60, ['-e', script]);
    assert.equal(code, 0, err);
    const io = 'ERR_CLIPN_IO true';
    assert.deepEqual(JSON.parse(out), {
      none: Array(3).fill('ERR_CLIPN_IO'),
      calibrated: io,
      evaluated: io,
      loaded: io,
      again: Array(3).fill('string'),
    });
  });
});
