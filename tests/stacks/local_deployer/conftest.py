"""Registered versions with their evidence, and deployers on real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.main.home import free_port
from materializers.approval import Approval
from materializers.errors import ServiceUnreachable
from materializers.model_signature import sign_model
from materializers.release import Arm, Environment, Mode, Release
from materializers.signatures import ACTOR_KEY
from materializers.verdict import EvidenceDigests, RuleResult, Verdict
from serving.model_directory import ModelMetadata, Preprocessing, model_digest, write_metadata
from stacks.local_deployer import microservice, processes
from stacks.local_deployer.deployer import SeldonLocalModelDeployer
from tests.keys import ACTOR, GATE, PUBLIC_KEYS

MODEL_NAME = "product-classifier"
DIGEST = "0" * 64
FLAVOR = "stacks.local_deployer.flavor.SeldonLocalModelDeployerFlavor"


def write_model(directory: Path, seed: int) -> str:
    """A network that looks at the mean colour: a millisecond to load, another digest for another seed."""
    directory.mkdir(parents=True)
    weights = np.random.default_rng(seed).normal(size=(3, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["embedding"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["embedding", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 8, 8, 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 3]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(directory / "model.onnx"))
    metadata = ModelMetadata(
        architecture="tiny", classes=("light", "dark"), preprocessing=Preprocessing(height=8, width=8)
    )
    write_metadata(directory, metadata)
    return model_digest(directory)


def make_verdict(digest: str, *, accuracy: float = 0.9, **changes: Any) -> Verdict:
    """A verdict with one rule, accuracy ≥ 0.85."""
    outcome = "passed" if accuracy >= 0.85 else "refused"
    rule = RuleResult(
        rule="accuracy",
        requirement="required",
        direction=">=",
        limit=0.85,
        measured=accuracy,
        outcome=outcome,
    )
    evidence = EvidenceDigests(model=digest, report=DIGEST, policy=DIGEST, data=DIGEST, code=DIGEST)
    facts = {"model_name": MODEL_NAME, "outcome": outcome, "compared": "point", **changes}
    return Verdict(rules=(rule,), evidence=evidence, **facts)


def make_approval(version: int, verdict: Verdict) -> Approval:
    """A person's approval of exactly this version."""
    return Approval(
        decision="approved",
        model_name=MODEL_NAME,
        version=version,
        model_digest=verdict.evidence.model,
        report_digest=verdict.evidence.report,
        policy_digest=verdict.evidence.policy,
        actor="default",
        by="Ada",
        reason="looks right",
        at=datetime.now(UTC),
    ).signed_by(ACTOR)


def release_of(arm: Arm, environment: Environment = "staging", *, champion: Arm | None = None) -> Release:
    """A release of this version, proposed while ``champion`` was live."""
    return Release(model_name=MODEL_NAME, environment=environment, candidate=arm, champion=champion)


SHARES: dict[Mode, float] = {"canary": 0.1, "ab": 0.2, "shadow": 0.0}
"""What each mode of rolling out gives the candidate, unless a test says otherwise."""


def rollout_of(
    arm: Arm,
    champion: Arm | None,
    mode: Mode = "canary",
    environment: Environment = "staging",
    **changes: Any,
) -> Release:
    """A release that is to roll out beside ``champion``."""
    proposed = release_of(arm, environment, champion=champion)
    return proposed.model_copy(update={"mode": mode, "share": SHARES[mode], **changes})


@dataclass
class Registry:
    """Registers versions as a training run does: the model's bytes, the run's record, the tags.

    ``publish`` puts a model directory where the artifact store is, and gives its address.
    """

    root: Path
    run_verdict: Callable[[str], str]
    client: Any
    publish: Callable[[Path], str] = str

    def register(self, seed: int, *, accuracy: float = 0.9, approved: bool = False) -> Arm:
        """One more version of the model, with its verdict and perhaps an approval."""
        directory = self.root / f"model-{uuid4().hex[:8]}"
        digest = write_model(directory, seed)
        uri = self.publish(directory)
        verdict = make_verdict(digest, accuracy=accuracy)
        tags = {
            "identity": uuid4().hex,
            "model_digest": digest,
            "verdict_digest": verdict.digest,
            "report_digest": verdict.evidence.report,
            "policy_digest": verdict.evidence.policy,
            "data_version": verdict.evidence.data,
            "code_digest": verdict.evidence.code,
            "zenml_run": self.run_verdict(verdict.digest),
        }
        version = int(self.client.create_model_version(MODEL_NAME, uri, tags=tags).version)
        approval = make_approval(version, verdict) if approved else None
        if approval:
            self.client.set_model_version_tag(MODEL_NAME, str(version), "approval_digest", approval.digest)
        return Arm(
            version=version,
            model_digest=digest,
            model_uri=uri,
            verdict=verdict,
            approval=approval,
            signature=sign_model(directory, verdict, GATE),
        )


@contextmanager
def rejected_in_the_log(arm: Arm) -> Iterator[str]:
    """Have the audit log alone say that a version was rejected, until it is approved; the entry's address."""
    from zenml.client import Client

    from materializers.audit_log import log_name
    from steps.registry.audit import record

    subject = {"model": MODEL_NAME, "version": str(arm.version), "model_digest": arm.model_digest}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ACTOR_KEY, ACTOR.key.pem)
        entry = record("reject", subject, by="Bob", reason="the bags look wrong")
        assert entry is not None
        number = str(entry.number)
        yield Client().list_artifact_versions(artifact=log_name(), version=number).items[0].uri
        record("approve", subject, by="Bob", reason="they are fine")


def registry_is_down(patch: pytest.MonkeyPatch) -> None:
    """From now on nobody reaches the registry."""

    def down() -> None:
        raise ServiceUnreachable("the registry is down")

    patch.setattr("materializers.evidence.registry_client", down)


@contextmanager
def active(stack: str) -> Iterator[None]:
    """Make a stack the active one for a while."""
    from zenml.client import Client

    client = Client()
    before = client.active_stack_model.id
    client.activate_stack(stack)
    try:
        yield
    finally:
        client.activate_stack(before)


@dataclass(frozen=True)
class RegistryStack:
    """A ZenML stack with an MLflow registry of its own, and the folder that this lies in."""

    name: str
    root: Path


def make_registry(stack: RegistryStack, publish: Callable[[Path], str] = str) -> Registry:
    """The MLflow registry of a stack, with an empty registered model."""
    from zenml.client import Client
    from zenml.enums import MetadataResourceTypes
    from zenml.models import RunMetadataResource

    from materializers.evidence import registry_client
    from tests.stacks.local_deployer.judged_pipeline import judged

    def run_verdict(digest: str) -> str:
        with active(stack.name):
            run = judged()
        assert run
        resource = RunMetadataResource(id=run.id, type=MetadataResourceTypes.PIPELINE_RUN)
        Client().create_run_metadata({"verdict_digest": digest}, [resource])
        return str(run.id)

    with active(stack.name):
        client = registry_client()
    client.create_registered_model(MODEL_NAME)
    return Registry(stack.root, run_verdict, client, publish)


@pytest.fixture(scope="session")
def registry_stack(zenml_client: Any, tmp_path_factory: pytest.TempPathFactory) -> RegistryStack:
    """Registered once, activated by each module: what a module leaves active, another one would meet."""
    from zenml.enums import StackComponentType as Kind

    root, name = tmp_path_factory.mktemp("zenml"), f"deploying-{uuid4().hex[:8]}"
    tracking = {"tracking_uri": f"sqlite:///{root}/mlflow.db"}
    zenml_client.create_stack_component(f"{name}-tracker", "mlflow", Kind.EXPERIMENT_TRACKER, tracking)
    zenml_client.create_stack_component(f"{name}-registry", "mlflow", Kind.MODEL_REGISTRY, {})
    components: dict[Any, Any] = {
        Kind.ORCHESTRATOR: "default",
        Kind.ARTIFACT_STORE: "default",
        Kind.EXPERIMENT_TRACKER: f"{name}-tracker",
        Kind.MODEL_REGISTRY: f"{name}-registry",
    }
    zenml_client.create_stack(name, components)
    return RegistryStack(name, root)


@pytest.fixture(scope="module")
def zenml_stack(registry_stack: RegistryStack) -> Iterator[Path]:
    """The stack is active while a module's tests run; its folder."""
    with active(registry_stack.name):
        yield registry_stack.root


@pytest.fixture(scope="session")
def registry(registry_stack: RegistryStack) -> Registry:
    """The MLflow registry of the stack, with an empty registered model."""
    return make_registry(registry_stack)


@pytest.fixture(scope="session")
def first(registry: Registry) -> Arm:
    """A version that passed and is approved."""
    return registry.register(1, approved=True)


@pytest.fixture(scope="session")
def second(registry: Registry) -> Arm:
    """Another version that passed and is approved."""
    return registry.register(2, approved=True)


def make_deployer(site: Path, **settings: Any) -> SeldonLocalModelDeployer:
    """Register a deployer component with a site and port of its own, which captures nothing by itself."""
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.stack import StackComponent

    client, kind = Client(), StackComponentType.MODEL_DEPLOYER
    if not client.list_flavors(name="seldon-local", type=kind).items:
        client.create_flavor(FLAVOR, kind)
    values = {
        "port": free_port(),
        "state_directory": str(site),
        "start_timeout_s": 120,
        "capture": False,
        **PUBLIC_KEYS,
        **settings,
    }
    component = client.create_stack_component(f"deployer-{uuid4().hex[:8]}", "seldon-local", kind, values)
    return cast(SeldonLocalModelDeployer, StackComponent.from_model(component))


def end(deployer: SeldonLocalModelDeployer) -> None:
    """Stop, and end by process id whatever a failed test left."""
    try:
        deployer.stop()
    finally:
        for found in processes.running(deployer.config.site).values():
            for process in found:
                process.kill()


@pytest.fixture
def deployer(zenml_stack: Path, tmp_path: Path) -> Iterator[SeldonLocalModelDeployer]:
    """A deployer that serves nothing yet."""
    made = make_deployer(tmp_path / "site")
    yield made
    end(made)


@pytest.fixture(scope="module")
def lasting_deployer(
    zenml_stack: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SeldonLocalModelDeployer]:
    """A deployer that a whole module uses, in whatever state the test before left it."""
    made = make_deployer(tmp_path_factory.mktemp("lasting") / "site")
    yield made
    end(made)


def serving(deployer: SeldonLocalModelDeployer) -> dict[str, list[int]]:
    """The processes of the deployer's site: name to process ids."""
    return {
        name: [one.pid for one in found] for name, found in processes.running(deployer.config.site).items()
    }


def answering_version(release: Release) -> str:
    """The version that classifies a picture at the release's URL."""
    assert release.url
    return microservice.predict(release.url)


def version_of(release: Release | None) -> int | None:
    """The version that a release serves."""
    return release.candidate.version if release and release.candidate else None


def change_a_byte(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
