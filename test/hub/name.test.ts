import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileStem, parseHubName, shownName } from '../../lib/hub/name';

test('names on the hub are OWNER/NAME, with a revision after an @', () => {
  for (const [text, name, revision] of [
    ['openai/clip-vit-base-patch16', 'openai/clip-vit-base-patch16', 'main'],
    ['laion/CLIP-ViT-B-32-laion2B-s34B-b79K', 'laion/CLIP-ViT-B-32-laion2B-s34B-b79K', 'main'],
    ['timm/vit_base_patch16_clip_224.openai', 'timm/vit_base_patch16_clip_224.openai', 'main'],
    ['a/b@v1.0', 'a/b', 'v1.0'],
    ['a/b@refs/pr/1', 'a/b', 'refs/pr/1'],
  ] as const) {
    assert.deepEqual(parseHubName(text), { name, revision }, text);
    assert.equal(shownName({ name, revision }), text);
  }
});

test('what is a path, leads elsewhere or cannot be asked for is no name', () => {
  const none = `clip a/b/c /a/b a/ /b ./b ../b a/.. a/b..c a/b--c -a/b a/b@ a/b@../c a/b@/c a/b?c a/b#c a/b%2e a\\b a/b:c
    a/model.pt models/clip.safetensors data/x.bin a/b.git ~/b C:/b a/b@c?d`;
  for (const text of [...none.split(/\s+/), '', 'a /b', 'a/b\n', 'a/b\0', `${'a'.repeat(99)}/b`]) {
    assert.equal(parseHubName(text), null, JSON.stringify(text));
  }
});

test('no two names have the same file name, and none has a slash', () => {
  const stems = [fileStem('a/b', 'c/d'), fileStem('a/b', 'c%2Fd'), fileStem('a-b/c', 'd'), fileStem('a/b-c', 'd')];
  assert.equal(new Set(stems).size, stems.length);
  assert.deepEqual(
    stems.filter((stem) => stem.includes('/')),
    [],
  );
});
