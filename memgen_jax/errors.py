"""The one exception that means "the user gave something that cannot work", and its commonest case."""


class InputError(ValueError):
    """A mistake in what the user gave: a flag, a file, a value.

    The message is one sentence that names the offending value, the allowed range and what to do.
    Programs print that sentence and exit with code 2; library callers may catch it as a ValueError.
    """


def require_at_least(group: str, settings: object, **least: int) -> None:
    """Raises InputError unless each named attribute of `settings` is a number from its least value on.

    Args:
      group: the part of the config that the settings are, as users write it ("train"); "" for the whole.
    """
    for name, bound in least.items():
        value = getattr(settings, name)
        if not value >= bound:  # NaN too
            raise InputError(f"{group}{'.' if group else ''}{name}={value} must be at least {bound}.")
