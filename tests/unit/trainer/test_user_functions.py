"""Test functions in their own process: what they are given, and everything that can be wrong with them."""

from __future__ import annotations

import ctypes
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier_trainer.errors import UserError
from classifier_trainer.evaluate import user_functions, user_process
from classifier_trainer.evaluate.user_functions import (
    NO_ROWS,
    Function,
    Outcome,
    Results,
    check,
    run_function,
    run_functions,
)

Run = Callable[..., Outcome]

RESULTS = Results(
    labels=["sport", "politik"],
    prompts=["goal!", 'a "quote"\nin two lines', "Straße \ud83d\ude80 \ud800"],
    expected=np.array([[1, 0], [0, 1], [1, 0]], dtype=np.int8),
    predicted=np.array([[1, 0], [1, 0], [1, 0]], dtype=np.bool_),
    probabilities=np.array([[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]]),
    lines=[2, 5, 9],
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run(source, results, **limits)`: the outcome of `def cost(...)` of a file cost.py."""

    def function(source: str, results: Results = RESULTS, **limits: Any) -> Outcome:
        file = tmp_path / "cost.py"
        file.write_text(textwrap.dedent(source), encoding="utf-8")
        return run_function(Function("cost", file), results, **limits)

    return function


def test_the_mean_over_the_rows(run: Run) -> None:
    found = run("""
        COSTS = {("politik", "sport"): 6.0}
        def cost(input: str, expected: dict[str, int], predicted: dict[str, int]) -> float:
            name = {label for label, value in expected.items() if value == 1}
            guess = {label for label, value in predicted.items() if value == 1}
            return COSTS.get((*name, *guess), 0)
    """)
    assert (found.error, found.value, found.name) == (None, 2.0, "cost")
    assert found.document() == {"value": 2.0}
    assert found.seconds > 0


def test_what_a_function_is_given(run: Run) -> None:
    found = run("""
        def cost(input, expected, predicted, probabilities):
            print(ascii(input), expected, predicted, probabilities)
            return True
    """)
    assert found.value == 1.0
    assert found.printed.splitlines() == [
        "'goal!' {'sport': 1, 'politik': 0} {'sport': 1, 'politik': 0} {'sport': 0.75, 'politik': 0.25}",
        "'a \"quote\"\\nin two lines' {'sport': 0, 'politik': 1} {'sport': 1, 'politik': 0} "
        "{'sport': 0.5, 'politik': 0.5}",
        "'Stra\\xdfe \\U0001f680 \\ud800' {'sport': 1, 'politik': 0} {'sport': 1, 'politik': 0} "
        "{'sport': 0.125, 'politik': 0.875}",
    ]


@pytest.mark.parametrize(
    ("head", "value"),
    [
        ("input, expected, predicted, *, probabilities", 1.375 / 3),
        ("input, expected, predicted, probabilities=None", 1.375 / 3),
        ("a, b, c, probabilities", 1.375 / 3),
        ("a, b, c, d", 1.375 / 3),
    ],
)
def test_probabilities_for_whoever_asks(run: Run, head: str, value: float) -> None:
    name = "d" if head.endswith("d") else "probabilities"
    assert run(f"def cost({head}): return {name}['sport']").value == pytest.approx(value)


@pytest.mark.parametrize("head", ["a, b, c, weight=2", "*rows", "a, b, c, **more"])
def test_no_probabilities_for_a_parameter_that_means_something_else(run: Run, head: str) -> None:
    assert run(f"def cost({head}): return list(locals().values())[-1] == 2").value == (1 if "weight" in head else 0)


def test_numbers_of_every_kind(run: Run) -> None:
    found = run("""
        import decimal, fractions
        import numpy
        rest = [numpy.float32(0.5), numpy.bool_(True), decimal.Decimal("1.5")]
        def cost(input, expected, predicted):
            return rest.pop()
    """)
    assert (found.error, found.value) == (None, 1.0)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return None", "returned None: return a number for every row"),
        ("return float('nan')", "returned nan: return a finite number"),
        ("return float('-inf')", "returned -inf: return a finite number"),
        ("return '1'", "returned '1' (str), which is no number"),
        ("return [1]", "returned [1] (list), which is no number"),
        ("return 10 ** 400", "which is no number"),
        ("return 1j", "returned 1j (complex), which is no number"),
    ],
)
def test_what_is_no_number(run: Run, body: str, sentence: str) -> None:
    found = run(f"def cost(input, expected, predicted):\n    {body} if input != 'goal!' else 1")
    assert found.value is None
    assert found.error is not None
    assert found.error.startswith("cost.py, in row 2 (line 5 of the data): it ")
    assert sentence in found.error
    assert len(found.error) < 500
    assert found.document() == {"error": found.error}


def test_an_exception_has_its_line_and_its_row(run: Run) -> None:
    found = run("""
        def share(part, whole):
            return part / whole

        def cost(input, expected, predicted):
            return share(1, expected["sport"])
    """)
    assert found.error == "cost.py, line 3, in row 2 (line 5 of the data): ZeroDivisionError: division by zero"
    library = run("""
        import json
        def cost(input, expected, predicted):
            return json.loads(input)
    """)
    assert library.error is not None
    assert library.error.startswith("cost.py, line 4, in row 1 (line 2 of the data): JSONDecodeError: Expecting value")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def cost(input, expected, predicted):\n    return (", "cost.py, line 2: SyntaxError: '(' was never closed"),
        ("import nothing_like_it", "cost.py, line 1: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def price(a, b, c): pass", "cost.py: there is no function cost in it (it has price): write def cost(input, "),
        ("cost = 5", "cost.py: there is no function cost in it (it has no function at all): write"),
        ("def cost(a, b): pass", "cost.py: cost(a, b) does not take what it is given: write def cost(input, "),
        ("def cost(a, b, c, d, e): pass", "does not take what it is given"),
        ("async def cost(a, b, c): pass", "is a generator or asynchronous"),
        ("def cost(a, b, c): yield 1", "is a generator or asynchronous"),
        ("raise SystemExit(3)", "cost.py, line 1: SystemExit: 3"),
        ("\0", "cost.py"),
    ],
)
def test_files_that_do_not_load(run: Run, source: str, sentence: str) -> None:
    found = run(source)
    assert found.error is not None
    assert sentence in found.error
    assert "row" not in found.error


def test_ends_of_every_kind(run: Run) -> None:
    head = "import os, signal, sys\ndef cost(input, expected, predicted):\n    "
    assert (
        run(head + "sys.exit('enough')").error == "cost.py, line 3, in row 1 (line 2 of the data): SystemExit: enough"
    )
    raised = run(head + "raise KeyboardInterrupt").error
    assert raised == "cost.py, line 3, in row 1 (line 2 of the data): KeyboardInterrupt"
    assert run(head + "os._exit(7)").error == "cost.py: its process ended without an answer (exit status 7)"
    killed = run(head + "os.kill(os.getpid(), signal.SIGKILL)").error
    assert killed == "cost.py: its process ended without an answer (SIGKILL)"
    endless = run(head + "return cost(input, expected, predicted)").error
    assert endless is not None
    assert "RecursionError" in endless


def test_the_limit_of_time_names_the_place(run: Run) -> None:
    source = """
        def cost(input, expected, predicted):
            while input != "goal!":
                try:
                    sum(range(10000))
                except Exception:
                    pass
            return 1
    """
    start = time.monotonic()
    found = run(source, seconds=1.0, seconds_a_row=0.1)
    assert found.error is not None
    assert found.error.startswith("cost.py, line ")
    assert "in row 2 (line 5 of the data): it took longer than its limit of 1.3 s for 3 rows" in found.error
    assert 1.3 <= found.seconds <= time.monotonic() - start


def test_a_function_that_does_not_let_go_is_killed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_process, "GRACE", 0.5)
    found = run(
        """
        import signal, time
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        def cost(input, expected, predicted):
            time.sleep(600)
        """,
        seconds=1.0,
    )
    assert found.error is not None
    assert "it took longer than its limit of 1.03 s" in found.error


def test_the_limit_of_memory(run: Run) -> None:
    found = run("def cost(input, expected, predicted): return len(bytearray(1 << 30))", memory=1 << 29)
    assert found.error == "cost.py, line 1, in row 1 (line 2 of the data): MemoryError"
    assert run("import numpy\ndef cost(input, expected, predicted): return 1").value == 1


def test_no_secret_no_file_and_no_folder_of_ours(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "helper.py").write_text("", encoding="utf-8")
    with (tmp_path / "open").open("w") as stream:
        os.set_inheritable(stream.fileno(), True)
        found = run("""
            import os, sys
            def cost(input, expected, predicted):
                print(sorted(os.environ), os.listdir("."), sys.flags.isolated, sys.stdin.read())
                for name in os.listdir("/proc/self/fd"):
                    try:
                        print(os.readlink(f"/proc/self/fd/{name}").split(":")[0])
                    except OSError:
                        pass
                import helper
        """)
    assert found.error is not None
    assert "No module named 'helper'" in found.error
    lines = found.printed.splitlines()
    assert lines[0].replace("'LC_CTYPE', ", "") == "['OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'] [] 1 "
    assert set(lines[1:]) <= {"pipe", "/dev/null"}


def test_what_it_prints_is_kept_short_and_no_answer(run: Run) -> None:
    found = run("""
        import os, sys
        def cost(input, expected, predicted):
            print('{"value": 7}', flush=True)
            os.write(1, b"x" * 100_000)
            print("y" * 100_000, file=sys.stderr)
            return 1
    """)
    assert found.value == 1
    assert found.printed.startswith('{"value": 7}\nxxx')
    assert len(found.printed) <= user_process.MAX_PRINTED + 1
    assert found.printed.endswith("…")


def test_it_may_close_what_it_prints_to(run: Run) -> None:
    assert run("import sys\ndef cost(a, b, c): return sys.stdout.close() is None").value == 1
    assert run("import sys\ndef cost(a, b, c): sys.stdout = sys.stderr = None; return 1").value == 1


@pytest.fixture
def orphans() -> Iterator[None]:
    """This process inherits children of children that end, so that none is lost."""
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1)
    yield
    libc.prctl(36, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_it_starts_ends_with_it(run: Run, orphans: None) -> None:
    found = run("""
        import subprocess
        def cost(input, expected, predicted):
            print(subprocess.Popen(["/bin/sleep", "600"]).pid, flush=True)
            return 1
    """)
    assert found.value == 1
    for name in found.printed.split():
        _, status = os.waitpid(int(name), 0)
        assert os.WTERMSIG(status) == 9


def test_main_is_not_run(run: Run) -> None:
    assert run("def cost(a, b, c): return 1\nif __name__ == '__main__': raise SystemExit").value == 1


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "cost.py"
    file.write_bytes(b"# coding: latin-1\ndef cost(a, b, c): return len('\xe4')\n")
    function = Function("cost", file)
    assert run_function(function, RESULTS).value == 1
    assert function.digest is not None
    before = function.digest
    assert before.startswith("sha256:")
    file.write_bytes(file.read_bytes() + b"\n")
    assert function.digest != before


def test_many_rows_are_streamed(run: Run) -> None:
    class Rows(list[str]):
        """Texts that are made when they are asked for, as those on disk are."""

        asked = 0

        def __len__(self) -> int:
            return 20_000

        def __iter__(self) -> Iterator[str]:
            for i in range(len(self)):
                self.asked += 1
                yield str(i)

    rows = Rows()
    count = len(rows)
    results = Results(
        labels=["a"],
        prompts=rows,
        expected=np.zeros((count, 1), dtype=np.int8),
        predicted=np.zeros((count, 1), dtype=np.bool_),
        probabilities=np.zeros((count, 1)),
    )
    assert run("def cost(input, expected, predicted): return int(input)", results).value == (count - 1) / 2
    rows.asked = 0
    failed = run("def cost(input, expected, predicted): return 1 / (int(input) - 5)", results)
    assert failed.error == "cost.py, line 1, in row 6: ZeroDivisionError: division by zero"
    assert rows.asked < count / 2  # a pipe of them, and then nobody reads any more


def test_built_in_functions() -> None:
    found = run_functions([Function("SampleMatchCombined"), Function("LabelMatch")], RESULTS)
    assert [(one.name, one.value) for one in found] == [("sampleMatchCombined", 2 / 3), ("labelMatch", 2 / 3)]
    sets = Results(
        labels=["a", "b", "c", "d"],
        prompts=["x"],
        expected=np.array([[1, 1, 0, 0]], dtype=np.int8),
        predicted=np.array([[1, 0, 0, 0]], dtype=np.bool_),
        probabilities=np.zeros((1, 4)),
    )
    assert [one.value for one in run_functions([Function("SampleMatchCombined"), Function("LabelMatch")], sets)] == [
        0.0,
        0.75,
    ]
    assert run_function(Function("LabelMatch"), NO_ROWS).value is None


@pytest.mark.parametrize(
    "name", ["accuracy", "macroF1", "sampleMatchCombined", "labelMatch", "baselineAccuracy", "rocauc"]
)
def test_names_of_built_in_metrics_are_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "tests.py"
    file.write_text(f"def {name}(a, b, c): return 1", encoding="utf-8")
    with pytest.raises(UserError, match=f"{name} is the name of a metric that is built in: call yours otherwise"):
        check([Function(name, file)])


def test_what_needs_no_checkpoint_to_be_refused(tmp_path: Path) -> None:
    file = tmp_path / "cost.py"
    with pytest.raises(UserError, match=r"configmap://my-tests/cost.py cannot be read: No such file or directory\."):
        check([Function("cost", file, "configmap://my-tests/cost.py")])
    assert run_function(Function("cost", file), RESULTS).error == "cost.py cannot be read: No such file or directory"
    file.write_text("def price(a, b, c): return 1", encoding="utf-8")
    with pytest.raises(UserError, match=r"testFunctions: cost.py: there is no function cost in it \(it has price\)"):
        check([Function("SampleMatchCombined"), Function("cost", file)])
    file.write_text("def cost(a, b, c): return None", encoding="utf-8")
    check([Function("cost", file), Function("LabelMatch")])
    with pytest.raises(UserError, match="write SampleMatchCombined or LabelMatch"):
        check([Function("Sample")])


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    file = tmp_path / "cost.py"
    file.write_bytes(b"#" * (user_functions._MAX_SOURCE + 1))
    with pytest.raises(UserError, match="larger than 1 MiB"):
        check([Function("cost", file)])
