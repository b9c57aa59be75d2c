"""Detects a U-Net's configuration from its tensors' names and shapes.

Two layouts are read: LDM's (`input_blocks`, `middle_block`, `output_blocks`), which checkpoints
have, and diffusers' (`down_blocks`, `mid_block`, `up_blocks`). Neither file names nor tables of
known models are consulted, so a slimmed relative of a model is as good as the model.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

from diffusion.networks.prefixes import PREFIXES
from diffusion.weights import Weights

LABELS, DIFFUSERS_LABELS = "label_emb.weight", "class_embedding.weight"
TEXT_KEYS = ".transformer_blocks.0.attn2.to_k.weight"


@dataclass(frozen=True)
class Level:
    """One resolution. `down` and `up` hold each residual layer's transformer depth, 0 for none.

    Where it `crosses`, the picture sees the text in place of itself.
    """

    channels: int
    down: tuple[int, ...]
    up: tuple[int, ...]
    crosses: bool = False


@dataclass(frozen=True)
class UnetShape:
    """A U-Net from its finest level to its coarsest.

    `mid` is the depth of the transformer in the middle block: 0 is a lone residual block, None is
    no middle block at all. `y_dim` is the width of the vector embedding, None without one.
    """

    in_channels: int
    out_channels: int
    context_dim: int
    y_dim: int | None
    linear: bool  # the transformers project with linear layers, not with 1x1 convolutions
    levels: tuple[Level, ...]
    mid: int | None
    labelled: bool = False  # the vector says which of `y_dim` labels it is

    def config(self) -> dict[str, Any]:
        """Arguments of diffusers' UNet2DConditionModel, whose tensors have the same names.

        The vector embedding is its `class_labels`: `y` as it stands, whatever it was made of.
        """
        levels = self.levels
        mid_type = "UNetMidBlock2DCrossAttn" if self.mid else "UNetMidBlock2D"
        down_depths = [list(level.down) for level in levels]
        if self.mid:
            down_depths[-1][0] = self.mid  # where diffusers looks for the middle block's
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": tuple(level.channels for level in levels),
            "layers_per_block": tuple(len(level.down) for level in levels),
            "down_block_types": tuple(
                "CrossAttnDownBlock2D" if any(level.down) else "DownBlock2D" for level in levels
            ),
            "up_block_types": tuple(
                "CrossAttnUpBlock2D" if any(level.up) else "UpBlock2D" for level in levels[::-1]
            ),
            "mid_block_type": None if self.mid is None else mid_type,
            "transformer_layers_per_block": down_depths,
            "reverse_transformer_layers_per_block": [list(level.up) for level in levels[::-1]],
            "cross_attention_dim": self.context_dim,
            "use_linear_projection": self.linear,
            "attention_head_dim": self.heads(),
            "class_embed_type": "projection" if self.y_dim else None,
            "projection_class_embeddings_input_dim": self.y_dim,
        }

    def heads(self) -> tuple[int, ...]:
        """Attention heads per level: 8 with convolutions (SD 1.x), of 64 channels each after it.

        And 8 with labels (the x4 upscaler).
        """
        of_64 = self.linear and not self.labelled
        return tuple(max(level.channels // 64, 1) if of_64 else 8 for level in self.levels)


def skip_widths(shape: UnetShape) -> list[int]:
    """The channels of every skip connection, finest first."""
    widths = [shape.levels[0].channels]
    for index, level in enumerate(shape.levels):
        widths += [level.channels] * (len(level.down) + (index < len(shape.levels) - 1))
    return widths


def read_shape(weights: Weights) -> UnetShape | None:
    """The shape of the U-Net in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a U-Net that is damaged, or built as none is known to be.
    """
    try:
        if "input_blocks.0.0.weight" in weights:
            shape = LdmReader(weights).shape()
        elif "down_blocks.0.resnets.0.norm1.weight" in weights:
            shape = DiffusersReader(weights).shape()
        else:
            return None
    except (KeyError, IndexError, ValueError) as error:
        raise weights.bad(problem=f"its U-Net is incomplete: {error}") from error
    _check(shape, weights)
    return shape


def find_unet(weights: Weights) -> tuple[Weights, UnetShape]:
    """The part of a file that is a U-Net, named without prefix, and its shape.

    Raises:
        BadModelFile: no part of it is.
    """
    for prefix in PREFIXES:
        part = weights.under(prefix)
        shape = read_shape(part)
        if shape is not None:
            return part, shape
    examples = ", ".join(sorted(weights)[:3])
    raise weights.bad(problem=f"no U-Net in it; found {len(weights)} tensors such as {examples}")


def _check(shape: UnetShape, weights: Weights) -> None:
    for level in shape.levels:
        for depths in (level.down, level.up):
            if any(depths) and not all(depths):
                raise weights.bad(problem="its U-Net has attention in only some layers of a level")
    last = shape.levels[-1].down
    if shape.mid and last[0] not in {0, shape.mid}:
        problem = f"its middle block has {shape.mid} transformer layers, its last level {last[0]}"
        raise weights.bad(problem=problem)


@dataclass(frozen=True)
class Reader:
    """Reads parts of a U-Net's shape. Raises KeyError for what is not there."""

    weights: Weights

    def count(self, pattern: str) -> int:
        """How many of `pattern`, which has a {} for the index, there are in a row."""
        starts = (pattern.format(index) for index in count())
        return len(list(takewhile(lambda s: any(k.startswith(s) for k in self.weights), starts)))

    def depth(self, transformer: str) -> int:
        return self.count(transformer + ".transformer_blocks.{}.")

    def width(self, key: str, axis: int) -> int:
        return self.weights.shape(key)[axis]

    def crosses(self, transformers: Iterable[str], channels: int) -> bool:
        """Whether the first attention layers of a level read text, of another width than theirs."""
        keys = (f"{own}.transformer_blocks.0.attn1.to_k.weight" for own in transformers)
        first = next((key for key in keys if key in self.weights), None)
        return first is not None and self.width(first, 1) != channels

    def context(self) -> tuple[int, bool]:
        """Width of the text the U-Net attends to, and whether its projections are linear."""
        to_k = next((k for k in self.weights if k.endswith(TEXT_KEYS)), None)
        if to_k is None:
            problem = "no cross attention"
            raise KeyError(problem)
        proj_in = to_k[: to_k.index("transformer_blocks")] + "proj_in.weight"
        return self.width(to_k, 1), len(self.weights.shape(proj_in)) == 2


class LdmReader(Reader):
    """Reads `input_blocks.i`, where each is the first convolution, a layer or a downsampler."""

    def shape(self) -> UnetShape:
        context_dim, linear = self.context()
        y_key = "label_emb.0.0.weight"
        labelled = LABELS in self.weights
        y_dim = self.width(y_key, 1) if y_key in self.weights else None
        return UnetShape(
            in_channels=self.width("input_blocks.0.0.weight", 1),
            out_channels=self.width("out.2.weight", 0),
            context_dim=context_dim,
            y_dim=self.width(LABELS, 0) if labelled else y_dim,
            linear=linear,
            levels=self.levels(),
            mid=self.mid(),
            labelled=labelled,
        )

    def levels(self) -> tuple[Level, ...]:
        groups: list[list[int]] = [[]]
        for i in range(1, self.count("input_blocks.{}.")):
            if f"input_blocks.{i}.0.op.weight" in self.weights:
                groups.append([])
            else:
                groups[-1].append(i)
        first_up = sum(len(group) + 1 for group in groups)
        levels = []
        for group in groups:  # the finest level is the last to come up
            first_up -= len(group) + 1
            levels.append(self.level(group, range(first_up, first_up + len(group) + 1)))
        return tuple(levels)

    def level(self, down: list[int], up: range) -> Level:
        channels = self.width(f"input_blocks.{down[0]}.0.out_layers.3.weight", 0)
        return Level(
            channels=channels,
            down=tuple(self.depth(f"input_blocks.{i}.1") for i in down),
            up=tuple(self.depth(f"output_blocks.{i}.1") for i in up),
            crosses=self.crosses((f"input_blocks.{i}.1" for i in down), channels),
        )

    def mid(self) -> int | None:
        if "middle_block.0.in_layers.0.weight" not in self.weights:
            return None
        return self.depth("middle_block.1")


class DiffusersReader(Reader):
    """Reads `down_blocks.l.resnets.j` and their mirror image."""

    def shape(self) -> UnetShape:
        context_dim, linear = self.context()
        y_keys = ("class_embedding.linear_1.weight", "add_embedding.linear_1.weight")
        y_key = next((key for key in y_keys if key in self.weights), None)
        labelled = DIFFUSERS_LABELS in self.weights
        y_dim = self.width(y_key, 1) if y_key else None
        return UnetShape(
            in_channels=self.width("conv_in.weight", 1),
            out_channels=self.width("conv_out.weight", 0),
            context_dim=context_dim,
            y_dim=self.width(DIFFUSERS_LABELS, 0) if labelled else y_dim,
            linear=linear,
            levels=self.levels(),
            mid=self.mid(),
            labelled=labelled,
        )

    def levels(self) -> tuple[Level, ...]:
        total = self.count("down_blocks.{}.")
        return tuple(
            self.level(f"down_blocks.{i}", f"up_blocks.{total - 1 - i}") for i in range(total)
        )

    def level(self, down: str, up: str) -> Level:
        layers = self.count(down + ".resnets.{}.")
        channels = self.width(down + ".resnets.0.conv1.weight", 0)
        return Level(
            channels=channels,
            down=tuple(self.depth(f"{down}.attentions.{j}") for j in range(layers)),
            up=tuple(self.depth(f"{up}.attentions.{j}") for j in range(layers + 1)),
            crosses=self.crosses((f"{down}.attentions.{j}" for j in range(layers)), channels),
        )

    def mid(self) -> int | None:
        if "mid_block.resnets.0.norm1.weight" not in self.weights:
            return None
        return self.depth("mid_block.attentions.0")


RESNET: Mapping[str, str] = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
MIDDLE = (
    ("middle_block.0", "mid_block.resnets.0"),
    ("middle_block.1", "mid_block.attentions.0"),
    ("middle_block.2", "mid_block.resnets.1"),
)
AROUND: Mapping[str, str] = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
    "label_emb.0.0": "class_embedding.linear_1",
    "label_emb.0.2": "class_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


def module_names(shape: UnetShape) -> dict[str, str]:
    """LDM's name of a module -> diffusers' name of it; transformers are named as a whole."""
    names = dict(AROUND)
    for ldm, diffusers in (*_down(shape), *MIDDLE, *_up(shape)):
        if ".resnets." in diffusers:
            names.update({f"{ldm}.{a}": f"{diffusers}.{b}" for a, b in RESNET.items()})
        else:
            names[ldm] = diffusers
    return names


def _down(shape: UnetShape) -> Iterator[tuple[str, str]]:
    block = 1
    for i, level in enumerate(shape.levels):
        for j, depth in enumerate(level.down):
            yield f"input_blocks.{block}.0", f"down_blocks.{i}.resnets.{j}"
            if depth:
                yield f"input_blocks.{block}.1", f"down_blocks.{i}.attentions.{j}"
            block += 1
        yield f"input_blocks.{block}.0.op", f"down_blocks.{i}.downsamplers.0.conv"
        block += 1


def _up(shape: UnetShape) -> Iterator[tuple[str, str]]:
    block = 0
    for i, level in enumerate(shape.levels[::-1]):
        for j, depth in enumerate(level.up):
            yield f"output_blocks.{block}.0", f"up_blocks.{i}.resnets.{j}"
            if depth:
                yield f"output_blocks.{block}.1", f"up_blocks.{i}.attentions.{j}"
            block += 1
        upsampler = f"output_blocks.{block - 1}.{2 if level.up[-1] else 1}.conv"
        yield upsampler, f"up_blocks.{i}.upsamplers.0.conv"


def diffusers_keys(weights: Weights, shape: UnetShape) -> dict[str, str]:
    """diffusers' key -> the key in `weights`, for every tensor that is part of the U-Net."""
    if "conv_in.weight" in weights:
        return {key.replace("add_embedding.", "class_embedding."): key for key in weights}
    return renamed(weights, module_names(shape))


def renamed(weights: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """New key -> the key in `weights`, for every tensor of a module that `names` renames."""
    found = {}
    for key in weights:
        start = key
        while start and start not in names:
            start = start.rpartition(".")[0]
        if start:
            found[names[start] + key.removeprefix(start)] = key
    return found
