import subprocess
import sys

import numpy as np
import pytest
from etils import epath

from memgen_jax.errors import InputError
from memgen_jax.runs import Workdir

CONFIG = {"train": {"steps": 3, "sizes": (2, 4)}, "shard": "0/1"}


def test_the_same_configuration_may_come_back(tmp_path):
    Workdir(tmp_path / "run", CONFIG).close()
    Workdir(tmp_path / "run", CONFIG).close()


def test_another_configuration_is_refused_and_the_difference_named(tmp_path):
    Workdir(tmp_path, CONFIG).close()
    with pytest.raises(InputError, match=r"train\.steps \(3 there, 4 now\)"):
        Workdir(tmp_path, {"train": {"steps": 4, "sizes": (2, 4)}, "shard": "0/1"})


def test_free_settings_may_differ(tmp_path):
    Workdir(tmp_path, CONFIG, free=("shard",)).close()
    Workdir(tmp_path, CONFIG | {"shard": "1/2"}, free=("shard",)).close()


def test_changeable_settings_are_told_and_become_the_folders_when_adopted(tmp_path):
    Workdir(tmp_path, CONFIG).close()
    other = CONFIG | {"train": {"steps": 4, "sizes": (2, 4)}}
    for _ in range(2):  # until they are adopted the folder keeps its own
        changed = Workdir(tmp_path, other, changeable=("train.steps",))
        assert changed.changed == {"train.steps": (3, 4)}
        changed.close()
    changed.adopt_config()
    again = Workdir(tmp_path, other)
    assert again.changed == {}
    again.close()


def test_a_part_of_a_run_may_change_nothing(tmp_path):
    Workdir(tmp_path, CONFIG, shard=(0, 2)).close()
    other = CONFIG | {"train": {"steps": 4, "sizes": (2, 4)}}
    with pytest.raises(InputError, match=r"train\.steps \(3 there, 4 now\)"):
        Workdir(tmp_path, other, changeable=("train.steps",), shard=(1, 2))


def test_siblings_may_create_the_folder_at_the_same_moment(tmp_path, monkeypatch):
    """One puts its config there just after the other has looked for one."""
    look = epath.Path(tmp_path)
    missing = type(look).exists

    def then_the_sibling_writes(path):
        found = missing(path)
        if path.name == "config.json" and not found:
            monkeypatch.undo()
            Workdir(tmp_path, CONFIG, shard=(1, 2)).close()
        return found

    monkeypatch.setattr(type(look), "exists", then_the_sibling_writes)
    Workdir(tmp_path, CONFIG, shard=(0, 2)).close()
    assert (tmp_path / ".lock,shard=1-of-2").exists()


def test_what_is_refused_before_creating_leaves_no_trace_and_an_existing_run_is_not_asked(tmp_path):
    def refuse():
        raise InputError("three devices")

    with pytest.raises(InputError, match="three devices"):
        Workdir(tmp_path / "run", CONFIG, before_creating=refuse)
    assert not (tmp_path / "run").exists()
    Workdir(tmp_path / "run", CONFIG).close()
    Workdir(tmp_path / "run", CONFIG, before_creating=refuse).close()


def test_a_setting_left_at_none_is_as_good_as_absent(tmp_path):
    Workdir(tmp_path, CONFIG).close()
    Workdir(tmp_path, CONFIG | {"dropout": None, "init_from": ""}).close()


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(InputError, match="not empty"):
        Workdir(tmp_path, CONFIG)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_processes_cannot_work_in_one_folder(tmp_path):
    first = Workdir(tmp_path, CONFIG)
    code = f"from memgen_jax.runs import Workdir; Workdir({str(tmp_path)!r}, {CONFIG!r})"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "another process is at work" in second.stderr
    first.close()


def test_parts_of_a_run_share_a_folder_each_part_once(tmp_path):
    first = Workdir(tmp_path, CONFIG, shard=(0, 2))
    second = Workdir(tmp_path, CONFIG, shard=(1, 2))
    for shard in ((0, 2), (0, 1)):
        with pytest.raises(InputError, match="another process is at work"):
            Workdir(tmp_path, CONFIG, shard=shard)
    first.close()
    second.close()
    whole = Workdir(tmp_path, CONFIG)
    with pytest.raises(InputError, match="another process is at work"):
        Workdir(tmp_path, CONFIG, shard=(0, 2))
    whole.close()


def test_every_part_logs_to_a_file_of_its_own_and_all_are_read(tmp_path):
    for shard in ((0, 1), (0, 2), (1, 2)):
        workdir = Workdir(tmp_path, CONFIG, shard=shard)
        workdir.append_json_line("metrics.jsonl", {"shard": list(shard)})
        workdir.close()
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"cut": sh')
    assert [record["shard"] for record in workdir.read_json_lines("metrics.jsonl")] == [
        [0, 1],
        [0, 2],
        [1, 2],
    ]


@pytest.mark.parametrize("path", ["/proc/nope", "/dev/null"])
def test_a_place_that_cannot_be_written_is_a_mistake(path):
    with pytest.raises(InputError, match="workdir"):
        Workdir(path, CONFIG)


def test_arrays_come_back_and_damaged_files_count_as_absent(tmp_path):
    workdir = Workdir(tmp_path, CONFIG)
    workdir.write_npz("samples/a.npz", images=np.arange(4))
    np.testing.assert_array_equal(workdir.read_npz("samples/a.npz", "images")["images"], np.arange(4))
    assert workdir.read_npz("samples/a.npz", "points") is None
    assert workdir.read_npz("samples/b.npz") is None
    whole = (tmp_path / "samples/a.npz").read_bytes()
    (tmp_path / "samples/a.npz").write_bytes(whole[: len(whole) // 2])
    assert workdir.read_npz("samples/a.npz") is None


def test_pickled_arrays_are_not_loaded(tmp_path):
    workdir = Workdir(tmp_path, CONFIG)
    np.savez(tmp_path / "evil.npz", images=np.array([object()], dtype=object))
    assert workdir.read_npz("evil.npz") is None


def test_tables_have_the_columns_of_their_first_row(tmp_path):
    workdir = Workdir(tmp_path, CONFIG)
    workdir.write_csv("t.csv", [{"a": 1, "b": None}, {"a": 2, "b": 0.5}])
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,\n2,0.5\n"
