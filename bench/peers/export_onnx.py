"""Writes what the peers read: the seeded ViT-B/16's image tower as ONNX, in fp32 and dynamic int8, and reference features.

    python bench/peers/export_onnx.py CHECKPOINT PIXELS OUT

PIXELS: uint8 [n, 224, 224, 3]. OUT gets onnx/vision_model.onnx, onnx/vision_model_quantized.onnx, the two JSON files that
transformers.js wants beside them, and reference.f32: float64 features of clipn_reference.py, rounded, [n, 512].
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

import vit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "reference"))
import clipn_reference as reference  # noqa: E402

NET = reference.NETWORKS["ViT-B-16"]


def export(tower: torch.nn.Module, path: Path) -> None:
    example = torch.zeros(2, 3, NET["image_size"], NET["image_size"])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(tower, (example,), str(path), input_names=["pixel_values"], output_names=["image_embeds"],
                          dynamic_axes={"pixel_values": {0: "batch"}, "image_embeds": {0: "batch"}}, opset_version=17,
                          dynamo=False)


def quantise(source: Path, target: Path) -> None:
    """Dynamic int8 of every linear: the patch embedding stays fp32, for onnxruntime has no fast dynamic convolution."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(str(source), str(target), op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8,
                     per_channel=True)


def main() -> None:
    checkpoint, pixels, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    state = reference.load_state_dict(checkpoint)
    fp32 = out / "onnx" / "vision_model.onnx"
    export(vit.load(state, NET), fp32)
    quantise(fp32, out / "onnx" / "vision_model_quantized.onnx")
    side = NET["image_size"]
    (out / "config.json").write_text(json.dumps({"model_type": "clip_vision_model", "projection_dim": NET["embed_dim"]}))
    (out / "preprocessor_config.json").write_text(json.dumps({
        "feature_extractor_type": "CLIPFeatureExtractor", "image_processor_type": "CLIPImageProcessor",
        "do_resize": True, "size": {"shortest_edge": side}, "resample": 3, "do_center_crop": True, "crop_size": side,
        "do_convert_rgb": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": reference.MEAN, "image_std": reference.STD}))
    images = torch.from_numpy(np.fromfile(pixels, np.uint8).reshape(-1, side, side, 3))
    visual = {key: value.double() for key, value in state.items() if key.startswith("visual.")}
    with torch.no_grad():
        features = reference.unit(reference.encode_image(reference.normalise(images), visual, NET))[:, 0]
    features.float().numpy().tofile(out / "reference.f32")


if __name__ == "__main__":
    main()
