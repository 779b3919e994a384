"""The three named versions of the method, as switches, and the ladder between two of them."""

from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Method:
    """Every choice in which the text, the released code and we differ. Defaults: recommended."""

    levels: tuple | None = None  # which of the CLIP levels reach the UNet; None: all
    adapter_weight: float = 1.0
    train_projections: bool = True  # False: the levels' projections stay random
    drop: str = "image"  # the condition is dropped for each "image", or for the whole "batch"
    target: str = "own"  # the scheduler's "own" target, or "epsilon": the noise
    norm: str = "l2"  # or "l1"
    lesion_weight: bool = True  # the lesion counts twice
    ema: float = 0.995  # 0: no averaged weights
    whiten: bool = True  # latents by measured mean and deviation; False: as the VAE gives them
    dehair: bool = True  # train on images whose hair was removed
    # while sampling
    adapters_on: bool = True
    pass_class: bool = True
    reference_scale: float = (
        1.0  # guidance towards the reference; 1: none, only the class is guided
    )
    solver: str = "dpm"  # or "ddim"
    steps: int = 0  # 0: as the profile says
    eta: float = 0.0
    stretch: bool = False  # stretch each image to its own minimum and maximum on saving

    @property
    def sampling(self):
        """What changes samples but no weights."""
        names = (
            "adapters_on",
            "pass_class",
            "reference_scale",
            "solver",
            "steps",
            "eta",
            "stretch",
        )
        return {k: v for k, v in asdict(self).items() if k in names}

    @property
    def training(self):
        """What changes weights, without `dehair`, which changes the images."""
        return {k: v for k, v in asdict(self).items() if k not in {*self.sampling, "dehair"}}


RECOMMENDED = Method()
RELEASED = Method(  # raddshing/skin-disease-diffusion at 07e9ea2, as switches on our own model
    levels=(1, 2, 3),
    adapter_weight=0.02,
    train_projections=False,
    drop="batch",
    target="epsilon",
    norm="l1",
    lesion_weight=False,
    ema=0.0,
    whiten=False,
    dehair=False,
    adapters_on=False,
    pass_class=False,
    solver="ddim",
    steps=750,
    eta=1.0,
    stretch=True,
)
PAPER = replace(RECOMMENDED, target="epsilon", lesion_weight=False, ema=0.0)  # what the text says
VERSIONS = dict(recommended=RECOMMENDED, paper=PAPER, released=RELEASED)

RUNGS = (  # one switch at a time from released to recommended; the solver first: the rest is cheap
    ("few-step solver", ("solver", "steps", "eta")),
    ("no stretch on saving", ("stretch",)),
    ("class while sampling", ("pass_class",)),
    ("adapters while sampling", ("adapters_on",)),
    ("whitened latents", ("whiten",)),
    ("own target, squared error", ("target", "norm")),
    ("dropped for each image", ("drop",)),
    ("five levels", ("levels",)),
    ("trained projections", ("train_projections",)),
    ("adapter weight 1", ("adapter_weight",)),
    ("averaged weights", ("ema",)),
    ("hair removal", ("dehair",)),
    ("lesion counts twice", ("lesion_weight",)),
)


def ladder():
    """[(name of the rung, Method)] from `released` to `recommended`, one switch at a time."""
    steps = [("released", RELEASED)]
    for name, fields in RUNGS:
        changed = {f: getattr(RECOMMENDED, f) for f in fields}
        steps.append((name, replace(steps[-1][1], **changed)))
    return steps
