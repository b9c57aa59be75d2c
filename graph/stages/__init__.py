"""Stages: where nodes run, and the typed functions that they call there.

One file per stage declares its functions as protocols, with parameter names and types. The objects
of `deployments/` that nodes are called with are checked against them by mypy.
"""

from typing import ClassVar


class Stage(str):
    """The name of a stage: where a node runs.

    Any name may be one: whoever serves a stage of that name runs its nodes. These are ours.
    """

    __slots__ = ()
    INLINE: ClassVar["Stage"]  # computes descriptions only, so it runs where the plan is made
    ENCODE: ClassVar["Stage"]
    IMAGE: ClassVar["Stage"]
    SAMPLE: ClassVar["Stage"]
    UPSCALE: ClassVar["Stage"]
    OUTPUT: ClassVar["Stage"]


PACK = "pack:"  # what the names of stages begin with that run custom node packs

Stage.INLINE = Stage("inline")
Stage.ENCODE = Stage("encode")
Stage.IMAGE = Stage("image")
Stage.SAMPLE = Stage("sample")
Stage.UPSCALE = Stage("upscale")
Stage.OUTPUT = Stage("output")
