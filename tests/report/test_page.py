import html.parser
import math

import jinja2
import pytest

from memgen_jax.report import page, style


class Addresses(html.parser.HTMLParser):
    """Collects whatever a page would fetch or lead to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert tag not in ("script", "link", "iframe", "object")


def minimal(**changes):
    values = {"title": "T", "dataset": "d", "answer": "a", "rows": [], "delta_m": 1.0, "delta_s": 0.5}
    values |= {"metric": "L2", "threshold_rule": "given", "critical": [], "galleries": []}
    values |= {"histograms": None, "quality": None, "quality_rows": [], "control_rows": [], "curves": None}
    values |= {
        "phase_diagram": None,
        "both_views": None,
        "capacity": None,
        "other_answers": [],
        "other_pictures": {},
        "widths": [],
        "common_rows": [],
        "critical_by_rule": {},
        "copying_rows": [],
        "coverage_rows": [],
        "sliders": None,
        "critical_note": "",
        "third_regime": [],
        "promise": "",
        "repeats": None,
        "denoising": None,
        "halves": None,
        "redrawn": "",
        "intervals": "",
        "sampler": "",
        "num_steps": 1,
        "limits": [],
        "command": "",
        "settings": {},
        "environment": {},
    }
    values |= {"transition": page.Picture("data:image/png;base64,AAAA", "alt", "caption")}
    return values | changes


def test_names_are_escaped_wherever_they_stand():
    evil = "<script>alert('&')</script>"
    text = page.render(
        "transition.html",
        **minimal(
            title=evil,
            dataset=evil,
            answer=evil,
            limits=[evil],
            command=evil,
            settings={"data": {evil: evil}},
            transition=page.Picture("data:image/png;base64,AAAA", f'"{evil}', evil),
        ),
    )
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 10  # the title stands twice
    assert 'alt="&#34;&lt;script' in text


def test_a_page_holds_all_that_it_shows():
    figure = style.new_figure(2, 1)
    text = page.render("transition.html", **minimal(transition=page.picture(figure, "empty")))
    addresses = Addresses()
    addresses.feed(text)
    assert len(addresses.found) == 1
    assert addresses.found[0].startswith("data:image/png;base64,")
    assert "@import" not in text and "url(" not in text and "http://" not in text
    assert text.startswith("<!DOCTYPE html>")


def test_a_saved_picture_is_embedded_as_it_is_on_disk_at_its_natural_width(tmp_path):
    figure = style.new_figure(3.0, 1.0)
    png, _ = style.save(figure, tmp_path / "figure")
    picture = page.picture(png, "alt", "caption")
    assert picture.uri == style.data_uri(png.read_bytes())
    assert picture.width == 330
    assert page.picture(figure, "alt", "caption") == picture


def test_a_forgotten_value_is_an_error_not_a_hole():
    values = minimal()
    del values["answer"]
    with pytest.raises(jinja2.UndefinedError, match="answer"):
        page.render("transition.html", **values)


def test_a_written_page_is_the_rendered_text_in_utf_8(tmp_path):
    path = page.write(tmp_path / "new" / "report.html", "δ ≤ 1")
    assert path.read_bytes() == "δ ≤ 1".encode()
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]


def test_nested_settings_flatten_in_their_order():
    tree = {"train": {"steps": 3, "optimizer": {"rate": 0.1}}, "sizes": [2, 4], "empty": {}}
    expected = [("train.steps", 3), ("train.optimizer.rate", 0.1), ("sizes", [2, 4]), ("empty", {})]
    assert list(page.flatten(tree)) == expected


@pytest.mark.parametrize(
    "value, as_percent, as_number, as_measure",
    [
        (0.0534, "5.3%", "0.0534", "0.0534"),
        (1, "100.0%", "1", "1.00"),
        (2.05, "205.0%", "2.05", "2.05"),
        (1437, "143700.0%", "1,437", "1.44e+03"),
        (136.2, "13620.0%", "136", "136"),
        (1234.5, "123450.0%", "1,234", "1.23e+03"),
        (None, "–", "–", "–"),
        (math.nan, "–", "–", "–"),
        (math.inf, "–", "–", "–"),
    ],
)
def test_numbers_are_written_for_readers(value, as_percent, as_number, as_measure):
    assert page.percent(value) == as_percent
    assert page.number(value) == as_number
    assert page.measure(value) == as_measure
