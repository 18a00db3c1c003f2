"""No test is left to nobody: each mark has a command that runs it, and CI runs all but the slow ones."""

import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).parent.parent


def test_each_mark_that_is_left_out_has_a_command_and_ci_runs_whole_runs():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    marks = [mark.partition(":")[0] for mark in settings["markers"]]
    left_out = re.findall(r"not (\w+)", settings["addopts"])
    assert sorted(marks) == sorted(left_out)
    makefile = (ROOT / "Makefile").read_text()
    for mark in marks:
        recipe = re.search(rf"^test-{mark}:.*\n\t(.*)$", makefile, re.MULTILINE)
        assert recipe and recipe[1].endswith(f"-m {mark}")
    ci = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("make test")]
    assert ci[:2] == ["make test", "make test-whole"]


def test_no_test_has_two_marks():
    for file in (ROOT / "tests").rglob("test_*.py"):
        text = file.read_text()
        assert not re.search(
            r"mark\.slow\n(@.*\n)*@pytest\.mark\.whole|mark\.whole\n(@.*\n)*@pytest\.mark\.slow", text
        )


def test_modules_that_are_begun_first_are_there():
    first = re.search(r"LONGEST_FIRST = \((.*?)\n\)", (ROOT / "tests/conftest.py").read_text(), re.DOTALL)
    modules = re.findall(r'"(.+)"', first[1])
    assert modules and all((ROOT / "tests" / module).is_file() for module in modules)
