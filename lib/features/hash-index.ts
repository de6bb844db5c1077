/** SHA-256 → row number, in flat arrays: a million entries take 50 MB where a Map of strings takes several times that. */

const BYTES = 32;

export class HashIndex {
  #keys = new Uint8Array(1024 * BYTES);
  /** Open addressing: row + 1, or 0 for a free slot. At most half are taken. */
  #slots = new Int32Array(2048);
  #rows = 0;

  /** Rows so far; the next one gets this number. */
  get rows(): number {
    return this.#rows;
  }

  /** The first row with this hash, or -1. */
  find(sha256: Uint8Array): number {
    return this.#slots[this.#slot(sha256)]! - 1;
  }

  /** Gives the hash the next row number. A hash that is there already keeps its first row. */
  add(sha256: Uint8Array): number {
    if (2 * (this.#rows + 1) > this.#slots.length) this.#grow();
    const row = this.#rows++;
    this.#keys.set(sha256, row * BYTES);
    const slot = this.#slot(sha256);
    if (this.#slots[slot] === 0) this.#slots[slot] = row + 1;
    return row;
  }

  #slot(sha256: Uint8Array): number {
    const mask = this.#slots.length - 1;
    let slot = (sha256[0]! | (sha256[1]! << 8) | (sha256[2]! << 16) | (sha256[3]! << 24)) & mask;
    while (this.#slots[slot] !== 0 && !this.#holds(this.#slots[slot]! - 1, sha256)) slot = (slot + 1) & mask;
    return slot;
  }

  #holds(row: number, sha256: Uint8Array): boolean {
    for (let i = 0; i < BYTES; i++) if (this.#keys[row * BYTES + i] !== sha256[i]) return false;
    return true;
  }

  #grow(): void {
    const keys = new Uint8Array(2 * this.#keys.length);
    keys.set(this.#keys);
    this.#keys = keys;
    this.#slots = new Int32Array(2 * this.#slots.length);
    for (let row = 0; row < this.#rows; row++) {
      const slot = this.#slot(keys.subarray(row * BYTES, (row + 1) * BYTES));
      if (this.#slots[slot] === 0) this.#slots[slot] = row + 1;
    }
  }
}
