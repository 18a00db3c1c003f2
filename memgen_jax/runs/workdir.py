"""The folder of one run: who may write in it, and how (whole files only)."""

import contextlib
import csv
import io
import json
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from etils import epath

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.files import absolute, write_whole
from memgen_jax.runs.presence import Presence


@takes_arrays
class Workdir:
    """A run's folder, claimed for one configuration and, while the object lives, for one process.

    Every file appears under its final name only when it is whole. On remote folders (`gs://…`) two simultaneous
    runs are not detected.

    Attributes:
      path: the folder.
      shard: (i, n): this process works on part i of n; (0, 1) for the whole.
      command: the command line that makes the run; "" where Python code called it.
      changed: changeable settings that differ from those of the folder: name -> (there, now).
    """

    def __init__(
        self,
        path: epath.PathLike,
        config: Mapping[str, Any],
        *,
        free: Iterable[str] = (),
        changeable: Iterable[str] = (),
        growing: Iterable[str] = (),
        absent: Mapping[str, Any] = MappingProxyType({}),
        shard: tuple[int, int] = (0, 1),
        before_creating: Callable[[], object] = lambda: None,
        command: str = "",
    ):
        """Opens or creates the folder.

        Args:
          config: every setting of the run, nested dicts of plain values; kept in `config.json`.
          free: dotted names of settings that may differ between runs in the same folder.
          changeable: names of those that a run of the whole may change; the program looks at `changed`, undoes
            what follows from them, and calls `adopt_config`.
          growing: the same of those by which a run grows, which parts of it may change too.
          absent: settings that the folder's run may be too old to have: dotted name -> what they were then.
          shard: parts of one run may share the folder, each part once.
          command: the command line that makes the run, for its page.
          before_creating: called before a new run leaves its first trace; what it raises leaves none.
        Raises:
          InputError: the folder cannot be written, belongs to another configuration or to nobody we know,
            or another process is at work in it.
        """
        self.path = absolute(path)
        self.shard, self.command = shard, command
        self._config = config = json.loads(json.dumps(config))
        known = self._read_known_config()
        self.changed: dict[str, tuple[Any, Any]] = {}
        if known is not None:
            differing = _differing(config, known, frozenset(free), absent)
            may_change = {*growing, *(changeable if shard == (0, 1) else ())}
            _require_same({k: v for k, v in differing.items() if k not in may_change}, config, self.path)
            self.changed = differing
        else:
            before_creating()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            remote = "://" in os.fspath(self.path)
            self._presence = None if remote else Presence(self.path, shard)
            if known is None:
                self.adopt_config()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(
                f"cannot write in workdir {self.path} ({reason}): choose another folder."
            ) from None

    def adopt_config(self) -> None:
        """Makes the settings of this run those of the folder."""
        self.write_json("config.json", self._config)

    def _read_known_config(self) -> Any:
        file = self.path / "config.json"
        try:
            # In this order: a sibling that starts at the same moment may put its config there between the two.
            strangers = [p.name for p in self.path.iterdir()] if self.path.is_dir() else []
            if file.exists():
                return json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {file} ({type(error).__name__}): choose another folder.") from None
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"workdir {self.path} is a file: choose another folder.")
        if any(not name.startswith(".") for name in strangers):
            raise InputError(
                f"workdir {self.path} is not empty and holds no config.json of a run: "
                "choose an empty or a new folder."
            )
        return None

    def close(self) -> None:
        """Lets other processes in."""
        if self._presence is not None:
            self._presence.close()

    def __enter__(self) -> "Workdir":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __truediv__(self, name: str) -> epath.Path:
        return self.path / name

    def write_json(self, name: str, value: Any) -> None:
        """Writes a value as JSON, whole or not at all."""
        write_whole(self.path / name, (json.dumps(value, indent=2) + "\n").encode())

    def write_csv(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes a table; the columns are those of the first row, None is an empty cell."""
        rows = list(rows)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path / name, text.getvalue().encode())

    def write_npz(self, name: str, **arrays: np.ndarray) -> None:
        """Writes arrays, whole or not at all."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_whole(self.path / name, buffer.getvalue())

    def read_npz(self, name: str, *needed: str) -> dict[str, np.ndarray] | None:
        """The arrays of a file, or None where it is absent, damaged or lacks one that is `needed`."""
        file = self.path / name
        if not file.exists():
            return None
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                read = {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        return read if all(key in read for key in needed) else None

    def append_json_line(self, name: str, record: Mapping[str, Any]) -> None:
        """Appends to NAME.jsonl; a part of a run has a file of its own, NAME,shard=….jsonl."""
        if self.shard[1] > 1:
            stem, dot, ending = name.partition(".")
            name = f"{stem},shard={self.shard[0]}-of-{self.shard[1]}{dot}{ending}"
        with (self.path / name).open("a") as stream:
            stream.write(json.dumps(record) + "\n")

    def read_json_lines(self, name: str) -> list[dict[str, Any]]:
        """The records of NAME.jsonl and of all parts' files; a line cut short by a kill is left out."""
        stem, dot, ending = name.partition(".")
        records = []
        for file in [self.path / name, *sorted(self.path.glob(f"{stem},shard=*{dot}{ending}"))]:
            for line in file.read_text().splitlines() if file.exists() else ():
                with contextlib.suppress(ValueError):
                    records.append(json.loads(line))
        return records

    def write_environment(self) -> None:
        """Writes `environment.json`: versions, devices and the code's git hash."""
        self.write_json("environment.json", environment())


def environment() -> dict[str, Any]:
    """Versions, devices and git hash of this process: what a reader needs to repeat a run."""
    import importlib.metadata

    import jax

    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "memgen-jax")
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    here = os.path.dirname(os.path.abspath(__file__))
    git = subprocess.run(
        ["git", "-C", here, "describe", "--always", "--dirty", "--abbrev=40"], capture_output=True, text=True
    )
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": versions,
        "backend": jax.default_backend(),
        "devices": [str(device.device_kind) for device in jax.devices()],
        "processes": jax.process_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "git": git.stdout.strip() or None,
    }


# What is recorded of a user's FILE.py -> the setting that names it.
CODE_OF = {
    "model.code": "model.name",
    "process.code": "process.name",
    "data.code": "data.name",
    "phases.metric_code": "phases.metric",
}


def _file_of(function: str) -> str:
    """ "mine.py" of "/home/me/mine.py:network(width=3)"."""
    return os.path.basename(function.partition(".py:")[0]) + ".py"


def _differing(
    config: Any, known: Any, free: frozenset[str], absent: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Settings that are not the same: name -> (there, now). One left at None or "" is as good as absent."""
    ours, theirs = (
        {name: None if value == "" else value for name, value in _flatten(tree).items()}
        for tree in (config, known)
    )
    theirs = {**absent, **theirs}
    return {
        name: (theirs.get(name), ours.get(name))
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name) and name not in free
    }


@takes_arrays
def name_changes(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """`train.num_steps (800 there, 801 now)`, at most five of them."""
    named = [f"{name} ({_value(there)} there, {_value(now)} now)" for name, (there, now) in changes.items()]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return ", ".join(named[:5]) + more


def _value(setting: Any) -> Any:
    return "absent" if setting is None else setting


def _require_same(differing: Mapping[str, tuple[Any, Any]], config: Any, path: epath.Path) -> None:
    ours = _flatten(config)
    files = {name: ours.get(of) for name, of in CODE_OF.items() if name in differing}
    of_functions = {name: file for name, file in files.items() if file and CODE_OF[name] not in differing}
    if of_functions:
        named = " and ".join(sorted({_file_of(file) for file in of_functions.values()}))
        others = {name: change for name, change in differing.items() if name not in of_functions}
        more = f", and other settings differ: {name_changes(others)}" if others else ""
        raise InputError(
            f"the code of {named} has changed since the run in workdir {path} was made{more}; bring it back as it "
            "was, or choose another folder."
        )
    differing = {name: change for name, change in differing.items() if name not in CODE_OF} or differing
    if differing:
        raise InputError(
            f"workdir {path} belongs to a run with other settings: {name_changes(differing)}; "
            "choose another folder."
        )


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
