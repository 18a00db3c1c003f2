"""An audit by an encoder: what it finds, what it keeps, and what it refuses before anything is read."""

import numpy as np
import pytest

from memgen_jax import audit, metrics
from memgen_jax.audit import encoding
from memgen_jax.errors import InputError

pytestmark = pytest.mark.usefixtures("undrawn")
CALLS = []


def network(pictures):
    """Means of the colours, whatever the place: blind to a mirror."""
    CALLS.append(len(pictures))
    return np.concatenate([pictures.mean((1, 2)), pictures.std((1, 2)), pictures.max((1, 2))], axis=1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(metrics, "load_onnx", lambda path: network)
    encoding._network.cache_clear()
    CALLS.clear()
    random = np.random.default_rng(0)
    train = random.integers(0, random.integers(20, 256, (80, 1, 1, 3)), (80, 6, 6, 3)).astype(np.uint8)
    new = random.integers(0, random.integers(20, 256, (30, 1, 1, 3)), (30, 6, 6, 3)).astype(np.uint8)
    np.save(tmp_path / "train.npy", train)
    np.save(tmp_path / "samples.npy", np.concatenate([train[:10, :, ::-1], new]))
    (tmp_path / "colours.onnx").write_bytes(b"network")
    return tmp_path


def run(folder, out="out", **more):
    given = {name: str(folder / f"{name}.npy") for name in ("train", "samples")}
    given |= {"encoder": str(folder / "colours.onnx"), "delta_m": 1e-6, "delta_s": 1e-6}
    return audit.run(audit.AuditSettings(out=str(folder / out), **given | more), say=lambda _: None)


def test_copies_are_found_as_the_encoder_sees_them_and_the_page_says_by_what(folder):
    result = run(folder)
    np.testing.assert_array_equal(result.labels == 0, np.arange(40) < 10)
    assert "2 − 2cos between the vectors that colours.onnx makes" in (folder / "out/report.html").read_text()
    again = audit.run(
        audit.AuditSettings(distances=str(folder / "out"), out=str(folder / "again"), thresholds="sscd"),
        say=lambda _: None,
    )
    assert again.thresholds.delta_m == pytest.approx(2 - 2 * 0.7)
    assert "usual for SSCD, similarity 0.7" in again.sentences[0]


def test_a_set_is_embedded_once_for_each_encoder_whatever_it_is_called(folder):
    first = run(folder)
    embedded = sum(CALLS)
    assert embedded >= 120
    CALLS.clear()
    (folder / "renamed.npy").write_bytes((folder / "train.npy").read_bytes())
    second = run(folder, train=str(folder / "renamed.npy"))
    assert sum(CALLS) < 80  # noise that tries the network alone
    np.testing.assert_array_equal(first.distances.train, second.distances.train)
    (folder / "colours.onnx").write_bytes(b"another")
    CALLS.clear()
    run(folder)
    assert sum(CALLS) >= 120


def test_a_damaged_cache_is_made_anew(folder):
    first = run(folder)
    kept = list((folder / "cache/embeddings").iterdir())
    assert len(kept) == 2
    for file in kept:
        file.write_bytes(file.read_bytes()[:40])
    np.testing.assert_array_equal(run(folder).distances.train, first.distances.train)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"encoder": "nowhere.onnx"}, "there is no such file"),
        ({"metric": "l2"}, "is a metric of its own"),
        ({"thresholds": "mnist", "delta_m": None, "delta_s": None}, "not encoder"),
        ({"encoder": None, "thresholds": "sscd", "delta_m": None, "delta_s": None}, "give encoder"),
        ({"encoder": "train.npy"}, r"neither an \.onnx file nor a TorchScript one"),
    ],
)
def test_what_cannot_go_with_an_encoder_is_refused_first(folder, more, words):
    if more.get("encoder") == "train.npy":
        more = {"encoder": str(folder / "train.npy")}
    with pytest.raises(InputError, match=words):
        run(folder, samples=str(folder / "not there.npy"), **more)
    assert not (folder / "out").exists()


def test_an_encoder_takes_no_vectors(folder):
    np.save(folder / "train.npy", np.zeros((9, 4), np.float32))
    with pytest.raises(InputError, match="takes images, and these items are vectors"):
        run(folder, samples=str(folder / "not there.npy"))
