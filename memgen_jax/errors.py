"""The one exception that means "the user gave something that cannot work", and its commonest cases."""

import math
import numbers
import re
from collections.abc import Callable, Sequence

FIELD = tuple(f"\0{number}\0" for number in range(6))
"""Places of an error's fields in its sentence: `f"{FIELD[0]} {path} is empty"`; no path and no `repr` holds a NUL."""


class InputError(ValueError):
    """A mistake in what the user gave: a file, a value, a setting.

    The message is one sentence that names the offending value, the allowed range and what to do. A library
    knows settings ("train.batch_size"), not flags: a program says the same sentence with its own names for
    them, `error.named(flag_of)`. Programs print it and exit with code 2; library callers may catch it as a
    ValueError.

    Attributes:
      fields: the settings that the sentence names, dotted as in the config.
      field: the first of them, the one at fault; "" where the sentence names none.
      value, allowed: of `setting`: what was given, and what completes "… must be".
    """

    def __init__(self, message: str, *fields: str, value: object = None, allowed: str = ""):
        """
        Args:
          message: the sentence, with `FIELD` where the names of the `fields` stand.
        """
        self._message = message
        self.fields, self.value, self.allowed = fields, value, allowed
        super().__init__(self.named(str))

    @property
    def field(self) -> str:
        return self.fields[0] if self.fields else ""

    @classmethod
    def setting(cls, field: str, value: object, allowed: str) -> "InputError":
        """A setting with a value that it cannot have: "`field`=`value` must be `allowed`."."""
        line = " ".join(repr(value).split())  # arrays have several
        return cls(f"{FIELD[0]}={line} must be {allowed}.", field, value=value, allowed=allowed)

    def named(self, name: Callable[[str], str]) -> str:
        """The sentence, every setting called by `name(setting)`."""
        return re.sub("\0([0-9])\0", lambda place: name(self.fields[int(place[1])]), self._message)

    def and_so(self, more: str) -> "InputError":
        """The same mistake with something added to the sentence."""
        message = self._message.rstrip(".") + more
        return type(self)(message, *self.fields, value=self.value, allowed=self.allowed)

    def within(self, group: str) -> "InputError":
        """The same mistake for a caller to whom these settings are those of a group: "size" -> "data.size"."""
        inside = (f"{group}.{field}" for field in self.fields)
        return type(self)(self._message, *inside, value=self.value, allowed=self.allowed)


def require_at_least(group: str, settings: object, **least: int) -> None:
    """Raises InputError unless each named attribute of `settings` is a number from its least value on.

    Args:
      group: the part of the config that the settings are, as users write it ("train"); "" for the whole.
    """
    for name, bound in least.items():
        value = getattr(settings, name)
        if not value >= bound:  # NaN too
            raise InputError.setting(f"{group}{'.' if group else ''}{name}", value, f"at least {bound}")


def require_each_once(name: str, values: Sequence[object]) -> None:
    """Raises InputError where a list of a setting names something twice."""
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise InputError.setting(
            name, tuple(values), f"a list that names each value once ({twice} is there twice)"
        )


def whole_numbers(name: str, values: Sequence[object]) -> tuple[int, ...]:
    """The values as whole numbers; 2.0 is one.

    Raises:
      InputError: another value.
    """
    for value in values:
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and value == int(value)):  # type: ignore[arg-type, operator, call-overload]
            raise InputError(f"{FIELD[0]}={value!r} is not a whole number.", name)
    return tuple(int(value) for value in values)  # type: ignore[call-overload]


def whole_number(name: str, value: object, least: int, most: float = math.inf) -> int:
    """The value as a whole number from `least` to `most`; 2.0 is one.

    Raises:
      InputError: another value.
    """
    (number,) = whole_numbers(name, [value])
    if not least <= number <= most:
        raise InputError.setting(
            name, value, f"at least {least}" if most == math.inf else f"in {least}..{most}"
        )
    return number
