/** What a stranger finds beside the model: how to start it, and how to ask it. */
import type { TorchScriptForward } from 'clipn-native';
import { outputNames, type TritonOptions } from './config';

/**
 * pixels.py: an image as the model takes it. The resize is Pillow's, byte for byte the one of clipn-native (spec 4.2).
 */
export function pixelsScript({ input, imageSize, mean, std }: TorchScriptForward): string {
  const normalise =
    input.dtype === 'uint8'
      ? ''
      : `pixels = (pixels / np.float32(255) - np.float32([${mean.join(', ')}])) / np.float32([${std.join(', ')}])
pixels = pixels.transpose(2, 0, 1)
`;
  return `"""An image as the model takes it, to stdout: python3 pixels.py photo.jpg > pixels.raw (needs Pillow and numpy)."""
import sys

import numpy as np
from PIL import Image, ImageOps

SIDE = ${imageSize}
image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
width, height = image.size
short = min(width, height)
width, height = (SIDE if edge == short else int(SIDE * edge / short) for edge in (width, height))
left, top = (round((edge - SIDE) / 2) for edge in (width, height))
image = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + SIDE, top + SIDE))
pixels = np.asarray(image)
${normalise}sys.stdout.buffer.write(np.ascontiguousarray(pixels).tobytes())
`;
}

/** What an output says, in a line. */
const MEANINGS: Record<string, string> = {
  features: 'the image tower’s vector, of length 1',
  label: 'index of the nearest label in labels.txt',
  p: 'share of each label, softmax',
  msp: 'largest share',
  maxLogit: 'largest logit',
  energy: 'log-sum-exp of the logits',
  mcm: 'largest share at temperature 1',
  pYes: 'yes against no, for each label alone',
  ctw: 'pYes of the nearest label; the paper says in from 0.5 on',
  atd: 'that the image is of any label',
  gap: 'as ctw, as a difference of logits',
  logPOut: 'log of 1 − atd; higher = more out',
  logQMax: 'log of the largest p · pYes; the paper’s ATD says out when logPOut exceeds it',
  word: 'index of the nearest negative word in words.txt',
  negLabel: 'the labels’ share against the negative words',
  wordMax: 'largest logit of a negative word; compare it with maxLogit',
  ole: 'as atd, with the negative words in the softmax',
};

/** README.md of the repository. */
export function guide(forward: TorchScriptForward, { name }: TritonOptions, requestBytes: number): string {
  const { input, outputs, labels } = forward;
  const names = outputNames(forward);
  const rows = outputs.map(
    (output, i) => `| \`${names[i]}\` | ${output.dtype} | ${output.shape.join(' × ')} | ${MEANINGS[output.name]} |`,
  );
  return `# ${name}

Tells of an image which of ${labels.length} classes it is nearest to, and whether it is of any of them. Written by
\`clipn-native-serve triton\`, for Triton's PyTorch backend. The compose file and the manifest have not been run by the
project that wrote them.

\`\`\`sh
docker compose up --detach --wait
python3 pixels.py photo.jpg > pixels.raw
cat request.json pixels.raw | curl -s --data-binary @- -H 'Content-Type: application/octet-stream' -H 'Inference-Header-Content-Length: ${requestBytes}' http://localhost:8000/v2/models/${name}/infer
\`\`\`

The answer is JSON. Where \`request.json\` asks for \`classification\`, each entry is \`value:index:label\`.

Input \`${input.name}\`, ${input.dtype}, N × ${input.shape.join(' × ')}: ${
    input.dtype === 'uint8' ? 'RGB bytes' : 'normalised numbers'
  }. The resize is not in the model: \`pixels.py\` shows it.

| output, of each image | type | shape | meaning (higher = more in, unless said) |
|---|---|---|---|
${rows.join('\n')}

A threshold or a calibration is yours to apply: in when the score is at least that.

- \`docker-compose.yml\`: this folder on this computer
- \`inference-service.yaml\`: the same under KServe; put this folder where its \`storageUri\` points
- \`${name}/config.pbtxt\`: batching, instances, names
`;
}
