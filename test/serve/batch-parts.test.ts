/** Parts of batches by themselves: lists, the address of Redis, the image that kills workers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import type { Detector } from 'clipn-native';
import { ahead } from '../../serve/src/batch/ahead';
import { type Entry, type ListOptions, readLists } from '../../serve/src/batch/list';
import { connectionOf, parseRedis, redisName } from '../../serve/src/batch/queue';
import { Unavailable, withBackOff } from '../../serve/src/batch/retry';
import { S3, TooLarge } from '../../serve/src/batch/s3';
import { judgeShard } from '../../serve/src/batch/shard';
import { openStorage } from '../../serve/src/batch/storage';
import { suspicion } from '../../serve/src/batch/suspects';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-parts-'));
const at = (...names: string[]) => path.join(folder, ...names);
after(() => rmSync(folder, { recursive: true }));

async function listed(lists: string[], options: ListOptions = {}): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of readLists(lists, options)) entries.push(entry);
  return entries;
}

describe('a list', () => {
  test('of lines: comments and blank lines are none, paths are relative to it', async () => {
    writeFileSync(
      at('list.txt'),
      '# photos\r\na.jpg\r\n\r\n  sub/b c.png \n/abs/d.jpg\ns3://bucket/key with blank.jpg\n',
    );
    assert.deepEqual(await listed([at('list.txt')]), [
      { image: at('a.jpg') },
      { image: at('sub/b c.png') },
      { image: '/abs/d.jpg' },
      { image: 's3://bucket/key with blank.jpg' },
    ]);
  });

  test('as CSV: by its column, with quotes, and the set of each', async () => {
    writeFileSync(at('list.csv'), '\ufeffid,url,of\n1,"a, b.jpg",mine\n2,s3://b/k.png,sun\n');
    assert.deepEqual(await listed([at('list.csv')], { column: 'url', setColumn: 'of' }), [
      { image: at('a, b.jpg'), set: 'mine' },
      { image: 's3://b/k.png', set: 'sun' },
    ]);
  });

  test('that is a folder: its images and those below, in the order of their names', async () => {
    mkdirSync(at('photos/deep'), { recursive: true });
    for (const name of ['b.JPG', 'a.png', 'note.txt', '.hidden.png', 'deep/c.webp', 'deep/d.jfif', 'deep/more.txt'])
      writeFileSync(at('photos', name), '');
    const names = ['a.png', 'b.JPG', 'deep/c.webp', 'deep/d.jfif'];
    const others: [list: string, count: number][] = [];
    assert.deepEqual(
      await listed([at('photos')], { onOther: (...left) => others.push(left) }),
      names.map((name) => ({ image: at('photos', name) })),
    );
    assert.deepEqual(others, [[at('photos'), 2]]);
  });

  for (const [what, content, name, message] of [
    ['an address of another kind', 'https://host/a.jpg\n', 'web.txt', /web\.txt: https:\/\/host\/a\.jpg: .* s3:\/\//],
    ['a CSV without the column', 'url\na.jpg\n', 'url.csv', /url\.csv has no column image, only url/],
    ['a CSV with an empty place', 'image\n""\n', 'empty.csv', /a row has nothing in the column image/],
    ['a CSV that is broken', 'image\n"a\n', 'broken.csv', /broken\.csv, line \d+: /],
  ] as const) {
    test(`that is ${what} is refused, with its name`, async () => {
      writeFileSync(at(name), content);
      await assert.rejects(listed([at(name)]), (error: Error & { code: string }) => {
        assert.equal(error.code, 'ERR_SERVE_BATCH_LIST');
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('that is not there is refused', async () => {
    await assert.rejects(listed([at('none.txt')]), { code: 'ERR_SERVE_BATCH_LIST' });
  });

  test('that the system opens and does not read is refused', async () => {
    for (const name of ['unreadable.txt', 'unreadable.csv']) {
      symlinkSync('/proc/self/mem', at(name));
      await assert.rejects(listed([at(name)]), { code: 'ERR_SERVE_BATCH_LIST', message: /cannot read the list .*EIO/ });
    }
  });
});

describe('the address of Redis', () => {
  test('is taken apart, and named without its password', () => {
    const redis = parseRedis('rediss://me:p%40ss@host:7000/3');
    const { retryStrategy: _, ...connection } = connectionOf(redis);
    const { host, port, username, password, db } = connection;
    assert.deepEqual(
      { host, port, username, password, db },
      { host: 'host', port: 7000, username: 'me', password: 'p@ss', db: 3 },
    );
    assert.deepEqual(connection.tls, {});
    assert.equal(redisName(redis), 'host:7000');
    assert.equal(parseRedis('redis://host').port, 6379);
    assert.deepEqual(parseRedis('/run/redis.sock'), { path: '/run/redis.sock' });
  });

  test('of another kind is refused, and not repeated', () => {
    for (const address of ['http://me:secret@host', 'host:6379 secret']) {
      assert.throws(
        () => parseRedis(address),
        (error: Error & { code: string }) => {
          assert.equal(error.code, 'ERR_SERVE_USAGE');
          assert.ok(!error.message.includes('secret'));
          return true;
        },
      );
    }
  });
});

test('what is unavailable is tried five times, and nothing else', async () => {
  let tries = 0;
  await assert.rejects(
    withBackOff(async () => {
      tries++;
      throw new Unavailable('busy');
    }),
    Unavailable,
  );
  assert.equal(tries, 5);
  await assert.rejects(
    withBackOff(async () => {
      tries++;
      throw new TypeError('wrong');
    }),
    TypeError,
  );
  assert.equal(tries, 6);
});

test('reading ahead keeps the order and begins no more than its window', async () => {
  let [running, most] = [0, 0];
  const start = async (ms: number) => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, ms));
    running--;
    return ms;
  };
  const taken: number[] = [];
  for await (const ms of ahead([9, 1, 5, 0, 3, 2], 3, start)) taken.push(ms);
  assert.deepEqual(taken, [9, 1, 5, 0, 3, 2]);
  assert.equal(most, 3);
});

test('no more of an object is taken than wanted, of a store that does not say its size', async () => {
  const server = createServer((_, response) => {
    response.write(Buffer.alloc(600));
    response.end(Buffer.alloc(600));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const keys = { AWS_ACCESS_KEY_ID: 'AKIATEST', AWS_SECRET_ACCESS_KEY: 'secret' };
    const store = S3.fromEnvironment({ ...keys, AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}` });
    const address = { bucket: 'photos', key: 'a.jpg' };
    assert.equal((await store.get(address, 1200))!.length, 1200);
    await assert.rejects(store.get(address, 1199), TooLarge);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('an image is not to blame for a shard that was handed back while it was judged', async () => {
  const storage = openStorage(at('left'));
  const entry = { image: at('good') };
  for (let i = 0; i < 4; i++) {
    const { careful, leave } = await suspicion(storage, 0);
    assert.equal(await careful(0, entry), undefined);
    await leave();
  }
});

test('the image at which workers die is found, and the others of its shard are judged', async () => {
  const storage = openStorage(at('suspects'));
  const entries = ['a', 'killer', 'c'].map((name) => ({ image: at(name) }));
  for (const { image } of entries) writeFileSync(image, image);
  /** Dies of one image; of an error here, of a signal in a worker: neither lets anything be written after. */
  const detector = {
    check: async ([image]: Uint8Array[]) => {
      if (String(image).endsWith('killer')) throw new Error('killed');
      return [{ label: 'cat', verdict: 'in', rule: 'atd', scores: {}, top: [] }];
    },
  } as unknown as Detector;
  const judge = async () => {
    const { careful } = await suspicion(storage, 0);
    return judgeShard(entries, { detector, giveUp: false, careful });
  };
  await assert.rejects(judge(), /killed/);
  await assert.rejects(judge(), /killed/);
  const rows = await judge();
  assert.deepEqual(
    rows.map(({ image, verdict, error }) => [path.basename(image), verdict, error]),
    [
      ['a', 'in', null],
      ['killer', null, 'ERR_SERVE_KILLED_WORKER'],
      ['c', 'in', null],
    ],
  );
});
