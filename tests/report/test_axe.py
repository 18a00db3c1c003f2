"""axe-core over the pages that programs write; `axe_pages.py` does it for pages of real runs and of the site."""

import os
import pathlib

import pytest

from memgen_jax import cli
from memgen_jax.programs.compare.program import compare
from tests.programs.compare import test_program as test_comparison
from tests.report import axe_pages, test_circle_page, test_onset_page, test_sliders
from tests.report import browser as browsers

AXE = pathlib.Path(os.environ.get("AXE_CORE", "build/node_modules/axe-core/axe.min.js"))

pytestmark = pytest.mark.skipif(
    browsers.chromium() is None or not AXE.exists(),
    reason="no Chromium, or no axe-core: make test-pages",
)

transition = test_sliders.transition


@pytest.fixture(scope="module")
def browser():
    found = browsers.Browser()
    yield found
    found.close()


def test_no_rule_is_broken_by_a_page_with_sliders(browser, transition):
    assert axe_pages.violations(browser, AXE.read_text(), transition) == []


def test_no_rule_is_broken_by_the_circle_or_the_onset(browser, tmp_path):
    pages = {"circle": test_circle_page.render(), "onset": test_onset_page.render_network()}
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(text)
        assert axe_pages.violations(browser, AXE.read_text(), tmp_path / f"{name}.html") == []


@pytest.mark.usefixtures("quick_compilation", "undrawn")
def test_no_rule_is_broken_by_an_audit_of_one_set_or_of_several(browser, tmp_path):
    sets = test_sliders.write_sets(tmp_path)
    samples = [f"--samples={tmp_path}/{name}.npz" for name in ("samples", "holdout")]
    out = tmp_path / "out"
    assert (
        cli.main(["audit", sets["train"], *samples, "--each", "--delta-m=1", "--delta-s=1", f"--out={out}"])
        == 0
    )
    pages = sorted(out.rglob("report.html"))
    assert len(pages) == 3
    for page in pages:
        assert axe_pages.violations(browser, AXE.read_text(), page) == []


@pytest.mark.usefixtures("undrawn")
def test_no_rule_is_broken_by_a_comparison(browser, tmp_path):
    runs = [test_comparison.write_run(tmp_path / name, half) for name, half in (("a", 40), ("b", 80))]
    compare(runs, str(tmp_path / "out"))
    assert axe_pages.violations(browser, AXE.read_text(), tmp_path / "out/report.html") == []


def test_a_broken_rule_is_found(browser, tmp_path):
    (tmp_path / "page.html").write_text("<!DOCTYPE html><html><body><img src='data:,'></body></html>")
    found = {one["id"] for one in axe_pages.violations(browser, AXE.read_text(), tmp_path / "page.html")}
    assert {"image-alt", "html-has-lang", "document-title"} <= found
