"""What a run says while it works: a bar for each stage, durations and tables in plain text."""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from tqdm import tqdm

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.runs.workdir import Workdir


@runtime_checkable
class Progress(Protocol):
    """Who is told how far a long piece of work has come."""

    def advance(self, amount: float) -> None:
        """So much more is done."""

    def resume(self, amount: float) -> None:
        """So much was done by an earlier run: it says nothing of the speed."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Numbers worth keeping, a line of metrics.jsonl."""

    def note(self, sentence: str) -> None:
        """A sentence for whoever watches."""


class Silent:
    """A `Progress` that keeps nothing; sentences are printed."""

    def advance(self, amount: float) -> None:
        pass

    def resume(self, amount: float) -> None:
        pass

    def log(self, record: Mapping[str, Any]) -> None:
        pass

    def note(self, sentence: str) -> None:
        print(sentence, flush=True)


SILENT = Silent()
"""A `Silent` to pass where nobody watches."""


@takes_arrays
class Stage:
    """One stage's progress: a bar on a terminal, a line a minute elsewhere."""

    _SECONDS_BETWEEN_LINES = 60.0

    def __init__(self, name: str, total: float, unit: str, workdir: Workdir | None = None):
        """
        Args:
          workdir: whose metrics.jsonl takes the records.
        """
        self.name, self._total, self._unit, self._workdir = name, total, unit, workdir
        self._done = self._resumed = 0.0
        self._shown = ""
        self._start = self._last_line = time.monotonic()
        self._bar = tqdm(
            total=total, desc=name, unit=unit, unit_scale=total >= 1000, disable=not sys.stderr.isatty(),
            dynamic_ncols=True, leave=False, smoothing=0.1,
        )  # fmt: skip

    def advance(self, amount: float) -> None:
        """So much more is done."""
        self._done += amount
        self._bar.update(amount)
        now = time.monotonic()
        if self._bar.disable and now - self._last_line > self._SECONDS_BETWEEN_LINES:
            self._last_line = now
            print(
                f"{self.name}: {self._done:,.0f} of {self._total:,.0f} {self._unit}, "
                f"{self._rate():,.1f} {self._unit}/s, {duration(self.seconds_left())} left{self._shown}",
                flush=True,
            )

    def resume(self, amount: float) -> None:
        """Advances by what an earlier run has done: it says nothing of the speed."""
        self._resumed += amount
        self.advance(amount)

    def log(self, record: Mapping[str, Any]) -> None:
        """Adds the stage's name and the time left, keeps the line, and shows the speed beside the rate."""
        if self._workdir is not None:
            left = {"stage": self.name, "seconds_left": round(self.seconds_left(), 1)}
            self._workdir.append_json_line("metrics.jsonl", {**record, **left})
        if "images_per_second" in record:
            share = f", {record['share_of_peak']:.0%} of peak" if "share_of_peak" in record else ""
            self.show(f"{record['images_per_second']:,.0f} images/s{share}")

    def _rate(self) -> float:
        return (self._done - self._resumed) / (time.monotonic() - self._start)

    def seconds_left(self) -> float:
        """At this run's speed so far; infinite before anything is done."""
        rate = self._rate()
        return (self._total - self._done) / rate if rate else float("inf")

    def reach(self, amount: float) -> None:
        """Advances to `amount` in all."""
        self.advance(amount - self._done)

    def show(self, text: str) -> None:
        """Puts a short text beside the rate: after the bar, or at the end of the next lines."""
        self._shown = f", {text}"
        self._bar.set_postfix_str(text, refresh=False)

    def note(self, sentence: str) -> None:
        """Prints a sentence without tearing the bar."""
        self._bar.write(sentence) if not self._bar.disable else print(sentence, flush=True)

    def close(self) -> float:
        """Ends the line; gives the seconds that the stage took."""
        self._bar.close()
        return time.monotonic() - self._start


@takes_arrays
@contextmanager
def stage(name: str, total: float, unit: str, workdir: Workdir | None = None) -> Iterator[Stage]:
    """A stage with its bar; prints one line when it is finished. See `Stage` for the workdir."""
    progress = Stage(name, total, unit, workdir)
    try:
        yield progress
    except BaseException:
        progress.close()
        raise
    seconds = progress.close()
    print(f"{name}: {total:,.0f} {unit} in {duration(seconds)}", flush=True)


@takes_arrays
def duration(seconds: float) -> str:
    """45 s, 3 min 20 s, 5 h 12 min."""
    if not math.isfinite(seconds):
        return "unknown time"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


@takes_arrays
def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A plain-text table, columns right-aligned."""
    lines = [list(header), *(list(row) for row in rows)]
    if any(len(line) != len(lines[0]) for line in lines):
        raise InputError("rows must have a cell for each of header")
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines)
