"""Examples with a few more behind them."""

from collections.abc import Iterator

import pytest
import torch

from steps.training.inputs.batches import Pictures
from steps.training.inputs.examples import Examples, Part, Rows
from steps.training.inputs.joined import Joined
from steps.training.processes.parallel import Handed
from tests.steps.training.examples import CLASSES, dataset, settings

ROWS = Rows(torch.arange(10).reshape(5, 2).float(), torch.tensor([0, 1, 2, 1, 0]), 3)
BEHIND = torch.tensor([[50.0, 51.0], [60.0, 61.0]])


def test_what_is_behind_comes_where_the_order_has_it() -> None:
    """Inputs and labels stay together, in each batch and in one that has nothing else."""
    joined = Joined(Part(ROWS, torch.tensor([4, 3])), BEHIND, torch.tensor([2, 0]))
    assert (len(joined), joined.classes, joined.labels.tolist()) == (4, 3, [0, 1, 2, 0])
    batches = list(joined.batches(torch.tensor([3, 0, 1, 2, 2]), 2))
    assert [inputs.tolist() for inputs, _ in batches] == [
        [[60.0, 61.0], [8.0, 9.0]],
        [[6.0, 7.0], [50.0, 51.0]],
        [[50.0, 51.0]],
    ]
    assert [labels.tolist() for _, labels in batches] == [[0, 0], [1, 2], [2]]


def test_the_examples_in_front_stay_as_they_are() -> None:
    """Their memory is not written to."""
    before = ROWS.inputs.clone()
    whole = Whole()
    list(Joined(whole, BEHIND, torch.tensor([2, 0])).batches(torch.tensor([5, 6, 0]), 3))
    assert torch.equal(whole.inputs, before)


class Whole:
    """Examples that hand out their own memory."""

    def __init__(self) -> None:
        self.inputs, self.labels, self.classes = ROWS.inputs.clone(), ROWS.labels, 3

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: torch.Tensor, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield self.inputs[:3], self.labels[:3]


@pytest.mark.parametrize("memory_mb", [0, 64])
def test_pictures_that_are_decoded_batch_by_batch_are_joined_alike(memory_mb: int) -> None:
    """As those that are in memory."""
    pictures = dataset(4)
    image_ids = pictures.index["image_id"].tolist()
    front = Pictures(pictures, image_ids, CLASSES, settings(memory_mb=memory_mb))
    behind = torch.full((2, 16, 16, 3), 7, dtype=torch.uint8)
    order = torch.tensor([13, 0, 12, 5])
    first, second = Joined(front, behind, torch.tensor([1, 2])).batches(order, 2)
    assert (first[0][0] == 7).all()
    assert torch.equal(first[0][1], next(front.batches(torch.tensor([0]), 1))[0][0])
    assert torch.equal(second[0][1], next(front.batches(torch.tensor([5]), 1))[0][0])
    assert first[1].tolist() == [2, int(front.labels[0])]


def test_several_processes_are_handed_all_of_them() -> None:
    """With the tensors of both apart, as those of other examples are."""
    joined: Examples = Joined(ROWS, BEHIND, torch.tensor([2, 0]))
    handed = Handed.over(torch.nn.Linear(2, 3), joined, ROWS)
    try:
        _, train, _ = handed.received(torch.device("cpu"))
        ((inputs, labels),) = train.batches(torch.tensor([6, 1]), 2)
    finally:
        handed.tensors.close()
    assert (inputs.tolist(), labels.tolist()) == ([[60.0, 61.0], [2.0, 3.0]], [0, 1])
