"""What a transformer's denoiser hands to a network, whatever its family."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.calls import Limits
from diffusion.batch.prompts import Prompt, Region
from diffusion.batch.rows import Row
from diffusion.dit.call import DitCall
from diffusion.dit.conditions import DitEmbedding
from diffusion.dit.denoiser import DitDenoiser
from diffusion.schedules.model_sampling import flow
from tests.diffusion.model_files import CPU
from tests.diffusion.narrow_stage import drawn

REGION = Region(None, None, 1.0, 1.0, 1e9, 0.0)
SHAPE: Any = type("Shape", (), {"width": 8})()


@dataclass
class Listening:
    """A network that keeps what it is asked with."""

    calls: list[DitCall]

    def __call__(self, call: DitCall) -> Tensor:
        self.calls.append(call)
        return torch.zeros_like(call.sample)


def row(embedding: DitEmbedding, batch: int = 1) -> Row:
    x = drawn(1, batch, 4, 3, 2, 2)
    return Row(x, torch.tensor(0.5), Prompt(REGION, embedding, x.shape), flow(shift=1.0))


def asked(*rows: Row) -> list[DitCall]:
    network = Listening([])
    DitDenoiser(network, SHAPE, Limits(8, 2**30, torch.float32, CPU))(rows)
    return network.calls


def test_each_frame_may_be_told_a_time_of_its_own() -> None:
    plain = DitEmbedding(drawn(2, 1, 5, 6))
    shared = replace(plain, time_shares=torch.tensor([[0.0, 0.5, 1.0]]))
    one, two = asked(row(plain), row(shared, 2))
    assert one.times.tolist() == [500.0]
    assert two.times.tolist() == [[0.0, 250.0, 500.0]] * 2


def test_what_a_family_reads_beside_the_text_is_shared_out_by_rows() -> None:
    first, second = drawn(3, 1, 7, 2), drawn(4, 2, 7, 2)
    embeddings = [DitEmbedding(drawn(2, 1, 5, 6), beside={"seen": own}) for own in (first, second)]
    (call,) = asked(row(embeddings[0], 2), row(embeddings[1], 2))
    assert torch.equal(call.beside["seen"], torch.cat([first, first, second]))
    assert call.pooled.shape == (4, 0)
    assert call.guidance is None


def test_rows_that_read_other_things_are_calls_of_their_own() -> None:
    plain = DitEmbedding(drawn(2, 1, 5, 6))
    seen = replace(plain, beside={"seen": drawn(3, 1, 7, 2)})
    longer = replace(plain, beside={"seen": drawn(3, 1, 9, 2)})
    calls = asked(row(plain), row(seen), row(longer), row(seen))
    assert [len(call.sample) for call in calls] == [1, 2, 1]


def test_what_rides_beside_is_cut_with_the_rows_of_a_batch() -> None:
    embedding = DitEmbedding(
        drawn(2, 1, 5, 6), time_shares=torch.arange(6.0).view(2, 3), beside={"a": drawn(3, 2, 4)}
    )
    cut = embedding.cut(lambda tensor: tensor if len(tensor) == 1 else tensor[1:])
    assert cut.time_shares is not None
    assert cut.time_shares.tolist() == [[3.0, 4.0, 5.0]]
    assert torch.equal(cut.beside["a"], embedding.beside["a"][1:])
