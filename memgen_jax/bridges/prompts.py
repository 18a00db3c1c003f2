"""Prompts in a text file, one a line, with an optional label before a tab."""

from etils import epath

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases import NAMES


@takes_arrays
def read_prompts(path: epath.PathLike) -> tuple[list[str], list[str | None]]:
    """Reads prompts and their labels.

    A line is `PROMPT`, or `LABEL<tab>PROMPT` with a label of `phases.NAMES`. Empty lines and lines that
    begin with # are left out.

    Returns:
      The prompts, and for each its label or None.
    Raises:
      InputError: no prompt, an unknown label, or labels on some lines only.
    """
    path = epath.Path(path)
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the prompts in {path}: {error}.") from None
    prompts: list[str] = []
    labels: list[str | None] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        label, tab, prompt = line.partition("\t")
        if tab and label.strip() not in NAMES:
            raise InputError(
                f"{path}, line {number}: label {label.strip()!r} is not one of {', '.join(NAMES)}."
            )
        labels.append(label.strip() if tab else None)
        prompts.append((prompt if tab else line).strip())
    if not prompts:
        raise InputError(f"{path} holds no prompt: write one a line.")
    labelled = sum(label is not None for label in labels)
    if labelled not in (0, len(prompts)):
        raise InputError(
            f"{path} labels {labelled} of {len(prompts)} prompts: label all of them "
            "(`memorized<tab>prompt`) or none."
        )
    return prompts, labels
