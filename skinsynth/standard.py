"""The field's standard measuring networks, used only if their weights lie on this machine."""

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .errors import UserError

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's release v0.2.0
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
            return _checked(folder / name, Path(name).stem.rsplit("-", 1)[1])
    return None


@torch.no_grad()
def inception_features(images, batch=32, device="cpu"):
    """Inception-v3 features as torch-fidelity computes them, or NotComputed without its weights.

    images: uint8 (N, H, W, 3). Returns dict(pool=(N, 2048) float64 for FID and KID,
    probs=(N, 1008) float64 for the Inception score). Raises UserError on a wrong hash.
    """
    path = find_weights(INCEPTION)
    if path is None:
        return NotComputed(f"weights absent: {INCEPTION}")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    net = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    ).to(device)
    pool, probs = [], []
    for i in range(0, len(images), batch):
        x = torch.from_numpy(np.array(images[i : i + batch])).permute(0, 3, 1, 2)
        features, logits = net(x.to(device))
        pool.append(features.double().cpu().numpy())
        probs.append(logits.double().softmax(1).cpu().numpy())
    return dict(pool=np.concatenate(pool), probs=np.concatenate(probs))


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
