/** A disk that fills under every verb that writes. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { mounting, skipWithoutMounts } from '../support/mounts';
import { keepLibtorch } from '../support/run-cli';
import { closeServers } from '../support/wheel-server';
import {
  assertWhole,
  commandOf,
  ended,
  filesOf,
  type Place,
  placeAt,
  resultsOf,
  runVerb,
  type WritingVerb,
  writingVerbs,
} from '../support/writing-verbs';

const NAMES = ['export', 'labels', 'check', 'calibrate', 'negatives', 'eval', 'teach', 'fetch model', 'fetch libtorch'];

const root = mkdtempSync(path.join(tmpdir(), 'clipn-full-disk-'));
const at = (...names: string[]) => path.join(root, ...names);
let verbs: WritingVerb[];

before(async () => {
  keepLibtorch();
  verbs = await writingVerbs(at('inputs'));
});
after(() => {
  closeServers();
  rmSync(root, { recursive: true });
});

/** Of the room that is needed, how much there is. None where half is enough for all but a cache. */
const share = (name: string) => (['check', 'negatives'].includes(name) ? 0 : 0.5);
const DISK = 64 << 20;

/**
 * Runs a verb on a disk with `room` bytes left, then again with all of it, and copies what was there after each.
 */
async function onFullDisk(verb: WritingVerb, index: number, room: number) {
  const disk = placeAt(at('disk', String(index)));
  const copies = ['full', 'free'].map((name): Place => {
    const folder = at(name, String(index));
    mkdirSync(folder, { recursive: true });
    return { ...placeAt(folder), writtenAs: disk.folder };
  }) as [Place, Place];
  const script = `
    mount -t tmpfs -o size=${DISK} none "${disk.folder}" || exit 99
    mkdir "${disk.out}"
    head -c ${DISK - room} /dev/zero > "${disk.folder}/.ballast"
    "$0" "$@"
    first=$?
    rm "${disk.folder}/.ballast"
    cp -a "${disk.folder}/." "${copies[0].folder}"
    echo "--- $first" >&2
    "$0" "$@" || exit 98
    cp -a "${disk.folder}/." "${copies[1].folder}"`;
  const { args, env } = commandOf(verb, disk);
  const command = mounting(script, [process.execPath, ...args]);
  const { code, err } = await ended(command.program, command.args, env);
  assert.equal(code, 0, err);
  const [first = '', , status] = err.split(/^(--- )(\d+)$/m);
  return { said: first, status: Number(status), full: copies[0], free: copies[1] };
}

describe('on a full disk', { concurrency: 2, skip: skipWithoutMounts }, () => {
  for (const [index, name] of NAMES.entries()) {
    const works = name === 'check';
    const does = works ? 'works, with a note' : 'ends with a code and what to do, leaves nothing half-written';
    test(`${name} ${does}, and the same command works when there is room`, async () => {
      const verb = verbs[index]!;
      assert.ok(verb.name.startsWith(name));
      const place = placeAt(at('undisturbed', String(index)));
      const undisturbed = await runVerb(verb, place);
      assert.equal(undisturbed.code, 0, undisturbed.err);
      const whole = resultsOf(place);
      // A file takes whole pages.
      const pages = filesOf(place).final.map((file) => Math.ceil(statSync(path.join(place.folder, file)).size / 4096));
      const room = 4096 * Math.floor(share(name) * pages.reduce((sum, count) => sum + count, 0));

      const { said, status, full, free } = await onFullDisk(verb, index, room);
      if (works) {
        assert.equal(status, 0, said);
        assert.match(said, /^warning: the label bank was not cached: .*ENOSPC/m);
      } else {
        assert.equal(status, 1, said);
        assert.match(said, /^ERR_CLIPN_IO: .*\n {2}Make room/m);
        assert.doesNotMatch(said, /\.tmp/);
      }
      await assertWhole(full, whole);
      // What has come of a download stays, for the next call to go on with.
      const left = filesOf(full).temporary.filter((file) => !/\/\.(download|part)\//.test(file));
      assert.deepEqual(left, []);
      assert.deepEqual(resultsOf(free), whole);
    });
  }
});
