/** A diagnosis in words. */
import { shownName } from '../hub/name';
import type { Candidate } from '../libtorch/find';
import { type CudaInfo, cudaRemedy } from '../native/cuda';
import { type CachedModel, describeFetched } from '../weights/model-cache';
import type { Diagnosis, Probe } from './diagnose';

/** Whether a check of an image file would find all that it needs, a model aside. */
export function isReady({ probe, sharp }: Diagnosis): boolean {
  return probe.ok && !('error' in sharp);
}

/** A report for people, to be pasted into an issue. */
export function formatDiagnosis(d: Diagnosis): string {
  const root =
    'error' in d.libtorch
      ? d.libtorch.message.split(' Looked at ')[0]!
      : `${d.libtorch.version}+${d.libtorch.flavour} (${d.libtorch.source}) ${d.libtorch.dir}`;
  const probe = d.probe.ok
    ? `works: core for libtorch ${d.probe.core.torchVersion}, kernels ${d.probe.core.cpuTarget}, libtorch's own ${d.probe.core.cpuCapability}, bf16 ${d.probe.core.cpuBf16 ? 'yes' : 'no'}, int8 ${describeInt8(d.probe)}`
    : `${d.probe.code}: ${d.probe.message}`;
  const rows: [string, string][] = [
    ['clipn-native', `${d.package} on ${d.platform}-${d.arch}${d.libc === null ? '' : `, ${d.libc}`}`],
    ['Node', d.electron === null ? d.node : `${d.node} in Electron ${d.electron}`],
    ['CPU', `${d.cpu.model ?? 'unknown'}; ${d.cpu.features.join(' ') || 'none of the features looked for'}`],
    ['addon', d.glue ?? 'not found'],
    ['cores', d.cores.map((core) => `${core.minor}-${core.flavour} ${core.path}`).join('\n') || 'none found'],
    ['libtorch', root],
    ['probe', probe],
    ['CUDA', formatCuda(d.probe)],
    ['sharp', 'error' in d.sharp ? d.sharp.error : `${d.sharp.sharp}, libvips ${d.sharp.vips}`],
    ['model', d.model === null ? 'clipn-native-model-small is not installed' : d.model + formatNames(d.modelNames)],
    ['fetched', d.models.map(formatModel).join('\n') || 'no model of the Hugging Face hub'],
    ['cache', d.cacheDir ?? 'none, for this user has no home folder: name one with CLIPN_CACHE_DIR'],
    ['looked at', d.candidates.map(formatCandidate).join('\n')],
  ];
  const lines = rows.map(([name, text]) => `${name.padEnd(13)} ${text.replaceAll('\n', `\n${' '.repeat(14)}`)}`);
  return `${lines.join('\n')}\n\n${d.next}`;
}

function describeInt8({ core, int8Absence }: Probe & { ok: true }): string {
  if (int8Absence !== '') return `no: ${int8Absence}`;
  return core.cpuInt8 ? 'yes' : 'yes, without instructions for it';
}

function formatCuda(probe: Probe): string {
  if (!probe.ok) return 'not looked for: nothing loads';
  if (probe.cuda === undefined) return 'unknown: looking for it ended the process; the CPU works';
  const { usable, missing, reason, driver, device, plugin }: CudaInfo = probe.cuda;
  const gpu =
    device === null ? [] : [`${device.name}, compute capability ${device.capability}, ${gibibytes(device.memory)}`];
  const found = [
    ...gpu,
    ...(driver === null ? [] : [`driver for CUDA ${driver}`]),
    plugin === null ? 'no plugin for this libtorch' : `plugin ${plugin}`,
  ].join('; ');
  if (usable) return `usable: ${found}`;
  return `not usable, ${missing} missing: ${reason}\n${found}\n${cudaRemedy(probe.cuda)}; the CPU works without.`;
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(0)} GiB`;
}

function formatNames(names: number | null): string {
  return names === null ? '' : `: knows ${names} names, others are guesses`;
}

function formatModel(model: CachedModel): string {
  if (model.problem === null) return describeFetched(model);
  const shown = shownName(model);
  return `unusable ${shown}: ${model.problem}; \`npx clipn-native fetch model ${shown}\``;
}

function formatCandidate({ source, path, version, flavour, usable, reason }: Candidate): string {
  const what = version === undefined ? '' : ` ${version}+${flavour}`;
  return `${usable ? 'usable ' : 'refused'} ${source.padEnd(6)} ${path}${what}${usable ? '' : `: ${reason}`}`;
}
