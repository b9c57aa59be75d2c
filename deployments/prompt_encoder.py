"""The ENCODE stage: text encoders and image encoders."""

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from api.metrics.replica_metrics import ReplicaMetrics
from deployments.config import EncoderConfig
from deployments.event_batches import EventBatch, in_batches
from deployments.site import Site
from deployments.stage import SegmentRunner
from deployments.stage_metrics import StageMetrics
from graph.cache import Handle
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report
from graph.stages import Stage
from graph.stages.encode import EncodeFunctions

if TYPE_CHECKING:
    from diffusion.memory.budget import MemoryBudget


class PromptEncoder:
    """Text encoders on one device; prompts of many requests are encoded together."""

    def __init__(
        self,
        site: Site,
        config: EncoderConfig,
        memory: "MemoryBudget | None" = None,
    ) -> None:
        from deployments.encode_functions import NodeEncoding  # noqa: PLC0415
        from diffusion.lora.applying import Loras  # noqa: PLC0415
        from diffusion.lora.merging import WEIGHT_CHANGES, WeightChanges  # noqa: PLC0415
        from diffusion.memory.budget import MemoryBudget  # noqa: PLC0415
        from diffusion.text.embeddings import EmbeddingFiles  # noqa: PLC0415 - see deployments/site.py
        from diffusion.text.stage import EncodeStage  # noqa: PLC0415
        from diffusion.vision.stage import VisionStage  # noqa: PLC0415

        place = site.placement()
        open_weights = site.opener()
        families = site.families()
        metrics = StageMetrics(Stage.ENCODE)
        loras = Loras(open_weights, budget_bytes=config.lora_bytes)
        encoders = EncodeStage(
            open_weights,
            dtype=place.text,
            device=place.device,
            memory=memory or MemoryBudget(config.memory_bytes),
            encodings=families.texts,
            cache_bytes=config.cache_bytes,
            weight_changes=WEIGHT_CHANGES,
            apply_changes=WeightChanges(open_weights, loras, families).on_text_encoder,
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
            adapters_of=families.image_adapters,
        )
        own = {} if memory else {"text": encoders.weights}  # what is shared is told by others
        metrics.watch_weights({**own, "vision": vision.weights})

        def functions(node_id: str, report: Report, segment: Segment) -> EncodeFunctions:
            return NodeEncoding(encoders, vision, node_id, report, segment.owner)

        self.segments = SegmentRunner({Stage.ENCODE: functions}, metrics, site.watch())

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[EventBatch, None]:
        """Run a segment of this stage."""
        async for batch in in_batches(self.segments.run(segment, inputs)):
            yield batch

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What this replica has counted."""
        return (self.segments.metrics.snapshot(),)
