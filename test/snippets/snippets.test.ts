/** Every snippet of the documents: programs and commands are run as they stand, and give what the text says. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, fork } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  type Calibration,
  calibrate,
  type Detector,
  fetchLibtorch,
  type LabelBank,
  loadModel,
  type Model,
  readCalibration,
} from 'clipn-native';
import { parse } from 'yaml';
import { fetchedVersion, resolveLibtorch } from '../../lib/libtorch/find';
import { thisMachine } from '../../lib/libtorch/machine';
import { API_NETWORK } from '../support/api-model';
import { builtLibrary } from '../support/built';
import { writeCheckpoint } from '../support/checkpoint-writer';
import { wheelTree, writeTree } from '../support/fake-libtorch';
import { hubClip } from '../support/hub-clip';
import { serveHub } from '../support/hub-server';
import { photos, repository } from '../support/paths';
import { closeServers } from '../support/wheel-server';
import { DOCUMENTS, isAssignment, isOurs, LINES, SNIPPETS, type Snippet } from './collect';
import { NO_CODE, NOT_RUN, OUTCOMES, PLACES, PRINTED, READ_ONLY, SHOWN } from './commands';
import { type Folder, makeCrops, makeFolder, plainClip, SMALL, writeWordNet } from './folders';
import type { Given } from './given';
import { PROGRAMS, type Program } from './programs';
import type { Call, Called } from './run-lines';

const root = mkdtempSync(path.join(tmpdir(), 'clipn-snippets-'));
const at = (...parts: string[]) => path.join(root, ...parts);
const programs = SNIPPETS.filter(({ language }) => language === 'js' || language === 'ts');
/** Beside the package's own sources, so that 'clipn-native' is this package. */
const written = path.join(repository, 'build/snippets');

const NAMES = readFileSync(path.join(photos, 'labels.txt'), 'utf8').trim().split('\n');
const crops = (first: number, last: number) =>
  Array.from({ length: last - first }, (_, i) => at('crops', `${first + i}.jpg`));

before(async () => {
  builtLibrary();
  mkdirSync(at('resources'));
  const { dir } = resolveLibtorch();
  symlinkSync(path.basename(dir) === 'lib' ? path.dirname(dir) : dir, at('resources/libtorch'));
  process.resourcesPath = at('resources');
  writeWordNet(at('wordnet'));
  const repositoryOfHub = await hubClip();
  const hub = await serveHub({
    'laion/CLIP-ViT-B-16-laion2B-s34B-b88K': repositoryOfHub,
    'openai/clip-vit-base-patch16': repositoryOfHub,
  });
  Object.assign(process.env, {
    CLIPN_CACHE_DIR: at('cache'),
    CLIPN_LIBTORCH: at('resources/libtorch'),
    CLIPN_WORDNET: at('wordnet'),
    HF_ENDPOINT: hub.endpoint,
    HF_HOME: at('no-token'),
    NO_COLOR: '1',
    // Programs and commands run side by side.
    OMP_NUM_THREADS: '1',
  });
  // `fetch` finds this one and downloads none; what is run has the real one of CLIPN_LIBTORCH.
  writeTree(at('libtorch'), wheelTree(`${fetchedVersion(thisMachine())}+cpu`));
  await fetchLibtorch({ from: at('libtorch/torch') });
  await Promise.all([makeCrops(at('crops')), writeCheckpoint(at('checkpoint.pt'), API_NETWORK)]);
  await startCommands();
});
after(() => {
  process.chdir(repository);
  closeServers();
  rmSync(root, { recursive: true });
});

async function folderAt(folder: string, files: Folder | (() => Promise<Folder>)): Promise<void> {
  const content = typeof files === 'function' ? await files() : files;
  makeFolder(folder, content, at('crops'));
}

describe('every snippet is known', () => {
  test('to run, to be read, or why not', () => {
    const unknown = SNIPPETS.filter(
      ({ name, language }) =>
        language !== 'sh' && ![PROGRAMS, PRINTED, NO_CODE].some((table) => Object.hasOwn(table, name)),
    ).map(({ name }) => name);
    const commands = LINES.filter(({ text, snippet }) => {
      if (Object.hasOwn(NOT_RUN, text) || Object.hasOwn(READ_ONLY, text)) return false;
      return !((isOurs(text) || isAssignment(text)) && Object.hasOwn(PLACES, snippet.file));
    }).map(({ text, snippet }) => `${snippet.name}: ${text}`);
    assert.deepEqual([...unknown, ...commands], []);
  });

  test('and what is known is in a document', (t) => {
    const names = new Set(SNIPPETS.map(({ name }) => name));
    const lines = new Set(LINES.map(({ text }) => text));
    const stale = [
      ...[PROGRAMS, PRINTED, NO_CODE].flatMap(Object.keys).filter((name) => !names.has(name)),
      ...[OUTCOMES, READ_ONLY, NOT_RUN].flatMap(Object.keys).filter((line) => !lines.has(line)),
      ...Object.keys(PLACES).filter((file) => !DOCUMENTS.includes(file)),
    ];
    assert.deepEqual(stale, []);
    for (const [line, why] of Object.entries({ ...READ_ONLY, ...NOT_RUN })) t.diagnostic(`not run: ${line}: ${why}`);
  });
});

// Programs

/** Where the function lies that a snippet becomes. */
const programFile = (name: string) => path.join(written, `${name.replaceAll(/\W+/g, '-')}.ts`);

/** A function that takes what the snippet takes for granted, and gives back its variables that are asked for. */
function programOf({ text }: Snippet, { given = [], gives = [] }: Program): string {
  const imported = [...text.matchAll(/^import .*\n/gm)].map(([line]) => line);
  const body = text.replace(/^import .*\n/gm, '');
  const own = Object.keys(require('clipn-native')).filter(
    (name) => new RegExp(`\\b${name}\\(`).test(body) && !imported.some((line) => line.includes(` ${name}`)),
  );
  const parameters = given.map((name) => name.replace(' as ', ': '));
  return [
    ...imported,
    own.length > 0 ? `import { ${own.join(', ')} } from 'clipn-native';\n` : '',
    "import type { Given } from '../../test/snippets/given';\n",
    `export async function run({ ${parameters.join(', ')} }: Given) {\n${body}\nreturn { ${gives.join(', ')} };\n}\n`,
  ].join('');
}

describe('programs', () => {
  let [small, plain]: Model[] = [];
  let bank: LabelBank;
  let calibration: Calibration;
  let detector: Detector;

  before(async () => {
    rmSync(written, { recursive: true, force: true });
    mkdirSync(written, { recursive: true });
    const compilerOptions = {
      ...{ noEmit: true, declaration: false, rootDir: '../..' },
      // The snippets are JavaScript: it declares no types, and knows what is there.
      ...{
        noImplicitAny: false,
        strictNullChecks: false,
        useUnknownInCatchVariables: false,
        noUncheckedIndexedAccess: false,
      },
    };
    const config = {
      extends: '../../tsconfig.json',
      compilerOptions,
      include: ['*.ts', '../../test/snippets/given.ts'],
    };
    writeFileSync(path.join(written, 'tsconfig.json'), JSON.stringify(config));
    for (const snippet of programs) {
      writeFileSync(programFile(snippet.name), programOf(snippet, PROGRAMS[snippet.name] ?? {}));
    }
    [small, plain] = await Promise.all([loadModel(SMALL.link), loadModel((await plainClip()).link)]);
    bank = await small.createLabelBank(NAMES);
    ({ calibration } = await calibrate(small, bank, crops(0, 40)));
    detector = await small.createDetector(bank, { calibration });
  });
  after(async () => {
    await small?.close();
    await plain?.close();
  });

  async function givenFor({ plain: wantsPlain = false, classes }: Program): Promise<Given> {
    const photo = path.join(photos, 'boats.jpg');
    const buffer = readFileSync(photo);
    return {
      model: (wantsPlain ? plain : small)!,
      bank: classes === undefined ? bank : await small!.createLabelBank(classes),
      ...{ detector, calibration, labels: NAMES, negatives: ['harbour', 'boat', 'lamp'] },
      ...{ images: crops(0, 30), otherImages: crops(30, 60), path: photo, modelPath: SMALL.link, buffer },
      url: `data:image/jpeg;base64,${buffer.toString('base64')}`,
      box: { x: 10, y: 10, width: 200, height: 200 },
      camera: (async function* () {
        yield buffer;
      })(),
      signal: new AbortController().signal,
      ...{ id: 'mine', ood: { other: 'other' } },
      ...{ idScores: [0.9, 0.8, 0.7], sun: [0.6, 0.75], places: [0.5] },
      ...{ nodePath: path, writeFile, module: { exports: {} } },
    };
  }

  test('have the types of the API', async () => {
    const tsc = path.join(repository, 'node_modules/typescript/bin/tsc');
    const found = await promisify(execFile)(process.execPath, [tsc, '-p', written, '--pretty', 'false']).catch(
      (error) => error,
    );
    assert.equal(found.stdout, '');
  });

  for (const { name } of programs) {
    test(name, async () => {
      const { files = {}, check, refused, ...program } = PROGRAMS[name]!;
      const folder = at('programs', name);
      await folderAt(folder, files);
      process.chdir(folder);
      const { run } = require(programFile(name)) as { run(given: Given): Promise<Record<string, unknown>> };
      const given = await givenFor(program);
      const said: string[] = [];
      const { log, warn, error } = console;
      console.log = console.warn = console.error = (...words) => said.push(words.join(' '));
      try {
        if (refused !== undefined) return await assert.rejects(run(given), { code: refused });
        const gave = await run(given);
        check?.({ given: gave, said });
        for (const each of [gave['model'], gave['detector']]) await (each as Model | undefined)?.close();
      } finally {
        Object.assign(console, { log, warn, error });
      }
    });
  }
});

// Commands

const keyOf = (snippet: Snippet, text: string) => `${snippet.name}: ${text}`;
const called = new Map<string, Called>();
let ended: Promise<void>;

/** What a shell makes of the commands of a document: the words of each of ours, and where its output goes. */
function wordsOf(file: string, cwd: string): Pick<Call, 'key' | 'argv' | 'to'>[] {
  const lines = LINES.filter(({ snippet, text }) => snippet.file === file && (isOurs(text) || isAssignment(text)));
  const target = at('words');
  writeFileSync(target, '');
  const script = [
    // Redirected, the function's own output is the file that the command's would be.
    'npx() { printf "%s\\0" "$(readlink /proc/$$/fd/1)" "$@" >> "$WORDS"; printf "\\n\\0" >> "$WORDS"; }',
    ...lines.map(({ text }) => text),
  ];
  execFileSync('bash', ['-c', script.join('\n')], { cwd, env: { ...process.env, WORDS: target } });
  const calls = readFileSync(target, 'utf8').split('\n\0').slice(0, -1);
  const ours = lines.filter(({ text }) => isOurs(text));
  return calls.map((words, i) => {
    const [to, , ...argv] = words.split('\0').slice(0, -1);
    const { snippet, text } = ours[i]!;
    return { key: keyOf(snippet, text), argv, to: existsSync(to!) && to!.startsWith(cwd) ? to : undefined };
  });
}

/** Starts all of them, one after the other, in a process of their own. */
async function startCommands(): Promise<void> {
  const calls: Call[] = [];
  for (const [file, { files, env, before: first }] of Object.entries(PLACES)) {
    const cwd = at('commands', file.replaceAll('/', '-'));
    await folderAt(cwd, files);
    if (first) calls.push({ key: `before ${file}`, argv: first, cwd, env });
    for (const words of wordsOf(file, cwd)) {
      calls.push({
        ...words,
        cwd,
        env,
        readOnly: Object.hasOwn(READ_ONLY, words.key.slice(words.key.indexOf(': ') + 2)),
      });
    }
  }
  for (const [key, argv] of Object.entries(SHOWN)) calls.push({ key, argv, cwd: root });
  // By its path: it changes its folder, and threads that it starts require it again.
  const execArgv = ['--require', require.resolve('tsx/cjs')];
  const child = fork(path.join(__dirname, 'run-lines.ts'), { execArgv, cwd: repository });
  child.on('message', (each: Called) => called.set(each.key, each));
  ended = new Promise((resolve) => child.once('exit', () => resolve()));
  child.send(calls);
}

describe('commands', () => {
  before(() => ended);

  for (const { snippet, text } of LINES.filter((line) => isOurs(line.text))) {
    test(keyOf(snippet, text), () => {
      const { code, out, err } = called.get(keyOf(snippet, text))!;
      const { codes = [0], out: says, err: notes } = OUTCOMES[text] ?? {};
      assert.ok(codes.includes(code), `exit code ${code}\n${out}${err}`);
      if (says) assert.match(out, says);
      if (notes) assert.match(err, notes);
    });
  }

  test('that are scripts of this repository are there', () => {
    const { scripts } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8'));
    const ofExample = JSON.parse(readFileSync(path.join(repository, 'examples/electron/package.json'), 'utf8')).scripts;
    for (const { text, snippet } of LINES) {
      const [, name, flags = ''] = /\bnpm (?:run )?(?!install)(\S+)(?: -- (.*))?/.exec(text) ?? [];
      if (name === undefined) continue;
      const known = snippet.file === 'examples/electron/README.md' ? ofExample : scripts;
      assert.ok(Object.hasOwn(known, name), text);
      if (name !== 'bench') continue;
      const [program, ...rest] = flags.split(' ');
      const sources = [`bench/${program}.ts`, 'bench/class-folders.ts'].map((file) =>
        readFileSync(path.join(repository, file), 'utf8'),
      );
      for (const flag of rest.filter((word) => word.startsWith('--'))) {
        assert.match(sources.join(), new RegExp(`\\b${flag.slice(2)}: \\{`), text);
      }
    }
  });
});

describe('what a document shows is', () => {
  before(() => ended);

  const textOf = (name: string) => SNIPPETS.find((snippet) => snippet.name === name)!.text;

  for (const [name, key] of Object.entries(PRINTED)) {
    test(`${name}: what ${key} prints`, () => {
      const { out } = called.get(key)!;
      const printed = out.split('\n');
      const missing = textOf(name)
        .trimEnd()
        .split('\n')
        .filter(
          (line) => !printed.some((each) => (line.endsWith('…') ? each.startsWith(line.slice(0, -1)) : each === line)),
        );
      assert.deepEqual(missing, [], out);
    });
  }

  test("examples/server/README.md: the server's answer", () => {
    const { verdict, label, scores } = JSON.parse(called.get('server')!.out);
    const [, start] = /# (\{.*)…\}/.exec(textOf('examples/server/README.md sh 1'))!;
    assert.ok(JSON.stringify({ verdict, label, score: scores.atd }).startsWith(start!), String(scores.atd));
  });

  test('docs/calibration.md: the fields of a calibration', () => {
    const shown = JSON.parse(textOf('docs/calibration.md json 1'));
    const wrote = JSON.parse(readFileSync(at('commands/docs-calibration.md/calibration.json'), 'utf8'));
    assert.deepEqual(Object.keys(shown).sort(), Object.keys(wrote).sort());
    assert.deepEqual(Object.keys(shown.fittedFor).sort(), Object.keys(wrote.fittedFor).sort());
  });

  test('docs/calibration.md: a calibration by hand', async () => {
    writeFileSync(at('by-hand.json'), textOf('docs/calibration.md json 2'));
    const { score, in: from } = await readCalibration(at('by-hand.json'));
    assert.deepEqual([score, from], ['atd', 0.7]);
  });

  test('docs/gate.md: inputs of the Action', () => {
    const read = (file: string) => readFileSync(path.join(repository, file), 'utf8');
    const known = Object.keys(parse(read('.github/actions/gate/action.yml')).inputs);
    const step = (parse(textOf('docs/gate.md yaml 1')) as { uses?: string; with?: object }[]).find(({ uses }) =>
      uses?.endsWith('actions/gate'),
    )!;
    assert.deepEqual(
      Object.keys(step.with!).filter((name) => !known.includes(name)),
      [],
    );
  });
});
