"""What a program is to the launcher, and what a command line is to a program."""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ml_collections import ConfigDict


class Machine(NamedTuple):
    """What a dry run counts with, where it is not to ask the devices at hand; None asks them.

    Attributes:
      devices: number of devices, on all hosts together.
      hosts: hosts that share the members, as processes of one run.
      flops_per_second: what one device really does.
      device_memory_gb: memory of one device, in 1e9 bytes.
      deadline_hours: also tell how fast the run must be to end in so many hours.
    """

    devices: int | None = None
    hosts: int | None = None
    flops_per_second: float | None = None
    device_memory_gb: float | None = None
    deadline_hours: float | None = None


AT_HAND: Final = Machine()


class Invocation(NamedTuple):
    """What the command line says beside the config.

    Attributes:
      command: the whole line as one would type it again; "" where the program was called from Python.
      given: the settings that it gives, dotted as in the config ("train.num_steps").
      machine: for the dry run.
    """

    command: str = ""
    given: frozenset[str] = frozenset()
    machine: Machine = AT_HAND


FROM_PYTHON: Final = Invocation()


@dataclasses.dataclass(frozen=True)
class Program:
    """A program as the launcher starts it.

    Attributes:
      name: of its folder in memgen_jax/programs and of its command.
      main: runs it, with the locked config, the path of the workdir and the invocation.
      summary: what it finds out, in a line or two of its --help.
      example: a config by its name, for the --help.
      settings: the dataclass of its settings, whose defaults complete a config, or a function that chooses it
        by the config; None takes a config as it is.
      dry_run: prints what a run would cost; None for a program without --dry_run.
      before_joining: for a program that --processes can share out; called with the config before the other
        processes are waited for. It may refuse the config, and may not use devices.
      lower: what to do where the memory does not suffice: "lower …".
    """

    name: str
    main: Callable[[ConfigDict, str, Invocation], None]
    summary: str = ""
    example: str = "digits"
    settings: Callable[..., Any] | None = None
    dry_run: Callable[[ConfigDict, Invocation], None] | None = None
    before_joining: Callable[[ConfigDict], None] | None = None
    lower: str = "a setting that says how many are done at once"

    def settings_of(self, config: ConfigDict) -> type | None:
        """The dataclass of a config's settings, where there is one."""
        if self.settings is None or isinstance(self.settings, type):
            return self.settings
        return self.settings(config)
