"""The sliders of a page: what is embedded, and what a browser makes of it."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from memgen_jax import cli, load, phases
from memgen_jax.report import page, sliders, transition_page
from tests.report import browser as browsers

DELTA_M, DELTA_S = 1.3, 0.7


def distances(num_train, samples=400, seed=0):
    """Copies, repeats and new samples in shares that change with K; some exactly at a threshold."""
    rng = np.random.default_rng([seed, num_train])
    to_train = np.exp(rng.normal(np.log(num_train) / 4 - 0.8, 0.8, samples)).astype(np.float32)
    to_other = np.exp(rng.normal(0, 0.8, samples)).astype(np.float32)
    to_train[:3], to_other[3:6] = np.float32(DELTA_M), np.float32(DELTA_S)
    to_train[6], to_other[7] = 0, 0
    return sliders.Distances(num_train, to_train, to_other)


SETS = [distances(size) for size in (2, 30, 1437)]


def counted(embedded, m, s):
    """The three counts of each set with the sliders at places m and s, read as the page's script reads them."""
    found = []
    for one in embedded["sets"]:
        cells = np.frombuffer(base64.b64decode(one["cells"]), np.uint8).reshape(-1, 3).astype(int)
        label = np.where(cells[:, 0] <= m, 0, np.where(cells[:, 1] <= s, 1, 2))
        found.append(np.bincount(label, cells[:, 2], minlength=3).astype(int).tolist())
        assert sum(found[-1]) == one["total"]
    return found


@pytest.mark.parametrize("m, s", [(60, 60), (0, 0), (120, 120), (60, 0), (33, 97), (61, 59)])
def test_the_shares_at_every_place_are_those_of_the_labels(m, s):
    embedded = sliders.embed(sliders.Sliders(SETS, DELTA_M, DELTA_S, "L2"))
    delta_m = sliders.places(DELTA_M, SETS[0].train_distance)[0][m]
    delta_s = sliders.places(DELTA_S, SETS[0].synthetic_distance)[0][s]
    expected = [
        np.bincount(
            phases.classify(one.train_distance, one.synthetic_distance, float(delta_m), float(delta_s)),
            minlength=3,
        ).tolist()
        for one in SETS
    ]
    assert counted(embedded, m, s) == expected


def test_a_threshold_of_zero_has_places_too():
    at, start = sliders.places(0.0, np.array([0.0, 0.5, 4.0, np.inf]))
    assert (at[start], at[1], at[-1]) == (0, 0.5, 4.0) and np.all(np.diff(at) > 0) and len(at) == 121
    alone, _ = sliders.places(0.0, np.zeros(2))
    assert np.all(np.diff(alone) > 0)


def test_a_sample_without_a_neighbour_is_beyond_every_place():
    one = sliders.Distances(1, np.array([0.1], np.float32), np.array([np.inf], np.float32))
    embedded = sliders.embed(sliders.Sliders([one], 0.01, 1.0, "L2"))
    assert counted(embedded, 0, 120) == [[0, 0, 1]]


def test_a_page_holds_no_more_for_many_samples_than_its_places_allow():
    rng = np.random.default_rng(0)
    many = sliders.Distances(9, *np.exp(rng.normal(0, 0.7, (2, 300_000))).astype(np.float32))
    embedded = sliders.embed(sliders.Sliders([many], 1.0, 1.0, "L2"))
    assert len(embedded["sets"][0]["cells"]) <= 4 * (122**2 + 300_000 // 255)
    assert sum(counted(embedded, 60, 60)[0]) == 300_000


def test_examples_are_the_first_drawn_of_each_stretch_and_ascend():
    at, _ = sliders.places(1.0, np.ones(1))
    distance = np.exp(np.random.default_rng(1).uniform(-2.5, 2.5, 500)).astype(np.float32)
    allowed = np.arange(500) % 2 == 0
    chosen = sliders.choose(distance, at, allowed)
    assert 20 <= len(chosen) <= sliders.EXAMPLES
    assert np.all(np.diff(distance[chosen]) > 0) and np.all(allowed[chosen])
    stretch = sliders.place_of(distance, at) * sliders.EXAMPLES // len(at)
    inside = allowed & (distance > at[0]) & (distance <= at[-1])
    for row in chosen:
        assert row == np.flatnonzero(inside & (stretch == stretch[row]))[0]


@pytest.mark.parametrize("side, kind, shown", [(8, "png", 8), (32, "png", 32), (200, "jpeg", 64)])
def test_pictures_keep_their_pixels_when_small_and_shrink_when_large(side, kind, shown):
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    uri = sliders.thumbnail(pixels)
    assert uri.startswith(f"data:image/{kind};base64,")
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert found.shape == (shown, shown, 3)
    if kind == "png":
        np.testing.assert_array_equal(found, pixels)


def row_of(one):
    labels = phases.classify(one.train_distance, one.synthetic_distance, DELTA_M, DELTA_S)
    return vars(phases.fractions(labels, one.num_train, DELTA_M, DELTA_S))


def examples(of_train):
    one = SETS[1]
    distance = one.train_distance if of_train else one.synthetic_distance
    image = np.random.default_rng(2).integers(0, 255, (8, 8, 1), np.uint8)
    rows = sliders.choose(distance, sliders.places(DELTA_M if of_train else DELTA_S, distance)[0])
    return [
        sliders.Example(30, float(one.train_distance[row]), float(one.synthetic_distance[row]), image, image)
        for row in rows
    ]


@pytest.fixture(scope="module")
def transition(tmp_path_factory):
    given = sliders.Sliders(SETS, DELTA_M, DELTA_S, "L2", 1, examples(True), examples(False))
    picture = page.Picture("data:image/png;base64,AAAA", "a picture", "its caption")
    shown = transition_page.TransitionPage(
        title="T", dataset="d", answer="a", delta_m=DELTA_M, delta_s=DELTA_S, metric="L2", threshold_rule="given",
        rows=[row_of(one) for one in SETS], transition=picture, histograms=picture, sliders=sliders.embed(given),
    )  # fmt: skip
    return page.write(tmp_path_factory.mktemp("transition") / "report.html", transition_page.render(shown))


class Rows(html.parser.HTMLParser):
    """The first table of a page that has a column of intervals: K, samples and the three shares."""

    def __init__(self):
        super().__init__()
        self.rows, self.at = [], None

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        self.at = tag if tag in ("td", "th") else None if tag == "span" else self.at
        if self.at == tag and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.at and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def table_of(text):
    rows = Rows()
    rows.feed(re.search(r"Share of each (phase|kind) among.*?</table>", text, re.DOTALL).group())
    return [row[:5] for row in rows.rows[1:]]


@pytest.fixture(scope="module")
def browser():
    if browsers.chromium() is None:
        pytest.skip("no Chromium here")
    found = browsers.Browser()
    yield found
    found.close()


READ = """[...document.querySelectorAll('#slider-rows tr')].map(
  (row) => [...row.children].map((cell) => cell.textContent))"""


def move(browser, which, place):
    browser.evaluate(
        f"(() => {{ const s = document.getElementById('slider-{which}'); s.value = {place};"
        "s.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


@pytest.fixture
def opened(browser, transition):
    browser.size(1280)
    browser.open(transition)
    browser.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    return browser


def test_at_the_start_the_sliders_say_what_the_table_says(opened, transition):
    assert opened.evaluate("!document.getElementById('sliders').hidden")
    assert opened.evaluate(READ) == table_of(transition.read_text())
    assert opened.evaluate("document.getElementById('slider-value-m').textContent") == "1.30 (in use)"


def test_moved_sliders_give_the_shares_of_their_thresholds(opened):
    move(opened, "m", 75)
    move(opened, "s", 40)
    delta_m = float(sliders.places(DELTA_M, SETS[0].train_distance)[0][75])
    delta_s = float(sliders.places(DELTA_S, SETS[0].train_distance)[0][40])
    expected = []
    for one in SETS:
        labels = phases.classify(one.train_distance, one.synthetic_distance, delta_m, delta_s)
        shares = np.bincount(labels, minlength=3) / len(labels)
        expected.append([f"{one.num_train:,}", str(len(labels)), *(page.percent(share) for share in shares)])
    assert opened.evaluate(READ) == expected
    words = opened.evaluate("document.getElementById('slider-words').textContent")
    assert words.startswith(
        f"At δₘ = {page.measure(delta_m)} and δₛ = {page.measure(delta_s)}, memorized falls below"
    )
    opened.evaluate("document.getElementById('slider-reset').click()")
    assert opened.evaluate("document.getElementById('slider-m').value") == "60"


def test_the_curve_follows(opened):
    script = "document.querySelector('#slider-curve polyline.memorized.now').getAttribute('points')"
    before = opened.evaluate(script)
    move(opened, "m", 120)
    after = opened.evaluate(script)
    heights = [[float(point.split(",")[1]) for point in line.split()] for line in (before, after)]
    assert len(heights[0]) == len(SETS) and np.all(np.array(heights[1]) <= heights[0])
    top, bottom = 12, 190
    share = [np.mean(one.train_distance <= np.float32(6 * DELTA_M)) for one in SETS]
    np.testing.assert_allclose(heights[1], bottom - (bottom - top) * np.array(share), atol=1e-3)


def test_the_examples_stand_on_their_sides_of_the_threshold(opened):
    script = """[...document.querySelectorAll('#slider-beside-m > div')].map((side) =>
      [...side.querySelectorAll('figcaption')].map((text) => Number(text.firstChild.data.split(', ')[1])))"""
    for place in (60, 90, 20):
        move(opened, "m", place)
        delta = sliders.places(DELTA_M, SETS[0].train_distance)[0][place]
        within, beyond = opened.evaluate(script)
        assert len(within) == len(beyond) == 2
        assert max(within) <= delta * 1.005 and min(beyond) >= delta * 0.995  # three digits are shown
    assert opened.evaluate("[...document.images].every((one) => one.alt)")


def test_the_keyboard_moves_a_slider_and_says_where_it_is(opened):
    opened.evaluate("document.getElementById('slider-m').focus()")
    opened.press("ArrowRight", 39)
    at = sliders.places(DELTA_M, SETS[0].train_distance)[0]
    slider = "document.getElementById('slider-m')"
    assert opened.evaluate(f"{slider}.value") == "61"
    assert opened.evaluate(f"{slider}.getAttribute('aria-valuetext')") == page.measure(at[61])
    opened.press("Home", 36)
    assert opened.evaluate(f"{slider}.value") == "0"
    assert opened.evaluate("document.getElementById('slider-words').getAttribute('aria-live')") == "polite"


def write_sets(folder):
    """Digits to train on, unseen ones, and samples: copies, repeats and new ones. Gives flag → option."""
    digits = load("digits").train
    repeats = np.clip(digits[900:920].astype(int) + 5, 0, 255).astype(np.uint8)
    made = np.concatenate([digits[:25], digits[900:920], repeats, digits[920:960]])
    sets = {"train": digits[:300], "holdout": digits[300:700], "samples": made}
    for name, images in sets.items():
        np.savez(folder / f"{name}.npz", images=images)
    return {name: f"--{name}={folder}/{name}.npz" for name in sets}


@pytest.mark.usefixtures("quick_compilation", "undrawn")
def test_on_the_page_of_an_audit_the_sliders_start_where_it_ended_and_name_anew_what_it_named(
    browser, tmp_path
):
    out, made = tmp_path / "out", 105
    assert cli.main(["audit", *write_sets(tmp_path).values(), f"--out={out}"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    browser.open(out / "report.html")
    browser.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")

    def shown(shares):
        return [["300", str(made), *map(page.percent, shares)]]

    assert 0.2 < summary["memorized"] < 0.4 and summary["spurious"] > 0.2
    assert browser.evaluate(READ) == shown(summary[name] for name in phases.NAMES)
    assert browser.evaluate(READ) == table_of((out / "report.html").read_text())
    for which in ("m", "s"):
        value = browser.evaluate(f"document.getElementById('slider-value-{which}').textContent")
        assert value == f"{page.measure(summary[f'delta_{which}'])} (in use)"
    distances = np.load(out / "distances.npz")
    places = [sliders.places(summary[f"delta_{which}"], distances["train"][:, 0])[0] for which in ("m", "s")]
    for m, s in ((100, 60), (60, 10), (100, 110)):
        move(browser, "m", m)
        move(browser, "s", s)
        thresholds = (float(places[0][m]), float(places[1][s]))
        labels = phases.classify(distances["train"][:, 0], distances["synthetic"], *thresholds)
        assert browser.evaluate(READ) == shown(np.bincount(labels, minlength=3) / made)


def test_a_tie_is_rounded_as_the_table_rounds_it(browser, tmp_path):
    """49 of 400 are 12.25%: 12.2% where ties go to the even digit."""
    to_train = np.where(np.arange(400) < 49, 0.1, 9).astype(np.float32)
    to_other = np.where(np.arange(400) < 49 + 51, 0.1, 9).astype(np.float32)
    one = sliders.Distances(5, to_train, to_other)
    shown = transition_page.TransitionPage(
        title="T", dataset="d", answer="a", delta_m=DELTA_M, delta_s=DELTA_S, metric="L2", threshold_rule="given",
        rows=[row_of(one)], transition=page.Picture("data:,", "a"), histograms=page.Picture("data:,", "a"),
        sliders=sliders.embed(sliders.Sliders([one], DELTA_M, DELTA_S, "L2")),
    )  # fmt: skip
    file = page.write(tmp_path / "report.html", transition_page.render(shown))
    browser.open(file)
    assert browser.evaluate(READ) == table_of(file.read_text())
    assert browser.evaluate(READ)[0][2:] == ["12.2%", "12.8%", "75.0%"]


def test_without_scripts_the_page_is_as_if_there_were_no_sliders(browser, transition):
    browser.scripts(False)
    try:
        browser.open(transition)
        assert browser.evaluate("getComputedStyle(document.getElementById('sliders')).display") == "none"
        assert browser.evaluate("document.querySelectorAll('summary').length") > 3
    finally:
        browser.scripts(True)


def test_no_other_script_runs(transition):
    text = transition.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert re.fullmatch(
        r"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-[\w+/]{43}='",
        policy.replace("&#39;", "'"),
    )
    assert text.count("<script>") == 1
