"""FILE.py:FUNCTION: what is loaded, what its code is, and what is said where it cannot be."""

import pytest

from memgen_jax.errors import InputError
from memgen_jax.user_code import code_of, is_user_function, load_function, split_call


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_function_comes_with_its_whole_path_and_its_keyword_arguments(write, monkeypatch):
    file = write("def network(item_shape, width=64, sizes=(1, 2), mode=None): return width")
    monkeypatch.chdir(file.parent)
    function = load_function("mine.py:network", 1, "model.name")
    assert function.where == f"{file}:network"
    assert function.arguments == {"width": 64, "sizes": (1, 2), "mode": None}
    assert function.call((8, 8, 1), width=3) == 3


def test_the_code_holds_the_files_beside_it_that_it_imports_and_no_others(write):
    file = write("import part\nfrom other import x\ndef f(): return part.y")
    write("y = 1", "part.py")
    write("from third import x", "other.py")
    write("x = 1", "third.py")
    write("nothing = 1", "unused.py")
    first = code_of(file)
    write("nothing = 2", "unused.py")
    assert code_of(file) == first
    for name in ("part.py", "third.py"):
        before = code_of(file)
        write("x = y = 2", name)
        assert code_of(file) != before


def test_comments_docstrings_and_empty_lines_are_no_code_and_strings_are(write):
    plain = code_of(write('def f(x):\n    y = "# one"\n    return x\nclass A:\n    z = 1\n'))
    remarked = (
        '"""Module."""\n# über\n\ndef f(x):  # says\n    """Two\n    lines."""\n    y = "# one"  # é\n\n'
    )
    assert (
        code_of(write(remarked + '    return x\nclass A:\n    "ä"; z = 1\n')) != plain
    )  # what is left is "; z = 1"
    remarked += '    return x\nclass A:\n    """Kept."""\n\n    z = 1  \n'
    assert code_of(write(remarked)) == plain
    assert code_of(write(remarked.replace("# one", "# two"))) != plain
    assert code_of(write(remarked.replace("z = 1", "z = 2"))) != plain


def test_a_file_that_changed_is_run_again(write):
    import os

    file = write("def f(): return 1")
    assert load_function(f"{file}:f", 0, "data.name").call() == 1
    write("def f(): return 2")
    os.utime(file, ns=(1, 1))
    assert load_function(f"{file}:f", 0, "data.name").call() == 2


@pytest.mark.parametrize(
    ("text", "name", "given", "sentence"),
    [
        ("", "absent.py:f", 0, "there is no file .*absent.py"),
        ("def g(): pass", "mine.py:f", 0, "has no function 'f'; there are g"),
        ("1 / 0", "mine.py:f", 0, r"does not work \(ZeroDivisionError: division by zero\)"),
        ("def f(:", "mine.py:f", 0, "does not work .SyntaxError"),
        ("import no_such_package", "mine.py:f", 0, "No module named 'no_such_package'"),
        ("def f(shape, width): pass", "mine.py:f", 1, "argument 'width' needs a default"),
        ("def f(width=print): pass", "mine.py:f", 0, "default of 'width' is a builtin_function_or_method"),
        ("def f(): pass", "mine.py:f", 1, "is given 1 argument, and it takes 0"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_sentence(write, monkeypatch, text, name, given, sentence):
    monkeypatch.chdir(write(text).parent)
    with pytest.raises(InputError, match=sentence) as caught:
        load_function(name, given, "model.name")
    assert caught.value.field == "model.name"


def test_a_drive_or_a_source_of_data_is_no_function():
    assert is_user_function("a/b.py:f") and is_user_function("~/x.py:g(width=3)")
    assert not any(map(is_user_function, ("tfds:mnist", "idx:/data", "x.npz:train", "photos.py", "l2")))


def test_arguments_stand_in_brackets():
    assert split_call("m.py:f(power=2, mode='x')", "metric") == ("m.py:f", {"power": 2, "mode": "x"})
    assert split_call("m.py:f", "metric") == ("m.py:f", {})
    for wrong in ("m.py:f(2)", "m.py:f(power=open)", "m.py:f(power=2", "m.py:f(**{})"):
        with pytest.raises(InputError, match="keywords with plain values"):
            split_call(wrong, "metric")
