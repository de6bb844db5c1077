/** Training data that other programs wrote (test/reference/make_teach_data_golden.py) is read as it was meant. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { inflateSync } from 'node:zlib';
import { openDataset } from '../../../lib/teach/data/open';
import { goldenFile } from '../../support/paths';

interface Golden {
  images: Record<string, string>;
  cases: {
    name: string;
    data: string;
    /** Path to base64 of what zlib made of the content. */
    files: Record<string, string>;
    options: Record<string, string>;
    /** An image's name or path and its captions, or why a sample is left out. */
    samples: (string | string[])[];
  }[];
}

const { images, cases } = JSON.parse(readFileSync(goldenFile('teach-data.json'), 'utf8')) as Golden;
const root = mkdtempSync(path.join(tmpdir(), 'clipn-teach-golden-'));
after(() => rmSync(root, { recursive: true }));

const nameOf = new Map(Object.entries(images).map(([name, base64]) => [base64, name]));

for (const [number, { name, data, files, options, samples }] of cases.entries()) {
  test(name, async () => {
    const folder = path.join(root, String(number));
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
      writeFileSync(path.join(folder, file), inflateSync(Buffer.from(content, 'base64')));
    }
    const { names } = options;
    const dataset = await openDataset(path.join(folder, data), {
      templates: 'plain',
      ...options,
      ...(names && { names: path.join(folder, names) }),
    });
    const found: typeof samples = [];
    for (const part of dataset.parts) {
      for await (const sample of part.read()) {
        if ('broken' in sample) found.push(sample.broken);
        else {
          const { image, captions } = sample;
          const bytes = typeof image === 'string' ? undefined : Buffer.from(image).toString('base64');
          const which = bytes === undefined ? path.relative(folder, image as string) : (nameOf.get(bytes) ?? 'another');
          const classes = sample.class === undefined ? [] : [`class ${dataset.classes![sample.class]!.name}`];
          found.push([which, ...captions, ...classes]);
        }
      }
    }
    assert.deepEqual(found, samples);
  });
}
