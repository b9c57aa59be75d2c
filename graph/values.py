"""The values that travel on links.

Models are descriptions: a file and the changes applied to it, small, frozen and hashable; the
computing replica resolves them to weights. Tensors are opaque here (`graph` imports no torch): on a
stage they are torch tensors, between stages references, in the router numpy arrays.
Images are [B, H, W, C] and masks [B, H, W], float32 in 0..1; latents are [B, C, h, w].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias


@dataclass(frozen=True)
class Link:
    """The name ComfyUI gives to the type of a link, as an annotation on a Python type."""

    name: str


Tensor: TypeAlias = Any
Image: TypeAlias = Annotated[Any, Link("IMAGE")]
Mask: TypeAlias = Annotated[Any, Link("MASK")]
Keypoints: TypeAlias = Annotated[Any, Link("POSE_KEYPOINT")]
CameraPath: TypeAlias = Annotated[Any, Link("WAN_CAMERA_EMBEDDING")]


@dataclass(frozen=True)
class ModelFile:
    """A file of the models folder, or of `owner`'s own. `stamp` changes when its content does."""

    folder: str
    name: str
    stamp: str = ""
    owner: str = ""


@dataclass(frozen=True)
class Change:
    """One change to a model's weights or to how it runs, e.g. a LoRA with its strength."""

    kind: str
    options: tuple[tuple[str, Any], ...] = ()

    def __getitem__(self, name: str) -> Any:
        return dict(self.options)[name]


class Changeable:
    """A description that changes can be applied to, in order."""

    changes: tuple[Change, ...]

    def changed(self, kind: str, **options: Any) -> Self:
        change = Change(kind, tuple(sorted(options.items())))
        return replace(self, changes=(*self.changes, change))  # type: ignore[type-var]


@dataclass(frozen=True)
class Model(Changeable):
    """A diffusion model: the file it is in, and what is applied to it."""

    link: ClassVar = Link("MODEL")
    file: ModelFile
    changes: tuple[Change, ...] = ()
    weight_dtype: str = "default"  # what its loader asks weights to be kept in


@dataclass(frozen=True)
class HookKeyframe:
    """A factor on a hook's strength that holds from a part of the schedule on."""

    strength: float
    start_percent: float = 0.0
    guarantee_steps: int = 1


Keyframes: TypeAlias = Annotated[tuple[HookKeyframe, ...], Link("HOOK_KEYFRAMES")]


@dataclass(frozen=True)
class WeightHook:
    """A change to weights that comes and goes with a prompt.

    `kind` is "lora", or "model_as_lora" for what a checkpoint differs by. Hooks of one `origin` are
    one: those that are alike and were made behind other hooks count both.
    """

    kind: str
    file: ModelFile
    strength_model: float
    strength_clip: float = 0.0
    origin: str = ""
    keyframes: Keyframes = ()


Hooks: TypeAlias = Annotated[tuple[WeightHook, ...], Link("HOOKS")]


@dataclass(frozen=True)
class ClipHooks:
    """Hooks on text encoders, and those that go on with what they say."""

    hooks: tuple[WeightHook, ...]
    on_conditions: tuple[WeightHook, ...] = ()
    scheduled: bool = False  # whether prompts are encoded for each span of the keyframes


@dataclass(frozen=True)
class Clip(Changeable):
    """Text encoders: their files, the layer read from the end, and what is applied to them.

    `private_embeddings` are those that the job's owner uploaded, by the names that prompts use.
    """

    link: ClassVar = Link("CLIP")
    files: tuple[ModelFile, ...]
    kind: str = ""
    stop_at_layer: int | None = None
    changes: tuple[Change, ...] = ()
    private_embeddings: tuple[tuple[str, ModelFile], ...] = ()
    t5_padding: tuple[int, int] | None = None  # T5's prompts: shortest length, padding behind
    hooks: ClipHooks | None = None


@dataclass(frozen=True)
class Vae:
    """An autoencoder: its own file, or the part of a checkpoint."""

    link: ClassVar = Link("VAE")
    file: ModelFile


PIXEL_SPACE = ModelFile("vae", "pixel_space")  # of models whose latents are pixels: no file


@dataclass(frozen=True)
class ClipVision:
    """An image encoder: its own file, or the part of a checkpoint."""

    link: ClassVar = Link("CLIP_VISION")
    file: ModelFile


@dataclass(frozen=True, eq=False)
class ClipVisionOutput:
    """What an image encoder sees in pictures."""

    link: ClassVar = Link("CLIP_VISION_OUTPUT")
    image_embeds: Tensor  # [B, P]
    last_hidden_state: Tensor  # [B, T, D]
    penultimate_hidden_states: Tensor  # [B, T, D]
    style_hidden_states: Tensor | None = None  # [B, 3, T, D], of layers that tell styles apart


@dataclass(frozen=True)
class StyleModel:
    """A network that turns what was seen into a prompt's tokens: the file it is in."""

    link: ClassVar = Link("STYLE_MODEL")
    file: ModelFile


@dataclass(frozen=True)
class PhotoMaker:
    """A network that puts a person into prompts: the file it is in."""

    link: ClassVar = Link("PHOTOMAKER")
    file: ModelFile


@dataclass(frozen=True)
class IpAdapter:
    """IP-Adapter files by the family of models they are for ("" is any), and what sees for them.

    `faces` is a FaceAnalysis, of those that go by faces.
    """

    link: ClassVar = Link("IPADAPTER")
    files: tuple[tuple[str, ModelFile], ...]
    clip_vision: ClipVision | None = None
    faces: Any = None


@dataclass(frozen=True)
class ModelPatch:
    """A network that adds to what a model's blocks say: the file it is in."""

    link: ClassVar = Link("MODEL_PATCH")
    file: ModelFile


@dataclass(frozen=True, eq=False)
class PatchUse:
    """A model patch with the picture it goes by, and how strongly it does.

    `inpaint` is a picture to be filled in, `mask` where. `seen` is for those that go by what an
    image encoder sees, and need no autoencoder.
    """

    patch: ModelPatch
    vae: Vae | None = None
    image: Image | None = None
    strength: float = 1.0
    mask: Mask | None = None
    inpaint: Image | None = None
    seen: ClipVisionOutput | None = None


@dataclass(frozen=True)
class UpscaleModel:
    """A network that makes pictures larger: the file it is in."""

    link: ClassVar = Link("UPSCALE_MODEL")
    file: ModelFile


@dataclass(frozen=True)
class ControlNet:
    """A ControlNet or T2I-Adapter: the file it is in, and what is applied to it."""

    link: ClassVar = Link("CONTROL_NET")
    file: ModelFile
    base: ModelFile | None = None  # the model that the weights are a difference to, if they are
    union_type: str = ""  # what the hint of a union ControlNet shows; "" does not tell it
    strength_type: Literal["constant", "linear_up"] = "constant"


@dataclass(frozen=True, eq=False)
class Steering:
    """Where, in which latents and in which layers a control counts, beside its strength."""

    mask: Mask | None = None  # [B, H, W], 1 where it counts
    latents: tuple[tuple[int, float], ...] | None = None  # by place in the batch; others are 0
    softness: float = 1.0  # of skip connections, to a power the higher the finer they are


@dataclass(frozen=True, eq=False)
class ControlUse:
    """A ControlNet with the picture it goes by, and when and how strongly it does."""

    net: ControlNet
    hint: Image
    strength: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    vae: Vae | None = None  # for those that go by latents
    mask: Mask | None = None  # [B, H, W], 1 where the picture has a hole
    steering: Steering | None = None
    tokens: Tensor | None = None  # [B, T, D], what it reads instead of the prompt


@dataclass(frozen=True)
class Gligen:
    """A network that draws what is said in boxes: the file it is in."""

    link: ClassVar = Link("GLIGEN")
    file: ModelFile


@dataclass(frozen=True, eq=False)
class TextBox:
    """What is to be in a box of a picture, in latent pixels."""

    said: Tensor  # [1, P], a prompt's pooled text
    height: int
    width: int
    y: int
    x: int


@dataclass(frozen=True, eq=False)
class Grounding:
    """What is to be where, and the network that is told."""

    net: Gligen
    boxes: tuple[TextBox, ...]


@dataclass(frozen=True, eq=False)
class Condition:
    """One prompt and where and when it applies. A CONDITIONING is a tuple of these."""

    tokens: Tensor  # [B, T, D], the text encoder's output
    pooled: Tensor | None = None  # [B, P]
    strength: float = 1.0
    area: tuple[float, float, float, float] | None = (
        None  # h, w, y, x: latent pixels, or parts of 1
    )
    area_in_percent: bool = False
    mask: Tensor | None = None  # [B, H, W]
    mask_strength: float = 1.0
    mask_bounds: bool = False
    start_percent: float = 0.0
    end_percent: float = 1.0
    controls: tuple[ControlUse, ...] = ()  # their residuals are summed in this order
    control_apply_to_uncond: bool = False  # the other prompts of a guider take `controls` too
    grounding: Grounding | None = None
    hooks: tuple[WeightHook, ...] = ()
    encoded_for: tuple[float, float] = (0.0, 1.0)  # the part of the schedule that the text is for
    default: bool = False  # whether it is where no other prompt beside it is
    extras: Mapping[str, Any] = field(default_factory=dict)  # ComfyUI's own key names: width, ...


Conditioning: TypeAlias = Annotated[tuple[Condition, ...], Link("CONDITIONING")]


@dataclass(frozen=True, eq=False)
class Latent:
    """Latent pictures, in the scale in which ComfyUI passes them on links (the VAE's own)."""

    link: ClassVar = Link("LATENT")
    samples: Tensor  # [B, C, h, w]
    noise_mask: Tensor | None = None  # [B, 1, H, W], 1 where to denoise
    batch_index: tuple[int, ...] | None = None
    # Seed and shape of the noise that it was made from: some autoencoders go on drawing there.
    drawn: tuple[int, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class InputFile:
    """A file the caller gave: uploaded, fetched, or an earlier output."""

    name: str
    content: bytes
    sha256: str


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound: samples [B, C, n], float32 in -1..1."""

    link: ClassVar = Link("AUDIO")
    waveform: Tensor
    sample_rate: int


@dataclass(frozen=True, eq=False)
class Video:
    """A video: a file that is not decoded yet, or frames with a rate and sound.

    `start_s` and `duration_s` (0: to the end) are the part of the file that is meant.
    """

    link: ClassVar = Link("VIDEO")
    file: InputFile | None = None
    frames: Image | None = None
    fps: float = 1.0
    audio: Audio | None = None
    start_s: float = 0.0
    duration_s: float = 0.0
    bit_depth: int = 8


@dataclass(frozen=True)
class VideoInfo:
    """What VideoHelperSuite tells of a video that it loaded, in its file and as it was loaded."""

    link: ClassVar = Link("VHS_VIDEOINFO")
    source: tuple[float, int, float, int, int]  # fps, frames, seconds, width, height
    loaded: tuple[float, int, float, int, int]


@dataclass(frozen=True)
class FileNames:
    """The files that VideoHelperSuite's VHS_VideoCombine made."""

    link: ClassVar = Link("VHS_FILENAMES")
    saved: bool
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Items:
    """Several values on one link: what follows runs once for each (ComfyUI's OUTPUT_IS_LIST)."""

    values: tuple[Any, ...]
