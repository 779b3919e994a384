"""Classifiers of the diagnosis, and what is done to the images that they are trained on."""

import cv2
import numpy as np
import timm
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.machine import device, moved, side_by_side
from ..core.store import atomic, read_json, stage, write_json
from ..numerics.arrays import Rows, fill, labels_of, load_array, load_weights, records_of, to_tensor
from ..numerics.training import fit


def save_module(out, model, facts):
    """Weights as safetensors with the facts that rebuild the module beside them."""
    with atomic(out / "model.safetensors") as part:
        save_file({k: v.cpu().contiguous() for k, v in model.state_dict().items()}, part)
    write_json(out / "config.json", facts)


@torch.no_grad()
def in_batches(function, images, batch=64):
    """function(x (n,3,H,W) in [-1,1]) -> tensor, over uint8 images in batches; float32 array."""

    def one(i):
        return function(to_tensor(images[i : i + batch]).to(device())).float().cpu().numpy()

    return np.concatenate(side_by_side(one, range(0, len(images), batch)))


def augment(x, rng):
    """Random flips and quarter turns, one for each image: the symmetries of dermatoscopy."""
    turns = torch.randint(0, 8, (len(x),), generator=rng).tolist()
    flipped = (a.flip(2) if k >= 4 else a for a, k in zip(x, turns, strict=True))
    turned = [torch.rot90(a, k % 4, (1, 2)) for a, k in zip(flipped, turns, strict=True)]
    return torch.stack(turned)


def soften(x, rng):
    """Each image mixed with its blurred copy in a random share, and a little noise.

    A probe trained without this reads sharpness as diagnosis: of images that merely passed through
    an autoencoder it then calls nearly all nv.
    """
    flat = x.permute(0, 2, 3, 1).contiguous()  # one layout: mixed ones cost more than the blur
    share, noisy = (torch.rand(len(x), 1, 1, 1, generator=rng) for _ in range(2))
    noise = 0.05 * noisy * torch.randn(flat.shape, generator=rng)
    blurred = np.stack([cv2.GaussianBlur(image, (9, 9), 1.5) for image in flat.numpy()])
    return (torch.lerp(flat, torch.from_numpy(blurred), share) + noise).permute(0, 3, 1, 2)


def strong(x, rng):
    """Strong classical augmentation, each image on its own: any rotation, mirrored or not, scale,
    saturation and contrast by up to a quarter, brightness by up to a tenth, softness, noise."""
    u = torch.rand(6, len(x), generator=rng)
    scale, colour, contrast = (0.8 * 1.25 ** (2 * u[k]) for k in (1, 3, 4))  # 0.8 to 1.25
    angle, zero = 2 * torch.pi * u[0], torch.zeros(len(x))
    along, across = angle.cos() / scale, angle.sin() / scale
    mirror = torch.where(u[2] < 0.5, -1.0, 1.0)
    rows = (along * mirror, -across, zero), (across * mirror, along, zero)
    turn = torch.stack([torch.stack(row, 1) for row in rows], 1)
    place = F.affine_grid(turn, x.shape, align_corners=False)
    x = F.grid_sample(x, place, padding_mode="reflection", align_corners=False)
    grey, mean = x.mean(1, keepdim=True), x.mean((1, 2, 3), keepdim=True)
    colour, contrast, light = (v.view(-1, 1, 1, 1) for v in (colour, contrast, u[5]))
    x = grey + colour * (x - grey)
    x = mean + contrast * (x - mean) + 0.4 * (light - 0.5)
    return soften(x.clamp(-1, 1), rng)


class Classifier(nn.Module):
    """A timm network with a fresh head for images in [-1, 1]: (N,3,H,W) -> logits (N, classes).

    Each network sees the mean and deviation it was trained with. start: a stage with its weights, of
    which all but the head are taken. Then batch normalisation keeps their statistics, which few skin
    images would only disturb, and depthwise filters stay as they are: they are patterns as general as
    edges, and their gradients take a third of the time. Raises UserError where the weights are another
    network's.
    """

    def __init__(self, backbone, classes, start=None):
        super().__init__()
        self.net, self.known = timm.create_model(backbone, num_classes=classes), start is not None
        facts = self.net.default_cfg
        mean, std = (torch.tensor(facts[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
        self.register_buffer("mean", 2 * mean - 1, persistent=False)  # on [-1, 1]
        self.register_buffer("std", 2 * std, persistent=False)
        if start is not None:
            self._take(start / "model.safetensors", backbone)

    def _take(self, path, backbone):
        head = self.net.default_cfg["classifier"] + "."
        state = {k: v for k, v in load_weights(path).items() if not k.startswith(head)}
        own = {(k, v.shape) for k, v in self.net.state_dict().items() if not k.startswith(head)}
        if wrong := own ^ {(k, v.shape) for k, v in state.items()}:
            fault = f"not the weights of {backbone} ({min(wrong)[0]})"
            raise UserError(f"{path}: {fault}; put the right file there")
        self.net.load_state_dict(state, strict=False)
        for layer in self.net.modules():
            if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels:
                layer.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        for layer in self.net.modules():
            if self.known and isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        return self

    def features(self, x):
        """What the head sees: (N, D)."""
        maps = self.net.forward_features((x - self.mean) / self.std)
        return self.net.forward_head(maps, pre_logits=True)

    def forward(self, x):
        return self.net((x - self.mean) / self.std)

    @torch.no_grad()
    def aim(self, images, labels, weights=None, most=1024):
        """Set the head to a logistic regression on the features as they are, of `most` images at most.

        A random head would first undo what the network knows (Kumar et al. 2022, linear probing, then
        fine-tuning). weights: (N,) as the images are drawn in training.
        """
        rows = np.sort(np.random.default_rng(0).permutation(len(images))[:most])
        x, head = in_batches(self.eval().features, images[rows]), self.net.get_classifier()
        scaled = StandardScaler().fit(x)
        own = None if weights is None else weights[rows] / weights[rows].mean()
        found = LogisticRegression(C=0.01, max_iter=300).fit(scaled.transform(x), labels[rows], own)
        # two classes have one row between them; a handful of images is no start
        if len(found.classes_) < 3:
            return
        weight = found.coef_ / scaled.scale_
        bias = found.intercept_ - weight @ scaled.mean_
        head.bias.fill_(bias.min())  # a class without images
        for row, w, b in zip(found.classes_, weight, bias, strict=True):
            head.weight[row], head.bias[row] = torch.from_numpy(w), b


def try_backbone(name, size):
    """Raise UserError where timm knows no such network, or it does not take images of `size` pixels."""
    try:
        Classifier(name, 2).eval()(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        fault = f"network {name!r} cannot be used at {size} pixels ({reason})"
        raise UserError(f"{fault}; see timm.list_models()") from error


def train_classifier(out, images, labels, backbone, start, seed, weights, change, **training):
    """Train a classifier on uint8 images and int labels; saves it under `out` and returns it.

    weights: (N,) draw probabilities, or None; change(x, rng): what is done to the images of a step;
    training: steps, batch and desc as in training.fit.
    """
    torch.manual_seed(seed)
    targets = torch.from_numpy(labels)
    model = Classifier(backbone, len(CLASSES), start)
    model = model.to(memory_format=torch.channels_last)  # faster by a quarter

    def loss(net, index, rng):
        x = moved(change(to_tensor(images[index.numpy()]), rng))
        return F.cross_entropy(net(x).float(), moved(targets[index]), label_smoothing=0.05)

    if model.known:
        model.to(device()).aim(images, labels, weights)
    rate = 3e-4 if model.known else 2e-3  # largest; the first was chosen on validation
    training |= dict(lr=rate, ema=0.98, seed=seed, weights=weights)
    training |= dict(divisible=model.known, classifier=True)
    fit(model, loss, len(images), out=out, **training)
    save_module(out, model, dict(backbone=backbone))
    return model


def load_classifier(made):
    """The classifier of a stage, on the device."""
    model = Classifier(read_json(made / "config.json")["backbone"], len(CLASSES))
    fill(model, made / "model.safetensors")
    return model.to(device(), memory_format=torch.channels_last).eval()


def probabilities(model, images):
    """Class probabilities (N,7) float32 of uint8 images."""
    return in_batches(lambda x: model(x).float().softmax(1), images, 32)


def balanced_weights(labels):
    """Draw probabilities under which every class that is present is drawn equally often."""
    return 1.0 / np.bincount(labels)[labels]


@stage("probe")
def train_probe(out, *, records, backbone, start, steps, batch, seed):
    """The classifier that judges label fidelity: train images only, drawn by class, sharp or soft."""
    table = records_of(records)
    rows = (table.split == "train").to_numpy()
    pixels = Rows((load_array(records / "images.npy"), rows))
    labels = labels_of(table[rows], CLASSES)

    def change(x, rng):
        return soften(augment(x, rng), rng)

    given = dict(weights=balanced_weights(labels), steps=steps, batch=batch, desc="probe")
    train_classifier(out, pixels, labels, backbone, start, seed, change=change, **given)
