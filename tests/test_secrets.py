"""What must not be committed: secrets, addresses of package registries, paths of one machine, large files."""

import re
import subprocess
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOTAL_BYTES = 5_000_000

SECRET_WORD = r"(?:password|passwd|secret|token|api_?key|access_?key)"
CONFIGURATION = (".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".env", ".properties")
ANYWHERE = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token": re.compile(
        r"\b(?:gh[oprsu]_[A-Za-z0-9]{36}|github_pat_\w{40}|glpat-[\w-]{20}|xox[abprs]-[\w-]{10}|hf_[A-Za-z0-9]{30}"
        r"|pypi-AgE\w{20}|sk-[A-Za-z0-9]{32}|ZEN(?:PROJ)?KEY_\w{20}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+)"
    ),
    "an address with credentials": re.compile(r"\b[a-z][a-z0-9+.-]*://[^/\s:@'\"{}]+:[^/\s@'\"{}]+@"),
    "a path of one machine": re.compile(r"(?<![\w.~$}*-])/(?:home|root|work|Users)/\w"),
}
# A value that is a placeholder, a reference or a variable is none: it has < { $ or … in it, or is short.
QUOTED_SECRET = re.compile(rf"(?i)\w*{SECRET_WORD}[\"']?\]?\s*[:=]\s*[\"'][^\"'<{{$…\s]{{6,}}[\"']")
PLAIN_SECRET = re.compile(rf"(?im)^\s*[\w.-]*{SECRET_WORD}\s*[:=]\s*[^\"'<{{$…\s#]{{6,}}\s*(?:#.*)?$")
REGISTRY = re.compile(r"://|--(?:extra-)?index-url|--find-links| @ ")


def findings(path: str, text: str) -> list[str]:
    """List what a file at ``path`` (relative to the project) must not hold, without repeating it."""
    rules = dict(ANYWHERE)
    if not path.startswith("tests/"):  # tests set passwords for the servers that they start
        rules["a secret in an assignment"] = QUOTED_SECRET
    if path.endswith(CONFIGURATION):
        rules["a secret in a setting"] = PLAIN_SECRET
    if path.endswith((".lock", "requirements.txt")):
        rules["the address of a registry"] = REGISTRY
    return [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {name}"
        for name, rule in rules.items()
        for match in rule.finditer(text)
    ]


def committed_files() -> list[Path]:
    """List what git tracks or would track with ``git add .``."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({ROOT / path for path in listed if path and (ROOT / path).is_file()})


def test_no_file_holds_a_secret_or_what_belongs_to_one_machine() -> None:
    """Every text file that git tracks, or would, is clean."""
    found = []
    for path in committed_files():
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue  # a picture or an archive
        found += findings(str(path.relative_to(ROOT)), text)
    assert not found, "\n".join(found)


def test_the_files_together_stay_small() -> None:
    """A clone is quick: packed as git packs them, all files are few bytes; the message names the largest."""
    packed = [(len(zlib.compress(path.read_bytes())), path.name) for path in committed_files()]
    total, sizes = sum(size for size, _ in packed), sorted(packed, reverse=True)
    assert total <= TOTAL_BYTES, f"{total:,} bytes, the limit is {TOTAL_BYTES:,}; the largest: {sizes[:5]}"


# In pieces, so that this file is clean itself.
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("keys/signing.pem", "-----BEGIN EC PRIVATE" + " KEY-----"),
        ("configs/s3.yaml", "id: AKIA" + "IOSFODNN7EXAMPLE"),
        ("docs/server.md", "export GITHUB=ghp_" + "a1B2" * 9),
        ("docs/server.md", "ZENKEY_" + "a1B2" * 9),
        ("stacks/local.yaml", "uri: postgresql://mlflow:" + "hunter2" + "@db/mlflow"),
        ("tests/conftest.py", "CLONE = '/home" + "/someone/shutterline'"),
        ("README.md", "cd /work" + "/main"),
        ("steps/alert.py", "smtp_password" + " = 'hunter2hunter2'"),
        ("actions/status.py", 'headers["api_key"' + '] = "0123456789"'),
        ("stacks/kubeflow.yaml", "  secret_access_key" + ": hunter2hunter2"),
        ("requirements.lock", "--index-url https" + ":" + "//pypi.example/simple"),
        ("serving/requirements.lock", "numpy @ file" + ":" + "///wheels/numpy.whl"),
    ],
)
def test_a_planted_finding_is_found(path: str, text: str) -> None:
    """Each rule catches what it is there for, says where, and does not repeat the secret."""
    found = findings(path, f"first line\n{text}\n")
    assert found
    assert all(line.startswith(f"{path}:2: ") and text not in line for line in found)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("stacks/kubeflow.yaml", "secret_access_key: {{seaweed.secret_key}}"),
        ("stacks/local.yaml", "password: ${MLFLOW_PASSWORD}"),
        ("docs/server.md", "export ZENML_STORE_API_KEY=<the key>"),
        ("actions/status.py", "token = read_token(path)"),
        ("serving/launcher.py", "url = f'http://{user}:{password}@{host}/'"),
        ("tests/conftest.py", "folder = tmp_path / 'home/someone'"),
        ("tests/stacks/test_s3.py", "secret_key = 'hunter2hunter2'"),
        ("requirements.lock", "numpy==2.4.6\n    # via -r requirements.txt"),
    ],
)
def test_what_is_no_secret_is_left_alone(path: str, text: str) -> None:
    """References, placeholders and a test's own servers are no findings."""
    assert findings(path, text) == []
