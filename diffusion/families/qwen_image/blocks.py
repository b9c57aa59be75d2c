"""The blocks of Qwen-Image: text and picture, each with weights of its own, attend together.

Modules have the names of the models' files, which are diffusers'.
(ComfyUI comfy/ldm/qwen_image/model.py)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.dit.rotary import rotated

EPS = 1e-6


class JointAttention(nn.Module):
    """Text and picture in one sequence, the text first."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.head = head
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.add_q_proj = nn.Linear(width, width)
        self.add_k_proj = nn.Linear(width, width)
        self.add_v_proj = nn.Linear(width, width)
        self.norm_q, self.norm_k = (nn.RMSNorm(head, eps=EPS) for _ in range(2))
        self.norm_added_q, self.norm_added_k = (nn.RMSNorm(head, eps=EPS) for _ in range(2))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.to_add_out = nn.Linear(width, width)

    def forward(
        self, picture: Tensor, text: Tensor, places: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What the picture's tokens have seen, and what the text's have."""
        q = torch.cat(
            [
                self.norm_added_q(self._heads(self.add_q_proj(text))),
                self.norm_q(self._heads(self.to_q(picture))),
            ],
            dim=1,
        )
        k = torch.cat(
            [
                self.norm_added_k(self._heads(self.add_k_proj(text))),
                self.norm_k(self._heads(self.to_k(picture))),
            ],
            dim=1,
        )
        v = torch.cat([self.add_v_proj(text), self.to_v(picture)], dim=1)
        seen = functional.scaled_dot_product_attention(
            rotated(q, places).transpose(1, 2),
            rotated(k, places).transpose(1, 2),
            self._heads(v).transpose(1, 2),
        )
        both = seen.transpose(1, 2).flatten(2)
        words = text.shape[1]
        return self.to_out[0](both[:, words:]), self.to_add_out(both[:, :words])

    def _heads(self, x: Tensor) -> Tensor:
        heads: Tensor = x.unflatten(-1, (-1, self.head))
        return heads


class Projected(nn.Module):
    """A layer and the activation behind it."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.proj(x), approximate="tanh")


class Perceptron(nn.Module):
    """Two layers."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.ModuleList(
            [Projected(width, hidden), nn.Identity(), nn.Linear(hidden, width)]
        )

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.net[2](self.net[0](x))
        return answer


class Block(nn.Module):
    """Attention and perceptrons, modulated by the time."""

    def __init__(self, width: int, hidden: int, head: int) -> None:
        super().__init__()
        self.img_mod = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.txt_mod = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.attn = JointAttention(width, head)
        self.img_mlp = Perceptron(width, hidden)
        self.txt_mlp = Perceptron(width, hidden)

    def forward(
        self, picture: Tensor, text: Tensor, times: Tensor, places: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Picture [N, T, D] and text [N, W, D] after it.

        `times` [N, 1, D] is the time of all tokens, or [N, T, D] has one for each of the picture;
        the text goes by the first.
        """
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.img_mod(times).chunk(6, dim=-1)
        text_modulation = self.txt_mod(times[:, :1]).chunk(6, dim=-1)
        seen, read = self.attn(
            _normed(picture) * (1 + scale) + shift,
            _normed(text) * (1 + text_modulation[1]) + text_modulation[0],
            places,
        )
        picture, text = picture + gate * seen, text + text_modulation[2] * read
        picture = picture + mlp_gate * self.img_mlp(_normed(picture) * (1 + mlp_scale) + mlp_shift)
        text = text + text_modulation[5] * self.txt_mlp(
            _normed(text) * (1 + text_modulation[4]) + text_modulation[3]
        )
        return picture, text


def _normed(x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=EPS)
