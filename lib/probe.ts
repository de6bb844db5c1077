/** Started by `doctor` as a child process: opens libtorch and the core and reports, so that a crash ends only this process. */
import { type CoreInfo, describeCore } from './native';

export type ProbeReport = { ok: true; core: CoreInfo } | { ok: false; code: string; message: string };

async function report(): Promise<ProbeReport> {
  try {
    return { ok: true, core: await describeCore(process.argv[2]) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { ok: false, code: code ?? 'ERR_CLIPN_INTERNAL', message };
  }
}

// Leaving at once keeps a fault in a library's own clean-up from hiding the report.
report().then((result) => process.send?.(result, () => process.exit(0)));
