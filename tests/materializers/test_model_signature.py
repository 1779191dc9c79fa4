"""The gate's signature holds for one model with one verdict, and nothing else passes under it."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from materializers.errors import Refused
from materializers.model_signature import sign_model, verify_model
from materializers.signatures import PrivateKey, TrustedKeys, fingerprint, make_key_pair
from materializers.verdict import Verdict
from tests.materializers import examples

PRIVATE, PUBLIC = make_key_pair()
GATE = PrivateKey.from_pem(PRIVATE, named="the test")
TRUSTED = TrustedKeys(gate=PUBLIC, actors={})
VERDICT = examples.full_verdict()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model directory."""
    return examples.classifier(tmp_path / "classifier").serving_directory


def refusal(model: Path, bundle: str, *, verdict: Verdict = VERDICT, trusted: TrustedKeys = TRUSTED) -> str:
    """The one line with which a verification is refused."""
    with pytest.raises(Refused) as refused:
        verify_model(model, verdict, bundle, trusted)
    line = str(refused.value)
    assert "\n" not in line
    assert line.endswith("python run.py --train --source PATH")
    return line


def test_what_the_gate_signed_verifies_offline_and_in_silence(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Wherever the directory was copied to since; nothing is printed, nothing left behind in it."""
    bundle = sign_model(model, VERDICT, GATE)
    copy = shutil.copytree(model, tmp_path / "elsewhere")
    verify_model(copy, VERDICT, bundle, TRUSTED)
    assert sorted(file.name for file in model.iterdir()) == ["metadata.json", "model.onnx"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["model.onnx", "metadata.json"])
def test_a_changed_byte_is_refused_and_its_file_named(model: Path, name: str) -> None:
    """One bit of either file is enough."""
    bundle = sign_model(model, VERDICT, GATE)
    data = bytearray((model / name).read_bytes())
    data[3] ^= 1
    (model / name).write_bytes(data)
    assert f"{name} differs from what was signed" in refusal(model, bundle)


def test_another_verdict_is_refused(model: Path) -> None:
    """A number of the verdict belongs to what was signed."""
    bundle = sign_model(model, VERDICT, GATE)
    first, *others = VERDICT.rules
    loosened = VERDICT.model_copy(update={"rules": (first.model_copy(update={"limit": 0.0}), *others)})
    assert "verdict.json differs from what was signed" in refusal(model, bundle, verdict=loosened)


def test_the_bundle_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    """A passed verdict's signature does not pass for another model."""
    other = examples.classifier(tmp_path / "other").serving_directory
    (other / "model.onnx").write_bytes(b"another network")
    line = refusal(model, sign_model(other, VERDICT, GATE))
    assert "model.onnx differs from what was signed" in line


def test_another_key_is_refused_and_the_trusted_one_named(model: Path) -> None:
    """Whoever makes a key of their own signs nothing that counts."""
    stranger = PrivateKey.from_pem(make_key_pair()[0], named="the test")
    line = refusal(model, sign_model(model, VERDICT, stranger))
    assert "it was signed with another key" in line
    assert fingerprint(PUBLIC) in line


def test_a_forged_hint_does_not_help_another_key(model: Path) -> None:
    """The name of the trusted key in a bundle is not its signature."""
    stranger = PrivateKey.from_pem(make_key_pair()[0], named="the test")
    forged = json.loads(sign_model(model, VERDICT, stranger))
    honest = json.loads(sign_model(model, VERDICT, GATE))
    forged["verificationMaterial"] = honest["verificationMaterial"]
    assert "the signature was altered" in refusal(model, json.dumps(forged))


def payload(change: Callable[[dict[str, object]], object]) -> Callable[[str], str]:
    """A damage: the signed statement is changed and not signed again."""

    def damage(bundle: str) -> str:
        content = json.loads(bundle)
        statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
        change(statement)
        content["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
        return json.dumps(content)

    return damage


DAMAGE: dict[str, Callable[[str], str]] = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "no object": lambda _: "[]",
    "no envelope": lambda text: json.dumps(json.loads(text) | {"dsseEnvelope": {}}),
    "no signature": lambda text: json.dumps(
        json.loads(text) | {"dsseEnvelope": json.loads(text)["dsseEnvelope"] | {"signatures": []}}
    ),
    "no material": lambda text: json.dumps(json.loads(text) | {"verificationMaterial": {}}),
    "another statement": payload(lambda statement: statement.update(predicate=None)),
    "all files ignored": payload(lambda statement: statement.update(predicate={"resources": []})),
    "not text": lambda _: "\x00\udcff",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_bundle_is_refused_in_one_line(
    damage: Callable[[str], str], model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever it holds, no traceback comes out and nothing is printed."""
    line = refusal(model, damage(sign_model(model, VERDICT, GATE)))
    assert "cut off or altered" in line or "the signature was altered" in line
    assert capfd.readouterr() == ("", "")


def test_what_was_added_to_the_directory_is_refused(model: Path) -> None:
    """A file that was not signed does not come along, whatever it is called."""
    bundle = sign_model(model, VERDICT, GATE)
    (model / ".gitignore").write_text("*")
    assert "other files were signed" in refusal(model, bundle)


def test_a_missing_file_is_refused(model: Path) -> None:
    """A part of what was signed is not what was signed."""
    bundle = sign_model(model, VERDICT, GATE)
    (model / "metadata.json").unlink()
    assert "other files were signed" in refusal(model, bundle)


@pytest.mark.parametrize("name", ["verdict.json", "folder", "link"])
def test_what_cannot_be_signed_is_refused(model: Path, name: str) -> None:
    """Only regular files are signed, and none that stands where the verdict belongs."""
    match name:
        case "folder":
            (model / name).mkdir()
        case "link":
            (model / name).symlink_to(model / "model.onnx")
        case _:
            (model / name).write_text("{}")
    with pytest.raises(Refused, match=f"holds '{name}', which does not belong there"):
        sign_model(model, VERDICT, GATE)


def test_no_directory_is_refused(tmp_path: Path) -> None:
    """A model that is gone is not released."""
    with pytest.raises(Refused, match=r"There is no model at .*No such file"):
        verify_model(tmp_path / "none", VERDICT, "{}", TRUSTED)


def test_an_earlier_gate_key_still_counts(model: Path) -> None:
    """After a change of key, what the old one signed can be rolled back to."""
    rotated = TrustedKeys(gate=make_key_pair()[1] + PUBLIC, actors={})
    verify_model(model, VERDICT, sign_model(model, VERDICT, GATE), rotated)


def test_the_library_is_imported_by_what_signs_alone() -> None:
    """It costs 0.4 CPU-s, which no step that signs nothing pays."""
    code = "import sys, materializers.model_signature; print('model_signing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
