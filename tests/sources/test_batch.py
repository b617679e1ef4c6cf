"""The pictures in what one source returns."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from gpuview.frames.picture.look import Look
from gpuview.sources.batch import items_of, pictures_in, why_not_shown

IMAGE = torch.zeros(2, 3, 8, 8)
MASK = torch.zeros(8, 8)
LABELS = torch.tensor([1, 2])
TOKENS = torch.zeros(2, 77, dtype=torch.int64)


@dataclass
class Output:
    image: torch.Tensor
    loss: torch.Tensor


Pair = namedtuple("Pair", "image label")


def show(batch: object, look: Look = Look()) -> tuple[list[str], list[str]]:  # noqa: B008
    pictures, others = pictures_in(batch, lambda part, beside: why_not_shown(part, beside, look))
    return list(pictures), list(others)


@pytest.mark.parametrize(
    ("batch", "shown"),
    [
        ([IMAGE, LABELS], (["0"], ["1"])),
        ((IMAGE, MASK), (["0", "1"], [])),
        (
            {"pixels": IMAGE, "ids": TOKENS, "text": ["a cat", "a dog"]},
            (["pixels"], ["ids", "text"]),
        ),
        (Output(IMAGE, torch.tensor(0.5)), (["image"], ["loss"])),
        (Pair(np.zeros((8, 8)), 3), (["image"], ["label"])),
        ([[IMAGE, MASK], {"boxes": [1, 2], "mask": MASK}], (["0.0", "0.1", "1.mask"], ["1.boxes"])),
        ([IMAGE, {"boxes": [1, 2]}, None], (["0"], ["1", "2"])),
        ([LABELS, 3], ([], ["0", "1"])),
        (IMAGE, ([], [])),
    ],
    ids=["list", "all", "dict", "dataclass", "named tuple", "nested", "left", "none", "tensor"],
)
def test_pictures_are_told_from_the_other_parts(batch, shown):
    assert show(batch) == shown


def test_each_other_part_has_a_reason():
    _, others = pictures_in(
        [IMAGE, LABELS, ["a cat"]], lambda part, beside: why_not_shown(part, beside, Look())
    )

    assert others["1"] == "cannot show a tensor with shape = (2,)"
    assert others["2"] == "no picture in it"


def test_what_can_be_shown_depends_on_how_it_is_shown():
    assert show([IMAGE, TOKENS], Look(value_range=(0, 9))) == (["0", "1"], [])


def test_the_first_of_a_data_loaders_batch_is_shown():
    loader = DataLoader(TensorDataset(IMAGE, LABELS), batch_size=2)

    assert show(next(iter(loader))) == (["0"], ["1"])


@pytest.mark.parametrize("value", [torch.zeros(2), "text", 3, None, Output])
def test_other_values_have_no_items(value):
    assert items_of(value) is None
