"""Writes test/golden/worked-example.h, the scoring and the losses of test/golden/worked-example.json for the native tests.

    python test/reference/make_score_golden.py
"""

import json
from pathlib import Path

SCORES = {
    "ctw": "id_score_ctw",
    "atd": "id_score_atd",
    "msp": "id_score_msp",
    "max_logit": "id_score_maxlogit",
    "energy": "id_score_energy_logsumexp",
    "mcm": "id_score_mcm_T1",
}


def flat(value: object) -> list[float]:
    return [number for item in value for number in flat(item)] if isinstance(value, list) else [value]


def vector(value: object) -> str:
    return "{" + ", ".join(repr(number) for number in flat(value)) + "}"


def main() -> None:
    golden = Path(__file__).resolve().parent.parent / "golden"
    examples = json.loads((golden / "worked-example.json").read_text(encoding="utf-8"))
    expected, losses = examples["scoring"]["expected"], examples["losses"]
    fields = [*SCORES, "p_out", "p", "p_yes", "q", "logits_yes", "logits_no"]
    lines = [
        "// From worked-example.json by test/reference/make_score_golden.py: 2 images, 3 classes, D = 4, in double.",
        "// clang-format off",
        "#pragma once",
        "#include <vector>",
        "",
        f"inline const std::vector<double> kGoldenFeatures = {vector(expected['image_features_normalised'])};",
        f"inline const std::vector<double> kGoldenYes = {vector(expected['classifier_yes'])};",
        f"inline const std::vector<double> kGoldenNo = {vector(expected['classifier_no'])};",
        "",
        "struct ScoreGolden {",
        "  float scale;",
        f"  std::vector<double> {', '.join(fields)};",
        "};",
        "",
        "inline const std::vector<ScoreGolden> kScoreGolden = {",
    ]
    for key in ("at_scale_100", "at_scale_10"):
        at = expected[key]
        distribution = at["atd_Cplus1_distribution"]
        values = [at[name] for name in SCORES.values()]
        values += [at["ood_prob_atd_p_Cplus1"], at["class_probs_p_ij"], at["p_yes_ij"], [q[:-1] for q in distribution]]
        values += [at["logits_yes"], at["logits_no"]]
        lines.append(f"    {{{at['scale']}f, " + ", ".join(vector(value) for value in values) + "},")
    inputs, gradient = losses["inputs"], losses["gradient"]
    lines += [
        "};",
        "",
        "// Losses: 3 images and captions, D = 4.",
        f"inline const std::vector<double> kLossImage = {vector(inputs['image_features_normalised'])};",
        f"inline const std::vector<double> kLossYes = {vector(inputs['yes_text_features_normalised'])};",
        f"inline const std::vector<double> kLossNo = {vector(inputs['no_text_features_normalised'])};",
        "",
        "struct LossGolden {",
        "  double scale, yes, no, text, total;",
        "};",
        "",
        "inline const std::vector<LossGolden> kLossGolden = {",
    ]
    for at in losses["expected"]:
        values = [at[name] for name in ("scale", "itbo_yes", "itbo_no", "tso_l2", "total_code")]
        lines.append(f"    {vector(values)},")
    lines += [
        "};",
        "",
        "// The total's gradient by the no features before they are normalised.",
        f"inline const double kLossGradientScale = {gradient['scale']!r};",
        f"inline const std::vector<double> kLossNoRaw = {vector(gradient['no_text_features_raw'])};",
        f"inline const std::vector<double> kLossGradient = {vector(gradient['d_total_code_d_no_text_features_raw'])};",
        "",
    ]
    (golden / "worked-example.h").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
