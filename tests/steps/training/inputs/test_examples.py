"""What is learnt from comes in the order that is asked for."""

import pytest
import torch

from steps.training.inputs.examples import Part, Rows

ROWS = Rows(torch.arange(10).reshape(5, 2).float(), torch.tensor([0, 1, 2, 1, 0]), 3)


def test_rows_come_in_order_and_the_last_batch_has_the_rest() -> None:
    """Inputs and labels stay together, and a row may come twice."""
    batches = list(ROWS.batches(torch.tensor([4, 0, 0]), 2))
    assert [inputs.tolist() for inputs, _ in batches] == [[[8.0, 9.0], [0.0, 1.0]], [[0.0, 1.0]]]
    assert [labels.tolist() for _, labels in batches] == [[0, 0], [0]]


def test_a_part_counts_from_its_own_beginning() -> None:
    """Its labels, length and batches are those of its positions, a part of a part's too."""
    part = Part(ROWS, torch.tensor([3, 2, 1]))
    assert (len(part), part.classes, part.labels.tolist()) == (3, 3, [1, 2, 1])
    ((inputs, labels),) = part.batches(torch.tensor([0, 2]), 8)
    assert (inputs.tolist(), labels.tolist()) == ([[6.0, 7.0], [2.0, 3.0]], [1, 1])
    smaller = Part(part, torch.tensor([1]))
    ((inputs, labels),) = smaller.batches(torch.arange(1), 8)
    assert (inputs.tolist(), labels.tolist(), len(smaller)) == ([[4.0, 5.0]], [2], 1)


def test_inputs_without_labels_are_refused() -> None:
    """Both counts are named."""
    with pytest.raises(ValueError, match="2 inputs and 1 labels"):
        Rows(torch.zeros(2, 2), torch.zeros(1, dtype=torch.int64), 3)
