import pytest

from memgen_jax.report import onset_page, page

PICTURE = page.Picture("data:image/png;base64,AAAA", "a picture", "its caption")


def linear_row(dim, num_train, probability):
    made = {"dim": dim, "num_train": num_train, "num_simulations": 200, "hellinger2": 0.9}
    made |= {"log10_e_tg": None, "log10_e_og": None, "p_delta_positive": probability}
    return made | {"p_delta_positive_low": 0.0, "p_delta_positive_high": 1.0}


def found(num_train, low=None, high=None):
    fall = {"num_train": 16.5, "low": 16.0, "high": 17.0, "at_most": False}
    return {
        "critical_num_train": {"num_train": num_train, "low": low, "high": high},
        "fall": {"e_og": fall, "hellinger2": fall | {"num_train": None, "low": None, "high": None}},
        "scenario": {"e_og": "a", "hellinger2": None},
    }


ROWS = [linear_row(16, 2, 0.0), linear_row(16, 64, 1.0), linear_row(100, 64, 0.4), linear_row(100, 2, 0.0)]
SUMMARY = {"16": found(11.5, 11.3, 11.8), "100": found(None)}


def test_the_linear_answer_is_where_it_turns_or_between_what_it_goes():
    assert onset_page.answer_linear(SUMMARY, ROWS) == (
        "The linear model comes closer to the truth than to its training set: in 16 dimensions from about n = 11.5 "
        "(11.3 – 11.8) training points on; in 100 dimensions at no n tried, from n = 2 to 64 (P(Δ > 0) is at most "
        "0.40)."
    )


@pytest.mark.parametrize("readings", [None, PICTURE])
def test_the_linear_page_answers_first_folds_and_leaves_out_what_was_not_drawn(readings):
    text = onset_page.render_linear(
        rows=ROWS, summary=SUMMARY, num_original=10_000, kernel_width="silverman", covariance="derived",
        pictures=dict.fromkeys(("probability", "hellinger", "claim"), PICTURE)
        | {"distances": None, "readings": readings},
        command="memgen onset", settings={"seed": 0}, environment={},
    )  # fmt: skip
    assert text.index("The linear model comes closer") < text.index("<details")
    assert ("Under every reading" in text) == (readings is not None)
    assert text.count("<img") == 3 + (readings is not None) == text.count('alt="a picture"')
    assert "16.5" in text and "<td>a</td>" in text


def network_rows(fresh=(1.0, 1.0), copies=(0.0, 0.0), model=(0.2, 0.9)):
    return [
        {"num_train": size, "source": source, "reading": "whole", "num_steps": 20, "e_tg_scaled": 1.0,
         "e_og_scaled": 1.0, "p_delta_positive": share, "p_delta_positive_low": 0.0, "p_delta_positive_high": 1.0}
        for source, shares in (("model", model), ("fresh", fresh), ("copies", copies))
        for size, share in zip((10, 40), shares, strict=True)
    ]  # fmt: skip


def test_a_reading_that_cannot_tell_its_controls_is_said_to_prove_little():
    turned = {"num_train": 20.0, "low": None, "high": None}
    good = onset_page.answer_network(turned, network_rows(), "whole")
    assert good.startswith(
        "The network comes closer to the truth than to its training set from about n = 20 training"
    )
    assert "unseen data count as closer to the truth" in good
    always = onset_page.answer_network(
        found(None)["critical_num_train"], network_rows(model=(1.0, 0.8)), "whole"
    )
    assert "its training set at every n tried, from n = 10 to 40 (P(Δ > 0) is at least 0.80)." in always
    blind = onset_page.answer_network(turned, network_rows(copies=(0.0, 0.8)), "whole")
    assert "does not tell a perfect copier at every n" in blind
    both = onset_page.answer_network(turned, network_rows((0.5, 1.0), (0.0, 0.8)), "whole")
    assert "a perfect model or a perfect copier" in both


def render_network():
    return onset_page.render_network(
        rows=network_rows(),
        summary={"num_parameters": 41_609, "critical_num_train": {"whole": found(None)["critical_num_train"]}},
        reading="whole", picture=PICTURE, command="", settings={}, environment={},
    )  # fmt: skip


def test_the_networks_page_has_a_row_for_each_n():
    text = render_network()
    assert "41,609 parameters" in text and text.count('<th class="num" scope="row">') == 2
    assert "at no one n found here: from n = 10 to 40 P(Δ &gt; 0) lies between 0.20 and 0.90" in text
