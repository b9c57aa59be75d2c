"""Which functions each of our stages offers. A new stage is a file beside this and a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from graph.stages import Stage
from graph.stages.encode import EncodeFunctions
from graph.stages.image import ImageFunctions
from graph.stages.output import OutputFunctions
from graph.stages.sample import SampleFunctions
from graph.stages.upscale import UpscaleFunctions

INTERFACES: Mapping[Stage, type] = MappingProxyType(
    {
        Stage.ENCODE: EncodeFunctions,
        Stage.IMAGE: ImageFunctions,
        Stage.SAMPLE: SampleFunctions,
        Stage.UPSCALE: UpscaleFunctions,
        Stage.OUTPUT: OutputFunctions,
    }
)
