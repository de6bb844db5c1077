/** How far a download, and what is made of it, has come. */
export interface FetchProgress {
  phase: 'wait' | 'size' | 'download' | 'verify' | 'unpack' | 'export' | 'done';
  /** One line for people. */
  message: string;
  /** How much is done and of how much, where known: bytes of a file, parts of a folder. */
  done?: number;
  total?: number;
}
