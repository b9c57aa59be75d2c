"""Who reads a prompt is handed the owner's own embeddings that it names, and no others."""

from graph.folding import fold
from graph.private_embeddings import with_private_embeddings
from graph.values import Clip, ModelFile
from tests.graph.nodes_for_tests import checked, picture

CLIP = Clip((ModelFile("checkpoints", "a.safetensors"),))
STYLE, OTHER = (ModelFile("embeddings", f"{name}.safetensors", owner="me") for name in "ab")
OWN = {"style": STYLE, "other": OTHER}


def test_a_text_encoder_gets_the_words_that_a_text_beside_it_names() -> None:
    inputs = {"clip": CLIP, "text": "a fox, (embedding:style:1.2)", "width": 8}
    given = with_private_embeddings(inputs, OWN)
    assert given["clip"].private_embeddings == (("style", STYLE),)
    assert given == inputs | {"clip": given["clip"]}


def test_a_text_that_names_none_changes_nothing() -> None:
    for text in ("a fox", "style", "embedding:theirs", ""):
        inputs = {"clip": CLIP, "text": text}
        assert with_private_embeddings(inputs, OWN) == inputs


def test_results_of_other_files_under_one_name_are_apart() -> None:
    document = picture("embedding:style")
    plain, one, other = (
        fold(checked(document), own).steps for own in ({}, {"style": STYLE}, {"style": OTHER})
    )
    assert len({steps["2"].key for steps in (plain, one, other)}) == 3
    assert len({steps["5"].key for steps in (plain, one, other)}) == 3
    assert fold(checked(picture("a fox")), OWN) == fold(checked(picture("a fox")))
