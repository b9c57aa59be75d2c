"""How long things take, and what is asked for: the numbers a simulation starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

GB = 10**9


@dataclass(frozen=True)
class Base:
    """A base model on a device: seconds for one picture, and bytes."""

    name: str
    weights_bytes: float
    load_s: float  # until a replica that has none of it can sample
    step_s: float  # one picture, its guidance included
    # What of a step does not grow with the pictures in it: several share that.
    shared: float
    encode_s: float
    decode_s: float
    control_s: float = 0.0  # more for a step under a ControlNet
    others_load_s: float = 0.0  # of what a whole-workflow worker loads beside it: encoders, decoder
    others_bytes: float = 0.0

    def seconds_of_step(self, pictures: int) -> float:
        return self.step_s * (self.shared + (1 - self.shared) * pictures)


@dataclass(frozen=True)
class Workflow:
    """What one job asks for. `share` is how often it is asked for, among others."""

    name: str
    base: Base
    share: float
    steps: int = 30
    pictures: int = 1
    control: bool = False
    hint_s: float = 0.0
    upscale_s: float = 0.0
    output_s: float = 0.05  # of a core, for each picture

    @property
    def unloaded_s(self) -> float:
        """All of it one after the other, with everything in memory."""
        base = self.base
        step_s = base.seconds_of_step(self.pictures) + self.control * base.control_s * self.pictures
        after_s = (base.decode_s + self.upscale_s + self.output_s) * self.pictures
        return base.encode_s + self.hint_s + self.steps * step_s + after_s


@dataclass(frozen=True)
class Hardware:
    """What a device costs and holds."""

    memory_bytes: float
    per_hour: float  # money
    lanes: int = 1  # pieces of work that do not slow each other down
    overhead_s: float = 0.03  # of a job, beside its stages: routing, planning, storing


# One H200, eager kernels. Steps and decoding are DiFlow's operators as it measured them on an H800,
# which has the same tensor cores (mental2008/DiFlow-AE, benchmark_results: U-Net of SD 1.5 16.6 ms
# for 1 latent and 34.6 for 8, of SDXL 40.0 and 165, Flux 243 and 1813; two latents a picture with
# guidance); loading is its copies from the host. `shared` is the line through these two.
H200 = Hardware(memory_bytes=141 * GB, per_hour=3.5)
SD15 = Base("sd15", 2.1 * GB, 0.25, 0.0192, 0.73, 0.004, 0.026, 0.009, 0.05, 0.4 * GB)
SDXL = Base("sdxl", 5.1 * GB, 0.57, 0.0579, 0.38, 0.010, 0.167, 0.028, 0.25, 1.8 * GB)
FLUX = Base("flux", 23.8 * GB, 2.94, 0.243, 0.08, 0.028, 0.253, 0.0, 1.1, 10 * GB)


def named(base: Base, *names: str) -> tuple[Base, ...]:
    return tuple(replace(base, name=name) for name in names)


def popular(bases: tuple[Base, ...], first: float = 0.31) -> list[Workflow]:
    """One base has 31 % of the requests, the others fall off as 1/rank.

    (alibaba/clusterdata, cluster-trace-v2026-GenAI: the first of 87 has 31 %, the first five 70 %;
    58 % ask for one picture, others for up to eight)
    """
    ranks = range(1, len(bases))
    rest = sum(1 / rank for rank in ranks)
    shares = [first, *((1 - first) / rank / rest for rank in ranks)]
    asked = ((1, 0.62), (2, 0.10), (4, 0.28))
    return [
        Workflow(f"{base.name} x{pictures}", base, share * part, pictures=pictures)
        for base, share in zip(bases, shares, strict=True)
        for pictures, part in asked
    ]


_XL = named(SDXL, *(f"xl-{rank}" for rank in range(6)))
MIXES: Mapping[str, list[Workflow]] = {
    # One base, as a product has it.
    "one": [Workflow("sdxl", SDXL, 1.0)],
    # Six bases of SDXL, as users of a platform pick them.
    "six": popular(_XL),
    # Several kinds of workflows, with adapters, that share bases.
    "mixed": [
        Workflow("sdxl", _XL[0], 0.25),
        Workflow("sdxl + ControlNet", _XL[0], 0.15, control=True, hint_s=0.02),
        Workflow("sdxl + LoRA", _XL[1], 0.2),
        Workflow("sdxl + upscale", _XL[1], 0.1, upscale_s=0.12),
        Workflow("sd15", SD15, 0.2, steps=20),
        Workflow("flux", FLUX, 0.1, steps=28),
    ],
}
