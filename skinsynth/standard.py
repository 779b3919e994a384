"""The field's standard networks, used only if their weights lie on this machine."""

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache

from .errors import UserError
from .store import Stage

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's release v0.2.0
# Suvorov et al. 2022 as TorchScript: Sanster/models, release add_big_lama
LAMA = "big-lama.pt"
LAMA_SHA = "344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a25"  # its first digits
ALEXNET = "alexnet-owt-7be5be79.pth"  # torchvision's, the backbone of lpips' default
# the linear layers that the lpips package 0.1.4 brings along
LPIPS_LINEAR = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"


@dataclass(frozen=True)
class NotComputed:
    """What stands in a table instead of a number, and why."""

    reason: str

    def __str__(self):
        return f"not computed: {self.reason}"


def _checked(path, digest):
    with open(path, "rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if not found.startswith(digest):
        raise UserError(f"{path}: SHA-256 {found[:12]}... is not {digest}...; fetch the file again")
    return Path(path)


def find_weights(name):
    """Path of a weight file in SKINSYNTH_WEIGHTS or torch hub's cache, or None if it is in neither.

    name: file name that ends in the first digits of its published SHA-256, as the hub's do.
    Raises UserError if a file of that name has another hash.
    """
    folders = [Path(torch.hub.get_dir()) / "checkpoints"]
    if os.environ.get("SKINSYNTH_WEIGHTS"):
        folders.insert(0, Path(os.environ["SKINSYNTH_WEIGHTS"]))
    for folder in folders:
        if (folder / name).is_file():
            return _checked(folder / name, LAMA_SHA if name == LAMA else Path(name).stem.rsplit("-", 1)[1])
    return None


def backbone_weights(name):
    """timm's own weights of a backbone, or None: SKINSYNTH_WEIGHTS/<name>/ or the Hugging Face cache.

    Returns a Stage that holds model.safetensors; its key is the file's SHA-256.
    """
    found = [Path(os.environ["SKINSYNTH_WEIGHTS"]) / name / "model.safetensors"] if os.environ.get("SKINSYNTH_WEIGHTS") else []
    cached = try_to_load_from_cache(f"timm/{name}", "model.safetensors")
    found += [Path(cached)] if isinstance(cached, str) else []
    for path in found:
        if path.is_file():
            with open(path, "rb") as handle:
                return Stage(path.parent, hashlib.file_digest(handle, "sha256").hexdigest()[:12])
    return None


def inception(device="cpu"):
    """Inception-v3 as torch-fidelity runs it, or NotComputed without its weights.

    Returns a function of uint8 images (n, H, W, 3) -> (pool (n, 2048) for FID and KID, probabilities
    (n, 1008) for the Inception score), float32. Raises UserError on a wrong hash.
    """
    path = find_weights(INCEPTION)
    if path is None:
        return NotComputed(f"weights absent: {INCEPTION}")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    net = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    ).to(device)

    @torch.no_grad()
    def measure(images):
        features, logits = net(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).to(device))
        return features.float().cpu().numpy(), logits.double().softmax(1).float().cpu().numpy()

    return measure


class StandardLPIPS(torch.nn.Module):
    """LPIPS 0.1 with the AlexNet backbone, from local weights. Lower is nearer."""

    name = "LPIPS (AlexNet)"

    def __init__(self, backbone):
        super().__init__()
        import lpips

        _checked(Path(lpips.__file__).parent / "weights/v0.1/alex.pth", LPIPS_LINEAR)
        with warnings.catch_warnings():  # lpips calls torchvision in the old way
            warnings.simplefilter("ignore", UserWarning)
            self.net = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        weights = torch.load(backbone, map_location="cpu", weights_only=True)
        for part in self.net.net.children():  # slices of AlexNet's features, indices kept
            state = {k: weights[f"features.{k}"] for k in part.state_dict()}
            part.load_state_dict(state)
        self.requires_grad_(False)

    def distance(self, x, y):
        """x, y: float (N, 3, H, W) in [-1, 1]. Returns (N,)."""
        return self.net(x, y).flatten()


def lpips_standard():
    """The standard LPIPS network, or NotComputed without its weights."""
    path = find_weights(ALEXNET)
    return StandardLPIPS(path) if path else NotComputed(f"weights absent: {ALEXNET}")
