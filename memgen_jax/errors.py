"""The one exception that means "the user gave something that cannot work"."""


class InputError(ValueError):
    """A mistake in what the user gave: a flag, a file, a value.

    The message is one sentence that names the offending value, the allowed range and what to do.
    Programs print that sentence and exit with code 2; library callers may catch it as a ValueError.
    """
