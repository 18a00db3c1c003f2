from memgen_jax.programs.transition import sentences


def rows(**shares):
    return [{"num_train": float(name[1:]), "memorized": share} for name, share in shares.items()]


def test_rules_that_disagree_are_named_with_both_shares_where_they_do():
    found = sentences.rules_apart(rows(k2=0.98, k7=0.02, k21=0.0), rows(k2=1.0, k7=0.93, k21=0.3))
    assert "2% and 93% at K = 7" in found and "K = 21" not in found and "K = 2 " not in found


def test_rules_that_agree_are_not_spoken_of():
    assert not sentences.rules_apart(rows(k2=1.0, k64=0.07), rows(k2=1.0, k64=0.44))
    assert not sentences.rules_apart(rows(k2=1.0, k64=0.07), [])  # thresholds that were given know one rule
