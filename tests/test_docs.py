"""What the pages tell one to type exists: configs, settings, flags, files."""

import argparse
import itertools
import pathlib
import re
import tomllib

import pytest
import yaml

from memgen_jax import cli
from memgen_jax.programs import configs, reference

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("experiments/README.md", "launch/README.md", "memgen_jax/README.md")),
    *(ROOT / name for name in ("benchmarks/README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]
SETTINGS = {
    own.name
    for classes in reference.SETTINGS.values()
    for cls in classes
    for own in reference.settings_of(cls)
}


def commands(text: str, program: str) -> list[str]:
    """Lines of code that begin with `memgen PROGRAM`, joined over their continuations."""
    joined = text.replace("\\\n", " ")
    return [found[1] for found in re.finditer(rf"(memgen {program}\b[^`\n|#]*)", joined)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_and_configs_that_a_page_names_exist(page):
    text = page.read_text()
    named = {name.rstrip(".") for name in re.findall(r"--config\.([a-z_.]+)", text)}
    groups = {name.rpartition(".")[0] for name in SETTINGS}
    assert named - SETTINGS - groups == set()
    for name in set(re.findall(r"memgen [a-z]+ --config=([a-z_0-9:]+)", text)):
        configs.load_config(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_flags_of_an_audit_that_a_page_names_exist(page):
    whole = cli.parser()
    (choices,) = (
        action.choices for action in whole._actions if isinstance(action, argparse._SubParsersAction)
    )
    known = {option for action in choices["audit"]._actions for option in action.option_strings}
    used = {flag for line in commands(page.read_text(), "audit") for flag in re.findall(r"--[a-z-]+", line)}
    assert used - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_column_of_a_table_has_a_heading(page):
    lines = page.read_text().splitlines()
    heads = [head for head, rule in itertools.pairwise(lines) if re.fullmatch(r"\|(:?-+:?\|)+", rule)]
    assert [head for head in heads if not all(cell.strip() for cell in head.strip("|").split("|"))] == []


def test_the_citation_is_of_this_version_and_names_both_papers():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= found.keys()
    assert found["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert [one["type"] for one in found["references"]] == ["article", "article"]
    assert all(one["title"] and one["authors"] for one in found["references"])


def test_a_flag_that_does_not_exist_would_be_found():
    assert commands("    memgen audit --train a \\\n      --nonsense b\n", "audit") == [
        "memgen audit --train a        --nonsense b"
    ]
