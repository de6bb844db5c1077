/** `drift`: logs of `check --json` to an alarm when the images no longer look like those of the calibration. */
import { writeFile } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { ClipnError, isOfSystem } from '../../base/errors';
import { readText } from '../../base/list-file';
import { parseJson } from '../../base/parse-json';
import { linesOf } from '../../base/text-encoding';
import { oneLine, percent } from '../../base/wording';
import { writeThenRename } from '../../base/write-file';
import { readCalibration } from '../../decide/calibration';
import {
  createDriftMonitor,
  type DriftCalibration,
  type DriftInput,
  type DriftMonitor,
  type DriftOptions,
  type DriftStanding,
  resumeDriftMonitor,
} from '../../decide/drift';
import type { DriftAlarm } from '../../decide/drift-state';
import type { Args, Command } from '../command';
import { paint, say, sayJson } from '../terminal';

/** As an operand: the log comes on standard input. */
const STANDARD_INPUT = '-';

export const driftCommand: Command = {
  summary: 'Tell from logs of `check --json` when images no longer look like those of the calibration.',
  usage: '(LOG | -)... --calibration FILE [--state FILE] [--rate-to-detect X] [--json]',
  operands: { least: 1, missing: 'no log given: files that `check --json` wrote, or - for standard input' },
  flags: {
    calibration: { value: 'FILE', doc: 'the calibration that `check` had' },
    state: { value: 'FILE', doc: 'go on where this file stands, if it is there, and write it when the logs are read' },
    'ville-threshold': {
      value: 'X',
      number: true,
      doc: 'alarm when the martingale reaches X, default 100: a false alarm ever in 1 of X runs at most',
    },
    'rate-to-detect': { value: 'X', number: true, doc: 'also watch the share of `out`: the share to detect, e.g. 0.2' },
    rate: {
      value: 'X',
      number: true,
      doc: "with --rate-to-detect: share of `out` while all is well, default the calibration's",
    },
    ert: {
      value: 'N',
      number: true,
      doc: 'with --rate-to-detect: images until a false alarm of it on average, default 10000',
    },
    json: { doc: 'one JSON object' },
  },
  run,
};

/** An alarm of this call, and the line that raised it. */
type Raised = DriftAlarm & { log: string; line: number };

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const calibration = await readCalibration(args.required('calibration'));
  const stateFile = args.text('state');
  const monitor = await monitorFrom(calibration, optionsFrom(args), stateFile);
  const raised: Raised[] = [];
  for (const log of args.operands) {
    let line = 0;
    for await (const text of linesOfLog(log, signal)) {
      signal.throwIfAborted();
      line++;
      if (text.trim() === '') continue;
      for (const alarm of observe(monitor, text, `${log}:${line}`)) raised.push({ ...alarm, log, line });
    }
  }
  signal.throwIfAborted();
  if (stateFile !== undefined) await writeState(monitor, stateFile);
  const standing = monitor.standing();
  if (args.on('json')) sayJson({ ...standing, raised });
  else say(forPeople(standing, raised));
  return standing.alarms.length > 0 ? 3 : 0;
}

function optionsFrom(args: Args): DriftOptions {
  const given = {
    villeThreshold: args.number('ville-threshold'),
    rateToDetect: args.number('rate-to-detect'),
    rate: args.number('rate'),
    ert: args.number('ert'),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Goes on from the state file, where there is one; flags may then only repeat what the monitor began with. */
async function monitorFrom(
  calibration: DriftCalibration,
  options: DriftOptions,
  stateFile: string | undefined,
): Promise<DriftMonitor> {
  const text = stateFile === undefined ? undefined : await readState(stateFile);
  if (text === undefined) return createDriftMonitor(calibration, options);
  let state: ReturnType<DriftMonitor['state']>;
  try {
    state = parseJson(text) as typeof state;
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_DRIFT_STATE', `${stateFile}: not JSON`, { cause });
  }
  const monitor = resumeDriftMonitor(calibration, state);
  const begun = state.options;
  for (const [name, value] of Object.entries(options)) {
    const before = begun[name as keyof typeof begun];
    if (before === value) continue;
    const message = `${stateFile}: the monitor began with ${name} ${before ?? 'absent'}, not ${value}`;
    throw new ClipnError('ERR_CLIPN_DRIFT_STATE', message);
  }
  return monitor;
}

async function readState(file: string): Promise<string | undefined> {
  try {
    return await readText(file, 'ERR_CLIPN_DRIFT_STATE', 'ERR_CLIPN_IO');
  } catch (error) {
    if (((error as ClipnError).cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeState(monitor: DriftMonitor, file: string): Promise<void> {
  const text = `${JSON.stringify(monitor.state())}\n`;
  await writeThenRename(file, (temporary) => writeFile(temporary, text));
}

async function* linesOfLog(log: string, signal: AbortSignal): AsyncGenerator<string> {
  try {
    yield* linesOf(log === STANDARD_INPUT ? addAbortSignal(signal, process.stdin) : log);
  } catch (cause) {
    signal.throwIfAborted();
    const details = { path: log };
    if (isOfSystem(cause)) {
      throw new ClipnError('ERR_CLIPN_IO', `cannot read the log ${log}: ${cause.message}`, { cause, details });
    }
    throw new ClipnError('ERR_CLIPN_SCORES', `the log ${log} is not UTF-8 or UTF-16 text`, { cause, details });
  }
}

/** Errors say where. */
function observe(monitor: DriftMonitor, text: string, place: string): DriftAlarm[] {
  let result: DriftInput;
  try {
    result = parseJson(text) as DriftInput;
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_SCORES', `${place}: not JSON`, {
      cause,
      hint: 'A log has an answer of `check --json` on each line; cut off a last line that was not written whole.',
    });
  }
  try {
    return monitor.update(result);
  } catch (error) {
    if (!(error instanceof ClipnError)) throw error;
    const { code, message, hint, details } = error;
    throw new ClipnError(code, `${place}: ${message}`, { hint, details, cause: error });
  }
}

const count = (n: number) => Math.round(n).toLocaleString('en-US');

function forPeople(standing: DriftStanding, raised: readonly Raised[]): string {
  const { images, out, failures, villeThreshold, cusum, alarms } = standing;
  const lines = alarms.map((alarm) => {
    const now = raised.find(({ by }) => by === alarm.by);
    const where = now ? `${now.log}:${now.line}: ` : 'earlier: ';
    const image = alarm.image === undefined ? '' : ` (${oneLine(alarm.image)})`;
    const value = `${Number(alarm.value.toPrecision(3))} reached ${alarm.threshold}`;
    return `${where}${paint('red', 'alarm')} by the ${NAMES[alarm.by]} at image ${count(alarm.images)}${image}: ${value}`;
  });
  if (alarms.length === 0) lines.push(`${paint('green', 'no alarm')}`);
  const share = images === 0 ? '' : ` (${percent(out / images)})`;
  lines.push(`${count(images)} images, ${count(out)} out${share}, ${count(failures)} unreadable`);
  lines.push(`martingale ${martingale(standing.logMartingale)}, alarm from ${villeThreshold} on`);
  if (cusum) {
    const { sum, threshold, ert, rate, delay, rateToDetect } = cusum;
    lines.push(
      `CUSUM ${sum}, alarm from ${threshold} on: after ${count(ert)} images on average where ${percent(rate)} are out, ` +
        `after ${count(delay)} where ${percent(rateToDetect)} are`,
    );
  }
  return lines.join('\n');
}

const NAMES = { martingale: 'martingale', cusum: 'CUSUM' } as const;

/** Three digits; a power of ten where no number is as large or small. */
function martingale(log: number): string {
  return Math.abs(log) < 600 ? String(Number(Math.exp(log).toPrecision(3))) : `10^${Math.round(log / Math.LN10)}`;
}
