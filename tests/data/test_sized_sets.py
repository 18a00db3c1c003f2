import pytest

from memgen_jax.data.sized_sets import sized_sets
from memgen_jax.errors import InputError


def found(folder, *names):
    for name in names:
        if "." in name:
            (folder / name).touch()
        else:
            (folder / name).mkdir()
    return [(own.num_train, own.seed) for own in sized_sets(folder)]


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("num_train=000512.npz", "num_train=000004.npz"), [4, 512]),
        (("K4", "K16", "K256"), [4, 16, 256]),
        (("cifar10_512.npy", "cifar10_1024.npy"), [512, 1024]),
        (("ddpm_K=4_step=1000", "ddpm_K=8_step=2000"), [4, 8]),
        (("50k", "1000"), [1000, 50000]),
        (("n512_epoch20.npz",), [512]),
        (("0002", "0016"), [2, 16]),
    ],
)
def test_the_size_is_read_from_the_name(tmp_path, names, sizes):
    assert found(tmp_path, *names) == [(size, 0) for size in sizes]


def test_seeds_tell_sets_of_one_size_apart(tmp_path):
    assert found(tmp_path, "K=4,seed=0.npz", "K=4,seed=3.npz") == [(4, 0), (4, 3)]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("samples.npz",), "samples.npz cannot be told"),
        (("run1_512.npz", "run2_1024.npz"), "cannot be told"),
        (("K4.npz", "K=4.npz"), "2 sets of K = 4"),
        (("notes.txt",), "no sets"),
        (("1.png",), "its images have no size"),
    ],
)
def test_a_name_that_does_not_say_the_size_is_refused(tmp_path, names, words):
    with pytest.raises(InputError, match=words):
        found(tmp_path, *names)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        sized_sets(tmp_path / "none")


def test_every_kind_of_file_that_is_read_is_a_set_and_none_is_passed_over_in_silence(tmp_path):
    for name in ("K=4.NPZ", "K=16.zip", "K=64.tar.gz", "K=128.parquet", "README.md", "first_256.png"):
        (tmp_path / name).write_bytes(b"")
    assert [own.num_train for own in sized_sets(tmp_path)] == [4, 16, 64, 128]
    (tmp_path / "K=512.pt").write_bytes(b"")
    with pytest.raises(InputError, match=r"K=512\.pt is called as a set is"):
        sized_sets(tmp_path)
