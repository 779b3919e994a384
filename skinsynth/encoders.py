"""Small image encoders: one serves as a loss, another measures, classifiers name the diagnosis."""

import cv2
import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from .arrays import Rows, labels_of, load_array, records_of, to_tensor
from .config import CLASSES
from .errors import UserError
from .machine import device, side_by_side
from .store import atomic, read_json, stage, write_json
from .training import fit


class AttributeEncoder(nn.Module):
    """Convolutional encoder trained to name the attributes of generic skin.

    features(x): (N,3,H,W) in [-1,1] -> four maps; embed(x): (N,64), the measured features.
    """

    def __init__(self, width, heads):
        super().__init__()
        widths = [3, width, 2 * width, 2 * width, 4 * width]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(4, b), nn.SiLU(),
                nn.Conv2d(b, b, 3, 1, 1), nn.GroupNorm(4, b), nn.SiLU(),
            )
            for a, b in zip(widths, widths[1:], strict=False)
        )  # fmt: skip
        self.out = nn.Linear(widths[-1], 64)
        self.heads = nn.Linear(64, sum(heads))

    def features(self, x):
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def embed(self, x):
        return self.out(self.features(x)[-1].mean((2, 3)))

    def forward(self, x):
        return self.heads(F.silu(self.embed(x)))


def perceptual_distance(net, x, y):
    """Mean squared difference of unit-normalised features, averaged over maps: (N,). As LPIPS.

    Gradients flow to y, the copy; x is the original.
    """
    with torch.no_grad():
        wanted = [F.normalize(a.float()) for a in net.features(x)]
    parts = [
        (a - F.normalize(b.float())).square().sum(1).mean((1, 2))
        for a, b in zip(wanted, net.features(y), strict=True)
    ]
    return torch.stack(parts).mean(0)


def attribute_targets(generic):
    """Of a generic-skin stage: (N, attributes) int64 and the number of values of each attribute."""
    facts = read_json(generic / "attributes.json")
    names = facts["vocabulary"]
    rows = [[names[k].index(row[k]) for k in names] for row in facts["rows"]]
    return np.array(rows), [len(v) for v in names.values()]


def save_state(out, state, facts):
    """Weights as safetensors with the facts that rebuild the module beside them."""
    with atomic(out / "model.safetensors") as part:
        save_file({k: v.cpu().contiguous() for k, v in state.items()}, part)
    write_json(out / "config.json", facts)


def save_module(out, model, facts):
    save_state(out, model.state_dict(), facts)


@stage("encoder")
def train_encoder(out, *, generic, width, steps, batch, seed):
    """An encoder of generic skin. The one that is a loss and the one that measures differ in seed
    and width, and both differ from the CLIP model that conditions (PROTOCOL: generative numbers)."""
    torch.manual_seed(seed)
    heads = attribute_targets(generic)[1]
    model = AttributeEncoder(width, heads)
    _fit_attributes(out, model, generic, steps=steps, batch=batch, lr=3e-3, seed=seed, desc="encoder")
    save_module(out, model, dict(width=width, heads=heads))


def _fit_attributes(out, model, generic, **training):
    """Train a network whose outputs are the logits of all attributes, one after the other."""
    images = load_array(generic / "images.npy")
    targets, sizes = attribute_targets(generic)
    targets = torch.from_numpy(targets)

    def loss(net, index, rng):
        x = augment(to_tensor(images[index.numpy()]), rng).to(device())
        logits, wanted = net(x).float().split(sizes, 1), targets[index].to(device()).unbind(1)
        return sum(F.cross_entropy(a, b) for a, b in zip(logits, wanted, strict=True)) / len(sizes)

    fit(model, loss, len(images), out=out, ema=0.99, **training)


@stage("backbone")
def train_backbone(out, *, generic, backbone, steps, batch, seed):
    """A timm network that knows the attributes of generic skin: where classifiers start."""
    torch.manual_seed(seed)
    model = new_classifier(backbone, sum(attribute_targets(generic)[1]))
    _fit_attributes(out, model, generic, steps=steps, batch=batch, lr=2e-3, seed=seed, desc="backbone")
    body = {k: v for k, v in model.state_dict().items() if not _is_head(model, k)}
    save_state(out, body, dict(backbone=backbone))


def load_encoder(made):
    """The frozen AttributeEncoder of a stage, on the device."""
    facts = read_json(made / "config.json")
    net = AttributeEncoder(facts["width"], facts["heads"])
    net.load_state_dict(load_file(made / "model.safetensors"))
    return net.to(device()).eval().requires_grad_(False)


@torch.no_grad()
def in_batches(function, images, batch=64):
    """function(x (n,3,H,W) in [-1,1]) -> tensor, over uint8 images in batches; float32 array."""
    one = lambda i: function(to_tensor(images[i : i + batch]).to(device())).float().cpu().numpy()  # noqa: E731
    return np.concatenate(side_by_side(one, range(0, len(images), batch)))


def augment(x, rng):
    """Random flips and quarter turns, one for each image: the symmetries of dermatoscopy."""
    turns = torch.randint(0, 8, (len(x),), generator=rng).tolist()
    return torch.stack([
        torch.rot90(a.flip(2) if k >= 4 else a, k % 4, (1, 2)) for a, k in zip(x, turns, strict=True)
    ])  # fmt: skip


def soften(x, rng):
    """Each image mixed with its blurred copy in a random share, and a little noise.

    A probe trained without this reads sharpness as diagnosis: of images that merely passed through
    an autoencoder it then calls nearly all nv.
    """
    flat = x.permute(0, 2, 3, 1).contiguous()  # one layout for all: mixed ones cost more than the blur
    share = torch.rand(len(x), 1, 1, 1, generator=rng)
    noise = 0.05 * torch.rand(len(x), 1, 1, 1, generator=rng) * torch.randn(flat.shape, generator=rng)
    blurred = np.stack([cv2.GaussianBlur(image, (9, 9), 1.5) for image in flat.numpy()])
    return (torch.lerp(flat, torch.from_numpy(blurred), share) + noise).permute(0, 3, 1, 2)


def strong(x, rng):
    """Strong classical augmentation, each image on its own: any rotation, mirrored or not, scale,
    saturation and contrast by up to a quarter, brightness by up to a tenth, softness, noise."""
    u = torch.rand(6, len(x), generator=rng)
    times = lambda k: 0.8 * 1.25 ** (2 * u[k])  # 0.8 to 1.25  # noqa: E731
    along, across = torch.stack([(2 * torch.pi * u[0]).cos(), (2 * torch.pi * u[0]).sin()]) / times(1)
    mirror, zero = torch.where(u[2] < 0.5, -1.0, 1.0), torch.zeros(len(x))
    turn = torch.stack([torch.stack([along * mirror, -across, zero], 1), torch.stack([across * mirror, along, zero], 1)], 1)
    place = F.affine_grid(turn, x.shape, align_corners=False)
    x = F.grid_sample(x, place, padding_mode="reflection", align_corners=False)
    grey, mean = x.mean(1, keepdim=True), x.mean((1, 2, 3), keepdim=True)
    x = grey + times(3).view(-1, 1, 1, 1) * (x - grey)
    x = mean + times(4).view(-1, 1, 1, 1) * (x - mean) + 0.4 * (u[5].view(-1, 1, 1, 1) - 0.5)
    return soften(x.clamp(-1, 1), rng)


def _is_head(model, name):
    return name.startswith(model.default_cfg["classifier"] + ".")


def try_backbone(name, size):
    """Raise UserError where timm knows no such network, or it does not take images of `size` pixels."""
    try:
        timm.create_model(name, num_classes=2).eval()(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"network {name!r} cannot be used at {size} pixels ({reason}); see timm.list_models()") from error


def new_classifier(backbone, classes, start=None):
    """A timm backbone by name with a fresh head; start: a folder whose weights it takes, but the head."""
    model = timm.create_model(backbone, num_classes=classes)
    if start is not None:
        state = {k: v for k, v in load_file(start / "model.safetensors").items() if not _is_head(model, k)}
        try:
            missing, extra = model.load_state_dict(state, strict=False)
        except RuntimeError:  # sizes differ
            missing, extra = ["sizes"], []
        if wrong := [*extra, *(k for k in missing if not _is_head(model, k))]:
            raise UserError(f"{start / 'model.safetensors'}: not the weights of {backbone} ({wrong[0]}); put the right file there")
    return model


def train_classifier(
    out, images, labels, *, backbone, steps, batch, seed, start=None, weights=None, change=augment, desc=""
):  # fmt: skip
    """Train a classifier on uint8 images and int labels; saves it under `out` and returns it.

    change(x, rng): what is done to the images of a step, by default flips and quarter turns.
    """
    torch.manual_seed(seed)
    targets = torch.from_numpy(labels)
    model = new_classifier(backbone, len(CLASSES), start).to(memory_format=torch.channels_last)  # faster by a quarter

    def loss(net, index, rng):
        x = change(to_tensor(images[index.numpy()]), rng).to(device())
        return F.cross_entropy(net(x).float(), targets[index].to(device()), label_smoothing=0.05)

    fit(
        model, loss, len(images), out=out, steps=steps, batch=batch, lr=2e-3, seed=seed,
        weights=weights, ema=0.98, desc=desc,
    )  # fmt: skip
    model.eval()
    save_module(out, model, dict(backbone=backbone))
    return model


def load_classifier(made):
    """The classifier of a stage, on the device."""
    model = new_classifier(read_json(made / "config.json")["backbone"], len(CLASSES))
    model.load_state_dict(load_file(made / "model.safetensors"))
    return model.to(device(), memory_format=torch.channels_last).eval()


def probabilities(model, images):
    """Class probabilities (N,7) float32 of uint8 images."""
    return in_batches(lambda x: model(x).float().softmax(1), images)


def balanced_weights(labels):
    """Draw probabilities under which every class that is present is drawn equally often."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    return 1.0 / counts[labels]


@stage("probe")
def train_probe(out, *, images, records, backbone, start, steps, batch, seed):
    """The classifier that judges label fidelity: train images only, drawn by class, sharp or soft."""
    table = records_of(records)
    rows = (table.split == "train").to_numpy()
    pixels, labels = Rows((load_array(images / "images.npy"), rows)), labels_of(table[rows], CLASSES)
    train_classifier(
        out, pixels, labels, backbone=backbone, start=start, steps=steps, batch=batch, seed=seed,
        weights=balanced_weights(labels), change=lambda x, rng: soften(augment(x, rng), rng), desc="probe",
    )  # fmt: skip
