"""Metrics that are not defined stay undefined; the rest is shown with interval and n."""

from materializers.evaluation.metric import Metric
from tests.materializers.examples import evaluation_report

UNDEFINED = Metric(value=None, low=None, high=None, n=0)


def test_the_page_shows_each_metric_with_its_interval_and_n() -> None:
    """A number without its interval and n says little."""
    text = " ".join(evaluation_report().page().split())
    assert '0.934 <span class="interval">[0.9088, 0.9555]</span> <span class="interval">n 450</span>' in text
    assert "p50 3.127 ms, p99 12.41 ms" in text
    assert "1.235 MB" in text


def test_the_page_shows_the_pictures_it_was_given() -> None:
    """Confusion matrix and ROC curves lie inside the page."""
    page = evaluation_report().page()
    assert page.count('<img src="data:image/png;base64,') == 2
    assert "<figcaption>confusion matrix</figcaption>" in page


def test_a_metric_that_is_not_defined_is_a_dash_and_no_headline() -> None:
    """The precision of a class that was never predicted is not zero."""
    report = evaluation_report().model_copy(update={"roc_auc_macro": UNDEFINED})
    assert "roc_auc_macro" not in report.headline()
    assert "macro ROC-AUC –" in report.page()
    assert report.headline()["accuracy"] == 0.934


def test_pictures_that_serving_refused_are_said_to_count_as_wrong() -> None:
    """Otherwise the accuracy would seem to leave them out."""
    assert "they count as wrong" in evaluation_report().page()
    assert "they count as wrong" not in evaluation_report().model_copy(update={"set_aside": 0}).page()
