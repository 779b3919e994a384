"""What this machine does well, decided in one place: processors, how threads wait, device, precision."""

import functools
import math
import os
import platform
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Barrier, Event, current_thread, main_thread

from .errors import UserError

PRECISIONS = ("float32", "bfloat16", "float16")
LANE = "skinsynth-lane"  # name of its threads
SPIN = "10000"  # turns that a waiting OpenMP thread spins before it sleeps: fewer cost speed alone, more cost it beside others


def processors(quota=Path("/sys/fs/cgroup/cpu.max")):
    """Number of processors this process may use: its affinity, and a container's share of the time.

    quota: file of the container (cgroup v2): "200000 100000" is two processors, "max" no limit.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if quota.exists() and (words := quota.read_text().split())[0] != "max":
        allowed = min(allowed, math.ceil(int(words[0]) / int(words[1])))
    return max(1, allowed)


def prepare(variables=os.environ):
    """Set how OpenMP's threads share the machine, unless the user has; has to run before torch is imported.

    By default a thread that waits for the others spins for milliseconds, thousands of times in a step,
    and takes from them the processor that they need as soon as another program is busy.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(variables):
        variables["GOMP_SPINCOUNT"] = SPIN
    if "OMP_NUM_THREADS" not in variables and processors() < (os.cpu_count() or 1):
        variables["OMP_NUM_THREADS"] = str(processors())


INTERRUPTED = Event()  # set by a signal that ends this program


def _interrupt(number, frame):
    INTERRUPTED.set()
    signal.default_int_handler(number, frame)


def stop_softly():
    """Let SIGTERM, and SIGHUP unless it is ignored (nohup), end this program as Ctrl-C does: it tidies up.

    Libraries turn the exception that arises then into others, in the middle of an import: INTERRUPTED tells.
    """
    kinds = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    for kind in kinds if current_thread() is main_thread() else ():
        if signal.getsignal(kind) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(kind, _interrupt)


def device():
    """The accelerator of this process, or the CPU: the one place that chooses.

    On CUDA what is in float32 (sampling, encoding, judging) is multiplied as TF32: eight times as fast on
    most cards, with three digits of a factor.
    """
    import torch
    from accelerate import PartialState

    where = PartialState().device
    if where.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return where


def placed(model, where=None):
    """A network on a device, its filters in the layout that tensor cores read; elsewhere as they are."""
    import torch

    where = where or device()
    layout = torch.channels_last if where.type == "cuda" else torch.preserve_format
    return model.to(where, memory_format=layout)


def unplaced(model, where):
    """The same after training: filters as files hold them, where `placed` changed them."""
    import torch

    return model.to(memory_format=torch.contiguous_format) if where.type == "cuda" else model


def moved(x):
    """A tensor of the CPU on the device. On CUDA from pinned memory, so that nobody waits for it to arrive."""
    where = device()
    return x.pin_memory().to(where, non_blocking=True) if where.type == "cuda" else x.to(where)


@functools.cache
def lanes():
    """A pool of threads that compute parts of a batch side by side, a processor each; None on accelerators
    and where there are more than four processors, which one lane each would leave waiting for Python.

    The threads of one operation meet thousands of times in a step, lanes once: beside a busy program the
    first lose most of their speed, the second their share (bench/run.py threads).
    """
    import torch

    n = torch.get_num_threads()
    if device().type != "cpu" or not 1 < n <= 4:
        return None
    together = Barrier(n)

    def begin():
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread takes the number that holds when it first asks, and keeps it
        together.wait()

    pool = ThreadPoolExecutor(n, LANE, begin)
    list(pool.map(abs, range(n)))
    torch.set_num_threads(n)
    return pool


def side_by_side(function, *items):
    """List of function(*item) over zipped items, computed in lanes where there are some; order as given.

    Each call has to be independent of the others. Gradients are recorded or not as the caller does. Called
    from a lane it computes there: a lane that waited for lanes would wait for ever.
    """
    import torch

    recorded = torch.is_grad_enabled()

    def call(*item):
        with torch.set_grad_enabled(recorded):
            return function(*item)

    pool = None if current_thread().name.startswith(LANE) else lanes()
    return list(pool.map(call, *items) if pool else map(call, *items))


def in_threads(function, *items):
    """List of function(*item) over zipped items by four threads: reading files releases Python's lock."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, *items))


def bfloat16_instructions():
    """Names of the instructions by which the CPU multiplies bfloat16, as torch uses it; [] where it is
    emulated, twenty times as slow. On ARM nobody has measured it here."""
    import torch

    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return []
    flags = torch.cpu.get_capabilities()
    return [name for name in ("amx_bf16", "avx512_bf16") if flags.get(name)]


def precision(where=None):
    """Precision of training on a device, by default this process's: a name of PRECISIONS.

    The variable SKINSYNTH_PRECISION forces one. Else bfloat16 where the hardware multiplies it, float16
    on CUDA devices without it, and float32 otherwise. Raises UserError on another name.
    """
    import torch

    if forced := os.environ.get("SKINSYNTH_PRECISION"):
        if forced not in PRECISIONS:
            raise UserError(f"SKINSYNTH_PRECISION={forced}: choose one of {', '.join(PRECISIONS)}")
        return forced
    kind = (where or device()).type
    if kind == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if native else "float16"
    return "bfloat16" if kind == "cpu" and bfloat16_instructions() else "float32"


def mixed(where=None, classifier=False):
    """Context in which a training step computes: autocast to `precision`, nothing for float32.

    Classifiers on a CPU stay in float32 unless the user forces a precision: depthwise convolutions are
    slower in bfloat16 there, even in hardware (EfficientNet-Lite0: 111 images a second, 178 in float32).
    """
    import torch

    where = where or device()
    plain = classifier and where.type == "cpu" and "SKINSYNTH_PRECISION" not in os.environ
    chosen = "float32" if plain else precision(where)
    if chosen == "float32":
        return nullcontext()
    return torch.autocast(where.type, getattr(torch, chosen))


def processor():
    """Name of the processor as its maker gives it, or its architecture."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe():
    """{what: value} of device, processor, instructions, precision and threads, for people and the manifest."""
    import torch

    where, instructions = device(), torch.backends.cpu.get_cpu_capability()
    return {
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type.upper(),
        "processor": processor(),
        "instructions": ", ".join([instructions, *bfloat16_instructions()]),
        "precision": precision(where),
        "threads": torch.get_num_threads(),
    }


def sentence():
    """`describe` in one line."""
    facts = describe()
    on = "" if facts["device"] == "CPU" else f"{facts['device']} beside "
    threads = f"{facts['threads']} thread{'s' * (facts['threads'] != 1)}"
    return f"{on}{facts['processor']} ({facts['instructions']}), {facts['precision']}, {threads}"
