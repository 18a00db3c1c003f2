"""axe-core over the pages that programs write; `axe_pages.py` does it for pages of real runs and of the site."""

import os
import pathlib

import pytest

from tests.report import axe_pages, test_circle_page, test_onset_page, test_sliders
from tests.report import browser as browsers

AXE = pathlib.Path(os.environ.get("AXE_CORE", "build/node_modules/axe-core/axe.min.js"))

pytestmark = pytest.mark.skipif(
    browsers.chromium() is None or not AXE.exists(),
    reason="no Chromium, or no axe-core: npm install --prefix build axe-core",
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


def test_a_broken_rule_is_found(browser, tmp_path):
    (tmp_path / "page.html").write_text("<!DOCTYPE html><html><body><img src='data:,'></body></html>")
    found = {one["id"] for one in axe_pages.violations(browser, AXE.read_text(), tmp_path / "page.html")}
    assert {"image-alt", "html-has-lang", "document-title"} <= found
