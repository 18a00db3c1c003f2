from memgen_jax.programs.transition import smallest_size


def row(size, share, high=None):
    return {"num_train": size, "memorized": share, "memorized_high": share if high is None else high}


QUALITY = [{"num_train": 4, "sample_distance": 3.5, "held_out_distance": 7.0}]


def test_a_smallest_size_that_the_exact_score_alone_copies_was_not_learned():
    found = smallest_size.check([row(64, 0.0), row(4, 0.0, 0.015)], [row(4, 1.0), row(64, 1.0)], QUALITY)
    assert found["num_train"] == 4 and found["learned"] is False
    for words in ("undertrained or unsuited", "copy 0%", "copies 100%", "lie 3.5", "held-out items 7"):
        assert words in found["sentence"]


def test_what_to_try_is_not_what_was_done():
    line = [row(4, 0.0, 0.015)], [row(4, 1.0)], QUALITY
    assert "prediction=denoised" in smallest_size.check(*line, "noise")["sentence"]
    assert "prediction=denoised" not in smallest_size.check(*line, "denoised")["sentence"]


def test_a_smallest_size_that_is_copied_or_may_be_was_learned():
    for share, high in ((1.0, 1.0), (0.45, 0.55)):
        found = smallest_size.check([row(4, share, high), row(64, 0.0)], [row(4, 1.0)], QUALITY)
        assert found["learned"] is True and "sentence" not in found


def test_nothing_follows_without_a_control_or_where_it_copies_as_little():
    for control in ([], [row(4, 0.1)]):
        found = smallest_size.check([row(4, 0.0)], control, QUALITY)
        assert found["learned"] is None and "sentence" not in found
