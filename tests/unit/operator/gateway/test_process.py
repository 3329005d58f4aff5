"""The process: light, without kopf, and plain about wrong settings."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from classifier_operator.gateway.logs import JsonFormatter


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": paths, **environment},
        timeout=60,
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from classifier_operator.gateway.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'kopf', 'kubernetes', 'aiohttp', 'pydantic', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "holds requests, wakes the deployment, forwards" in " ".join(done.stdout.split())


def test_no_kopf() -> None:
    code = "import sys, classifier_operator.gateway.process; sys.exit('kopf' in sys.modules)"
    assert python(code).returncode == 0


def test_a_wrong_setting_is_named() -> None:
    code = "import sys; from classifier_operator.gateway.__main__ import main; sys.exit(main([]))"
    done = python(code, CLASSIFIER_REPORT_PORT="http")
    assert (done.returncode, done.stderr) == (
        1,
        "classifier-gateway: CLASSIFIER_REPORT_PORT must be a number, but is 'http'\n",
    )


@pytest.mark.parametrize("wrong", [False, True])
def test_a_line_of_the_log(wrong: bool) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        info = sys.exc_info() if wrong else None
    record = logging.LogRecord("gateway", logging.INFO, "file", 1, "of %s", ("news",), info)
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"]) == ("info", "gateway", "of news")
    assert line["time"].endswith("+00:00")
    assert ("ValueError: why" in line["exception"]) if wrong else ("exception" not in line)
