"""The three named versions of the method, as switches, and the ladder between two of them."""

from dataclasses import asdict, dataclass, replace

SAMPLING = ("adapters_on", "pass_class", "reference_scale", "solver", "steps", "stretch")


@dataclass(frozen=True)
class Method:
    """Choices in which the text, the released code and we differ; the autoencoder's loss is in vae_loss.py. Defaults: recommended."""

    levels: tuple | None = None  # which of the CLIP levels reach the UNet; None: all
    adapter_weight: float = 1.0
    train_projections: bool = True  # False: the levels' projections stay random
    drop: str = "image"  # the condition is dropped for each "image", or for the whole "batch"
    target: str = "own"  # the scheduler's "own" target, or "epsilon": the noise
    norm: str = "l2"  # or "l1"
    times: str = "middle"  # where the noise is learnt most often, or "all": everywhere alike
    lesion_weight: bool = True  # the lesion counts twice
    ema: float = 0.12  # share of the training over which weights are averaged; 0: they are not
    whiten: bool = True  # latents by measured mean and deviation; False: as the VAE gives them
    dehair: bool = True  # train on images whose hair was removed
    # while sampling
    adapters_on: bool = True
    pass_class: bool = True
    reference_scale: float = 1.0  # guidance towards the reference; 1: only the class is guided
    solver: str = "dpm"  # or "ddpm", which is DDIM with eta 1
    steps: int = 0  # 0: as the profile says
    stretch: bool = False  # stretch each image to its own minimum and maximum on saving

    @property
    def sampling(self):
        """What changes samples but no weights."""
        return {name: getattr(self, name) for name in SAMPLING}

    @property
    def training(self):
        """What changes weights, without `dehair`, which changes the images."""
        return {k: v for k, v in asdict(self).items() if k not in (*SAMPLING, "dehair")}


RUNGS = (  # what the released code does (raddshing/skin-disease-diffusion at 07e9ea2), as switches on our
    # own model, undone one by one on the way to `recommended`; the solver first: the rest is cheap then
    ("few-step solver", dict(solver="ddpm", steps=750)),
    ("no stretch on saving", dict(stretch=True)),
    ("class while sampling", dict(pass_class=False)),
    ("adapters while sampling", dict(adapters_on=False)),
    ("whitened latents", dict(whiten=False)),
    ("own target, squared error", dict(target="epsilon", norm="l1")),
    ("middle times more often", dict(times="all")),
    ("dropped for each image", dict(drop="batch")),
    ("five levels", dict(levels=(1, 2, 3))),
    ("trained projections", dict(train_projections=False)),
    ("adapter weight 1", dict(adapter_weight=0.02)),
    ("averaged weights", dict(ema=0.0)),
    ("hair removal", dict(dehair=False)),
    ("lesion counts twice", dict(lesion_weight=False)),
)
RECOMMENDED = Method()
RELEASED = Method(**{field: value for _, was in RUNGS for field, value in was.items()})
# what the text says
PAPER = replace(RECOMMENDED, target="epsilon", times="all", lesion_weight=False, ema=0.0)
VERSIONS = dict(recommended=RECOMMENDED, paper=PAPER, released=RELEASED)


def ladder():
    """[(name of the rung, Method)] from `released` to `recommended`, one switch at a time."""
    steps = [("released", RELEASED)]
    for name, was in RUNGS:
        changed = {field: getattr(RECOMMENDED, field) for field in was}
        steps.append((name, replace(steps[-1][1], **changed)))
    return steps
