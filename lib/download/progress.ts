/** How far a download, and what is made of it, has come. */
export interface FetchProgress {
  /** What is being done; `wait` for another process, `size` says how much will come. */
  phase: 'wait' | 'size' | 'download' | 'verify' | 'unpack' | 'export' | 'done';
  /** One line for people. */
  message: string;
  /** How much is done, where known: bytes of a file, parts of a folder. */
  done?: number;
  /** Of how much, where known. */
  total?: number;
}
