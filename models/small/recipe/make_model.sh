#!/bin/sh
# Make the small model from the data sets and texts: three seeds of the base and its no tower, of which the first is shipped.
# Each step resumes or skips what is done.
# Needs Python 3.11 with torch, numpy, pillow and regex, and the built package (npm run setup).
set -eu
: "${TIN:?folder with tiny-imagenet-200}" "${CALTECH:?folder with 101_ObjectCategories, train.txt, test.txt}"
: "${TEXT:?folder with the text files}" "${WORK:?scratch folder outside the work tree}"
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
export OMP_WAIT_POLICY=passive

if [ ! -e "$here/../tokenizer.json" ]; then
  "$python" "$here/tokenizer_subset.py" --vocabulary "$TEXT/bpe_simple_vocab_16e6.txt.gz" \
    --splits "$TEXT/tin200_splits.json" --caltech "$CALTECH" \
    --clipn-templates "$TEXT/clipn_prompt.txt" --openai-templates "$TEXT/imagenet_templates.json" \
    --imagenet-names "$TEXT/imagenet1k_classnames_openai.json" ${WORDS:+--words "$WORDS"} \
    --out "$here/../tokenizer.json"
fi

set -- --tin "$TIN" --caltech "$CALTECH" --splits "$TEXT/tin200_splits.json" --cache "$WORK/cache" \
  --clipn-templates "$TEXT/clipn_prompt.txt" --openai-templates "$TEXT/imagenet_templates.json" \
  --config "$here/../config.json" --tokenizer "$here/../tokenizer.json"
checkpoints=
for seed in 0 1 2; do
  "$python" "$here/train_base.py" "$@" --seed "$seed" --out "$WORK/base-$seed.pt"
  "$python" "$here/class_folders.py" --tin "$TIN" --caltech "$CALTECH" --splits "$TEXT/tin200_splits.json" \
    --base "$WORK/base-$seed.pt" --out "$WORK/teach-$seed"
  node "$here/../../../dist/cli/main.js" teach --base "$WORK/teach-$seed/clip.pt" --data "$WORK/teach-$seed/classes" \
    --names "$WORK/teach-$seed/names.json" --features "$WORK/features-$seed" --out "$WORK/run-$seed" \
    --tokenizer "$here/../tokenizer.json" --act gelu --steps 500 --batch 512 --lr 5e-4 --seed "$seed" --dtype fp16
  checkpoints="$checkpoints --checkpoint $WORK/run-$seed/epoch_5.pt"
done
"$python" "$here/vocabulary.py" --caltech "$CALTECH" --splits "$TEXT/tin200_splits.json" --out "$here/../vocabulary.json"
node "$here/../../../dist/cli/main.js" export "$WORK/run-0/epoch_5.pt" "$here/../model.pt" --dtype fp16 \
  --tokenizer "$here/../tokenizer.json" --vocabulary "$here/../vocabulary.json"
# shellcheck disable=SC2086
"$python" "$here/evaluate.py" "$@" $checkpoints \
  ${DTD:+--ood "Textures (DTD)=$DTD"} ${FLOWERS:+--ood "Flowers=$FLOWERS"} ${OMNIGLOT:+--ood "Omniglot=$OMNIGLOT"}
