"""Runs a test function over rows: a program of its own (`python -I -B user_child.py`), of the standard library alone.

Standard input has a line of JSON that says what to run, then a line a row: [input, expected, predicted, probabilities],
the last three one value a label (probabilities null where nobody asks for them). Standard output gets a line of JSON
once the file is loaded and one at the end (see `user_functions`). What the function prints goes to standard error.
"""

from __future__ import annotations

import base64
import inspect
import json
import math
import os
import resource
import signal
import sys
import types
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

Answer = dict[str, Any]


class TimeLimit(BaseException):
    """Raised inside the function when its time is over; no `Exception`, so that it is not swallowed there."""


class Refused(Exception):  # noqa: N818  # a sentence for the user, no mistake of ours
    """The function cannot be used, and why."""


def main() -> None:
    """Answers and leaves; nothing that the function left running keeps the process alive."""
    rows = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    order = json.loads(rows.readline())
    _limit(order)
    answer = _guarded(order, rows, answers)
    _send(answers, answer)
    with suppress(BaseException):  # it may have closed it
        sys.stdout.flush()
    os._exit(0)


def _limit(order: Answer) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    memory = order["memory"] if hard == resource.RLIM_INFINITY else min(order["memory"], hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # A thread of BLAS for each CPU would use the memory up before the function is called.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    signal.signal(signal.SIGALRM, _over)
    signal.setitimer(signal.ITIMER_REAL, order["seconds"])


def _over(_signal: int, _frame: object) -> None:
    raise TimeLimit


def _guarded(order: Answer, rows: BinaryIO, answers: BinaryIO) -> Answer:
    place = [0]
    try:
        function, style = load(base64.b64decode(order["source"]), order["file"], order["name"])
        _send(answers, {"loaded": True, "probabilities": style != "three"})
        return _mean(function, style, order["labels"], rows, place)
    except Refused as error:
        return {"error": str(error), "row": place[0]}
    except TimeLimit as error:
        return {"timeLimit": True, "row": place[0], "line": _line(error, order["file"])}
    except BaseException as error:  # SystemExit and MemoryError are the function's mistakes as well
        line = error.lineno if isinstance(error, SyntaxError) else _line(error, order["file"])
        return {"error": _sentence(error), "row": place[0], "line": line}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def load(source: bytes, file: str, name: str) -> tuple[Callable[..., object], str]:
    """The function of the file, and how it is called: three, four (values by place) or named (probabilities=).

    Raises:
        Refused: there is no such function, or it takes something else.
    """
    module = types.ModuleType("test_function")
    module.__file__ = file
    sys.modules[module.__name__] = module
    exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102  # running the user's file is the purpose
    function = module.__dict__.get(name)
    if not callable(function):
        known = [key for key, value in module.__dict__.items() if inspect.isfunction(value) and not key.startswith("_")]
        found = f"it has {', '.join(known[:5])}" if known else "it has no function at all"
        raise Refused(f"there is no function {name} in it ({found}): write def {name}(input, expected, predicted)")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise Refused(f"{name} is a generator or asynchronous: write def {name}(input, expected, predicted)")
    try:
        signature = inspect.signature(function)
    except ValueError:
        return function, "three"
    parameters = signature.parameters
    if "probabilities" in parameters and _binds(signature, 3, probabilities=None):
        return function, "named"
    if _binds(signature, 3):
        return function, "three"
    if _binds(signature, 4):
        return function, "four"
    raise Refused(
        f"{name}{signature} does not take what it is given: write def {name}(input, expected, predicted), "
        "and probabilities as a fourth where it is needed"
    )


def _binds(signature: inspect.Signature, values: int, **named: object) -> bool:
    try:
        signature.bind(*range(values), **named)
    except TypeError:
        return False
    return True


def _mean(function: Callable[..., object], style: str, labels: list[str], rows: BinaryIO, place: list[int]) -> Answer:
    values = array("d")
    for line in rows:
        place[0] += 1
        text, expected, predicted, probabilities = json.loads(line)
        given = [text, dict(zip(labels, expected, strict=True)), dict(zip(labels, predicted, strict=True))]
        named = {} if probabilities is None else dict(zip(labels, probabilities, strict=True))
        if style == "named":
            result = function(*given, probabilities=named)
        elif style == "four":
            result = function(*given, named)
        else:
            result = function(*given)
        values.append(_number(result))
    return {"rows": len(values), "value": math.fsum(values) / len(values) if values else None}


def _number(result: object) -> float:
    if result is None:
        raise Refused("it returned None: return a number for every row")
    try:
        if isinstance(result, (str, bytes, bytearray)):
            raise TypeError
        value = float(result)  # type: ignore[arg-type]  # whatever says that it is a number: bool, numpy, Decimal
    except (TypeError, ValueError, OverflowError):
        raise Refused(
            f"it returned {_clip(_shown(result))}, which is no number: return a number for every row"
        ) from None
    if not math.isfinite(value):
        raise Refused(f"it returned {value}: return a finite number for every row")
    return value


def _line(error: BaseException, file: str) -> int | None:
    found, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            found = step.tb_lineno
        step = step.tb_next
    return found


def _sentence(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{name}: {error.msg}"
    try:
        text = str(error)
    except BaseException:  # a message that cannot even be made
        text = ""
    return f"{name}: {_clip(text)}" if text else name


def _shown(value: object) -> str:
    try:
        return f"{value!r} ({type(value).__name__})"
    except BaseException:  # as above
        return f"a {type(value).__name__}"


def _clip(text: str, length: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _send(answers: BinaryIO, answer: Answer) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
