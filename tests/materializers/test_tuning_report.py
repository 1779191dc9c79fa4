"""The page of a tuning answers: what is best, by how much, and how sure is that."""

from materializers.tuning_report import TuningReport
from tests.materializers.examples import tuning_report


def test_the_page_shows_trials_best_parameters_and_folds() -> None:
    """With the importances, the per-fold table, mean and spread."""
    page = " ".join(tuning_report().page().split())
    assert "3 trials and 2 folds, on features" in page
    assert "0.81 validation accuracy" in page
    assert "of which 1 ended early (hyperband); 3 epochs were trained" in page
    assert "0.0001 to 0.01, by orders of magnitude" in page
    assert '<tr><th>mean</th><td></td><td class="number">0.815</td>' in page
    assert "Epoch 1: the training loss is nan" in page
    assert page.count('<img src="data:image/png;base64,') == 2


def test_the_headline_is_the_best_and_the_mean_of_the_folds() -> None:
    """What the dashboard shows without a click."""
    assert tuning_report().headline() == {
        "trials": 3,
        "pruned": 1,
        "val_accuracy": 0.81,
        "batch_size": 16,
        "learning_rate": 0.001,
        "fold_accuracy": 0.815,
        "fold_accuracy_deviation": 0.0071,
    }


def test_folds_alone_are_a_report_too() -> None:
    """Then the mean is what the page begins with, and there is no table of trials."""
    page = tuning_report(trials=(), best={}, importances={}).page()
    assert "0.815 ± 0.0071 accuracy" in page
    assert "<h2>Trials</h2>" not in page


def test_trials_that_learnt_nothing_change_nothing() -> None:
    """The page says so."""
    assert "the configuration stays as it is" in tuning_report(best={}).page()


def test_numbers_alone_are_the_digest() -> None:
    """Pictures lie beside."""
    bare = TuningReport.model_validate(tuning_report().model_dump())
    assert bare.digest == tuning_report().digest
    assert not bare.pictures
