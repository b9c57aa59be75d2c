"""What nodes may make of a workflow while it is planned: joined texts, models applied to models."""

from typing import Any

import pytest

from graph.content_keys import content_key
from graph.made_values import MOST_NESTED, MOST_PARTS, MOST_TEXT, MadeTooLargeError, MadeValues
from graph.nodes.model_merging import merge_models
from graph.nodes.strings import concatenate, replace
from graph.values import Model, ModelFile

BASE = Model(ModelFile("checkpoints", "a.safetensors", "1"))


def count_all(values: list[Any]) -> None:
    made = MadeValues()
    for value in values:
        made.count((value,))


def doubled(times: int) -> list[Model]:
    """A model, merged with itself so many times."""
    models = [BASE]
    for _ in range(times):
        models.append(merge_models(model1=models[-1], model2=models[-1], ratio=0.5))
    return models


def test_models_of_models_are_bounded() -> None:
    count_all(doubled(5))
    with pytest.raises(MadeTooLargeError) as caught:
        count_all(doubled(40))
    assert caught.value.limit == MOST_PARTS


def test_nesting_is_bounded() -> None:
    models = [BASE]
    for _ in range(MOST_NESTED):
        models.append(merge_models(model1=BASE, model2=models[-1], ratio=0.5))
    with pytest.raises(MadeTooLargeError) as caught:
        count_all(models)
    assert caught.value.limit == MOST_NESTED


def test_the_key_of_a_shared_description_is_made_without_unfolding_it() -> None:
    *_, one = doubled(60)
    *_, other = doubled(60)
    assert content_key(one) == content_key(other) != content_key(doubled(59)[-1])


def test_texts_are_bounded_together() -> None:
    text = "x" * (MOST_TEXT // 4)
    count_all([text, text, text, text, text])  # passed on: it is there once
    with pytest.raises(MadeTooLargeError):
        count_all([text + str(k) for k in range(5)])


def test_a_text_that_is_too_long_is_not_even_made() -> None:
    with pytest.raises(MadeTooLargeError):
        replace(string="x" * 10**6, find="x", replace="y" * 10**6)
    half = "x" * (MOST_TEXT // 2 + 1)
    with pytest.raises(MadeTooLargeError):
        concatenate(string_a=half, string_b=half)


def test_after_a_text_that_was_too_long_others_are_made() -> None:
    made = MadeValues()
    with pytest.raises(MadeTooLargeError):
        made.count(("x" * (MOST_TEXT + 1),))
    made.count(("a fox" * 1000,))
    made.count((BASE,))
