import math

import pytest

from memgen_jax.report import circle_page, page

PICTURE = page.Picture("data:image/png;base64,AAAA", "a picture", "its caption")
NAMES = ("landscapes", "temperature", "ring_radius", "phase_diagram", "critical_load")


def row(num_train, memorized, spurious, **changes):
    made = {"num_train": num_train, "num_generated": 1000.0}
    shares = {"memorized": memorized, "spurious": spurious, "generalized": 1 - memorized - spurious}
    for name, share in shares.items():
        made |= {name: share, f"{name}_low": max(share - 0.02, 0.0), f"{name}_high": min(share + 0.02, 1.0)}
    made |= {
        "memorized_by_distance": memorized,
        "memorized_by_distance_null": 0.1,
        "memorized_beyond_chance": None,
    }
    made |= {
        "radius_rms_error": 0.002,
        "energy_correlation_exact": 0.9983,
        "energy_correlation_infinite": 0.5,
    }
    return made | {"energy_largest_deviation_exact": 0.25} | changes


ROWS = [row(2.0, 1.0, 0.0), row(9.0, 0.56, 0.44), row(1000.0, 0.0, 0.0), row(math.inf, 0.0, 0.0)]


def render(rows=ROWS):
    return circle_page.render(
        rows=rows, attractor_time=0.001, delta=0.02, distance=0.05, flat_below=0.05,
        pictures=dict.fromkeys(NAMES, PICTURE), num_steps=3000, command="memgen circle",
        settings={"seed": 0}, environment={"jax": "0.10"},
    )  # fmt: skip


def test_the_answer_says_where_copying_ends_and_what_is_made_up():
    assert circle_page.answer(ROWS) == (
        "On the circle the share of memorized samples falls from 100.0% at K = 2 to 0.0% at K = 1,000, and samples "
        "that fall to an attractor where no training point is (spurious) peak at 44.0% (42.0% – 46.0%) where K = 9. "
        "With infinitely many points, in closed form, 100.0% of them are new (generalized)."
    )


def test_the_closed_form_is_not_taken_for_a_training_set():
    rows = [row(2.0, 1.0, 0.0), row(9.0, 0.98, 0.0), row(math.inf, 0.0, 0.0)]
    assert "no transition" in circle_page.answer(rows)


def test_the_page_answers_first_folds_and_names_every_picture():
    text = render()
    assert text.index("On the circle the share") < text.index("<details")
    assert text.count("<details") == 8 + 2 and text.count('alt="a picture"') == 5
    assert "∞</th>" in text and "0.9983" in text and "<script" not in text


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_that_is_missing_is_an_error(name):
    pictures = {other: PICTURE for other in NAMES if other != name}
    with pytest.raises(Exception, match=name):
        circle_page.render(
            rows=ROWS, attractor_time=0.001, delta=0.02, distance=0.05, flat_below=0.05, pictures=pictures,
            num_steps=1, command="", settings={}, environment={},
        )  # fmt: skip
