/** How much the server takes at once: images that are not yet answered, and bytes of bodies. More is refused, not queued. */
import { ServeError } from '../errors';

export interface AdmissionLimits {
  /** Images taken and not yet answered. */
  images: number;
  /** Bytes of request bodies in memory. */
  bytes: number;
}

export class Admission {
  #images = 0;
  #bytes = 0;
  #refused = 0;

  constructor(readonly limits: AdmissionLimits) {}

  get images(): number {
    return this.#images;
  }
  get bytes(): number {
    return this.#bytes;
  }
  get refused(): number {
    return this.#refused;
  }

  /** Room for a request: one image, until it says how many, and the bytes that it announces. @throws ERR_SERVE_BUSY */
  admit(bytes: number): Lease {
    this.add(1, bytes);
    return new Lease(this, bytes);
  }

  /** @internal @throws ERR_SERVE_BUSY */
  add(images: number, bytes: number): void {
    const full = this.#images + images > this.limits.images;
    if (full || this.#bytes + bytes > this.limits.bytes) {
      this.#refused++;
      const what = full ? `${this.#images} images to answer` : `${this.#bytes} bytes of images in memory`;
      throw new ServeError('ERR_SERVE_BUSY', `the server has ${what} already`);
    }
    this.remove(-images, -bytes);
  }

  /** @internal */
  remove(images: number, bytes: number): void {
    this.#images -= images;
    this.#bytes -= bytes;
  }
}

/** What one request holds, until it is released. */
export class Lease {
  readonly #from: Admission;
  #images = 1;
  #bytes: number;
  #received = 0;

  constructor(from: Admission, bytes: number) {
    this.#from = from;
    this.#bytes = bytes;
  }

  /** Bytes that have come; those beyond what was announced take more room. @throws ERR_SERVE_BUSY */
  receive(bytes: number): void {
    this.#received += bytes;
    const more = this.#received - this.#bytes;
    if (more <= 0) return;
    this.#from.add(0, more);
    this.#bytes += more;
  }

  /** @throws ERR_SERVE_BUSY when there is no room for so many */
  hold(images: number): void {
    this.#from.add(images - this.#images, 0);
    this.#images = images;
  }

  /** Safe to call again. */
  release(): void {
    this.#from.remove(this.#images, this.#bytes);
    [this.#images, this.#bytes] = [0, 0];
  }
}
