/**
 * Finding the image that kills workers: a decoder that crashes, a picture that takes all memory. A shard that lost several
 * workers is judged one image at a time, and a note in the batch's folder says which is being judged. Who comes after a
 * death reads there whose it was.
 */
import { ServeError } from '../errors';
import type { Entry } from './list';
import { FILES } from './manifest';
import type { Storage } from './storage';

/** Workers that a shard must have lost. One or two may have been killed for other reasons. */
export const CAREFUL_FROM = 2;
/** Deaths at one image that condemn it: the first may have been a chance. */
const DEATHS = 2;

/** Where no image is being judged. */
const NONE = -1;

interface Note {
  /** Index into the shard's list of the image that is being judged, or NONE. */
  now: number;
  /** Index → workers that died of it. */
  deaths: Record<string, number>;
}

export interface Suspicion {
  /** For `judgeShard`: notes an image before it is judged, or says that it is not to be judged. */
  careful(index: number, entry: Entry): Promise<ServeError | undefined>;
  /** When the shard is left alive, judged or not: no image is to blame. */
  leave(): Promise<void>;
}

export async function suspicion(storage: Storage, shard: number): Promise<Suspicion> {
  const name = FILES.suspect(shard);
  const bytes = await storage.read(name);
  const note: Note = bytes ? (JSON.parse(Buffer.from(bytes).toString()) as Note) : { now: NONE, deaths: {} };
  if (note.now >= 0) note.deaths[note.now] = (note.deaths[note.now] ?? 0) + 1;
  const write = async (now: number) => {
    note.now = now;
    await storage.write(name, Buffer.from(JSON.stringify(note)));
  };
  return {
    async careful(index, { image }) {
      const deaths = note.deaths[index] ?? 0;
      if (deaths >= DEATHS) {
        return new ServeError('ERR_SERVE_KILLED_WORKER', `${image}: ${deaths} workers died while they judged it`);
      }
      await write(index);
      return undefined;
    },
    leave: () => write(NONE),
  };
}
