"""Fun's controls of Z-Image: model patches of blocks of their own, which go by the model's tokens.

(ComfyUI comfy/ldm/lumina/controlnet.py; comfy_extras/nodes_model_patch.py, ZImageControlPatch)
"""

from typing import Any

import torch
from torch import Tensor, nn

from diffusion.dit.next_dit import Block, Places
from diffusion.dit.next_dit_shape import PLACE, NextDitShape
from diffusion.dit.patches import PatchPictures
from diffusion.dit.reading import counted, read
from diffusion.dit.tokens import PATCH, patched
from diffusion.families.family import without_float16
from diffusion.families.z_image.loading import LATENT
from diffusion.families.z_image.shapes import TRAITS
from diffusion.latent_format import process_in
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights

MARK = f"control_all_x_embedder.{PLACE}.weight"
MODEL_LAYERS = 30  # of the models that they are made for
MOST_LAYERS = 15  # of controls, some of which were published with refiners of zeros
REFINERS = 2
FIRST_REFINED = "control_noise_refiner.0.after_proj.weight"


class ControlBlock(Block):
    """A block, and what it says to the model."""

    def __init__(self, shape: NextDitShape, *, first: bool) -> None:
        super().__init__(shape, is_modulated=True)
        if first:
            self.before_proj = nn.Linear(shape.width, shape.width)
        self.after_proj = nn.Linear(shape.width, shape.width)


class Network(nn.Module):
    """All of it, under the names that files have."""

    def __init__(self, shape: NextDitShape, *, refines: bool) -> None:
        super().__init__()
        pixels = shape.in_channels * PATCH**2
        self.control_all_x_embedder = nn.ModuleDict({PLACE: nn.Linear(pixels, shape.width)})
        self.control_layers = _blocks(shape, shape.layers)
        self.control_noise_refiner = (
            _blocks(shape, REFINERS)
            if refines
            else nn.ModuleList(Block(shape, is_modulated=True) for _ in range(REFINERS))
        )


def _blocks(shape: NextDitShape, count: int) -> nn.ModuleList:
    return nn.ModuleList(ControlBlock(shape, first=place == 0) for place in range(count))


class FunControl:
    """One set of weights. `refines`: it speaks to the model's refiners, too.

    `hollow`: the blocks that would are of zeros, and those of its layers speak in their place.
    """

    def __init__(self, module: Network, shape: NextDitShape, *, refines: bool) -> None:
        self.module: Any = module
        self.refines = refines
        self._shape = shape
        refiners: Any = module.control_noise_refiner
        self.hollow = (
            refines and shape.layers == MOST_LAYERS and not refiners[0].after_proj.weight.any()
        )
        self.inpaints = shape.in_channels > LATENT.channels

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(parameter.nbytes for parameter in self.module.parameters())

    def misfit(self, model: Any) -> str | None:
        """Why it is not for a model of such a shape, if so."""
        if not isinstance(model, NextDitShape) or model.activated:
            return "it is a control for Z-Image, which this model is not"
        if model.width != self._shape.width:
            own = self._shape.width
            return f"it is a control for models of width {own}, this model's is {model.width}"
        return None

    def guide(self, pictures: PatchPictures) -> Tensor:
        """What pictures say: tokens [B, T, D]."""
        own = process_in(LATENT, pictures.latent(pictures.image))
        if self.inpaints:
            painted = process_in(LATENT, pictures.latent(pictures.inpainted()))
            own, painted = torch.broadcast_tensors(own, painted)
            own = torch.cat([own, pictures.latent_mask(painted), painted], dim=1)
        embedder = self.module.control_all_x_embedder[PLACE]
        tokens: Tensor = embedder(patched(own).to(embedder.weight.dtype))
        return tokens

    def begun(self, guide: Tensor, places: Places, vector: Tensor, strength: float) -> "Running":
        """A call of the model under it. `places` are those of the picture's tokens."""
        return Running(self, guide, places, vector, strength)


class Running:
    """A control during one call of the model."""

    def __init__(
        self, control: FunControl, guide: Tensor, places: Places, vector: Tensor, strength: float
    ) -> None:
        self._module = control.module
        self._refines, self._hollow = control.refines, control.hollow
        self._places = tuple(table[: guide.shape[1]] for table in places)
        self._vector = vector
        self._strength = strength
        self._last = -1  # layer that has run
        self._said = guide
        self._own = guide
        if not self._refines:
            for block in self._module.control_noise_refiner:
                self._own = block(self._own, self._places, vector)

    def behind_refiner(self, index: int, entering: Tensor, picture: Tensor) -> Tensor:
        """A picture's tokens behind a refiner of the model, whose first was given `entering`."""
        if not self._refines or index >= REFINERS:
            return picture
        if not self._hollow:
            return self._with(
                picture, self._next(self._module.control_noise_refiner, index, entering)
            )
        layers = range(1) if index == 0 else range(1, len(self._module.control_layers))
        said = [self._next(self._module.control_layers, layer, entering) for layer in layers]
        return self._with(picture, said[0])

    def behind(self, index: int, entering: Tensor, picture: Tensor) -> Tensor:
        """A picture's tokens behind a layer of the model, whose first was given `entering`."""
        layers = self._module.control_layers
        each = round(MODEL_LAYERS / len(layers))
        while self._last < min(index // each, len(layers) - 1):
            self._last += 1
            self._said = self._next(layers, self._last, entering)
        return self._with(picture, self._said) if index == self._last * each else picture

    def _next(self, blocks: Any, index: int, entering: Tensor) -> Tensor:
        block = blocks[index]
        if index == 0:
            self._own = block.before_proj(self._own) + entering[:, : self._own.shape[1]]
        self._own = block(self._own, self._places, self._vector)
        said: Tensor = block.after_proj(self._own)
        return said

    def _with(self, picture: Tensor, said: Tensor) -> Tensor:
        count = said.shape[1]
        heard = picture[:, :count] + said * self._strength
        return torch.cat([heard, picture[:, count:]], dim=1)


def load_fun(weights: Weights, dtype: torch.dtype, device: torch.device) -> FunControl:
    """The control of a file. Raises BadModelFile where something is missing."""
    shape, refines = read(weights, _shape), FIRST_REFINED in weights
    with torch.device("meta"):
        module = Network(shape, refines=refines)
    wanted = {name for name, _ in module.named_parameters()} & set(weights)
    kept = without_float16(dtype)
    fill(module, weights, {name: copied(weights[name], kept, device) for name in wanted})
    return FunControl(module, shape, refines=refines)


def _shape(weights: Weights) -> NextDitShape:
    width, pixels = weights.shape(MARK)
    attention = "control_layers.0.attention."
    head, layers = (
        weights.shape(f"{attention}norm_q.weight")[0],
        counted(weights, "control_layers.{}."),
    )
    if layers > MODEL_LAYERS:
        problem = f"it has {layers} control layers, the model {MODEL_LAYERS} layers"
        raise ValueError(problem)
    return NextDitShape(
        in_channels=pixels // PATCH**2,
        out_channels=LATENT.channels,
        width=width,
        mlp=weights.shape("control_layers.0.feed_forward.w1.weight")[0],
        layers=layers,
        refiners=REFINERS,
        heads=weights.shape(f"{attention}to_q.weight")[0] // head,
        kv_heads=weights.shape(f"{attention}to_k.weight")[0] // head,
        head=head,
        context_dim=0,
        time_hidden=0,
        time_width=weights.shape("control_layers.0.adaLN_modulation.0.weight")[1],
        activated=False,
        multiple=1,
        traits=TRAITS,
    )
