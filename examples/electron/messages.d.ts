/** What the page and the worker say to each other: plain data, which main.js passes on. */

/** Main to worker, once: what to work with. */
export interface Open {
  type: 'open';
  /** Path of a model file. */
  model: string;
  /** Folder of libtorch; found by itself when absent. */
  libtorch?: string;
}

/** Page to worker. */
export type Request =
  /** Judges every photo by these labels, also those that were judged before. */
  | { type: 'labels'; labels: string[] }
  /** Files, and folders for the images in them. */
  | { type: 'add'; paths: string[] }
  | { type: 'stop' }
  /** Judges what is not judged yet. */
  | { type: 'go' }
  | { type: 'clear' }
  /** The file of a photo that was judged. */
  | { type: 'picture'; id: number }
  /** Why it got its verdict; null: by the model's own rule. */
  | { type: 'explain'; id: number; threshold: number | null };

export interface Failure {
  /** Of clipn-native's error codes. */
  code: string;
  message: string;
  hint: string;
}

export interface Answer {
  /** By the model's own rule. */
  verdict: 'in' | 'out';
  /** The nearest, whatever the verdict. */
  label: string;
  /** From 0 to 1, higher for what belongs: a threshold is held against it. */
  score: number;
}

export interface Reasons {
  id: number;
  sentence: string;
  /** Each with its part in the score. */
  labels: { label: string; share: number }[];
  /** The part of all other labels. */
  others: number;
  /** PNG of where in the photo the label was seen; null where `mapAbsent` says why there is none. */
  map: Uint8Array | null;
  mapAbsent?: string;
}

/** Worker to page. */
export type Event =
  /** These labels count from now on: answers before are void. `warnings`: why verdicts may mislead. */
  | { type: 'labels'; warnings: string[] }
  | { type: 'photos'; photos: { id: number; name: string }[] }
  | ({ type: 'answer'; id: number } & Answer)
  /** A photo without an answer. */
  | ({ type: 'failed'; id: number } & Failure)
  /** Whether photos are being judged from now on. */
  | { type: 'judging'; now: boolean }
  | { type: 'picture'; id: number; bytes: Uint8Array }
  | ({ type: 'reasons' } & Reasons)
  /** What went wrong otherwise. */
  | ({ type: 'error' } & Failure);

/** What preload.js gives the page. */
export interface Bridge {
  send(request: Request): void;
  onEvent(listener: (event: Event) => void): void;
  /** Where a dropped file or folder lies. */
  pathOf(file: File): string;
  /** Asks the user for paths; none when he changes his mind. */
  choose(what: 'photos' | 'folder'): Promise<string[]>;
}
