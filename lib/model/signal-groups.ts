/** Members by the signal that they heed: one listener a signal, however many they are, for Node warns of more than ten. */

export interface Heeding {
  readonly signal: AbortSignal | undefined;
}

export class SignalGroups<Member extends Heeding> {
  readonly #groups = new Map<AbortSignal, Set<Member>>();
  readonly #onAbort: (members: Member[], reason: unknown) => void;

  /** `onAbort` gets all that heed an aborted signal, in the order in which they were added; they are out by then. */
  constructor(onAbort: (members: Member[], reason: unknown) => void) {
    this.#onAbort = onAbort;
  }

  /** For a signal that is not aborted yet. A member without signal is in no group. */
  add(member: Member): void {
    const { signal } = member;
    if (!signal) return;
    const group = this.#groups.get(signal);
    if (group) {
      group.add(member);
    } else {
      this.#groups.set(signal, new Set([member]));
      EventTarget.prototype.addEventListener.call(signal, 'abort', this.#abort);
    }
  }

  delete(member: Member): void {
    const { signal } = member;
    const group = signal && this.#groups.get(signal);
    if (group?.delete(member) && group.size === 0) this.#disband(signal!);
  }

  #disband(signal: AbortSignal): void {
    this.#groups.delete(signal);
    // Of the class, not of the object: whoever replaced the method must not be able to throw in here.
    EventTarget.prototype.removeEventListener.call(signal, 'abort', this.#abort);
  }

  readonly #abort = ({ target }: Event): void => {
    const signal = target as AbortSignal;
    const members = [...(this.#groups.get(signal) ?? [])];
    this.#disband(signal);
    this.#onAbort(members, signal.reason);
  };
}
