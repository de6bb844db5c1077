/** Started by `doctor` as a child process: opens libtorch and the core and reports, so that a crash ends only this process. */
import type { CoreInfo } from '../native/addon';
import { type CudaInfo, openCuda } from '../native/cuda';
import { openEngine } from '../native/engine';

/** What the child process found, or why not. `cuda` is absent when looking for it ended the process. */
export type ProbeReport =
  | { ok: true; core: CoreInfo; int8Absence: string; cuda?: CudaInfo }
  | { ok: false; code: string; message: string };

async function report(): Promise<ProbeReport> {
  try {
    const engine = await openEngine(process.argv[2]);
    // First what is known: a driver at fault may end this process.
    const known = { ok: true as const, core: engine.core, int8Absence: engine.addon.int8Absence() };
    process.send?.(known);
    return { ...known, cuda: await openCuda(engine) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { ok: false, code: code ?? 'ERR_CLIPN_INTERNAL', message };
  }
}

// Leaving at once keeps a fault in a library's own clean-up from hiding the report.
report().then((result) => process.send?.(result, () => process.exit(0)));
