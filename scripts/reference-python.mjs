/** A Python with PyTorch and Pillow for the comparisons of test/reference/: one that is there, else one made under build/. */
import { join } from 'node:path';
import { isStale, output, require, root, runAside, Stop } from './steps.mjs';

const OWN = 'build/reference-venv';
const REQUIREMENTS = 'test/reference/requirements.txt';
const WITHOUT_DEPENDENCIES = 'test/reference/requirements-no-deps.txt';

/** Whether a Python has what the reference needs, in the version that this release is tested with. */
function isReady(python) {
  const { LIBTORCH_VERSION } = require('./dist/libtorch/release.js');
  const modules = 'import ftfy, importlib.util, numpy, PIL, regex, sklearn, torch';
  const found = "all(map(importlib.util.find_spec, ('open_clip', 'transformers')))";
  const right = `torch.__version__.split('+')[0] == '${LIBTORCH_VERSION}' and ${found}`;
  return output(python, ['-c', `${modules}; assert ${right}`]) !== null;
}

async function quietly(command, args) {
  const { status, said } = await runAside(command, args);
  if (status !== 0) throw new Stop(`${said}\n${command} ${args.join(' ')} ended with exit code ${status}`);
}

async function install(python) {
  await quietly('python3', ['-m', 'venv', '--clear', OWN]);
  const retries = process.env.PIP_RETRIES === undefined ? ['--retries', '2'] : [];
  const index = ['--extra-index-url', 'https://download.pytorch.org/whl/cpu'];
  // Without bytecode of modules that nothing imports: half of the time. pip warns of every retry.
  const pip = ['-m', 'pip', 'install', '-qq', '--no-compile', '--disable-pip-version-check', ...retries];
  await quietly(python, [...pip, ...index, '-r', REQUIREMENTS]);
  await quietly(python, [...pip, '--no-deps', '-r', WITHOUT_DEPENDENCIES]);
  await quietly('touch', [`${OWN}/.complete`]);
}

/** Its path, after a minute where one is made; null where there is no Python 3 with venv. */
export async function referencePython() {
  const inEnvironment = (folder) => folder && join(folder, 'bin/python');
  const own = join(root, inEnvironment(OWN));
  const stale = isStale(`${OWN}/.complete`, [REQUIREMENTS, WITHOUT_DEPENDENCIES]);
  const candidates = [process.env.CLIPN_PYTHON, inEnvironment(process.env.VIRTUAL_ENV), 'python3', !stale && own];
  const ready = candidates.find((python) => python && isReady(python));
  if (ready) return ready;
  if (output('python3', ['-c', 'import venv, ensurepip']) === null) return null;
  await install(own);
  return own;
}
