/** The CPU of this computer, by name and by the features that decide speed. */
import { existsSync, readFileSync } from 'node:fs';

/** The features that decide speed, as /proc/cpuinfo spells them. */
const CPU_FEATURES = ['avx2', 'avx512f', 'avx512_bf16', 'avx512_vnni', 'avx_vnni', 'amx_bf16', 'amx_int8'] as const;

export function readCpu(): { model: string | null; features: string[] } {
  if (!existsSync('/proc/cpuinfo')) return { model: null, features: [] };
  const text = readFileSync('/proc/cpuinfo', 'utf8');
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1]?.split(' '));
  return {
    model: /^model name\s*:\s*(.*)$/m.exec(text)?.[1] ?? null,
    features: CPU_FEATURES.filter((feature) => flags.has(feature)),
  };
}
