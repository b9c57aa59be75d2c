"""The ENCODE stage: text encoders and image encoders."""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from api.figures.stage_figures import StageFigures
from deployments.config import EncoderConfig
from deployments.site import Site
from deployments.stage import SegmentRunner
from deployments.stage_metrics import StageMetrics
from graph.cache import Handle
from graph.events import StepEvent, Warned
from graph.node import Stage
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report

if TYPE_CHECKING:
    from diffusion.room import Room
    from diffusion.text.stage import EncodeStage
    from diffusion.vision.stage import VisionStage


class PromptEncoder:
    """Text encoders on one device; prompts of many requests are encoded together."""

    def __init__(
        self,
        site: Site,
        config: EncoderConfig,
        room: "Room | None" = None,
    ) -> None:
        from diffusion.lora.laying import Loras  # noqa: PLC0415
        from diffusion.lora.merging import WEIGHT_CHANGES, WeightChanges  # noqa: PLC0415
        from diffusion.room import Room  # noqa: PLC0415
        from diffusion.text.embeddings import EmbeddingFiles  # noqa: PLC0415 - see deployments/site.py
        from diffusion.text.stage import EncodeStage  # noqa: PLC0415
        from diffusion.vision.stage import VisionStage  # noqa: PLC0415

        place = site.placement()
        open_weights = site.opener()
        metrics = StageMetrics(Stage.ENCODE)
        loras = Loras(open_weights, budget_bytes=config.lora_bytes)
        encoders = EncodeStage(
            open_weights,
            dtype=place.text,
            device=place.device,
            room=room or Room(config.memory_bytes),
            cache_bytes=config.cache_bytes,
            weight_changes=WEIGHT_CHANGES,
            apply_changes=WeightChanges(open_weights, loras).on_text_encoder,
            embeddings=EmbeddingFiles(site.finder(), open_weights),
            models_dir=site.models_dir,
            called=metrics.calls(),
            looked_up=metrics.lookups(),
        )
        vision = VisionStage(
            open_weights,
            dtype=place.text,
            device=place.device,
            budget_bytes=config.vision_bytes,
        )
        own = {} if room else {"text": encoders.weights}  # what is shared is told by others
        metrics.watch_weights({**own, "vision": vision.weights})
        self._segments = SegmentRunner(
            lambda node_id, report: NodeEncoding(encoders, vision, node_id, report),
            metrics,
            site.watch(),
        )

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        """Run a segment of this stage."""
        async for event in self._segments.run(segment, inputs):
            yield event

    async def figures(self) -> tuple[StageFigures, ...]:
        """What this replica has counted."""
        return (self._segments.metrics.figures(),)


class NodeEncoding:
    """The encode stage as one node sees it: what is left out of a prompt is told under its id."""

    def __init__(
        self, stage: "EncodeStage", vision: "VisionStage", node_id: str, report: Report
    ) -> None:
        self._stage = stage
        self._vision = vision
        self._node_id = node_id
        self._report = report

    def __getattr__(self, method: str) -> Any:
        if hasattr(self._vision, method):
            return getattr(self._vision, method)
        return partial(getattr(self._stage, method), warn=self._warn)

    def _warn(self, text: str) -> None:
        self._report(Warned(self._node_id, text))
