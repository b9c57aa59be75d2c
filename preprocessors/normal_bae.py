"""Normals by Bae, Budvytis and Cipolla 2021 (the pack's NormalBaeDetector)."""

from types import SimpleNamespace

from torch import Tensor, nn

from graph.annotators import NORMAL_BAE
from preprocessors.controlnet_aux_parts import geffnet, part
from preprocessors.depth import imagenet
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.edges import as_batch, as_levels
from preprocessors.pictures import Picture, at_resolution

OPTIONS = SimpleNamespace(sampling_ratio=0.4, importance_ratio=0.7, architecture="BN")


class Encoder(nn.Module):
    """EfficientNet-B5, giving what each of its parts and blocks gives."""

    def __init__(self) -> None:
        super().__init__()
        self.original_model = geffnet().tf_efficientnet_b5_ap(pretrained=False)
        self.original_model.global_pool = nn.Identity()
        self.original_model.classifier = nn.Identity()

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for name, child in self.original_model.named_children():
            for layer in child.children() if name == "blocks" else (child,):
                features.append(layer(features[-1]))
        return features


class Normals(nn.Module):
    """[B, 3, H, W] to predictions of four scales, the finest last: normals and their sureness."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = part("normalbae.nets.submodules.decoder").Decoder(OPTIONS)

    def forward(self, x: Tensor) -> list[Tensor]:
        predictions: list[Tensor] = self.decoder(self.encoder(x))[0]
        return predictions


def build_normal_bae(file: AnnotatorFile) -> nn.Module:
    return filled(Normals(), file.tensors())


def bae_normals(detectors: Detectors, image: Tensor, resolution_px: int) -> Tensor:
    """Normal maps: red to the right, green up, blue towards the eye."""

    def draw(picture: Picture) -> Picture:
        finest = network(imagenet(as_batch(picture, network) / 255.0))[-1]
        normals = (finest[0, :3].movedim(0, -1) + 1) * 0.5
        return as_levels(normals.clip(0, 1).cpu().numpy())

    with detectors.loaded(NORMAL_BAE, build_normal_bae) as network:
        return at_resolution(image, resolution_px, draw)
