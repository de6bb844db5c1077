#!/bin/sh
# Make the small model from the data sets and texts. Each step resumes or skips what is done.
# Needs Python 3.11 with torch, numpy, pillow and regex.
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
"$python" "$here/train_base.py" "$@" --out "$WORK/base.pt"
"$python" "$here/teach_no.py" "$@" --base "$WORK/base.pt" --progress "$WORK/no.pt" \
  --out "$WORK/epoch_10.pt"
"$python" "$here/evaluate.py" "$@" --checkpoint "$WORK/epoch_10.pt" \
  ${DTD:+--ood "Textures (DTD)=$DTD"} ${FLOWERS:+--ood "Flowers=$FLOWERS"} ${OMNIGLOT:+--ood "Omniglot=$OMNIGLOT"}
