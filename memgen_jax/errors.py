"""The one exception that means "the user gave something that cannot work", and its commonest cases."""


class InputError(ValueError):
    """A mistake in what the user gave: a file, a value, a setting.

    The message is one sentence that names the offending value, the allowed range and what to do.
    Programs print that sentence and exit with code 2; library callers may catch it as a ValueError.

    Attributes:
      field: the setting at fault, dotted as in the config ("train.batch_size"); "" where it is none.
      value: what was given for it.
      allowed: completes "… must be".
    """

    def __init__(self, message: str, *, field: str = "", value: object = None, allowed: str = ""):
        super().__init__(message)
        self.field, self.value, self.allowed = field, value, allowed

    @classmethod
    def setting(cls, field: str, value: object, allowed: str) -> "InputError":
        """A setting with a value that it cannot have: "`field`=`value` must be `allowed`."

        A program that took the value from a flag says the same with the flag's name, from the attributes.
        """
        return cls(f"{field}={value!r} must be {allowed}.", field=field, value=value, allowed=allowed)


def require_at_least(group: str, settings: object, **least: int) -> None:
    """Raises InputError unless each named attribute of `settings` is a number from its least value on.

    Args:
      group: the part of the config that the settings are, as users write it ("train"); "" for the whole.
    """
    for name, bound in least.items():
        value = getattr(settings, name)
        if not value >= bound:  # NaN too
            raise InputError.setting(f"{group}{'.' if group else ''}{name}", value, f"at least {bound}")
