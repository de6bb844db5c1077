/** A gate's outcome in the formats that pipelines show: JUnit's XML and SARIF 2.1.0. */
import { encode } from 'he';
import type { Log, Result } from 'sarif';
import { packageVersion } from '../base/version';
import { percent, printable } from '../base/wording';
import type { GateResult } from '../decide/gate';
import type { CheckFailure, CheckResult } from '../model/detector';

export type GateAnswer = CheckResult | CheckFailure;

/** The outcome in a sentence. */
export function gateSentence(result: GateResult): string {
  const { passed, out, judged, share, atLeast, maxOut, confidence } = result;
  if (judged === 0) return 'FAILED: none of the images could be read.';
  const found = `${out} of ${judged} images are out (${percent(share)})`;
  const shown = `at least ${percent(atLeast)} with ${percent(confidence)} confidence`;
  return `${passed ? 'passed' : 'FAILED'}: ${found}, ${shown}; ${percent(maxOut)} may be.`;
}

/** Why an image is not `in`, in a line. */
function reasonOf(answer: GateAnswer): string {
  if ('error' in answer) return `${answer.error.code}: ${answer.error.message}`;
  const { verdict, label, nearestWord, pValue, quality } = answer;
  const nearest = nearestWord === undefined ? `nearest class ${label}` : `nearest word ${nearestWord}`;
  const usual = pValue === undefined ? '' : `, p-value ${pValue.toPrecision(3)}`;
  return `${verdict}: ${nearest}${usual}${quality === undefined ? '' : `, image is ${quality}`}`;
}

/** XML knows no control characters and no halves of a character, not even escaped. */
const xml = (text: string) => encode(printable(text).replace(/[\p{Cs}\ufffe\uffff]/gu, '\ufffd'));

/**
 * One test case for the gate, and one for each image. An image that is out fails only when the gate does: a batch may hold
 * some. One that cannot be read is an error.
 */
export function junitOf(result: GateResult, answers: readonly GateAnswer[]): string {
  const cases = answers.map((answer) => {
    const name = `<testcase classname="images" name="${xml(answer.image ?? '')}"`;
    const reason = xml(reasonOf(answer));
    if ('error' in answer) return `${name}><error message="${reason}"/></testcase>`;
    if (answer.verdict === 'in') return `${name}/>`;
    if (answer.verdict === 'out' && !result.passed) return `${name}><failure message="${reason}"/></testcase>`;
    return `${name}><system-out>${reason}</system-out></testcase>`;
  });
  const sentence = xml(gateSentence(result));
  const failure = result.passed ? `<system-out>${sentence}</system-out>` : `<failure message="${sentence}"/>`;
  const failures = result.passed ? 0 : result.out + 1;
  const counts = `tests="${answers.length + 1}" failures="${failures}" errors="${result.failures}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `<testsuite name="clipn-native gate" ${counts}>`,
    `<testcase classname="gate" name="share of images that are out">${failure}</testcase>`,
    ...cases,
    '</testsuite>',
    '</testsuites>',
  ].join('\n');
}

const RULES = {
  out: 'The image belongs to none of the classes.',
  review: 'The image should be looked at: it may belong to none of the classes.',
  unreadable: 'The image cannot be read.',
} as const;

/** One result for each image that is not `in`: `out` is an error when the gate fails, else a warning. */
export function sarifOf(result: GateResult, answers: readonly GateAnswer[]): Log {
  const results = answers.flatMap((answer): Result[] => {
    const ruleId = 'error' in answer ? 'unreadable' : answer.verdict;
    if (ruleId === 'in') return [];
    const level = ruleId === 'review' ? 'note' : ruleId === 'out' && result.passed ? 'warning' : 'error';
    return [
      {
        ruleId,
        level,
        message: { text: printable(reasonOf(answer)) },
        locations: [{ physicalLocation: { artifactLocation: { uri: uriOf(answer.image ?? '') } } }],
        ...('pValue' in answer && { properties: { pValue: answer.pValue } }),
      },
    ];
  });
  const rules = Object.entries(RULES).map(([id, text]) => ({ id, shortDescription: { text } }));
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'clipn-native', version: packageVersion(), rules } },
        invocations: [{ executionSuccessful: result.failures === 0, exitCode: exitCodeOf(result) }],
        results,
        properties: { gate: { ...result } },
      },
    ],
  };
}

/** 1 when nothing was judged, 3 when the gate is not met, 1 when images could not be read, else 0. */
export function exitCodeOf({ passed, judged, failures }: GateResult): number {
  if (judged === 0) return 1;
  if (!passed) return 3;
  return failures > 0 ? 1 : 0;
}

/** A relative path as a URI reference, an absolute one as a file URL. */
function uriOf(path: string): string {
  const parts = path.split(/[\\/]/).map(encodeURIComponent).join('/');
  return parts.startsWith('/') ? `file://${parts}` : parts;
}
