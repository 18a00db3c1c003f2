from memgen_jax.report import claim_figures


def test_every_mark_that_is_known_stands_at_its_size_and_the_rest_is_left_out():
    place = {"num_train": 20.0, "low": 18.0, "high": 25.0}
    rows = [
        {
            "name": "linear",
            "window": (10.0, 40.0),
            "critical": place,
            "fall": {
                "e_og": {"num_train": 16.5, "low": 16.0, "high": 17.0, "at_most": True},
                "hellinger2": None,
            },
            "landmarks": {},
        },
        {
            "name": "digits",
            "window": (None, None),
            "critical": place | {"num_train": None},
            "fall": {},
            "landmarks": {
                "memorized_half": {"num_train": 30.0, "low": None, "high": None},
                "spurious_peak": None,
            },
        },
    ]
    axes = claim_figures.claim(rows).axes[0]
    at = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert [text.get_text() for text in axes.get_yticklabels()] == ["linear", "digits"]
    marked = sorted(
        (container.get_label(), float(container.lines[0].get_xdata()[0])) for container in axes.containers
    )
    assert marked == [("E_OG begins to fall", 16.5), ("P(Δ > 0) = ½", 20.0), ("memorized falls to 50%", 30.0)]
    assert list(at["P(Δ > 0) rises from 5% to 95%"].get_xdata()) == [10.0, 40.0]
