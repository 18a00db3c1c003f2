import html.parser
import re

import pytest

from memgen_jax.report import page, transition_page
from memgen_jax.report.transition_figures import CriticalSize

PICTURE = page.Picture("data:image/png;base64,AAAA", "a picture", "its caption")


def render(**shown):
    return transition_page.render(transition_page.TransitionPage(**shown))


def row(num_train, memorized, spurious, width=0.02):
    made = {"num_train": num_train, "num_synthetic": 4 * num_train, "delta_m": 1.0, "delta_s": 0.7}
    fractions = {"memorized": memorized, "spurious": spurious, "generalized": 1 - memorized - spurious}
    for phase, value in fractions.items():
        made |= {
            phase: value,
            f"{phase}_low": max(value - width, 0.0),
            f"{phase}_high": min(value + width, 1.0),
        }
    return made


ROWS = [row(1437, 0.0, 0.0), row(2, 1.0, 0.0), row(128, 0.5, 0.09)]
FULL = {
    "title": "From copying to creating",
    "dataset": "handwritten digits",
    "answer": "It turns.",
    "rows": ROWS,
    "delta_m": 1.0,
    "delta_s": 0.7,
    "metric": "L2, pixels in [-1, 1]",
    "threshold_rule": "given",
    "transition": PICTURE,
}


class Balance(html.parser.HTMLParser):
    """Checks that every element is closed by its own tag, in order."""

    empty = frozenset({"meta", "img", "br"})

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.empty:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()


def headings(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def words(text):
    """What a reader sees: no markup, single spaces."""
    return " ".join(re.sub(r"<[^>]*>", " ", text.split("</style>")[1]).split())


def test_a_page_with_everything_has_every_section_and_closes_what_it_opens():
    text = render(
        **FULL,
        both_views=PICTURE,
        capacity=PICTURE,
        onset_critical=[CriticalSize("P(Δ > 0) crosses one half", 77.0, 64.0, 96.0)],
        histograms=PICTURE,
        galleries=[PICTURE, PICTURE],
        critical=[
            CriticalSize("half", 136.2, 121.0, 153.0),
            CriticalSize("at once", 9, 9, 9),
            CriticalSize("nowhere", None),
        ],
        control_rows=[row(2, 1.0, 0.0), row(128, 0.96, 0.0)],
        quality_rows=[{"num_train": 128, "sample_distance": None, "held_out_distance": 2.0}],
        quality=PICTURE,
        curves=PICTURE,
        num_steps=8000,
        limits=["One seed."],
        command="python -m experiments.transition",
        settings={"train": {"steps": 8000}},
        environment={"jax": "0.10"},
    )
    balance = Balance()
    balance.feed(text)
    assert balance.open == []
    assert len(headings(text)) == 11
    seen = words(text)
    for expected in (
        "It turns.",
        "Every model here had 8,000 steps. At large",
        "half 136 121 – 153",
        "P(Δ > 0) crosses one half 77 64 – 96".replace(">", "&gt;"),
        "at once 9 – nowhere",
        "nowhere not reached in this sweep",
        "lowest memorized share here is 96.0%",
        "128 – 2.00",
        "train.steps 8000",
        "jax 0.10",
        "One seed.",
    ):
        assert expected in seen
    assert text.count("<img") == 8


def test_sections_without_material_are_left_out():
    text = render(**FULL)
    expected = ["What the words mean here", "The transition", "The fractions", "Limits", "How it was made"]
    assert headings(text) == expected
    assert text.count("<details") == len(expected) and "<script" not in text


def test_the_answer_stands_first_and_all_but_the_curve_and_its_numbers_folds():
    text = render(**FULL)
    assert text.index("It turns.") < text.index("A diffusion model learns")
    opened = re.findall(r'<details class="section" open><summary><h2>(.*?)</h2>', text)
    assert opened == ["The transition", "The fractions"]
    assert "<h2>" not in re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)


def test_the_table_is_sorted_and_holds_every_interval():
    seen = words(render(**FULL))
    table = seen[seen.index("The fractions") : seen.index("Limits")]
    assert "2 8 100.0% 98.0% – 100.0% 0.0% 0.0% – 2.0%" in table
    assert "128 512 50.0% 48.0% – 52.0% 9.0% 7.0% – 11.0% 41.0%" in table
    assert table.index("2 8 100.0%") < table.index("128 512") < table.index("1,437 5,748 0.0%")


def test_the_answer_claims_a_transition_and_a_peak_that_stand_out():
    critical = [
        CriticalSize("never", None, phase="memorized"),
        CriticalSize("half", 128.4, 110.0, 140.0, "memorized"),
    ]
    sentence = transition_page.answer("digits", ROWS, critical)
    assert "falls from 100.0% at K = 2 to 0.0% at K = 1,437, crossing one half near K = 128" in sentence
    assert "(spurious) peak at 9.0% (7.0% – 11.0%) where K = 128." in sentence


def test_small_critical_sizes_keep_a_decimal():
    """At 2.9 (2.6 – 3.3) whole numbers would read 3 (3 – 3)."""
    critical = [CriticalSize("half", 2.93, 2.6, 3.3), CriticalSize("later", 47.3, 43.4, 51.0)]
    seen = words(render(**FULL, critical=critical))
    assert "half 2.9 2.6 – 3.3" in seen and "later 47 43 – 51" in seen
    assert "near K = 2.9," in transition_page.answer("digits", ROWS, critical)


@pytest.mark.parametrize("spurious_at_ends", [(0.06, 0.0), (0.0, 0.06)])
def test_a_peak_within_the_intervals_of_either_end_is_not_claimed(spurious_at_ends):
    first, last = spurious_at_ends
    rows = [row(2, 0.9, first), row(128, 0.5, 0.09), row(1437, 0.0, last)]
    sentence = transition_page.answer("digits", rows)
    assert "no spurious peak stands out (largest share 9.0%" in sentence


@pytest.mark.parametrize("last", [0.99, 0.97, 1.0])
def test_no_transition_is_claimed_where_the_intervals_meet(last):
    sentence = transition_page.answer("digits", [row(2, 0.98, 0.0), row(64, last, 0.0)])
    assert "shows no transition" in sentence


def test_every_table_of_several_widths_names_them_and_has_a_row_for_each():
    rows = [made | {"width": width} for width in (128, 32) for made in ROWS]
    quality = [
        {"num_train": 2, "sample_distance": 1.5, "held_out_distance": 2.0, "width": width}
        for width in (128, 32)
    ]
    critical = [
        CriticalSize("half", 5.3, 3.1, 8.0, width=128),
        CriticalSize("peak", 9, width=128),
        CriticalSize("half", None, width=32),
        CriticalSize("peak", None, width=32),
    ]
    text = render(
        **FULL | {"rows": rows},
        critical=critical,
        quality_rows=quality,
        other_answers=["So does width 32."],
        other_pictures={32: {"histograms": PICTURE, "galleries": [PICTURE]}},
        histograms=PICTURE,
    )
    balance = Balance()
    balance.feed(text)
    assert balance.open == []
    seen = words(text)
    assert "It turns. So does width 32." in seen
    assert (
        "width half peak 32 not within this sweep not within this sweep 128 K = 5.3 3.1 – 8 K = 9 The" in seen
    )
    table = seen[seen.index("The fractions") : seen.index("The distances")]
    assert "width K samples" in table
    assert table.index("32 2 8") < table.index("32 1,437") < table.index("128 2 8") < table.index("128 1,437")
    assert "32 2 1.50 2.00 128 2 1.50 2.00" in seen
    assert "The same pictures of width 32" in seen and text.count("<img") == 4


def test_a_further_width_is_told_in_one_sentence_no_stronger_than_its_intervals():
    critical = [CriticalSize("half", 128.4, 110.0, 140.0, "memorized", 64)]
    assert transition_page.answer_at_width(64, ROWS, critical) == (
        "At width 64 the share of memorized samples falls from 100.0% at K = 2 to 0.0% at K = 1,437, "
        "crossing one half near K = 128."
    )
    level = transition_page.answer_at_width(32, [row(2, 0.03, 0.0), row(64, 0.0, 0.0)])
    assert level.startswith("At width 32 there is no transition: the memorized share goes from 3.0% at K = 2")
