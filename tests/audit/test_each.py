"""Several sets of samples at once: what each would get alone, in one table and on one page."""

import csv

import numpy as np
import pytest

from memgen_jax import audit, cli, load
from memgen_jax.errors import InputError

pytestmark = pytest.mark.usefixtures("undrawn")
DIGITS = load("digits")
FILES = ["distances.npz", "labels.csv", "report.html", "summary.json"]


@pytest.fixture(autouse=True)
def no_galleries(monkeypatch):
    """Their pictures take longer to draw than all else here."""
    monkeypatch.setattr("memgen_jax.audit.writing._galleries", lambda *_: {})


@pytest.fixture
def folder(tmp_path):
    """Three sets of 200 samples, of which 0, 40 and 120 are training images."""
    np.savez(tmp_path / "train.npz", images=DIGITS.train[:700])
    np.savez(tmp_path / "unseen.npz", images=DIGITS.train[700:1000])
    for epoch, copies in ((10, 0), (20, 40), (30, 120)):
        new = DIGITS.train[1000 : 1200 - copies]
        np.savez(tmp_path / f"epoch{epoch}.npz", images=np.concatenate([DIGITS.train[:copies], new]))
    return tmp_path


def settings(folder, samples, out="out", **more):
    return audit.AuditSettings(
        train=str(folder / "train.npz"), samples=samples, out=str(folder / out), **more
    )


def sources(folder):
    return [str(folder / f"epoch{epoch}.npz") for epoch in (10, 20, 30)]


def test_every_set_gets_what_it_would_get_alone_and_the_training_set_is_searched_once(folder, monkeypatch):
    unseen = {"holdout": str(folder / "unseen.npz")}
    searched = []
    search = audit.comparing.metrics.least_search
    monkeypatch.setattr(
        audit.comparing.metrics,
        "least_search",
        lambda *given, **more: searched.append(more.get("progress")) or search(*given, **more),
    )
    results = audit.run_each(settings(folder, sources(folder), **unseen), lambda _: None)
    assert searched.count("training set in itself") == searched.count("holdout in training set") == 1
    assert list(results) == ["epoch10", "epoch20", "epoch30"]
    for name, result in results.items():
        alone = audit.run(settings(folder, str(folder / f"{name}.npz"), "alone", **unseen), lambda _: None)
        assert alone.sentences == result.sentences
        own = folder / "out" / name
        assert sorted(path.name for path in own.iterdir()) == FILES
        assert (own / "labels.csv").read_bytes() == (folder / "alone/labels.csv").read_bytes()
    with (folder / "out/sets.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["set"] for row in rows] == list(results)
    shares = [float(row["memorized"]) for row in rows]
    assert shares[1] >= 0.2 and shares[2] >= 0.6 and shares[0] < 0.05
    assert all(
        float(row["memorized_low"]) <= share <= float(row["memorized_high"])
        for row, share in zip(rows, shares, strict=True)
    )
    assert float(rows[2]["dcr_share"]) > float(rows[0]["dcr_share"])
    page = (folder / "out/report.html").read_text()
    assert "of epoch30" in page and page.count("data:image/png") == 1


def test_the_command_takes_names_and_writes_again_in_its_own_folder(folder, capsys):
    one, two, _ = sources(folder)
    line = ["audit", f"--train={folder}/train.npz", "--each", "--samples", f"early={one}", f"late={two}"]
    line += ["--delta-m=1", "--delta-s=1", f"--out={folder}/out"]
    assert cli.main(line) == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "early",
        "late",
        "report.html",
        "sets.csv",
    ]
    assert "a folder for each of 2 sets" in capsys.readouterr().out
    assert cli.main([*line, "--fail-above=0.1"]) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": ["a/x.npz", "b/x.npz"]}, "would both be called x; write NAME=PATH for each"),
        ({"delta_m": None, "delta_s": None}, "several sets need thresholds that hold for all"),
        ({"samples": ["epoch10.npz", "nowhere.npz"]}, "nowhere.npz"),
        ({"samples": ["..=epoch10.npz"]}, "gives the set no name"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_compared(folder, change, words, monkeypatch):
    monkeypatch.chdir(folder)
    given = {"samples": sources(folder), "delta_m": 1.0, "delta_s": 1.0} | change
    with pytest.raises(InputError, match=words):
        audit.run_each(settings(folder, **given), lambda _: None)
    assert not (folder / "out").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(folder):
    (folder / "out").mkdir()
    (folder / "out/sets.csv").write_text("mine")
    with pytest.raises(InputError, match=r"sets.csv, which no audit of several sets wrote"):
        audit.run_each(settings(folder, sources(folder), delta_m=1.0, delta_s=1.0), lambda _: None)
    assert (folder / "out/sets.csv").read_text() == "mine"
