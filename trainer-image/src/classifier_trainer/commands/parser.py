"""What the command line understands. Light."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from classifier_trainer import __version__
from classifier_trainer.commands.fields import describe

CONFIG_ENVIRONMENT = "CLASSIFIER_RUN_CONFIG"
DEFAULT_PORT = 9090
COMMANDS = ("train", "check", "export", "predict", "report")
_ALONE = ("-h", "--help", "--version")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; without a command it is `train`, which is how the image is started."""
    named = arguments and (arguments[0] in COMMANDS or arguments[0] in _ALONE)
    return _parser().parse_args(arguments if named else ["train", *arguments])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="classifier_trainer",
        description="Trains a text classifier from a dataset and a base model.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    train = commands.add_parser(
        "train",
        help="train (the default)",
        description="Trains, tests and writes checkpoints into the output; a run that was cut off goes on.",
        epilog=describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_configuration(train)
    _add_training(train)
    check = commands.add_parser(
        "check",
        help="read the data, and say what is wrong with them or what they look like",
        description="Reads and checks the data of a configuration, without loading a model; only --to is written.",
    )
    _add_configuration(check)
    check.add_argument("--to", type=Path, metavar="FILE", help="writes the whole profile as JSON")
    export = commands.add_parser(
        "export",
        help="make a plain Hugging Face folder of a checkpoint",
        description="Makes a folder that transformers and vLLM load without peft.",
    )
    export.add_argument("checkpoint", metavar="CHECKPOINT", help="folder or URI of a checkpoint")
    export.add_argument("--merged", action="store_true", help="merge the adapter into its base model (in fp32)")
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="where the folder is made")
    _add_base(export)
    predict = commands.add_parser(
        "predict",
        help="classify the rows of a file",
        description="Writes a JSON object a row: prompt, predicted labels, probabilities.",
    )
    predict.add_argument(
        "file", metavar="FILE", help="JSONL with a field prompt, or .txt with a text a line; - is the standard input"
    )
    predict.add_argument("--model", required=True, metavar="DIR", help="folder or URI of a checkpoint, or of model/")
    predict.add_argument("--to", type=Path, metavar="FILE", help="JSONL to write (default: the standard output)")
    predict.add_argument("--precision", choices=["Auto", "BFloat16", "Float32"], default="Auto")
    _add_base(predict)
    report = commands.add_parser(
        "report", help="write report.html of a run anew", description="Writes report.html from what a run left."
    )
    report.add_argument("folder", type=Path, metavar="FOLDER", help="the output of a run")
    parser.epilog = f"{train.format_help()}"
    return parser


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"YAML or JSON (default: ${CONFIG_ENVIRONMENT})")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="overrides a field of it")


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="tell how long it will take and how much memory, and write nothing"
    )
    parser.add_argument(
        "--progress-port",
        type=int,
        default=DEFAULT_PORT,
        metavar="PORT",
        help="of /progress, /health, /metrics; 0 is off (default: %(default)s)",
    )


def _add_base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base", metavar="URI", help="the base model of an adapter (default: as the checkpoint names it)"
    )
