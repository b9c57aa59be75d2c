"""comfy.samplers: the names of samplers and schedulers, and what computes schedules."""

from typing import Any

from packs.child.calls import PROCESS
from packs.surface.placeholders import placeholder
from packs.surface.service_values import run


def _choices(name: str) -> list[str]:
    entry = (PROCESS.start.get("core") or {}).get("KSampler")
    spec = entry["input"]["required"][name] if entry else [[]]
    return list(spec[0] if isinstance(spec[0], list) else spec[1]["options"])


SAMPLER_NAMES = _choices("sampler_name")
SCHEDULER_NAMES = _choices("scheduler")
KSAMPLER_NAMES = list(SAMPLER_NAMES)
SCHEDULER_HANDLERS: dict[str, Any] = dict.fromkeys(SCHEDULER_NAMES)


class KSampler:
    """A sampler with its settings; the service samples."""

    SAMPLERS = SAMPLER_NAMES
    SCHEDULERS = SCHEDULER_NAMES
    DISCARD_PENULTIMATE_SIGMA_SAMPLERS = {"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"}

    def __init__(
        self,
        model: Any,
        steps: int,
        device: Any = None,
        sampler: str | None = None,
        scheduler: str | None = None,
        denoise: float | None = None,
        model_options: Any = None,
    ) -> None:
        del device, model_options
        self.model = model
        self.steps = steps
        self.sampler = sampler or SAMPLER_NAMES[0]
        self.scheduler = scheduler or SCHEDULER_NAMES[0]
        self.denoise = 1.0 if denoise is None else denoise

    @property
    def sigmas(self) -> Any:
        return _sigmas(self.model, self.scheduler, self.steps, self.denoise)


def _sigmas(model: Any, scheduler: str, steps: int, denoise: float = 1.0) -> Any:
    return run("BasicScheduler", model=model, scheduler=scheduler, steps=steps, denoise=denoise)[0]


def calculate_sigmas(model_sampling: Any, scheduler_name: str, steps: int) -> Any:
    """The sigmas of a schedule. Packs get `model_sampling` of a model, which is the model here."""
    return _sigmas(model_sampling, scheduler_name, steps)


def sampler_object(name: str) -> Any:
    return run("KSamplerSelect", sampler_name=name)[0]


def ksampler(sampler_name: str, extra_options: Any = None, inpaint_options: Any = None) -> Any:
    del extra_options, inpaint_options
    return sampler_object(sampler_name)


CFGGuider = placeholder("comfy.samplers.CFGGuider")
Sampler = placeholder("comfy.samplers.Sampler")
KSAMPLER = placeholder("comfy.samplers.KSAMPLER")
