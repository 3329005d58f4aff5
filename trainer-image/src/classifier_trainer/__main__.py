"""The command: parses, checks the configuration, and only then imports what is heavy."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classifier_trainer.commands.parser import CONFIG_ENVIRONMENT, parse_arguments
from classifier_trainer.config import RunConfig, parse
from classifier_trainer.errors import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    EXIT_USER,
    Terminated,
    TransientError,
    UserError,
)
from classifier_trainer.launch import relaunch
from classifier_trainer.progress import termination


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code (see `errors`)."""
    signal.signal(signal.SIGTERM, _terminate)
    # Threads that wait by spinning burn the CPUs of whoever else is on the machine, and three times their own work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse_arguments(given)
    try:
        if options.command == "train" and not options.dry_run:
            return _train(options, given)
        return _run(options)
    except Terminated:
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _train(options: argparse.Namespace, given: Sequence[str]) -> int:
    try:
        config = load(options.config, options.set)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        termination.write({"version": "v1alpha1", "phase": "Failed", "message": str(error)})
        return EXIT_USER
    if (code := relaunch(given)) is not None:
        return code
    from classifier_trainer.run import run

    return run(config, port=options.progress_port)


def _run(options: argparse.Namespace) -> int:
    """All the commands that a person types and no cluster runs."""
    try:
        match options.command:
            case "train":
                from classifier_trainer.commands.dry_run import dry_run

                dry_run(load(options.config, options.set))
            case "check":
                from classifier_trainer.commands.check import check

                check(load(options.config, options.set), options.to)
            case "export":
                from classifier_trainer.commands.export import export

                export(options.checkpoint, options.to, base=options.base, merge=options.merged)
            case "predict":
                from classifier_trainer.commands.predict import classify

                classify(options.file, options.model, options.to, base=options.base, precision=options.precision)
            case "report":
                from classifier_trainer.commands.report import report

                report(options.folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return EXIT_USER
    except TransientError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return EXIT_FAILURE
    return 0


def load(file: Path | None, settings: Sequence[str]) -> RunConfig:
    """The configuration from `file`, else from the environment, with `--set` on top.

    Raises:
        UserError: not there, not YAML or JSON, or not a valid configuration.
    """
    import yaml

    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--config {file} cannot be read: {error}.") from None
        where = str(file)
    else:
        text, where = os.environ.get(CONFIG_ENVIRONMENT, ""), CONFIG_ENVIRONMENT
        if not text:
            raise UserError(f"no configuration: write --config FILE, or set {CONFIG_ENVIRONMENT}.")
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{where} is neither YAML nor JSON: {' '.join(str(error).split())}.") from None
    for setting in settings:
        path, separator, value = setting.partition("=")
        if not separator or not isinstance(content, dict):
            raise UserError(f"--set {setting}: write --set FIELD=VALUE, for example --set hyperparameters.epochs=1.")
        _put(content, path.split("."), _number_or_text(value), setting)
    return parse(_numbers(content))


def _put(content: dict[str, Any], path: Sequence[str], value: object, setting: str) -> None:
    for step in path[:-1]:
        if not isinstance(content.setdefault(step, {}), dict):
            raise UserError(f"--set {setting}: {step} holds a value, not fields.")
        content = content[step]
    content[path[-1]] = value


def _number_or_text(value: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def _numbers(value: Any) -> Any:
    """YAML 1.1 reads 5e-4 as a text; as a number it is what everybody means."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and "e" in value.lower() and value[:1] in "0123456789-+.":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _terminate(_signal: int, _frame: types.FrameType | None) -> None:
    # Once is enough: a second signal during the cleaning up must not cut that off.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
