/** The losses of a run as a chart for the terminal. */
import type { TeachStep } from '../teach/options';
import { table } from './terminal';

const WIDTH = 72;
const HEIGHT = 10;

/** Means over stretches of equal length; a stretch is a column of the chart. */
function stretches(log: readonly TeachStep[], most: number): TeachStep[][] {
  const count = Math.min(most, log.length);
  return Array.from({ length: count }, (_, i) =>
    log.slice(Math.floor((i * log.length) / count), Math.floor(((i + 1) * log.length) / count)),
  );
}

const mean = (steps: readonly TeachStep[], key: 'lossYes' | 'lossNo' | 'lossText' | 'total') =>
  steps.reduce((sum, step) => sum + step[key], 0) / steps.length;

/** The total loss over the steps, and all four at ten of them. */
export async function lossPlot(log: readonly TeachStep[]): Promise<string> {
  if (log.length === 0) return 'no steps';
  const { plot } = require('asciichart') as typeof import('asciichart');
  const chart = plot(
    stretches(log, WIDTH).map((steps) => mean(steps, 'total')),
    { height: HEIGHT, format: (value) => value.toFixed(4).padStart(8) },
  );
  const rows = stretches(log, 10).map((steps) => [
    `${steps[0]!.step} … ${steps.at(-1)!.step}`,
    ...(['lossYes', 'lossNo', 'lossText', 'total'] as const).map((key) => mean(steps, key).toFixed(4)),
  ]);
  return `total loss by step\n${chart}\n\n${table(['steps', 'yes', 'no', 'text', 'total'], rows, [1, 2, 3, 4])}`;
}
