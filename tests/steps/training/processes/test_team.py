"""A process that trains alone has everything, and agrees with itself."""

import torch
from torch import nn

from steps.training.fitting.measuring import Tally
from steps.training.inputs.examples import Rows
from steps.training.processes.team import ALONE


def test_one_process_has_the_whole_of_every_batch() -> None:
    """Its batches, what it measures and what it draws from are those of no team."""
    rows = Rows(torch.arange(5), torch.zeros(5, dtype=torch.int64), 1)
    batches = list(ALONE.batches(rows, torch.tensor([4, 0, 2]), 2))
    assert [inputs.tolist() for inputs, _ in batches] == [[4, 0], [2]]
    assert ALONE.share(torch.arange(5)).tolist() == [0, 1, 2, 3, 4]
    generator = torch.Generator()
    assert ALONE.chance(generator, 3) is generator


def test_one_process_changes_no_gradient() -> None:
    """Gradients, loss, counts and statistics stay as they are."""
    model = nn.Linear(2, 1)
    model.weight.grad = torch.ones(1, 2)
    assert ALONE.average(list(model.parameters()), 0.5, 3) == 0.5
    assert model.weight.grad.tolist() == [[1, 1]]
    tally = Tally(torch.eye(2, dtype=torch.int64), 1.5)
    assert ALONE.total(tally) is tally
    ALONE.agree(model)
