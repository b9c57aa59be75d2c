"""SEGSPaste: pictures of parts applied to pictures."""

import torch

from graph.segs import Seg, Segs
from imaging.details import paste_parts
from imaging.segs import blur_mask


def test_parts_are_laid_on_by_their_mask_and_alpha() -> None:
    image = torch.rand(2, 40, 50, 3, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(20, 30)
    mask[4:16, 5:25] = 1
    own = torch.rand(1, 20, 30, 3, generator=torch.Generator().manual_seed(2))
    segs = Segs((40, 50), (Seg(mask, 1.0, (10, 15, 40, 35), (12, 17, 38, 33), "face", own),))
    pasted = paste_parts(image, segs, 3, 128, None)
    soft = blur_mask(mask[None], 3)[..., None] * (128 / 255)
    expected = image.clone()
    expected[:, 15:35, 10:40] = (1 - soft) * image[:, 15:35, 10:40] + soft * own
    torch.testing.assert_close(pasted, expected)
    # A reference goes before what parts carry, each picture with its own.
    reference = torch.rand(2, 40, 50, 3, generator=torch.Generator().manual_seed(3))
    hard = paste_parts(image, segs, 0, 255, reference)
    inside = torch.zeros(40, 50, dtype=torch.bool)
    inside[19:31, 15:35] = True
    torch.testing.assert_close(hard[:, inside], reference[:, inside])
    assert torch.equal(hard[:, ~inside], image[:, ~inside])
    assert torch.equal(paste_parts(image, segs.of(()), 0, 255, reference), image)
