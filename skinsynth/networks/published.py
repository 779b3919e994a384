"""The field's own networks as judges: EfficientNet-Lite0, Inception, LPIPS."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import timm
import torch
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..core.machine import device
from . import weights

SIDE = 128  # pixels at which EfficientNet sees an image, unless that is larger
LPIPS_HEADS = {  # linear layers that the lpips package 0.1.4 brings along
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
}


def _folded(net):
    """A network in evaluation mode with each batch normalisation folded into the convolution before it: a third faster."""
    for parent in net.eval().modules():
        before = None
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.BatchNorm2d) and before:
                setattr(parent, before, fuse_conv_bn_eval(getattr(parent, before), child))
                # timm's layers of normalisation hold the activation too
                setattr(parent, name, child.act)
            before = name if isinstance(child, torch.nn.Conv2d) else None
    return net


class EfficientNet:
    """EfficientNet-Lite0 trained on ImageNet (Tan and Le 2019): (N, 1280) features, 1,000 class scores.

    side: smaller images are enlarged to so many pixels (bicubic), so that their fine structure falls
    into frequencies which the first layers resolve; 0 leaves them as they are, for what needs no detail.
    """

    def __init__(self, side=SIDE):
        net, self.side = timm.create_model("tf_efficientnet_lite0"), side
        net.load_state_dict(weights.load("efficientnet-lite0"))
        net = _folded(net).to(device(), memory_format=torch.channels_last)
        self.net = net.requires_grad_(False)

    def embed(self, x):
        """x: float (N,3,H,W) in [-1, 1]. Returns (N, 1280)."""
        if min(x.shape[2:]) < self.side:
            x = F.interpolate(x, (self.side, self.side), mode="bicubic", align_corners=False)
            x = x.clamp(-1, 1)
        maps = self.net.forward_features(x.contiguous(memory_format=torch.channels_last))
        return self.net.forward_head(maps, pre_logits=True)

    def measure(self, x):
        """(N, 2280): the features, then the probabilities of ImageNet's classes."""
        features = self.embed(x)
        return torch.cat([features, self.net.classifier(features).softmax(1)], 1)


def inception():
    """Inception-v3 as torch-fidelity runs it, or NotComputed without its weights.

    Returns a function of uint8 images (n, H, W, 3) -> (n, 3056): pool for FID and KID (2048), then
    probabilities for the Inception score (1008). Raises UserError on a wrong hash.
    """
    found = weights.find("inception")
    if isinstance(found, weights.NotComputed):
        return found
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with tempfile.TemporaryDirectory() as folder:  # its own reader takes torch's format only
        file, parts = str(Path(folder) / "weights.pth"), ["2048", "logits_unbiased"]
        torch.save(weights.load("inception"), file)
        given = dict(feature_extractor_weights_path=file)
        net = FeatureExtractorInceptionV3("inception-v3-compat", parts, **given).to(device())

    @torch.no_grad()
    def measure(images):
        features, logits = net(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).to(device()))
        return torch.cat([features.float(), logits.double().softmax(1).float()], 1).cpu().numpy()

    return measure


class LPIPS(torch.nn.Module):
    """LPIPS 0.1 (Zhang et al. 2018) with the AlexNet or VGG16 backbone, 0 for equal images.

    backbone: "alex" or "vgg". Raises UserError where its convolutions are absent or its heads wrong.
    """

    NAMES = {"alex": "LPIPS (AlexNet)", "vgg": "LPIPS (VGG16)"}

    def __init__(self, backbone):
        super().__init__()
        import lpips

        heads = Path(lpips.__file__).parent / f"weights/v0.1/{backbone}.pth"
        weights.check(heads, LPIPS_HEADS[backbone])
        state = weights.load({"alex": "lpips-alexnet", "vgg": "lpips-vgg16"}[backbone])
        with warnings.catch_warnings():  # lpips calls torchvision in the old way
            warnings.simplefilter("ignore", UserWarning)
            self.net = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
        convolutions = [m for m in self.net.net.modules() if isinstance(m, torch.nn.Conv2d)]
        torch.nn.ModuleList(convolutions).load_state_dict(state)
        self.requires_grad_(False)

    def forward(self, x, y):
        """x, y: float (N, 3, H, W) in [-1, 1]. Returns (N,)."""
        return self.net(x, y).flatten()
