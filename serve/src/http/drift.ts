/** The drift monitor over what the server answers with its own labels, and its course for a chart. */
import {
  type Calibration,
  type CheckFailure,
  type CheckResult,
  createDriftMonitor,
  type DriftMonitor,
  type DriftStanding,
} from 'clipn-native';

/** Points of the chart, at most: then every other one goes, and from there on only every other one is kept. */
const MOST_POINTS = 512;

export interface DriftPoint {
  images: number;
  /** Natural logarithm of the martingale. */
  logMartingale: number;
  out: number;
}

export class DriftWatch {
  readonly #monitor: DriftMonitor;
  readonly #points: DriftPoint[] = [];
  #stride = 1;

  /** @param calibration one that `watchable` accepts */
  constructor(
    calibration: Calibration,
    readonly onAlarm: (alarm: DriftStanding['alarms'][number]) => void,
  ) {
    this.#monitor = createDriftMonitor(calibration);
  }

  update(answer: CheckResult | CheckFailure): void {
    for (const alarm of this.#monitor.update(answer)) this.onAlarm(alarm);
    const { images, out, logMartingale } = this.standing();
    if ('error' in answer || images % this.#stride !== 0) return;
    this.#points.push({ images, logMartingale, out });
    if (this.#points.length <= MOST_POINTS) return;
    this.#stride *= 2;
    const kept = this.#points.filter((point) => point.images % this.#stride === 0);
    this.#points.splice(0, this.#points.length, ...kept);
  }

  standing(): DriftStanding {
    return this.#monitor.standing();
  }

  /** The course so far, and where it stands. */
  points(): DriftPoint[] {
    const { images, out, logMartingale } = this.standing();
    const now = { images, logMartingale, out };
    const last = this.#points.at(-1);
    return images === 0 || last?.images === images ? [...this.#points] : [...this.#points, now];
  }
}

/** Whether the monitor can compare with it: one of `calibrate`, with one threshold for all classes. */
export const watchable = (calibration: Calibration | undefined): calibration is Calibration =>
  calibration?.formatVersion === 3 && calibration.offsets === undefined;
