"""The configuration: known keys only, the product's own values, and differences laid over them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from materializers.errors import UsageError
from pipelines.config import CONFIGS, Config, load_config

PRODUCT_VALUES = {
    "product.model": "product-classifier",
    "product.experiment": "product-image-classification",
    "product.classes": ("electronics", "clothing", "home", "books", "toys"),
    "product.source.name": "product-images",
    "validate.rows.limit": 100,
    "validate.missing_values.limit": 0.10,
    "validate.missing_values.severity": "warn",
    "split.shares.train": 0.70,
    "split.shares.validation": 0.15,
    "split.shares.test": 0.15,
    "train.preprocessing.height": 224,
    "train.preprocessing.width": 224,
    "train.mean": (0.485, 0.456, 0.406),
    "train.deviation": (0.229, 0.224, 0.225),
    "train.augmentation.flip": 0.5,
    "train.augmentation.rotation": 15.0,
    "train.augmentation.brightness": 0.2,
    "train.augmentation.contrast": 0.2,
    "train.architecture": "resnet50",
    "train.freeze_backbone": True,
    "train.hidden": 512,
    "train.dropout": 0.3,
    "train.batch_size": 32,
    "train.optimizer": "adam",
    "train.learning_rate": 0.001,
    "train.epochs": 50,
    "train.plateau_patience": 5,
    "train.early_stopping_patience": 10,
    "tune.trials": 50,
    "tune.search_space.learning_rate": {"low": 0.0001, "high": 0.01, "log": True, "step": None},
    "tune.search_space.batch_size": {"choices": (16, 32, 64)},
    "tune.search_space.dropout": {"low": 0.1, "high": 0.5, "log": False, "step": None},
    "cross_validate.folds": 5,
    "trigger.new_rows": 10_000,
    "trigger.max_age_days": 30.0,
    "monitor.window.hours": 24.0,
    "monitor.drift.fixed.data_drift": 0.1,
    "monitor.drift.fixed.data_drift_retrain": 0.25,
    "monitor.drift.fixed.prediction_drift": 0.05,
    "monitor.performance.floor": 0.80,
    "monitor.performance.baseline_share": 0.95,
    "monitor.performance.reported_change": 0.05,
    "monitor.prometheus.latency_p99_ms": 1_000.0,
    "deployment.staging.mode": "full",
    "deployment.production.mode": "canary",
    "deployment.production.stages": (0.10,),
    "deployment.production.ab_share": 0.20,
    "deployment.observe.minimum_s": 300,
    "running.timeout_s": 3600,
    "running.retries.count": 3,
    "running.retries.delay_s": 60,
    "running.retries.factor": 2,
    "running.step.cpu_request": 2.0,
    "running.step.cpu_limit": 4.0,
    "running.step.memory_request": "4G",
    "running.step.memory_limit": "8G",
    "running.steps.tune.gpus": 1,
    "running.steps.train.memory_request": "32G",
    "running.steps.train.gpus": 1,
    "running.steps.train.node_pool": {"gpu-type": "v100"},
}
"""What the product's description states; the files must carry these values.

The gate's rules are compared in tests/steps/evaluation/test_policy.py.
"""


def value_at(config: Config, path: str) -> object:
    """The value of a setting, by the path that ``--set`` takes."""
    value: Any = config.model_dump(by_alias=True)
    for part in path.split("."):
        value = value[part]
    return value


def without_defaults(tree: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """What remains of a configuration when every value is left out that the code has a default for."""
    kept = {}
    for name, field in model.model_fields.items():
        key, inner = field.alias or name, field.annotation
        if not field.is_required():
            continue
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            kept[key] = without_defaults(tree[key], inner)
        else:
            kept[key] = tree[key]
    return kept


@pytest.mark.parametrize(("path", "value"), PRODUCT_VALUES.items())
def test_configs_carry_the_products_values(path: str, value: object) -> None:
    """Without an overlay, each setting has the value that the product's description states."""
    assert value_at(load_config(None, ()), path) == value


@pytest.mark.parametrize("section", Config.model_fields)
def test_the_defaults_of_the_code_are_the_values_of_the_files(section: str) -> None:
    """A number that stands in ``configs/*.yaml`` and in a settings class is the same in both."""
    config = load_config(None, ())
    bare = Config.model_validate(without_defaults(config.model_dump(by_alias=True), Config))
    assert getattr(bare, section).model_dump() == getattr(config, section).model_dump()


def test_the_demo_overrides_only_what_it_names() -> None:
    """What ``configs/demo`` does not mention keeps the product's value."""
    demo, product = load_config(CONFIGS / "demo", ()), load_config(None, ())
    assert demo.product.model == "product-classifier-demo"
    assert demo.split == product.split
    assert demo.product.experiment == product.product.experiment


def test_the_overlay_of_a_backbone_sets_what_its_weights_expect() -> None:
    """EfficientNet-Lite0 with its package's weights: bicubic pictures of 224 pixels, (x - 127) / 128."""
    config, product = (
        load_config(CONFIGS / "backbones" / "efficientnet_lite0.yaml", ()),
        load_config(None, ()),
    )
    train = config.train
    assert (train.architecture, train.weights) == ("efficientnet_lite0", "package")
    assert (train.preprocessing.height, train.preprocessing.width) == (224, 224)
    assert train.preprocessing.resample == "bicubic"
    assert [round(value * 255, 9) for value in (*train.mean, *train.deviation)] == [127] * 3 + [128] * 3
    assert config.model_copy(update={"train": product.train}) == product


def test_every_line_of_the_demo_is_a_difference() -> None:
    """A value that ``configs/demo`` repeats from the product's would be a second place to change it."""
    import yaml

    def leaves(tree: dict[str, object], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
        found: dict[tuple[str, ...], object] = {}
        for key, value in tree.items():
            if isinstance(value, dict):
                found |= leaves(value, (*path, key))
            else:
                found[*path, key] = value
        return found

    def read(folder: Path) -> dict[tuple[str, ...], object]:
        found: dict[tuple[str, ...], object] = {}
        for file in folder.glob("*.yaml"):
            found |= leaves(yaml.safe_load(file.read_text()))
        return found

    product, demo = read(CONFIGS), read(CONFIGS / "demo")
    repeated = [path for path, value in demo.items() if path in product and product[path] == value]
    assert repeated == []


def test_set_wins_over_the_overlay() -> None:
    """``--set`` is laid over ``--config``."""
    config = load_config(CONFIGS / "demo", ("trigger.new_rows=7", "product.source.name=elsewhere"))
    assert (config.trigger.new_rows, config.product.source.name) == (7, "elsewhere")


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("train.epoch=3", "'epochs'"),
        ("trian.epochs=3", "'train'"),
        ("product.source.nam=x", "'name'"),
        ("trigger.cooldown_hour=1", "'cooldown_hours'"),
        ("epochs=3", r"'epochs'; did you mean 'train\.epochs'\?"),
        ("split.epochs=3", r"'split\.epochs'; did you mean 'train\.epochs'\?"),
        ("new_rows=3", r"did you mean 'trigger\.new_rows'\?"),
        ("limit=3", "known are: approval, calibrate"),
    ],
)
def test_an_unknown_key_names_the_nearest_right_one(assignment: str, named: str) -> None:
    """A typo is refused with the key that was probably meant, a key without its section with the whole."""
    with pytest.raises(UsageError, match=named):
        load_config(None, (assignment,))


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        (
            "split.shares=[0.5,0.5]",
            "split.shares: it takes keys with values, as in --set "
            "'split.shares={train: 0.7, validation: 0.15, test: 0.15}'",
        ),
        (
            "product.classes=bags",
            "product.classes: it takes a list, as in --set "
            "'product.classes=[electronics, clothing, home, books, toys]' (given: 'bags')",
        ),
        ("validate.rules=3", "validate.rules: it takes a list (given: 3)"),
    ],
)
def test_a_value_of_another_shape_is_refused_with_an_example_in_yaml(assignment: str, said: str) -> None:
    """Which can be copied: with it, the configuration is read."""
    with pytest.raises(UsageError) as error:
        load_config(None, (assignment,))
    assert str(error.value) == f"configuration: {said}"
    if (example := re.search(r"--set '(.+?)'", said)) is not None:
        assert load_config(None, (example[1],)) == load_config(None, ())


@pytest.mark.parametrize(
    "assignment",
    [
        "train.epochs=many",
        "policy.rules.accuracy.limit=1.2",
        "policy.rules.accuracy.limit=false",
        "policy.rules.accuracy.limit='0.1'",
        "deployment.production.mode=blue-green",
        "deployment.production.stages=[]",
        "deployment.production.stages=[0.5, 0.1]",
        "deployment.production.stages=[0.1, 0.1]",
        "deployment.production.stages=[0]",
        "deployment.production.stages=[0.1, 1]",
        "deployment.production.stages=[0.1, 0.125]",
        "deployment.production.stages=[.nan]",
        "deployment.production.ab_share=0",
        "deployment.production.ab_share=1",
        "deployment.end_to_end_hours=0",
        "deployment.look_every_minutes=60",
        "deployment.wait_seconds=0",
        "product.model=Bad Name",
        "product.classes=[one]",
        "product.classes=[one, two, one]",
        "product.classes=[one, ' ']",
        "train.epochs=10001",
        "train.seed=4294967296",
        "evaluate.bootstrap_resamples=1000000000",
        "inference.batch_size=0",
        "inference.threads=0",
        "inference.processes=-1",
        "inference.steps=0",
        "inference.steps=65",
        "trigger.new_rows=-1",
        "trigger.max_age_days=-1",
        "trigger.cooldown_hours=-1",
        "monitor.window.hours=0",
        "monitor.window.hours=.nan",
        "monitor.performance.floor=1.5",
        "monitor.performance.baseline_share=0",
        "monitor.performance.minimum_labels=0",
        "monitor.performance.rollback=always",
        "monitor.performance.rollback=true",
        "monitor.drift.false_alarms=0",
        "monitor.drift.false_alarms=1",
        "monitor.business.decline=0",
        "monitor.business.decline=.nan",
        "monitor.business.figure=profit",
        "monitor.business.value_is=good",
        "monitor.business.minimum_values=1",
        "monitor.reference.hours=0",
        "monitor.reference.minimum_pictures=0",
        "monitor.reference.use=oldest",
        "ingest.quarantine_days=0",
        "keeping.grace_hours=0.5",
        "keeping.grace_hours=.nan",
        "keeping.features_days=0",
        "validate.pictures.duplicates.hash_distance=11",
        "validate.pictures.duplicates.hash_distance=-1",
        "validate.pictures.duplicates.thumbnail_difference=.inf",
        "validate.pictures.duplicates.thumbnail_difference=256",
        "train",
        "train.epochs=[",
        "validate.rows=5",
        "validate.rows.limit=.nan",
        "validate.rows.severity=ignore",
        "validate.set_aside.limit=1.1",
        "validate.groups_per_class.limit=2",
        "validate.columns={price: {minimum: 1}}",
        "validate.columns={price: {type: number, minimum: 2, maximum: 1}}",
        "validate.columns={price: {type: number, allowed: [one]}}",
        "validate.columns={bought: {type: time, allowed: ['2026']}}",
        "validate.columns={size: {pattern: '['}}",
        "validate.columns={size: {allowed: []}}",
        "validate.rules=[{name: a, left: b, is: almost, right: c}]",
        "validate.rules=[{name: a, where: {column: label}, needs: size}]",
        "validate.rules=[{name: a, left: b, is: '<', right: c}, {name: a, left: b, is: '>', right: c}]",
        "validate.freshness.data_age.limit=-1",
        "validate.freshness.delivery_interval.limit=0",
    ],
)
def test_a_value_that_cannot_be_is_refused(assignment: str) -> None:
    """A value of the wrong type or out of range is refused before anything starts."""
    with pytest.raises(UsageError):
        load_config(None, (assignment,))


def test_a_plain_off_is_understood_where_yaml_reads_it_as_false() -> None:
    """Of a policy for rollbacks, as one would write it."""
    config = load_config(None, ("monitor.performance.rollback=off",))
    assert config.monitor.performance.rollback == "off"


def test_a_threshold_out_of_range_is_refused_by_name() -> None:
    """With the value that was given and what it may be."""
    said = r"monitor\.performance\.floor: .*less than or equal to 1 \(given: 1\.5\)"
    with pytest.raises(UsageError, match=said):
        load_config(None, ("monitor.performance.floor=1.5",))


@pytest.mark.parametrize(
    "key",
    [
        *("monitor.prometheus.latency_p99_ms", "ingest.watch.incomplete_hours", "monitor.window.hours"),
        *("trigger.max_age_days", "trigger.cooldown_hours", "trigger.alarm_wait_days"),
    ],
)
def test_a_limit_without_end_is_refused_by_name(key: str) -> None:
    """It would be found out in the middle of a run, in words of a library."""
    with pytest.raises(UsageError, match=rf"{key}: Input should be .*\(given: "):
        load_config(None, (f"{key}=.inf",))


@pytest.mark.parametrize("address", ["127.0.0.1:9090", "ftp://prometheus", "http://a b", "https://"])
def test_an_address_of_prometheus_that_is_none_is_told_how_one_begins(address: str) -> None:
    """In words, not as a pattern."""
    said = r"monitor\.prometheus\.url: it begins with http:// or https://, such as http://127\.0\.0\.1:9090"
    with pytest.raises(UsageError, match=said):
        load_config(None, (f"monitor.prometheus.url={address}",))


@pytest.mark.parametrize("address", ["http://{login}@prometheus:9090", "https://h/?token=pLanted"])
def test_an_address_of_prometheus_with_a_login_is_refused_without_repeating_it(address: str) -> None:
    """Configurations stand in ZenML's store, in schedules and in what commands print."""
    with pytest.raises(UsageError, match=r"monitor\.prometheus\.url.*let this machine ask without") as error:
        load_config(None, (f"monitor.prometheus.url={address.format(login='reader:pLanted')}",))
    assert "pLanted" not in str(error.value)


@pytest.mark.parametrize("value", [".inf", "1.0e+300", "87601"])
@pytest.mark.parametrize(
    ("key", "limit"), [("ingest.quarantine_days", "36500"), ("keeping.grace_hours", "87600")]
)
def test_a_time_beyond_where_dates_end_is_refused_with_its_limit(key: str, limit: str, value: str) -> None:
    """Such a time would end a run, or a collection, where it is added to a date."""
    said = "a finite number" if value == ".inf" else f"less than or equal to {limit}"
    with pytest.raises(UsageError, match=rf"{key}: Input should be {said} \(given: "):
        load_config(None, (f"{key}={value}",))
    load_config(None, (f"{key}={limit}",))


@pytest.mark.parametrize(
    "name",
    ["''", "a/b", "../x", "..", ".hidden", "-x", "x-", "a b", '"a\\tb"', '"a\\n"', '"a\\0"', "[a]", "7"],
)
def test_a_source_name_that_is_no_name_is_refused(name: str) -> None:
    """It is the first part of the path of each of its pictures, and is compared with production's."""
    with pytest.raises(UsageError, match=r"product\.source\.name: (String should match|Input should be)"):
        load_config(None, (f"product.source.name={name}",))


@pytest.mark.parametrize("name", ["a", "product-images", "Shop_2.archive"])
def test_a_source_name_of_letters_digits_and_marks_is_taken(name: str) -> None:
    """As the deliverer is called."""
    assert load_config(None, (f"product.source.name={name}",)).product.source.name == name


@pytest.mark.parametrize(
    "key",
    [
        "validate.needed_values",
        "validate.absent_classes",
        "validate.several_classes",
        "validate.freshness.data_age",
    ],
)
def test_no_configuration_makes_a_needed_check_a_warning(key: str) -> None:
    """Without label, path or class there is nothing to train on; stale data has a switch of its own."""
    with pytest.raises(UsageError, match=rf"{key}.severity: Input should be 'refuse' \(given: 'warn'\)"):
        load_config(None, (f"{key}.severity=warn",))


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("validate.columns={price: {typ: number}}", r"'validate\.columns\.price\.typ'; did you mean 'type'"),
        ('validate.rules=[{name: a, lft: b, is: "<", right: c}]', r"validate\.rules.0.comparison.lft: Extra"),
        (
            "validate.rules=[{name: a, where: {column: b, equal: c}, needs: d}]",
            r"validate\.rules.0.need.where.equal: Extra inputs are not permitted",
        ),
    ],
)
def test_a_misspelt_key_of_a_column_or_a_rule_is_named(assignment: str, named: str) -> None:
    """These have names of the user's own above them; the key itself is refused all the same."""
    with pytest.raises(UsageError, match=named):
        load_config(None, (assignment,))


def test_the_documented_columns_and_rules_are_understood(tmp_path: Path) -> None:
    """The example of docs/data.md is a configuration."""
    page = (CONFIGS.parent / "docs" / "data.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "example.yaml").write_text(example)
    checks = load_config(tmp_path / "example.yaml", ()).validate_
    assert set(checks.columns) == {"price", "colour", "article", "bought_at"}
    assert [rule.name for rule in checks.rules] == ["sale_below_price", "shoes_have_size"]


@pytest.mark.parametrize("content", ["train: [", "- a\n- b", "train:\n  epochs: 3\n  epoch: 4"])
def test_an_unreadable_overlay_is_refused(tmp_path: Path, content: str) -> None:
    """A file that is not YAML, not a mapping, or has an unknown key is refused."""
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(content)
    with pytest.raises(UsageError):
        load_config(overlay, ())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("train:\n  epochs: 1\n  epochs: 2\n", "'epochs' stands there twice"),
        ("train:\n  epochs: 1\ntrain:\n  seed: 2\n", "'train' stands there twice"),
        ("train: " + "[" * 5000, "nested too deeply"),
        ("train: 2026-13-45", "month must be in"),
        ("train:\n  seed: " + "9" * 5000, "digits"),
    ],
    ids=["a key twice", "a section twice", "deep", "no date", "no number"],
)
def test_odd_yaml_is_wrong_use(tmp_path: Path, content: str, said: str) -> None:
    """Whatever PyYAML raises on it, and what it would take without a word."""
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(content)
    with pytest.raises(UsageError, match=said):
        load_config(overlay, ())


@pytest.mark.parametrize("value", ["[" * 5000, "2026-13-45", "{seed: 1, seed: 2}", "9" * 5000], ids=len)
def test_an_odd_value_of_set_is_wrong_use(value: str) -> None:
    """``--set`` is read as the files are."""
    with pytest.raises(UsageError, match="the value cannot be read"):
        load_config(None, (f"train={value}",))


@pytest.mark.parametrize("name", ["n" * 300, "a\0b"], ids=["too long", "a NUL"])
def test_a_path_that_cannot_be_is_wrong_use(tmp_path: Path, name: str) -> None:
    """What the system raises on the name of ``--config``."""
    with pytest.raises(UsageError, match="--config"):
        load_config(tmp_path / name, ())


def test_a_missing_overlay_is_refused(tmp_path: Path) -> None:
    """``--config`` with a path that is not there is refused, naming it."""
    with pytest.raises(UsageError, match="nowhere"):
        load_config(tmp_path / "nowhere", ())


def test_a_searched_parameter_is_replaced_whole() -> None:
    """A range becomes a choice, null takes a parameter out of the search, and what is not named stays."""
    assignments = ("tune.search_space.dropout={choices: [0.2, 0.4]}", "tune.search_space.batch_size=null")
    searched = load_config(None, assignments).tune.searched
    assert searched.keys() == {"dropout", "learning_rate"}
    assert searched["dropout"].model_dump() == {"choices": (0.2, 0.4)}


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("tune.search_space={}", "tune: .*search_space is empty"),
        (
            "tune.search_space.dropout={low: 0.5, high: 0.1}",
            r"tune\.search_space\.dropout: .*low must be below",
        ),
        ("tune.search_space.dropout.high=0.3", r"tune\.search_space\.dropout\.low: Field required"),
        ("tune.search_space.dropot={low: 0.1, high: 0.3}", r"tune\.search_space: .*did you mean 'dropout'\?"),
        ("cross_validate.folds=1", r"cross_validate\.folds: .*2 or more"),
    ],
)
def test_an_impossible_search_names_its_key(assignment: str, said: str) -> None:
    """As ``--set`` takes the key, without what only the code calls so."""
    with pytest.raises(UsageError, match=said):
        load_config(None, (assignment,))


def test_where_a_study_lies_makes_no_other_model() -> None:
    """A study's database may move; what is searched may not change unseen."""
    digest = load_config(None, ()).training_digest
    assert load_config(None, ("tune.storage=sqlite:///x.db",)).training_digest == digest
    assert load_config(None, ("tune.trials=3",)).training_digest != digest
    assert load_config(None, ("cross_validate.folds=3",)).training_digest != digest


def test_the_training_digest_ignores_what_does_not_make_a_model() -> None:
    """The trigger's limits do not change what a model becomes; the learning rate does."""
    base = load_config(None, ())
    assert load_config(None, ("trigger.new_rows=1",)).training_digest == base.training_digest
    assert load_config(None, ("train.learning_rate=0.01",)).training_digest != base.training_digest


def test_a_policy_that_requires_nothing_is_refused() -> None:
    """No model could pass it, so nothing is trained for it."""
    names = list(load_config(None, ()).policy.rules)
    advisory = tuple(f"policy.rules.{name}.requirement=advisory" for name in names)
    assert load_config(None, advisory[1:]).policy.rules["accuracy"].requirement == "advisory"
    with pytest.raises(UsageError, match="no rule of the policy is required"):
        load_config(None, advisory)
