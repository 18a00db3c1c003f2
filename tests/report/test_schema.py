"""The published schemas, held against what the audit and the transition really write."""

import copy
import dataclasses
import json

import jax
import jsonschema
import numpy as np
import pytest

from memgen_jax import audit, cli, load
from memgen_jax.configs import digits, own_sets
from memgen_jax.data import permutation
from memgen_jax.errors import InputError
from memgen_jax.programs import outputs
from memgen_jax.programs.transition import program
from memgen_jax.report import schema

pytestmark = pytest.mark.usefixtures("quick_compilation", "undrawn")


def no_constant(word):
    raise ValueError(f"{word} is no JSON")


def strict(text: str):
    """Parsed as JSON proper, which has no NaN and no infinity."""
    return json.loads(text, parse_constant=no_constant)


def errors(name: str, value) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema.load(name))
    return [error.message for error in validator.iter_errors(value)]


@pytest.mark.parametrize("name", schema.NAMES)
def test_a_schema_is_one_and_names_its_version(name):
    found = schema.load(name)
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["$id"] == f"urn:memgen-jax:schema:{name}:{found['version']}" == schema.identifier(name)


def test_the_settings_of_an_audit_are_those_of_the_schema():
    told = schema.load("summary")["$defs"]["labelled"]["properties"]["settings"]["properties"]
    assert set(told) == {field.name for field in dataclasses.fields(audit.AuditSettings)}


@pytest.mark.parametrize("name", schema.NAMES)
def test_every_key_of_the_first_level_is_described(name):
    found = schema.load(name)
    levels = [found] if "properties" in found else [found["$defs"]["labelled"], found["$defs"]["unlabelled"]]
    for level in levels:
        bare = [
            key
            for key, own in level["properties"].items()
            if "description" not in own and "$ref" not in own and own != {"type": "null"}
        ]
        assert not bare


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Digits: 300 to train on, 150 unseen, 120 samples of which 30 are copies; and two sets of no common kind."""
    folder = tmp_path_factory.mktemp("sets")
    real = load("digits").train
    for name, images in {
        "train": real[:300],
        "unseen": real[300:450],
        "samples": np.concatenate([real[:30], real[500:590]]),
        "new": real[600:660],
        "noise": np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8),
        "shared": np.concatenate([real[295:300], real[300:450]]),
    }.items():
        np.savez(folder / f"{name}.npz", images=images)
    for name, points in {"a": 300, "b": 200}.items():
        np.save(
            folder / f"{name}.npy", np.random.default_rng(points).normal(size=(points, 6)).astype(np.float32)
        )
    return folder


GIVEN = ("--delta-m=0.5", "--delta-s=0.5")
AUDITS = {
    "holdout": ("--train=train.npz", "--samples=samples.npz", "--holdout=unseen.npz"),
    "holdout, some shared": ("--train=train.npz", "--samples=samples.npz", "--holdout=shared.npz"),
    "holdout beside given thresholds": (
        *("--train=train.npz", "--samples=samples.npz", "--holdout=unseen.npz"),
        *(*GIVEN, "--ratio=0.333", "--fail-above=0.1"),
    ),
    "no copy": ("--train=train.npz", "--samples=new.npz", *GIVEN),
    "paper": ("--train=train.npz", "--samples=samples.npz", "--thresholds=mnist"),
    "versions": ("--train=train.npz", "--samples=samples.npz", "--up-to=flip", *GIVEN),
    "no search for duplicates": (
        *("--train=train.npz", "--samples=samples.npz", "--skip-duplicates-check", "--top=2", "--memory=1"),
        *GIVEN,
    ),
    "vectors": ("--train=a.npy", "--samples=b.npy", *GIVEN),
    "several files": ("--train=train.npz", "--train=unseen.npz", "--samples=samples.npz", *GIVEN),
}


@pytest.mark.parametrize("kind", AUDITS)
def test_what_an_audit_prints_and_writes_follows_the_schema(sets, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(sets)
    code = cli.main(["audit", *AUDITS[kind], f"--out={tmp_path}/out", "--json"])
    assert code == (1 if "--fail-above=0.1" in AUDITS[kind] else 0)
    assert outputs.undocumented("audit", tmp_path / "out") == []
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out/summary.json").read_text()
    assert errors("summary", strict(printed)) == []


def test_an_audit_labelled_again_follows_the_schema(sets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(sets)
    first = ["audit", "--train=train.npz", "--samples=samples.npz", *GIVEN, f"--out={tmp_path}/out"]
    assert cli.main(first) == 0
    again = [
        "audit",
        f"--distances={tmp_path}/out",
        "--delta-m=0.4",
        "--delta-s=0.4",
        f"--out={tmp_path}/again",
    ]
    assert cli.main(again) == 0
    assert errors("summary", strict((tmp_path / "again/summary.json").read_text())) == []


def test_an_audit_without_a_threshold_follows_the_schema(sets, tmp_path):
    out = tmp_path / "out"
    asked = audit.AuditSettings(train=str(sets / "noise.npz"), samples=str(sets / "new.npz"), out=str(out))
    with pytest.raises(InputError, match="no threshold"):
        audit.run(asked, say=lambda _: None)
    found = strict((out / "summary.json").read_text())
    assert found["memorized"] is None and errors("summary", found) == []


def test_what_was_not_read_follows_the_schema(sets, tmp_path):
    from PIL import Image

    for name in ("train", "samples"):
        (tmp_path / name).mkdir()
        for i, image in enumerate(np.load(sets / f"{name}.npz")["images"][:40, ..., 0]):
            Image.fromarray(image).save(tmp_path / f"{name}/{i}.png")
    (tmp_path / "samples/cut.png").write_bytes(b"no picture")
    (tmp_path / "samples/words.txt").write_text("no picture")
    argv = [
        f"--train={tmp_path}/train",
        f"--samples={tmp_path}/samples",
        f"--out={tmp_path}/out",
        "--skip-bad",
    ]
    assert cli.main(["audit", *argv, *GIVEN]) == 0
    found = strict((tmp_path / "out/summary.json").read_text())
    assert found["unread"]["samples"] and errors("summary", found) == []
    assert outputs.undocumented("audit", tmp_path / "out") == []


def small(**settings):
    config = digits.get_config("smoke")
    config.num_train, config.onset_items = (2, 8), 32
    config.train.update({"num_steps": 20, "warmup_steps": 5, "schedule": "constant", "steps_per_call": 10})
    config.sampler.update({"num_steps": 3, "at_least": 8, "at_most": 0, "chunk_size": 16})
    config.control.num_samples, config.phases.num_bootstrap, config.model.width = 8, 5, 16
    config.update_from_flattened_dict(settings)
    return config


def without_held_out(folder):
    items = load("digits").train[permutation(1437)][:200]
    np.save(folder / "items.npy", items)
    (folder / "given").mkdir()
    for size in (4, 32):
        np.save(folder / f"given/K{size}.npy", items[: size + 8] if size == 4 else items[-40:])
    config = own_sets.get_config()
    config.sets, config.data.name, config.data.order = (
        str(folder / "given"),
        str(folder / "items.npy"),
        "given",
    )
    config.update_from_flattened_dict(
        {"onset_items": 32, "phases.num_bootstrap": 5, "phases.rule": "given"}
        | {"phases.delta_m": 1.0, "phases.delta_s": 1.0}
    )
    return config


RUNS = {
    "one network a size": lambda _: small(),
    "several seeds with sets of their own": lambda _: small(seeds=(0, 1), subsets="own"),
    "several widths and seeds": lambda _: small(widths=(8, 16), seeds=(0, 1)),
    "no control, steps kept": lambda _: small(**{"control.run": False, "train.num_snapshots": 2}),
    "nothing held out": without_held_out,
}


@pytest.fixture(scope="module", params=RUNS)
def outcome(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes a float with its step counter
        program.main(RUNS[request.param](folder), str(folder / "run"))
    assert outputs.undocumented("transition", folder / "run") == []
    return request.param, (folder / "run/transition.json").read_text()


@pytest.mark.slow
def test_what_a_transition_writes_follows_the_schema(outcome):
    kind, text = outcome
    found = strict(text)
    assert errors("transition", found) == []
    assert ("by_width" in found) == (kind == "several widths and seeds")


@pytest.mark.slow
def test_the_schema_refuses_a_result_with_a_key_too_many_or_too_few_or_a_share_beyond_one(outcome):
    found = strict(outcome[1])
    optional = {"width", "onset", "by_width", "critical_by_width", "onset_by_width"}
    for key in found.keys() - optional:
        assert errors("transition", {k: v for k, v in found.items() if k != key})
    assert errors("transition", found | {"another": 1})
    wrong = copy.deepcopy(found)
    wrong["smallest_size"]["memorized"] = 1.5
    assert errors("transition", wrong)


def test_the_schema_refuses_a_summary_with_a_key_too_many_or_too_few(sets):
    train, samples = (np.load(sets / f"{name}.npz")["images"] for name in ("train", "samples"))
    found = audit.audit_arrays(train, samples, delta_m=0.5, delta_s=0.5).summary
    found = strict(json.dumps(found)) | {"called": {}, "left_out": {}}
    assert errors("summary", found) == []
    for key in found.keys() - {"remarks", "shared", "unread"}:
        assert errors("summary", {k: v for k, v in found.items() if k != key})
    assert errors("summary", found | {"another": 1})
