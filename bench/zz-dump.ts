import { writeFileSync } from 'node:fs';
import { loadModel } from '/work/main/lib';
import { findImages } from '/work/main/lib/images/find';
import { loadLabelsFile } from '/work/main/lib/labels/labels-file';
import { drawnImages } from '/work/main/lib/model/drawn';
import { vitB16WithText } from '/work/main/bench/prepare';
import { smallModel } from '/work/main/lib/weights/small-model';
(async () => {
  const vit = process.argv[2] === 'vit';
  const count = Number(process.argv[3]);
  const file = vit ? (await vitB16WithText()).model : smallModel()!.model;
  const labels = await loadLabelsFile('/tmp/caltech-labels.txt');
  const all = await findImages(['/tmp/data/caltech/101_ObjectCategories']);
  const paths = Array.from({ length: count }, (_, k) => all[Math.floor((k * all.length) / count)]!);
  const out = `/tmp/feat/${vit ? 'vit' : 'small'}`;
  const w = (n: string, a: Float32Array) => writeFileSync(`${out}.${n}.f32`, Buffer.from(a.buffer, a.byteOffset, a.byteLength));
  for (const precision of ['fp32', 'int8', 'bf16'] as const) {
    const model = await loadModel(file, { device: 'cpu', precision });
    if (precision === 'fp32') {
      const bank = await model.createLabelBank(labels, vit ? { templates: 'plain' } : {});
      w('yes', bank.yes); w('no', bank.no!);
      console.log(bank.labels.length, bank.dim, model.info.config.scale);
    }
    const t = performance.now();
    w(precision, await model.encodeImages(paths));
    console.log(precision, (performance.now() - t) / 1000);
    w(`${precision}.drawn`, await model.encodeImages(drawnImages() as any));
    await model.close();
  }
})();
