"""Shutterline on the command line: flags in, exit code out."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

try:
    import click
except ModuleNotFoundError:
    sys.stderr.write("The project's environment is not active: make setup && source .venv/bin/activate\n")
    sys.exit(2)

MANY_PLACES = "one file or folder: copy what you need of the others into it"
EXAMPLES = """
Examples:

\b
  # train on a delivery, release it to staging, ask it about a photograph
  python run.py --config configs/demo --train --source data/first-delivery.zip --deploy
  python run.py --config configs/demo --predict data/photos/bag.png
\b
  # a second delivery: join, decide, retrain, gate, stage
  python run.py --config configs/demo --continuous --source data/second-delivery.zip
\b
  # production needs a person
  python run.py --config configs/demo --approve 2 --by "Ada" --reason "checked the report"
  python run.py --config configs/demo --deploy --version 2 --environment production
\b
  # does version 2 come to the same bytes again?
  python run.py --config configs/demo --reproduce 2
\b
  # what a delivery changed; a picture that was set aside and may come back; one that nobody may keep
  python run.py --config configs/demo --data-diff 3f2a91c04d5e 8b7710ce92aa
  python run.py --config configs/demo --readmit 05ede1f0f9a03c5d
  python run.py --config configs/demo --forget 5c0d1e7f --by "Ada" --reason "the customer asked"
\b
  # pictures that the model was unsure of, for a person to label; they come back with --continuous
  python run.py --config configs/demo --export-uncertain to-label.zip
\b
  # what nothing refers to, shown and then removed
  python run.py --config configs/demo --collect
  python run.py --config configs/demo --collect --apply
\b
  # put the previous release back
  python run.py --config configs/demo --rollback
\b
  # traffic has changed for good: compare later windows with it, and later accuracies with version 2's
  python run.py --config configs/demo --rebase-reference --by "Ada" --reason "the new camera stays"
  python run.py --config configs/demo --set-baseline 2 --by "Ada" --reason "the first on the new camera"
\b
  # who changed what, when and why; exit code 3 where an entry was altered or removed
  python run.py --config configs/demo --audit
  python run.py --config configs/demo --lineage 1
\b
  # what the last run decided, and why
  python run.py --config configs/demo --why latest
\b
  # retrain every Monday at 02:00 UTC
  python run.py --config configs/demo --continuous --source data/second-delivery.zip --schedule "0 2 * * 1"
  python run.py --config configs/demo --scheduler
\b
  # make the schedules those of the configuration (configs/schedules.yaml, and yours)
  python run.py --schedules
  python run.py --schedules --apply

Exit codes: 0 done; 1 failed; 2 wrong use or configuration, nothing released; 3 refused by a gate or a missing
approval; 4 a service of the stack cannot be reached or written; 130 interrupted.
"""


class Once(click.Command):
    """Refuses an option that is given twice; click itself would take the last and say nothing."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what was typed.

        Raises:
            UsageError: an option with one value was given more than once.
        """
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option, times in Counter(given).items():
            if isinstance(option, click.Option) and times > 1 and not (option.multiple or option.is_flag):
                what = MANY_PLACES if option.name == "config" else "one value: leave out the others"
                raise click.UsageError(f"{option.opts[0]} was given {times} times and takes {what}", ctx)
        return super().parse_args(ctx, args)


@click.command(cls=Once, epilog=EXAMPLES, context_settings={"max_content_width": 110})
@click.option("--train", is_flag=True, help="Train on --source or --data, and judge the model.")
@click.option("--deploy", is_flag=True, help="Release --version (default: the challenger) to --environment.")
@click.option("--observe", is_flag=True, help="Look at what is rolling out in --environment: on, up or out.")
@click.option("--wait", is_flag=True, help="With --deploy or --observe: look until the rollout has ended.")
@click.option(
    "--continuous", is_flag=True, help="Join --source to the data; retrain and stage with a reason."
)
@click.option("--infer", is_flag=True, help="Classify --input with the live model into --output.")
@click.option("--monitor", is_flag=True, help="Look for drift and a drop of accuracy in --environment.")
@click.option(
    "--source",
    metavar="PATH|s3://…",
    help="A delivery: folder, .zip, .tar, .parquet or bucket; 'PATH/*': all in it.",
)
@click.option("--data", metavar="VERSION", help="A stored dataset version, in the place of --source.")
@click.option("--version", type=int, metavar="N", help="The registered version to release.")
@click.option("--input", metavar="PATH|s3://…", help="Pictures to classify.")
@click.option("--output", metavar="FILE", help="Where the predictions go, as Parquet.")
@click.option(
    "--environment",
    type=click.Choice(["staging", "production"]),
    default="staging",
    show_default=True,
    help="Where to release, roll back or ask.",
)
@click.option("--approve", type=int, metavar="N", help="Approve version N for production.")
@click.option("--approve-change", metavar="DIGEST", help="Approve a change of kind before it is trained.")
@click.option("--release-brake", is_flag=True, help="Let --continuous retrain again after its brake held.")
@click.option("--reject", type=int, metavar="N", help="Reject version N.")
@click.option("--rollback", is_flag=True, help="Put the previous release of --environment back.")
@click.option(
    "--rebase-reference", is_flag=True, help="Compare later windows of --environment with its recent traffic."
)
@click.option("--set-baseline", type=int, metavar="N", help="Compare later accuracies with version N's.")
@click.option("--by", metavar="WHO", help="Who decides, rolls back or stops.")
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--reproduce", type=int, metavar="N", help="Train version N again: equal, or what differs.")
@click.option("--data-diff", nargs=2, metavar="A B", help="Show what dataset version B changed against A.")
@click.option("--readmit", metavar="ID", help="Put a picture back that was set aside.")
@click.option("--forget", is_flag=True, help="Erase the pictures ID|PATH … wherever they are stored.")
@click.option(
    "--export-uncertain", metavar="PATH", help="Write captured pictures for labelling, as a folder or .zip."
)
@click.option("--compact", is_flag=True, help="Pack small shards of the stored datasets into full ones.")
@click.option("--collect", is_flag=True, help="Show what nothing refers to in the artifact store.")
@click.option("--apply", is_flag=True, help="With --collect: remove it. With --schedules: make them agree.")
@click.option("--status", is_flag=True, help="Show what is live, what is due, what waits for you.")
@click.option("--why", metavar="RUN", help="Tell what a run decided, and why: its name, or latest.")
@click.option("--audit", is_flag=True, help="Verify the audit log and show it.")
@click.option("--lineage", type=int, metavar="N", help="Show what version N was made of, and its history.")
@click.option("--predict", is_flag=True, help="Ask the running service about PHOTO …")
@click.option("--stop", is_flag=True, help="Stop everything that serves.")
@click.option("--schedule", metavar="CRON", help="Run a pipeline again and again, in UTC: '0 2 * * 1'.")
@click.option("--schedules", is_flag=True, help="List what is scheduled, and what is not as configured.")
@click.option("--pause", metavar="NAME", help="Pause a schedule; resume one that is paused.")
@click.option("--unschedule", metavar="NAME", help="Remove a schedule.")
@click.option("--scheduler", is_flag=True, help="Fire the schedules, in the foreground, until it is ended.")
@click.option(
    "--compile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write what the orchestrator would be given for a pipeline; run nothing.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="A YAML file or folder of differences, e.g. configs/demo.",
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="As in train.epochs=3.")
@click.option("--stack", metavar="NAME", help="Use this ZenML stack for this call.")
@click.option("--no-cache", is_flag=True, help="Run every step anew.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.argument("photos", nargs=-1, metavar="[PHOTO …|ID|PATH …]")
def main(**flags: object) -> None:
    """Turn labelled product photographs into a classifier that serves traffic, behind a gate.

    Pipelines are combined in the order train, deploy, continuous, infer, monitor, up to the first that does
    not end with exit code 0.
    """
    from actions.command import execute
    from actions.request import Request

    sys.exit(execute(Request(**flags)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
