/** Rows of cached features by sample number: read from the files when asked for, so memory does not grow with the data. */
import { closeSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { lastAt } from '../base/last-at';
import { readSafetensors } from '../formats/safetensors';
import type { TensorEntry } from '../formats/tensor-table';
import type { FeatureFiles } from './encode-dataset';

/** A tensor in an open file. */
class Rows {
  readonly count: number;
  /** Elements of a row. */
  readonly size: number;

  constructor(
    private readonly file: number,
    private readonly entry: TensorEntry,
    private readonly path: string,
  ) {
    const [count, ...rest] = entry.shape;
    this.count = count ?? 0;
    this.size = rest.reduce((product, size) => product * size, 1);
  }

  /** Copies `length` elements from `first` of a row on. */
  read(row: number, first: number, out: Float32Array | Int32Array): void {
    const bytes = Buffer.from(out.buffer, out.byteOffset, out.byteLength);
    const position = this.entry.offset + (row * this.size + first) * 4;
    if (readSync(this.file, bytes, 0, bytes.length, position) === bytes.length) return;
    throw new ClipnError('ERR_CLIPN_IO', `${this.path} became shorter while it was read`);
  }

  all(): Int32Array {
    const out = new Int32Array(this.count * this.size);
    if (out.length > 0) this.read(0, 0, out);
    return out;
  }
}

interface Part {
  /** Number of its first sample. */
  first: number;
  samples: number;
  image: Rows;
  /** Of captioned images: the image of each sample; else a sample is an image. */
  sampleImage?: Int32Array;
  texts?: { ids: Rows; yes: Rows };
  classes?: Int32Array;
}

/** Captions of the classes, one after the other. */
interface ClassTexts {
  ids: Rows;
  yes: Rows;
  /** Where each class's captions begin, and at last their number. */
  starts: number[];
}

export class FeatureReader {
  private constructor(
    private readonly files: number[],
    private readonly parts: Part[],
    private readonly texts: ClassTexts | undefined,
    /** D */
    readonly dim: number,
    /** V, feature rows of an image. */
    readonly views: number,
    readonly samples: number,
  ) {}

  /** @param captions how many captions each class has; undefined for captioned images */
  static async open(found: FeatureFiles, captions: readonly number[] | undefined): Promise<FeatureReader> {
    const files: number[] = [];
    const tensors = async (path: string): Promise<(name: string) => Rows | undefined> => {
      const handle = await open(path, 'r');
      const table = await readSafetensors(handle, (await handle.stat()).size, path).finally(() => handle.close());
      const file = openSync(path, 'r');
      files.push(file);
      return (name) => {
        const entry = table.get(name);
        return entry && new Rows(file, entry, path);
      };
    };
    try {
      let texts: ClassTexts | undefined;
      if (captions && found.captions !== undefined) {
        const tensor = await tensors(found.captions);
        const starts = [0];
        for (const count of captions) starts.push(starts.at(-1)! + count);
        texts = { ids: tensor('ids')!, yes: tensor('yes')!, starts };
      }
      const parts: Part[] = [];
      let samples = 0;
      let [dim, views] = [0, 1];
      for (const path of found.parts) {
        const tensor = await tensors(path);
        const image = tensor('image')!;
        const sampleImage = tensor('sample_image')?.all();
        const count = sampleImage?.length ?? image.count;
        if (count === 0) continue;
        const part: Part = { first: samples, samples: count, image };
        if (sampleImage) Object.assign(part, { sampleImage, texts: { ids: tensor('ids')!, yes: tensor('yes')! } });
        else part.classes = tensor('class')!.all();
        parts.push(part);
        samples += count;
        dim = (part.texts ?? texts)!.yes.size;
        views = image.size / dim;
      }
      return new FeatureReader(files, parts, texts, dim, views, samples);
    } catch (error) {
      files.forEach(closeSync);
      throw error;
    }
  }

  /** The class of a sample; undefined for captioned images. */
  classOf(sample: number): number | undefined {
    const part = lastAt(this.parts, sample);
    return part.classes?.[sample - part.first];
  }

  /** How many captions a sample may be shown with. */
  captionsOf(sample: number): number {
    const index = this.classOf(sample);
    return index === undefined ? 1 : this.texts!.starts[index + 1]! - this.texts!.starts[index]!;
  }

  /** Copies one view of a sample's image [D]. */
  image(sample: number, view: number, out: Float32Array): void {
    const part = lastAt(this.parts, sample);
    const row = sample - part.first;
    part.image.read(part.sampleImage ? part.sampleImage[row]! : row, view * this.dim, out);
  }

  /** Copies the yes feature [D] of one of a sample's captions; returns its token ids, end token last. */
  text(sample: number, caption: number, yes: Float32Array): Int32Array {
    const part = lastAt(this.parts, sample);
    const texts = part.texts ?? this.texts!;
    const row = part.texts ? sample - part.first : this.texts!.starts[part.classes![sample - part.first]!]! + caption;
    texts.yes.read(row, 0, yes);
    const ids = new Int32Array(texts.ids.size);
    texts.ids.read(row, 0, ids);
    let end = 0;
    for (let i = 1; i < ids.length; i++) if (ids[i]! > ids[end]!) end = i;
    return ids.subarray(0, end + 1);
  }

  close(): void {
    this.files.splice(0).forEach(closeSync);
  }
}
