"""Make the pictures of the README and the docs from a real run of the demo.

    .venv/bin/python docs/make_pictures.py                          # the demo as it is
    .venv/bin/python docs/make_pictures.py --set train.epochs=3     # a quicker one, to try this script

It needs Debian's chromium, and works in a home of its own: the user's stacks, runs and services stay as they
are. On two idle cores it takes some minutes, most of them for a tuning of 30 trials. The delivery whose
report and quarantine are shown has what is wrong with real ones; its photographs are those of
../shared/data/clothing (CC0) where they are, else the sample's, enlarged.
"""

from __future__ import annotations

import argparse
import base64
import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image, ImageEnhance
from rich.console import Console
from rich.text import Text
from websockets.sync.client import ClientConnection, connect

PROJECT = Path(__file__).resolve().parent.parent
PICTURES = PROJECT / "docs" / "pictures"
BIN = Path(sys.executable).parent
DEMO = "python run.py --config configs/demo --source data/first-delivery.zip --train --deploy --predict"
TUNING = (
    "python run.py --config configs/demo --set tune.trials=30 --set cross_validate.folds=5 "
    "--train --source data/first-delivery.zip"
)
REFUSED = (
    "python run.py --config configs/demo --set policy.rules.recall.limit=0.95 "
    "--train --source data/first-delivery.zip"
)
"""It asks for more than the demo's model gives, so that its verdict has a reason to show."""
REFUSED_CODE = 3
MONITORING = (
    "python run.py --config configs/demo --monitor --environment staging "
    "--set monitor.window.settling_minutes=0"
)
SERVED = "/seldon/staging/product-classifier-demo/api/v1.0/predictions"
CAPTURED_OF_ALL = "      capture_pictures: 1.0\n      capture_rotate_s: 1.0\n"
SHIPPED_S = 15.0
"""By then what was answered last is in the artifact store."""
REQUESTS, DARKENED = 300, 0.6
"""Pictures that are sent to what is live, and how bright they are."""
CLOTHING = PROJECT.parent / "shared" / "data" / "clothing"
CATEGORIES = {"t-shirt": "tops", "pants": "trousers", "dress": "dresses", "shoes": "footwear"}
SAMPLE_PHOTOGRAPHS = {"bag": "bags", "dress": "dresses", "sneaker": "footwear"}
PHOTOGRAPH_SIDE = 280
COLUMNS = 124
WAIT_S = 120.0
COLOURS = 64
"""Pages have few; a picture of so many weighs a fourth."""
MAX_BYTES = 250_000
PAGE = """<!doctype html><meta charset="utf-8"><style>{stylesheet}
body {{ margin: 0; background: #fbfbf9; }}
pre {{ margin: 0; padding: 20px 24px; width: max-content; color: #222; }}
pre, code {{ font: 15px/1.4 "DejaVu Sans Mono", monospace; }}
</style><pre><code>{code}</code></pre>"""


class Browser:
    """One page of a headless chromium, spoken to through its DevTools."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._calls = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Carry out a method of the DevTools protocol and return its result."""
        self._calls += 1
        self._connection.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv(timeout=WAIT_S))
            if answer.get("id") == self._calls:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str, *, width: int, height: int) -> None:
        """Load a page in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """Wait until an expression is true.

        Raises:
            TimeoutError: it never became true.
        """
        until = time.monotonic() + WAIT_S
        while not (value := self.evaluate(expression)):
            if time.monotonic() > until:
                raise TimeoutError(f"The page never showed {expression}")
            time.sleep(0.2)
        return value

    def click(self, element: str) -> None:
        """Click the element that this JavaScript expression finds, once it is there."""
        self.wait_for(f"!!{element}")
        self.evaluate(f"{element}.click()")

    def save(self, name: str, *, fit: str | None = None, until: str | None = None) -> None:
        """Write what the page shows to ``docs/pictures``, or the element ``fit`` alone.

        Args:
            name: the file's.
            fit: selects the element.
            until: the first words of a heading at which the picture ends.

        Raises:
            RuntimeError: the picture is larger than a README should load.
        """
        time.sleep(1.5)  # fonts and animations
        clip = {}
        if fit is not None:
            box = json.loads(
                self.evaluate(f"JSON.stringify(document.querySelector('{fit}').getBoundingClientRect())")
            )
            if until is not None:
                begins = f"e => e.textContent.startsWith('{until}')"
                heading = f"[...document.querySelectorAll('h2')].find({begins})"
                box["height"] = self.evaluate(f"{heading}.getBoundingClientRect().top") - box["y"]
            clip = {"clip": {**{key: box[key] for key in ("x", "y", "width", "height")}, "scale": 1}}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, **clip)
        with Image.open(io.BytesIO(base64.b64decode(shot["data"]))) as taken:
            data = encoded(taken.convert("RGB").quantize(COLOURS), "PNG", optimize=True)
        if len(data) > MAX_BYTES:
            raise RuntimeError(f"{name} has {len(data):,} bytes, the limit is {MAX_BYTES:,}")
        (PICTURES / name).write_bytes(data)
        sys.stdout.write(f"{name}: {len(data):,} bytes\n")


@contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """Start chromium on a profile of its own."""
    port = free_port()
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
    ]
    flags = [f"--remote-debugging-port={port}", f"--user-data-dir={home / 'chromium'}", "about:blank"]
    process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pages = answer_of(f"http://127.0.0.1:{port}/json/list").json()
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        with connect(address, max_size=None) as connection:
            yield Browser(connection)
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port(preferred: int = 0) -> int:
    """A TCP port of the loopback address that nothing listens on now; ``preferred`` if it is free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answer_of(url: str) -> httpx.Response:
    """Ask until there is an answer.

    Raises:
        TimeoutError: there never was one.
    """
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            return httpx.get(url, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} never answered")


def isolated(home: Path) -> dict[str, str]:
    """The environment of a user whose home is ``home`` and whose terminal has colours."""
    (home / "repository").mkdir()
    return {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "ZENML_CONFIG_PATH": str(home / "zenml"),
        "ZENML_REPOSITORY_PATH": str(home / "repository"),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_AUTO_OPEN_DASHBOARD": "false",
        "ZENML_DAEMON_SERVER_TIMEOUT": "300",
        "SHUTTERLINE_PORT": str(free_port(preferred=8090)),
        "FORCE_COLOR": "1",
        "COLUMNS": str(COLUMNS),
    }


def run(*command: str, environment: dict[str, str], exit_code: int = 0) -> str:
    """Run a command in the project and return what it printed, both streams as a terminal mixes them.

    Raises:
        RuntimeError: it ended with another exit code.
    """
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != exit_code:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def photographs() -> Iterator[tuple[Image.Image, str]]:
    """A photograph of each category, with its label."""
    if not CLOTHING.is_dir():
        for name, label in SAMPLE_PHOTOGRAPHS.items():
            with Image.open(PROJECT / "data" / "photos" / f"{name}.png") as small:
                yield small.convert("RGB").resize((PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE)), label
        return
    with (CLOTHING / "labels.csv").open(newline="") as file:
        first = {row["label"]: row["image"] for row in reversed(list(csv.DictReader(file)))}
    for name, label in CATEGORIES.items():
        with Image.open(CLOTHING / "images" / first[name]) as photograph:
            image = photograph.convert("RGB")
        image.thumbnail((PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE))
        yield image, label


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def faulty_delivery(archive: Path) -> Path:
    """The second delivery with what is wrong with real ones: damage, no label, look-alikes, an address."""
    with zipfile.ZipFile(PROJECT / "data" / "second-delivery.zip") as sample:
        rows = list(csv.DictReader(io.StringIO(sample.read("labels.csv").decode())))
        files = {row["image_path"]: sample.read(row["image_path"]) for row in rows}
    for number, (photograph, label) in enumerate(photographs(), 1):
        for quality in (95, 60):
            path = f"photographs/{number}-{quality}.jpg"
            files[path] = encoded(photograph, "JPEG", quality=quality)
            rows.append({"image_path": path, "label": label, "remark": "ask anna@example.com"})
        files["photographs/cut-short.jpg"] = files[path][: len(files[path]) // 2]
        files["photographs/banner.png"] = encoded(photograph.resize((420, 12)), "PNG")
        files["icons/1.png"] = encoded(photograph.resize((6, 6)), "PNG")
        files["photographs/hat.jpg"] = encoded(photograph.rotate(8), "JPEG")
        files["photographs/unnamed.jpg"] = encoded(photograph.rotate(-8), "JPEG")
    files["photographs/empty.jpg"] = b""
    faulty = {"cut-short.jpg": "tops", "banner.png": "tops", "empty.jpg": "bags", "gone.jpg": "bags"}
    rows += [{"image_path": f"photographs/{name}", "label": label} for name, label in faulty.items()]
    rows += [{"image_path": "icons/1.png", "label": "tops"}]
    rows += [{"image_path": "photographs/hat.jpg", "label": "hats"}]
    rows += [{"image_path": "photographs/unnamed.jpg", "label": ""}]
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=["image_path", "label", "article", "remark"])
    writer.writeheader()
    writer.writerows(rows)
    with zipfile.ZipFile(archive, "w") as packed:
        for name, data in {"labels.csv": table.getvalue().encode(), **files}.items():
            packed.writestr(name, data)
    return archive


def stack_that_keeps_pictures(home: Path) -> Path:
    """The local stack's file, but for what its services capture: each picture, and soon."""
    local = (PROJECT / "stacks" / "local.yaml").read_text(encoding="utf-8")
    port = "      port: ${SHUTTERLINE_PORT:-8090}\n"
    file = home / "local.yaml"
    file.write_text(local.replace(port, port + CAPTURED_OF_ALL), encoding="utf-8")
    return file


def send_darkened(url: str) -> None:
    """Ask the service what is on pictures that a lamp too few was on."""
    with zipfile.ZipFile(PROJECT / "data" / "second-delivery.zip") as delivery:
        names = [name for name in sorted(delivery.namelist()) if name.endswith(".png")][:REQUESTS]
        for name in names:
            with Image.open(delivery.open(name)) as picture:
                dark = ImageEnhance.Brightness(picture.convert("RGB")).enhance(DARKENED)
            kind = {"content-type": "application/octet-stream"}
            httpx.post(url, content=encoded(dark, "PNG"), headers=kind, trust_env=False).raise_for_status()
    time.sleep(SHIPPED_S)


def newest_page(artifact: Path) -> Path:
    """The page that the dashboard shows of the newest version of an artifact."""
    return max(artifact.rglob("*.html"), key=lambda path: path.stat().st_mtime)


def report_pictures(page: Browser, home: Path) -> None:
    """The pages of the newest delivery, of the tuning, of monitoring, and of the newest evaluation."""
    artifacts = home / "zenml" / "shutterline" / "artifacts"
    for artifact, until in (
        ("validate/data_report", "Suspicious labels"),
        ("ingest/quarantine", None),
        ("tune/tuning", "Trials"),
        ("gate/verdict", "Comparison"),
        ("evaluate/evaluation", "Comparison"),
    ):
        page.open(newest_page(artifacts / artifact).as_uri(), width=900, height=1100)
        page.save(f"{artifact.partition('/')[2]}.png", fit="body", until=until)
    page.open(newest_page(artifacts / "explain/drift_page").as_uri(), width=1300, height=1100)
    page.save("drift_page.png", fit="section", until="Moved most by sharpness")


def demo_picture(page: Browser, home: Path, text: str) -> None:
    """Draw what the demo printed as a terminal shows it."""
    console = Console(record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text), soft_wrap=True)
    drawn = home / "demo.html"
    drawn.write_text(console.export_html(code_format=PAGE, inline_styles=True), encoding="utf-8")
    page.open(drawn.as_uri(), width=1400, height=900)
    page.save("demo.png", fit="pre")


def dashboard_pictures(page: Browser, home: Path, url: str) -> None:
    """The page of the training run with its dataset open."""
    # The dashboard's first page asks who one is; this answers for the user of this throw-away store.
    answers = {"email_opted_in": False, "user_metadata": {"finished_onboarding_survey": True}}
    httpx.put(f"{url}/api/v1/current-user", json=answers, trust_env=False).raise_for_status()
    runs = httpx.get(f"{url}/api/v1/runs?pipeline_name=training", trust_env=False).raise_for_status().json()
    page.open(f"{url}/projects/default/runs/{runs['items'][0]['id']}", width=1500, height=900)
    page.click("document.querySelector('.react-flow__node[data-id$=\"/dataset\"] button')")
    for text in ("Visualization", "Load Preview"):
        page.click(f"[...document.querySelectorAll('button')].find(e => e.textContent === '{text}')")
    page.wait_for("!!document.querySelector('[role=dialog] img')?.naturalWidth")
    page.save("dashboard.png")


def main() -> None:
    """Run the demo in a throw-away home and take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments")
    assignments = [part for value in parser.parse_args().assignments for part in ("--set", value)]
    if shutil.which("chromium") is None:
        sys.exit("chromium is not there: apt-get install chromium")
    PICTURES.mkdir(exist_ok=True)
    with ExitStack() as ending:
        home = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="shutterline-pictures-")))
        environment = isolated(home)
        run("python", "-m", "stacks.apply", str(stack_that_keeps_pictures(home)), environment=environment)
        photos = [
            str(path.relative_to(PROJECT)) for path in sorted((PROJECT / "data" / "photos").glob("*.png"))
        ]
        ending.callback(run, "python", "run.py", "--stop", environment=environment)
        printed = run(*DEMO.split(), *photos, *assignments, environment=environment)
        asked = f"http://127.0.0.1:{environment['SHUTTERLINE_PORT']}{SERVED}"
        send_darkened(asked)
        run(*MONITORING.split(), environment=environment)
        run(*TUNING.split(), *assignments, environment=environment)
        run(*REFUSED.split(), *assignments, environment=environment, exit_code=REFUSED_CODE)
        delivery = faulty_delivery(home / "delivery.zip")
        join = ("--continuous", "--source", str(delivery), "--set", "trigger.new_rows=100000")
        run("python", "run.py", "--config", "configs/demo", *join, environment=environment)
        port = free_port()
        ending.callback(run, "zenml", "logout", "--local", environment=environment)
        run("zenml", "login", "--local", "--port", str(port), environment=environment)
        page = ending.enter_context(browser(home))
        demo_picture(page, home, f"$ make demo\n{printed}")
        dashboard_pictures(page, home, f"http://127.0.0.1:{port}")
        report_pictures(page, home)


if __name__ == "__main__":
    main()
