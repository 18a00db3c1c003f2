"""An audit shared out and merged is the audit."""

import numpy as np
import pytest

from memgen_jax import audit, cli
from memgen_jax.errors import InputError

FILES = ("labels.csv", "summary.json", "report.html", "distances.npz")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 5)).astype(np.float32)
    vectors[40:50] = vectors[:10]  # duplicates in the training set
    samples = np.concatenate([vectors[:7], rng.normal(size=(60, 5)), vectors[:3]]).astype(np.float32)
    np.save(folder / "train.npy", vectors[:200])
    np.save(folder / "unseen.npy", vectors[200:])
    np.save(folder / "samples.npy", samples)
    (folder / "few").mkdir()
    for name, rows in {"train": vectors[10:50], "unseen": vectors[280:], "samples": samples[-20:]}.items():
        np.save(folder / f"few/{name}.npy", rows)
    return folder


def flags(sets, out, *more):
    given = ("--train", sets / "train.npy", "--samples", sets / "samples.npy", "--out", out, *more)
    return ["audit", *map(str, given)]


def rules(sets):
    return {
        "given": ("--delta-m", "0.5", "--delta-s", "0.5", "--top", "3", "--ratio", "0.3"),
        "held out": ("--holdout", str(sets / "unseen.npy"), "--fpr", "0.05"),
        "few": ("--holdout", str(sets / "unseen.npy"), "--fpr", "0.05", "--skip-duplicates-check"),
    }


@pytest.mark.parametrize("rule", ["given", "held out", "few"])
@pytest.mark.parametrize(
    "count", [1, 3, 30]
)  # 30, of few: some parts have no sample at all, or no unseen item
def test_parts_in_any_order_and_their_merge_have_the_bytes_of_one_run(
    sets, tmp_path, monkeypatch, rule, count
):
    if (rule, count) != ("held out", 3):  # one page is drawn, which takes seconds
        monkeypatch.setattr(audit.writing.audit_page, "render", lambda **told: repr(sorted(told["summary"])))
    sets = sets / "few" if count == 30 else sets
    more = rules(sets)[rule]
    assert cli.main(flags(sets, tmp_path / "one", *more)) == 0
    for i in reversed(range(count)):
        assert cli.main(flags(sets, tmp_path / "parts", *more, "--shard", f"{i}/{count}")) == 0
    assert cli.main(flags(sets, tmp_path / "parts", *more, "--merge")) == 0
    for file in FILES:
        one, merged = (
            (tmp_path / place / file).read_bytes().replace(str(tmp_path / place).encode(), b"OUT")
            for place in ("one", "parts")
        )
        assert one == merged, file
    assert {path.name for path in (tmp_path / "parts").iterdir()} == set(FILES)


def settings(sets, out, **more):
    values = {"train": str(sets / "train.npy"), "samples": str(sets / "samples.npy"), "out": str(out)}
    return audit.AuditSettings(**(values | {"delta_m": 0.01, "delta_s": 0.01} | more))


def merge(sets, out, **more):
    return audit.run(settings(sets, out, **more), lambda _: None, merge=True)


def test_what_a_stopped_part_has_left_goes_with_the_parts_and_a_second_merge_is_told_so(
    sets, tmp_path, capsys
):
    more = rules(sets)["given"]
    for i in range(2):
        assert cli.main(flags(sets, tmp_path, *more, "--shard", f"{i}/2")) == 0
    (tmp_path / ".parts/.00000-of-00002.npz.elsewhere.4321.tmp").touch()
    assert cli.main(flags(sets, tmp_path, *more, "--merge")) == 0
    assert not (tmp_path / ".parts").exists()
    assert cli.main(flags(sets, tmp_path, *more, "--merge")) == 2
    assert "holds no part: run them first, with --shard" in capsys.readouterr().err


def test_a_merge_says_which_parts_are_not_there(sets, tmp_path):
    with pytest.raises(InputError, match="holds no part: run them first, with shard i/n"):
        merge(sets, tmp_path)
    said = []
    audit.run_part(settings(sets, tmp_path), (1, 3), said.append)
    assert said[-1].endswith("Still to be done: parts 0/3, 2/3.")
    with pytest.raises(InputError, match="lacks parts 0/3, 2/3"):
        merge(sets, tmp_path)
    audit.run_part(settings(sets, tmp_path), (0, 2), said.append)
    with pytest.raises(InputError, match="parts of 2, 3: keep those of one number"):
        merge(sets, tmp_path)


def test_a_part_of_other_sets_or_settings_or_a_damaged_one_is_refused(sets, tmp_path):
    for i in range(2):
        audit.run_part(settings(sets, tmp_path), (i, 2), lambda _: None)
    with pytest.raises(InputError, match=r"part 0/2 .* is of other sets or other settings"):
        merge(sets, tmp_path, top=2)
    with pytest.raises(InputError, match=r"part 0/2 .* is of other sets or other settings"):
        merge(sets, tmp_path, samples=str(sets / "unseen.npy"))
    (last,) = (tmp_path / ".parts").glob("00001-*")
    last.write_bytes(last.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"part 1/2 .* is damaged: run it again with shard"):
        merge(sets, tmp_path)
    audit.run_part(settings(sets, tmp_path), (1, 2), lambda _: None)
    assert merge(sets, tmp_path).summary["memorized"] == pytest.approx(10 / 70)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--shard", "2/2"), "--shard='2/2' must be i/n with i in 0..n - 1"),
        (("--shard", "0/100000"), "n at most 99,999"),
        (
            ("--shard", "0/2", "--json"),
            "--json prints the summary, which the merge makes: leave it out of --shard",
        ),
        (("--shard", "half"), "--shard='half' must be like 0/4"),
        (("--shard", "0/2", "--merge"), "not allowed with"),
    ],
)
def test_a_part_that_cannot_be_is_one_sentence(sets, tmp_path, capsys, more, words):
    try:
        code = cli.main(flags(sets, tmp_path / "out", *more))
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr().err
    assert code == 2 and words in said and said.count("\n") == 1
