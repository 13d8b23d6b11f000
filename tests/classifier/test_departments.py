"""Departments are told by their category until a city has decided often enough; then both voices are heard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifier import departments, learning, seeds
from classifier.departments import ASSIST, LEAD, Pool
from classifier.features import fields
from classifier.learning import Example, Learnt
from classifier.model import NONE
from classifier.seeds import Seeds
from classifier.suggest import Suggester

LEAVES = 14


@pytest.fixture(scope="module")
def corpus() -> Seeds:
    leaves = [leaf for leaf in seeds.load().leaves if len(leaf.sentences) >= 14][::11][:LEAVES]
    return Seeds(tuple(replace(leaf, sentences=leaf.sentences[:3]) for leaf in leaves), "few")


@pytest.fixture(scope="module")
def decided(corpus: Seeds) -> list[Example]:
    """What a city decided: the first four kinds of matters go to an office of its own, the next three with its help.

    With the third of these a watch helps as well.
    """
    full = seeds.load().by_code
    kinds = {leaf.code: at for at, leaf in enumerate(corpus.leaves)}
    return [
        Example(
            title=one.title,
            body=f"{one.body}{tail}",
            label=leaf.code,
            department="office" if kinds[leaf.code] < 4 else leaf.lead,
            assist=("office", "watch")[: 1 + (kinds[leaf.code] == 6)] if 4 <= kinds[leaf.code] < 7 else (),
        )
        for leaf in corpus.leaves
        for one in full[leaf.code].sentences[3:14]
        for tail in ("", "请尽快处理并回复。")
    ]


@pytest.fixture(scope="module")
def usual(corpus: Seeds) -> departments.Usual:
    return {leaf.code: (leaf.lead, leaf.assist) for leaf in corpus.leaves}


@pytest.fixture(scope="module")
def learnt(corpus: Seeds, decided: list[Example], usual: departments.Usual) -> Learnt:
    return learning.learn_default(corpus, decided, usual=usual)


def told(learnt: Learnt, corpus: Seeds) -> Suggester:
    suggester = Suggester(learnt.model, version="x", corpus=corpus)
    suggester.made_from = learnt.made_from
    return suggester


def test_a_city_that_decides_otherwise_than_the_tree_is_followed(learnt: Learnt, corpus: Seeds) -> None:
    assert {LEAD, ASSIST} <= set(learnt.model.heads)
    pool = Pool.of(learnt.made_from)
    assert not pool.follows
    assert pool.decisions is not None
    assert pool.decisions["office"] == 88
    suggester = told(learnt, corpus)
    own, usual_one = corpus.leaves[1], corpus.leaves[9]
    said = suggester.suggest("", own.sentences[0].body).departments
    assert said.lead[0].label == "office"
    assert said.voices["office"].learnt is not None
    assert said.voices["office"].decisions == 88
    assert said.voices["office"].category < 0.05
    assert suggester.suggest("", usual_one.sentences[0].body).departments.lead[0].label == usual_one.lead


def test_who_helps_is_learnt_too(learnt: Learnt, corpus: Seeds) -> None:
    suggester = told(learnt, corpus)
    helped = suggester.suggest("", corpus.leaves[5].sentences[0].body).departments
    alone = suggester.suggest("", corpus.leaves[10].sentences[0].body).departments
    assert {one.label: one.probability for one in helped.assist}["office"] > 0.3
    assert {one.label: one.probability for one in alone.assist}.get("office", 0.0) < 0.2


def test_both_helpers_of_a_ticket_are_learnt(learnt: Learnt, corpus: Seeds) -> None:
    full = seeds.load().by_code

    def shares(leaf: int) -> dict[str, float]:
        new = [fields("", one.body) for one in full[corpus.leaves[leaf].code].sentences[14:]]
        said = learnt.model.judge_all(learnt.model.vectors([*new, fields("", corpus.leaves[leaf].sentences[0].body)]))
        return dict(zip(said[ASSIST].labels, said[ASSIST].probabilities.mean(axis=0).tolist(), strict=True))

    both, one = shares(6), shares(5)
    assert both["office"] > 0.15
    assert both["watch"] > 0.15
    assert one["office"] > 0.6
    assert one["watch"] < 0.05


def test_a_helper_of_few_tickets_takes_nothing_from_the_one_beside_it() -> None:
    decisions = [("roads", "rare"), *[("roads",)] * 30, *[("water", "roads")] * 20, ("rare",), *[()] * 10, None]
    found = departments.learnable(decisions, enough=40, of_one=10)
    assert found is not None
    assert found[0] == ("roads",)
    assert found[31] == ("water", "roads")
    assert found[51] == (NONE,)
    assert found[-1] is None
    assert departments.learnable(decisions[:30], enough=40, of_one=10) is None


def test_with_few_decisions_departments_follow_from_categories(
    corpus: Seeds, decided: list[Example], usual: departments.Usual
) -> None:
    few = learning.learn_default(corpus, decided[:150], usual=usual)
    assert LEAD not in few.model.heads
    assert Pool.of(few.made_from).follows
    said = told(few, corpus).suggest("", corpus.leaves[1].sentences[0].body).departments
    assert said.voices == {}
    assert said.lead[0].label == corpus.leaves[1].lead


def test_a_department_with_few_decisions_is_named_by_the_category_alone() -> None:
    pool = Pool(learnt=1.0, category=1.0, decisions={"a": 50})
    found = departments.pooled({"a": 0.2, "rare": 0.7}, {"a": 0.1, NONE: 0.9}, pool)
    assert max(found, key=lambda code: found[code]) == "rare"
    assert 0.8 < found["rare"] < 1
    assert departments.voices("rare", {"rare": 0.7}, {"a": 0.1, NONE: 0.9}, pool).learnt is None


def test_an_older_model_without_a_word_about_departments_answers_as_before() -> None:
    leads, helpers = departments.by_category([("x", 0.6), ("y", 0.3)], {"x": ("a", ("c",)), "y": ("b", ())})
    assert (leads, helpers) == ({"a": 0.6, "b": 0.3}, {"c": 0.6, "b": 0.3})
    assert departments.pooled(leads, {}, Pool.of({})) == leads


def test_the_pooled_chance_can_be_believed(learnt: Learnt, corpus: Seeds, usual: departments.Usual) -> None:
    """Of matters that it has not seen: what it is sure of is right, and it is about as sure as it is right."""
    full = seeds.load().by_code
    kinds = {leaf.code: at for at, leaf in enumerate(corpus.leaves)}
    new = [
        (one, "office" if kinds[leaf.code] < 4 else leaf.lead)
        for leaf in corpus.leaves
        for one in full[leaf.code].sentences[14:]
    ]
    rows = learnt.model.vectors([fields(one.title, one.body) for one, _ in new])
    said = learnt.model.judge_all(rows)
    pool = Pool.of(learnt.made_from)
    right, sure = [], []
    for at, (_, truth) in enumerate(new):
        leads, _helpers = departments.by_category(departments.candidates(said[learning.CATEGORY], at), usual)
        every = departments.pooled(leads, departments.chances(said[LEAD], at), pool)
        best = max(every, key=lambda code: every[code])
        right.append(best == truth)
        sure.append(every[best])
    followed = departments.said(said[learning.CATEGORY], None, usual, Pool())
    assert np.mean(right) > np.mean([one == truth for one, (_, truth) in zip(followed, new, strict=True)]) + 0.1
    assert abs(float(np.mean(right)) - float(np.mean(sure))) < 0.12
