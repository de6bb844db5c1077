/** How fast work goes on and how long the rest of it takes, in words for a progress line. */
import { count } from '../report/format';

export interface Work {
  /** What is being done; each stage has a pace of its own. */
  stage: string;
  /** So far, and in all, in `unit`. */
  done: number;
  total: number;
  /** What is counted, e.g. `images`. */
  unit: string;
}

/** Below this the rate is that of a few items, and jumps. */
const LEAST_SECONDS = 1;

/** Measures from the first report of each stage: what came before, loading or a run taken up, had another pace. */
export class Pace {
  #first: { work: Work; at: number } | undefined;
  #last: Work | undefined;

  /** `clock` tells milliseconds. */
  constructor(private readonly clock = () => performance.now()) {}

  /** E.g. `, 12 images/s, 3 min left`; nothing until there is a rate to tell. */
  words(work: Work): string {
    const now = this.clock();
    if (this.#first === undefined || this.#isAnew(work)) this.#first = { work, at: now };
    this.#last = work;
    const seconds = (now - this.#first.at) / 1000;
    const rate = (work.done - this.#first.work.done) / seconds;
    if (!(seconds > LEAST_SECONDS && rate > 0)) return '';
    return `, ${rateOf(rate)} ${work.unit}/s, ${duration((work.total - work.done) / rate)} left`;
  }

  /** Another stage, or the same over other items. */
  #isAnew({ stage, done, total }: Work): boolean {
    const last = this.#last;
    return last?.stage !== stage || last.total !== total || done < last.done;
  }
}

const rateOf = (rate: number) => (rate < 10 ? rate.toFixed(1) : count(Math.round(rate)));

/** Rounded up, for a wait told too short annoys: seconds below 100, minutes below 100, then hours and minutes. */
export function duration(exactSeconds: number): string {
  const seconds = Math.ceil(exactSeconds);
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
