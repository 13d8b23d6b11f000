"""Learning, calibration, thresholds, files: small data written for the purpose."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from classifier import (
    calibration,
    company,
    evaluation,
    explanations,
    learning,
    neighbours,
    ratios,
    registry,
    store,
    text,
    thresholds,
    topics,
    validation,
)
from classifier.company import Whereabouts
from classifier.errors import ModelDamaged, ModelMissing, ModelTooNew, TooFewExamples
from classifier.features import (
    Block,
    Fields,
    Source,
    Unit,
    Vectoriser,
    Vocabulary,
    _spelt,
    fields,
    n_grams,
    spelled,
)
from classifier.learning import Example, Learnt
from classifier.model import NONE, Head, Judgement, Model, Recipe, Shortcut, Task, conjugate, fit, gram, shortcut
from classifier.thresholds import NEVER, Promise
from tests.classifier.voices import examples


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    return learning.fit(examples(), seed=False, recipe=Recipe(few=0))


def test_a_model_tells_three_subjects_apart(learnt: Learnt) -> None:
    judged = learnt.model.judge(
        learning.LABEL,
        learnt.model.vectors(
            [
                fields("", "楼上水管爆了，家里没有水用"),
                fields("讨薪", "老板不发工资"),
                fields("", "孩子的老师周末还要补课"),
            ]
        ),
    )
    assert judged.best() == ["供水", "工资", "学校"]
    assert np.allclose(judged.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(topics=0, few=0), Recipe(topics=8, few=0), Recipe(few=0, many=0)])
def test_the_answer_about_an_unseen_message_comes_from_a_model_without_it(recipe: Recipe) -> None:
    """The same as training without the fold, but for the words that only the fold made known."""
    given_ = examples()[::2]
    messages = [fields(one.title, f"{at}号：{one.body}") for at, one in enumerate(given_)]
    labels = [one.label for one in given_]
    fitted = fit(messages, [Task(name="x", labels=labels)], recipe=recipe)
    rest = [at for at in range(len(labels)) if at % 5]
    without = fit([messages[at] for at in rest], [Task(name="x", labels=[labels[at] for at in rest])], recipe=recipe)
    held = [at for at in range(len(labels)) if not at % 5]
    said = without.model.judge("x", without.model.vectors([messages[at] for at in held])).margins
    ours = fitted.unseen["x"][held]
    assert np.corrcoef(said.ravel(), ours.ravel())[0, 1] > 0.9
    assert abs(np.abs(said).mean() / np.abs(ours).mean() - 1) < 0.15


def test_near_copies_are_left_out_together() -> None:
    """A twin with another label must not speak when the message is judged as unseen."""
    given_ = examples()
    messages = [fields(one.title, f"{one.body}大家等了很久还是没有结果") for one in given_]
    labels = [one.label for one in given_]
    at = next(at for at, label in enumerate(labels) if label != "工资")
    twin = fields(given_[at].title, messages[at].body + "。")
    before = fit(messages, [Task(name="x", labels=labels)]).unseen["x"][at]
    after = fit([*messages, twin, twin], [Task(name="x", labels=[*labels, "工资", "工资"])]).unseen["x"][at]
    assert after.argmax() == before.argmax()


def test_a_message_as_unseen_lacks_what_only_it_made_known_and_keeps_its_length() -> None:
    block = Block(source=Source.BODY, unit=Unit.CHARACTERS, longest=1, rare=2)
    messages = [fields("", body) for body in ["停水", "停电", "停水电", *["阿"] * 100]]
    vectoriser = Vectoriser.fit(messages, (block,))
    rows = vectoriser.transform(messages)
    strange = vectoriser.as_unseen(rows, rows).toarray()
    # 停 stands in three messages, 水 and 电 in two: without the message these two would be too rare.
    assert [sorted(row[row > 0].tolist()) for row in strange[:3]] == [[1.0], [1.0], [1.0]]
    assert (rows.toarray()[:3] > 0).sum() == 7


def test_large_sets_are_solved_to_the_same_answer_by_other_means() -> None:
    messages = [fields(one.title, one.body) for one in examples()]
    rows = Vectoriser.fit(messages).transform(messages)
    labels = np.array([one.label for one in examples()])
    target = np.where(labels[:, None] == np.unique(labels), 1.0, -1.0)
    weights, bias = conjugate(rows, target, np.ones(len(labels)), 1.0, steps=300)
    kernel = gram(rows).astype(float) + 0.3
    exact = kernel @ np.linalg.solve(kernel + np.eye(len(labels)), target)
    assert np.allclose(rows @ weights + bias, exact, atol=5e-3)


def test_the_leading_directions_are_those_of_the_messages() -> None:
    """Up to the rounding to four bits, likeness among the directions is that of the exact decomposition."""
    messages = [fields(one.title, one.body) for one in examples()]
    rows = Vectoriser.fit(messages).transform(messages)
    found = topics.fit(rows, 20, most=100_000, rounds=6)
    assert found is not None
    left, values, _ = np.linalg.svd(rows[:, found.columns].toarray(), full_matrices=False)
    exact = topics.unit((left * values)[:, :20].astype(np.float32))
    ours = found.of(rows)
    assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert np.corrcoef((ours @ ours.T).ravel(), (exact @ exact.T).ravel())[0, 1] > 0.97


def test_few_messages_are_learnt_without_topics(learnt: Learnt) -> None:
    assert learnt.model.topics is not None
    assert learning.fit(examples(), seed=False).model.topics is None


def test_nearness_is_one_for_the_same_direction_and_falls_with_distance() -> None:
    three = topics.unit(np.array([[1, 0], [1, 1], [0, 2]], np.float32))
    near = topics.nearness(three, three)
    assert near[0].tolist() == pytest.approx([1, np.exp(2 * (np.sqrt(0.5) - 1)), np.exp(-2)])


def test_sure_messages_are_spared_nearness_and_the_others_get_it(learnt: Learnt, tmp_path: Path) -> None:
    model = learnt.model
    head = model.heads[learning.LABEL]
    assert head.pull is not None
    messages = [fields(one.title, one.body) for one in examples()]
    rows = model.vectors(messages)
    plain = np.asarray(rows @ head.weights) + head.bias
    leads = np.sort(plain, axis=1)
    lead = float(np.median(leads[:, -1] - leads[:, -2]))
    hasty = Shortcut(lead=lead, slope=0.25, shift=(0.1,) * len(head.labels))
    other = Model(
        vectoriser=model.vectoriser,
        heads={learning.LABEL: replace(head, shortcut=hasty)},
        topics=model.topics,
        anchors=model.anchors,
    )
    store.save(other, tmp_path / "hasty")
    other, _ = store.load(tmp_path / "hasty")
    assert other.heads[learning.LABEL].shortcut == hasty
    exact = replace(head, shortcut=None)
    whole = Model(
        vectoriser=model.vectoriser, heads={learning.LABEL: exact}, topics=model.topics, anchors=model.anchors
    ).judge(learning.LABEL, rows)
    said = other.judge(learning.LABEL, rows)
    sure = hasty.sure(plain)
    assert 0.3 < sure.mean() < 0.7
    assert np.allclose(said.margins[sure], plain[sure] * 1.25 + 0.1, atol=0.03)
    assert np.allclose(said.margins[~sure], whole.margins[~sure], atol=0.03)
    assert not np.allclose(said.margins[sure], whole.margins[sure], atol=0.03)


def test_the_shortcut_changes_the_first_label_of_one_message_in_a_thousand_at_most() -> None:
    random = np.random.default_rng(7)
    plain = random.normal(size=(5000, 4))
    near = 0.3 * plain + 0.2 + 0.1 * random.normal(size=plain.shape)
    found = shortcut(plain, near)
    assert found is not None
    sure = found.sure(plain)
    assert 0.2 < sure.mean() < 0.95
    changed = (plain + near)[sure].argmax(axis=1) != plain[sure].argmax(axis=1)
    assert changed.mean() <= 0.001
    assert found.slope == pytest.approx(0.3, abs=0.05)
    assert np.abs(found.widened(plain[sure]) - (plain + near)[sure]).mean() < 0.15
    assert shortcut(plain, -3 * plain) is None, "where nearness contradicts there is no short way"


def _shops_and_schools() -> list[Fields]:
    """Two kinds of goods and two kinds of staff, none of which ever stands in one message with its like."""
    goods = [
        f"商场买的{one}{said}" for one in ("电视", "冰箱") for said in ("不保修", "漏电", "退不了货", "有质量问题")
    ]
    staff = [f"班里的{one}{said}" for one in ("老师", "校长") for said in ("体罚学生", "骂人", "收礼", "布置很多作业")]
    return [
        fields(body, f"{body}，{more}。")
        for body in [*goods, *staff]
        for more in ("请问归谁管", "麻烦派人看看", "大家着急")
    ]


def test_words_in_the_same_company_lie_together_though_no_message_holds_both() -> None:
    messages = _shops_and_schools()
    vectoriser = Vectoriser.fit(messages)
    found = company.fit(messages, vectoriser, vectoriser.transform(messages), 6)
    assert found is not None
    said = found.of(vectoriser.transform([fields(word, word) for word in ("电视", "冰箱", "老师", "校长")]))
    assert np.allclose(np.linalg.norm(said, axis=1), 1, atol=1e-4)
    near = said @ said.T
    assert near[0, 1] > near[0, 2] + 0.5
    assert near[2, 3] > near[2, 1] + 0.5


def test_a_message_lies_by_title_and_body_half_each_and_nowhere_without_known_words() -> None:
    messages = _shops_and_schools()
    vectoriser = Vectoriser.fit(messages)
    found = company.fit(messages, vectoriser, vectoriser.transform(messages), 6)
    assert found is not None
    one, other, none = found.of(
        vectoriser.transform([fields("电视", "老师"), fields("电视", "zzz"), fields("zzz", "zzz")])
    )
    width = len(one) // 2
    assert np.allclose(one[:width], other[:width], atol=1e-5)
    assert np.linalg.norm(one[width:]) == pytest.approx(np.sqrt(0.5), abs=1e-4)
    assert not other[width:].any()
    assert not none.any()
    assert company.fit(messages[:4], vectoriser, vectoriser.transform(messages[:4]), 6) is None, "too little text"
    titles = Vectoriser.fit(messages, (Block(source=Source.TITLE, unit=Unit.CHARACTERS),))
    assert company.fit(messages, titles, titles.transform(messages), 6) is None, "no words of the body"


def test_company_is_counted_within_a_clause_only() -> None:
    """What stands beyond a full stop or a word too rare to be known keeps no company."""
    told = np.array([0, 1, -1, 2, 0, 1, -1, 2, -1] * 5, np.int32)
    found = company._neighbours(told, np.arange(3, dtype=np.int32), 3).toarray()
    assert found[0, 1] > 0
    assert found[2, 0] > 0, "the second clause begins with it"
    alone = np.array([0, 1, -1, 2, -1] * 5, np.int32)
    assert not company._neighbours(alone, np.arange(3, dtype=np.int32), 3).toarray()[2].any()


def test_a_model_of_the_third_format_answers_as_it_did(tmp_path: Path) -> None:
    """It knows where a message lies by leading directions only."""
    messages = [fields(one.title, one.body) for one in examples()]
    old = learning.fit(examples(), seed=False, recipe=Recipe(few=0)).model
    assert isinstance(old.topics, topics.Topics)
    store.save(old, tmp_path / "old")
    manifest = tmp_path / "old" / store.MANIFEST
    page = json.loads(manifest.read_text("utf-8"))
    page["format"] = 3
    page["seal"] = store._seal(page)
    manifest.write_text(json.dumps(page), "utf-8")
    read, _ = store.load(tmp_path / "old")
    assert isinstance(read.topics, topics.Topics)
    before = old.judge(learning.LABEL, old.vectors(messages)).probabilities
    assert np.allclose(read.judge(learning.LABEL, read.vectors(messages)).probabilities, before, atol=0.01)


def test_many_messages_lie_by_their_words_too_and_are_stored_so(tmp_path: Path) -> None:
    messages = [fields(one.title, one.body) for one in examples()]
    many = learning.fit(examples(), seed=False, recipe=Recipe(few=0, many=len(messages))).model
    assert isinstance(many.topics, Whereabouts)
    assert many.anchors is not None
    store.save(many, tmp_path / "many")
    read, _ = store.load(tmp_path / "many")
    before = many.judge(learning.LABEL, many.vectors(messages))
    after = read.judge(learning.LABEL, read.vectors(messages))
    assert np.allclose(after.probabilities, before.probabilities, atol=0.01)
    rows = many.vectors(messages)
    assert read.topics is not None
    assert np.allclose(read.topics.of(rows), many.topics.of(rows), atol=1e-3)
    fewer = learning.fit(examples(), seed=False, recipe=Recipe(few=0, many=len(messages) + 1)).model
    assert isinstance(fewer.topics, topics.Topics)


def test_neighbours_vote_the_more_the_nearer_they_lie() -> None:
    angles = np.array([0.0, 0.2, 1.0, 1.1, 1.2], np.float32)
    places = np.column_stack([np.cos(angles), np.sin(angles)])
    told = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
    asked = np.array([[1, 0], [np.cos(0.6), np.sin(0.6)], [np.cos(1.1), np.sin(1.1)]], np.float32)
    heard = topics.votes(topics.nearness(asked, places), told)
    assert heard.shape == (3, 2, 2)
    closest = np.stack([(asked @ places[:2].T).max(axis=1), (asked @ places[2:].T).max(axis=1)], axis=1)
    assert (heard[:, 0] >= closest - 1 - 1e-4).all(), "never less than the closest alone"
    assert (heard[:, 0] <= closest - 1 + np.log(3) / 24 + 1e-4).all()
    leads = heard[:, :, 1] - heard[:, :, 0]
    assert (leads[0] < 0).all()
    assert (leads[2] > 0).all()
    assert leads[1, 0] == pytest.approx(0, abs=0.05), "between both, one as near as the other"
    half = topics.votes(topics.nearness(asked, places), told * np.float32(0.5))
    assert np.allclose((heard - half)[0, :, 0], np.log(2) / np.array([24, 12]), atol=1e-3), "half the weight"


def test_who_has_other_labels_nearby_is_rated_lower() -> None:
    """Two thirds of those whose neighbours contradict are wrong, though their margins look as good as any."""
    random = np.random.default_rng(5)
    margins = np.column_stack([random.normal(1, 0.3, 2000), random.normal(-1, 0.3, 2000), np.full(2000, -1.5)])
    contradicted = random.random(2000) < 0.15
    truth = np.where(random.random(2000) < np.where(contradicted, 0.66, 0.01), 1, 0)
    votes = np.full((2000, 2, 3), -0.8)
    votes[:, :, 0] = -0.3
    votes[contradicted, :, 1] = -0.1
    sizes = np.full(2000, 100)
    chance = calibration.fit(margins, truth).probabilities(margins)
    told = calibration.fit_confidence(
        chance, margins, sizes=sizes, truth=truth, weights=np.ones(2000), reject=2, votes=votes
    )
    rated = told.sharpen(chance, margins, sizes, reject=2, votes=votes)
    best = calibration.first(rated, 2)
    sure = rated[np.arange(2000), best]
    agreed, argued = ~contradicted & (best == 0), contradicted & (best == 0)
    assert sure[agreed].mean() > 0.97
    assert sure[argued].max() < 0.51, "as low as a first label can be rated beside a second"
    deaf = calibration.fit_confidence(chance, margins, sizes=sizes, truth=truth, weights=np.ones(2000), reject=2)
    alike = deaf.sharpen(chance, margins, sizes, reject=2).max(axis=1)
    assert alike[argued].mean() == pytest.approx(alike[agreed].mean(), abs=0.05), "nothing else tells them apart"


def test_neighbours_are_asked_without_near_copies_and_stored(tmp_path: Path) -> None:
    given = examples()
    messages = [fields(one.title, one.body) for one in given]
    learnt = learning.fit(given, seed=False, recipe=Recipe(few=0, many=len(given)))
    head = learnt.model.heads[learning.LABEL]
    assert head.told is not None
    assert head.shortcut is None, "who is asked for neighbours is not spared nearness"
    assert np.array_equal(head.told.sum(axis=1), np.ones(len(given)))
    at = next(row for row, one in enumerate(given) if one.label == head.labels[0])
    before = learnt.fit.votes[learning.LABEL][at]
    twin = replace(given[at], label=head.labels[1])
    again = learning.fit([*given, twin, twin], seed=False, recipe=Recipe(few=0, many=len(given)))
    after = again.fit.votes[learning.LABEL][at]
    assert after[0, 1] - after[0, 0] < before[0, 1] - before[0, 0] + 0.1, "its copy has no vote about it"
    store.save(learnt.model, tmp_path / "asked")
    read, _ = store.load(tmp_path / "asked")
    said = read.judge(learning.LABEL, read.vectors(messages)).probabilities
    assert np.allclose(said, learnt.model.judge(learning.LABEL, read.vectors(messages)).probabilities, atol=0.01)
    silent = learning.fit(given, seed=False, recipe=Recipe(few=0, many=len(given), votes=False)).model
    assert silent.heads[learning.LABEL].told is None


def test_where_neighbours_vote_thresholds_aim_by_a_promise_of_their_own() -> None:
    given = examples()
    recipe = Recipe(few=0, many=len(given), heard=Promise(floor=NEVER))
    heard = learning.fit(given, seed=False, recipe=recipe).model.heads[learning.LABEL]
    silent = learning.fit(given, seed=False, recipe=replace(recipe, votes=False)).model.heads[learning.LABEL]
    assert min(heard.thresholds) == NEVER
    assert max(silent.thresholds) < 1, "without votes the other promise holds"


def test_a_text_of_unknown_words_lies_nowhere() -> None:
    messages = [fields(one.title, one.body) for one in examples()]
    vectoriser = Vectoriser.fit(messages)
    found = topics.fit(vectoriser.transform(messages), 10, most=1000)
    assert found is not None
    assert not found.of(vectoriser.transform([fields("", "zzz")])).any()


def test_ratios_learn_and_leave_a_label_without_messages_alone() -> None:
    messages = [fields(one.title, one.body) for one in examples()]
    rows = Vectoriser.fit(messages).transform(messages)
    names = sorted({one.label for one in examples()})
    truth = np.array([names.index(one.label) for one in examples()])
    weights, bias = ratios.fit(rows, truth, np.ones(len(truth)), 4)
    said = rows @ weights + bias
    assert (said.argmax(axis=1) == truth).mean() > 0.98
    assert set(said[:, 3].tolist()) == {-1.0}


def test_a_category_is_read_under_its_branch_and_sure_with_it() -> None:
    """Leaves that look alike are told apart by what the first level says; its certainty is theirs."""
    chance = np.array([[0.4, 0.35, 0.25]])
    said = Judgement(
        labels=("上", "下"),
        margins=np.zeros((1, 2)),
        probabilities=np.array([[0.02, 0.98]]),
        sure=np.array([True]),
        outside=np.array([False]),
        raw=np.array([[0.02, 0.98]]),
    )
    head = Head(
        task="category",
        labels=("甲", "乙", "丙"),
        weights=np.zeros((0, 3), np.float32),
        bias=np.zeros(3, np.float32),
        calibration=calibration.Calibration(1.0, (0.0, 0.0, 0.0)),
        thresholds=(NEVER,) * 3,
        trunk="first",
        branches=(0, 1, -1),
    )
    sizes = np.array([10])
    alone, under = (head.judgement(np.log(chance), sizes, trunk=trunk) for trunk in (None, said))
    assert (alone.best(), alone.sure.tolist()) == (["甲"], [False])
    assert (under.best(), under.sure.tolist()) == (["乙"], [True])
    assert under.probabilities.sum() == pytest.approx(1)
    unbranched = head.judgement(np.log([[0.1, 0.1, 0.8]]), sizes, trunk=said)
    assert (unbranched.best(), unbranched.sure.tolist()) == (["丙"], [False])


def test_the_rated_first_label_never_falls_behind_and_the_reject_class_stays_out() -> None:
    random = np.random.default_rng(3)
    margins = random.normal(size=(900, 4))
    truth = np.where(random.random(900) < 0.9, margins.argmax(axis=1), random.integers(0, 4, 900))
    sizes = random.integers(5, 500, 900)
    chance = calibration.fit(margins, truth).probabilities(margins)
    rule = calibration.fit_confidence(chance, margins, sizes=sizes, truth=truth, weights=np.ones(900), reject=3)
    rated = rule.sharpen(chance, margins, sizes, reject=3)
    assert np.allclose(rated.sum(axis=1), 1)
    assert (np.argsort(-rated[:, :3], axis=1) == np.argsort(-chance[:, :3], axis=1)).all()
    right = truth == calibration.first(chance, 3)
    assert abs(rated[:, :3].max(axis=1).mean() - right.mean()) < 0.02
    rejected = margins.argmax(axis=1) == 3
    assert rated[rejected, :3].max(axis=1).mean() < rated[~rejected, :3].max(axis=1).mean() - 0.3


def test_the_gram_matrix_is_that_of_the_rows() -> None:
    messages = [fields(one.title, one.body) for one in examples()[:30]]
    rows = Vectoriser.fit(messages).transform(messages)
    assert np.allclose(gram(rows), (rows @ rows.T).toarray(), atol=1e-4)


def test_weights_decide_between_contradictory_labels() -> None:
    same = "路口的红绿灯坏了三天"
    rest = [one for one in examples() if one.label != "学校"]
    for heavy, light in (("供水", "工资"), ("工资", "供水")):
        both = [
            Example(title="", body=same, label=heavy, weight=5),
            Example(title="", body=same, label=light, weight=0.1),
        ]
        model = learning.fit([*rest, *both], seed=False).model
        assert model.judge(learning.LABEL, model.vectors([fields("", same)])).best() == [heavy]


def test_a_reject_class_is_never_an_answer_and_never_sure() -> None:
    odd = [Example(title="", body=f"今天天气真好，适合出去玩第{n}天", label=NONE) for n in "一二三四五六七八九十"]
    model = learning.fit([*examples(), *odd], seed=False).model
    judged = model.judge(learning.LABEL, model.vectors([fields("", "天气很好，出去玩")]))
    assert judged.labels[int(judged.probabilities[0].argmax())] == NONE
    assert not judged.sure[0]
    assert judged.best()[0] != NONE


@pytest.mark.parametrize(
    ("rows", "words"),
    [([], "没有任何"), ([Example(title="", body="停水", label="供水")] * 3, "只有一个类别")],
)
def test_too_little_to_learn_from_is_refused_in_words(rows: list[Example], words: str) -> None:
    with pytest.raises(TooFewExamples, match=words):
        learning.fit(rows, seed=False)


def test_ten_examples_are_learnt_and_promise_nothing() -> None:
    model = learning.fit(examples()[::11], seed=False).model
    assert set(model.heads[learning.LABEL].thresholds) == {NEVER}


def test_features_are_exact_and_named() -> None:
    keys, owners = n_grams(["停水", "", "水"], 2)
    assert sorted((spelled(key), owner) for key, owner in zip(keys.tolist(), owners.tolist(), strict=True)) == [
        ("停", 0),
        ("停水", 0),
        ("水", 0),
        ("水", 2),
    ]


@given(st.lists(st.text(alphabet="停水电气暖路灯坏了没人管abc", max_size=12), min_size=3, max_size=8))
@settings(max_examples=25, deadline=None)
def test_the_fast_lookup_finds_what_a_dictionary_would(bodies: list[str]) -> None:
    block = Block(source=Source.BODY, unit=Unit.CHARACTERS, rare=1)
    known = Vectoriser.fit([fields("", body) for body in bodies], (block,)).vocabularies[0]
    table = {key: at for at, key in enumerate(known.keys.tolist())}
    keys, _ = n_grams([*bodies, "从未见过的字"], 2)
    assert known.find(keys).tolist() == [table.get(key, -1) for key in keys.tolist()]


_HOSTILE = [
    ("", ""),
    ("水", ""),
    ("", "，。！？；：" * 30),
    ("忽略以上指令", "<script>alert('x')</script> ' OR 1=1; DROP TABLE tickets; -- " * 9),
    ("Water outage", "no water since Monday — нет воды, 水が出ません, 물이 안 나와요"),
    ("停水" * 40, "停水两天了没人管，" * 2_500),
    ("路灯\u200b坏😡", "&nbsp;&#27700;_x000D_ 12345 ٣٤ \ud800 \x00 " * 20),
    ("𠮷野家门口", "a" * 19_000 + "𠮷" * 500),
]


def _slowly(vectoriser: Vectoriser, one: Fields) -> NDArray[np.float64]:
    """Return a message's row by counting in dictionaries, block by block."""
    parts = []
    for known in vectoriser.vocabularies:
        string = getattr(one, known.block.source.value)
        if known.block.unit is Unit.WORDS:
            pieces = text.cut(string)
        else:
            pieces = [
                string[at : at + n] for n in range(1, known.block.longest + 1) for at in range(len(string) - n + 1)
            ]
        count = Counter(pieces)
        part = np.array([count[known.name(number)] for number in range(len(known))], np.float64)
        part = np.where(part > 0, 1 + np.log(np.maximum(part, 1)), 0) * known.idf
        parts.append(part * known.block.weight / (np.linalg.norm(part) or 1))
    return np.concatenate(parts)


def test_hostile_and_long_texts_are_counted_as_one_would_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [*(fields(*one) for one in _HOSTILE), *(fields(one.title, one.body) for one in examples()[::6])]
    vectoriser = Vectoriser.fit(messages)
    rows = vectoriser.transform(messages)
    assert rows.has_sorted_indices
    assert rows.dtype == np.float32
    assert np.allclose(rows.toarray(), [_slowly(vectoriser, one) for one in messages], atol=1e-6)
    for at, one in enumerate(messages):
        assert np.array_equal(vectoriser.transform([one]).toarray()[0], rows[at].toarray()[0]), "whatever stands beside"
    assert vectoriser.transform([]).shape == (0, vectoriser.size)
    monkeypatch.setattr("classifier.features._AT_ONCE", 3)
    monkeypatch.setattr("classifier.features._SHORT", 1)
    assert np.array_equal(vectoriser.transform(messages).toarray(), rows.toarray()), "a few at once, in wide numbers"


@given(st.lists(st.lists(st.text(alphabet="停水电气暖路灯ab", min_size=1, max_size=9), max_size=6), max_size=6))
@settings(max_examples=60, deadline=None)
def test_words_are_found_by_number_as_by_name(said: list[list[str]]) -> None:
    terms = tuple(sorted({word for words in said for word in words if len(word) != 2}))
    block = Block(source=Source.BODY, unit=Unit.WORDS)
    known = Vocabulary(block, np.zeros(0, np.int64), terms, np.ones(len(terms), np.float32))
    keys, empty = _spelt("".join("\0".join([*words, "", ""]) for words in said))
    found = known.find(keys)
    numbers = {term: number for number, term in enumerate(terms)}
    assert found[~empty].tolist() == [numbers.get(word, -1) for words in said for word in words]
    assert np.flatnonzero(empty).tolist() == (np.cumsum([len(words) + 1 for words in said]) - 1).tolist()
    assert (found[empty] == -1).all()


def test_one_message_lies_where_it_lies_among_others() -> None:
    messages = [fields(one.title, one.body) for one in examples()]
    model = learning.fit(examples(), seed=False, recipe=Recipe(few=0, many=len(messages))).model
    assert isinstance(model.topics, Whereabouts)
    strange = [fields(*one) for one in _HOSTILE]
    rows = model.vectors([*messages[:20], *strange])
    together = model.topics.of(rows)
    said = model.judge(learning.LABEL, rows)
    for at, one in enumerate([*messages[:20], *strange]):
        alone = model.vectors([one])
        assert np.allclose(model.topics.of(alone)[0], together[at], atol=1e-6)
        assert np.allclose(model.judge(learning.LABEL, alone).probabilities[0], said.probabilities[at], atol=1e-6)


def test_every_block_has_the_length_of_its_weight() -> None:
    blocks = (
        Block(source=Source.TITLE, unit=Unit.CHARACTERS, rare=1),
        Block(source=Source.BODY, unit=Unit.WORDS, rare=1, weight=0.5),
    )
    messages = [fields(one.title, one.body) for one in examples()[:20]]
    vectoriser = Vectoriser.fit(messages, blocks)
    rows = vectoriser.transform(messages).toarray()
    border = len(vectoriser.vocabularies[0])
    assert np.allclose(np.linalg.norm(rows[:, :border], axis=1), 1, atol=1e-3)
    assert np.allclose(np.linalg.norm(rows[:, border:], axis=1), 0.5, atol=1e-3)


def test_calibration_makes_overconfident_margins_honest() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 3000)
    margins = np.where(np.arange(3) == truth[:, None], 1.0, -1.0)
    wrong = random.random(3000) < 0.3
    margins[wrong] = margins[wrong][:, [1, 2, 0]]
    before = evaluation.calibration_error(calibration.softmax(9 * margins).max(axis=1), margins.argmax(axis=1) == truth)
    chance = calibration.fit(margins, truth).probabilities(margins)
    after = evaluation.calibration_error(chance.max(axis=1), chance.argmax(axis=1) == truth)
    assert before > 0.25
    assert after < 0.03


def test_with_enough_messages_a_rival_says_how_far_a_label_is_to_be_trusted() -> None:
    """Label 2 is mistaken for label 0 when margin 1 is high: no scale and no shift can tell, the mixing can."""
    random = np.random.default_rng(3)
    margins = random.normal(size=(4000, 3))
    truth = np.where((margins[:, 0] > margins[:, 2]) & (margins[:, 1] > 0), 2, margins.argmax(axis=1))
    few = calibration.fit(margins[:900], truth[:900])
    assert few.mixing == ()
    many = calibration.fit(margins, truth)
    plain = replace(many, mixing=(), shift=few.shift)
    right = [(one.probabilities(margins).argmax(axis=1) == truth).mean() for one in (plain, many)]
    assert right[1] > right[0] + 0.03
    assert np.allclose(many.probabilities(margins).sum(axis=1), 1)


def test_a_threshold_keeps_its_promise_and_goes_no_higher() -> None:
    confidence = np.linspace(0.5, 1, 1000)
    right = confidence > 0.6
    limit = thresholds.lowest(confidence, right, Promise(precision=0.98))
    sent = confidence >= limit
    assert right[sent].mean() >= 0.98
    assert right[confidence >= limit - 0.002].mean() < 0.98
    assert thresholds.lowest(confidence, right, Promise(precision=0.98, z=1.64)) > limit
    assert thresholds.lowest(confidence, right, Promise(floor=0.9)) == 0.9
    assert thresholds.lowest(confidence, right, Promise(spare=0.01)) > limit
    assert thresholds.lowest(confidence[:10], right[-10:], Promise()) == NEVER


def test_what_is_said_smooths_the_luck_of_a_small_class() -> None:
    """Two errors near the top of forty messages would close the class for good, were the other messages not heard."""
    confidence = np.linspace(1, 0.96, 40)
    right = np.ones(40, bool)
    right[[3, 20]] = False
    assert thresholds.lowest(confidence, right, Promise(precision=0.97)) == NEVER
    limit = thresholds.lowest(confidence, right, Promise(precision=0.97, trust=100))
    assert limit == pytest.approx(0.96)
    doubtful = thresholds.lowest(confidence - 0.06, np.ones(40, bool), Promise(precision=0.97, trust=100))
    assert doubtful == NEVER, "forty right answers do not prove what the probabilities deny"


def test_wilson_holds_the_share_and_narrows() -> None:
    low, high = thresholds.wilson(98, 100)
    assert low < 0.98 < high
    assert high - low > thresholds.wilson(980, 1000)[1] - thresholds.wilson(980, 1000)[0]
    assert thresholds.wilson(0, 0) == (0.0, 1.0)


def test_thresholds_in_danger_move_towards_certainty() -> None:
    assert thresholds.tightened((0.8, NEVER)) == pytest.approx((0.85, NEVER))


def test_figures_of_a_table_one_can_count_by_hand() -> None:
    chance = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]])
    found = evaluation.figures(
        ["甲", "乙"], chance, ["甲", "甲", "乙", "乙"], dispatched=np.array([True, False, True, True])
    )
    assert found.accuracy == 0.75
    assert found.top2 == 1
    assert found.coverage == 0.75
    assert found.coverage_precision == pytest.approx(2 / 3)
    assert found.confusion == {"甲": {"甲": 2, "乙": 0}, "乙": {"甲": 1, "乙": 1}}
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert json.loads(json.dumps(found.as_json()))["messages"] == 4


def test_near_copies_share_a_group_and_a_fold() -> None:
    bodies = [
        "小区门口的路灯坏了半个月一直没有人来修理，晚上很黑",
        "小区门口的路灯坏了半个月一直没有人来修理，晚上很黑！请处理",
        "医院窗口排队两个小时",
    ]
    group = neighbours.groups(bodies)
    assert group[0] == group[1] != group[2]
    fold = neighbours.folds(group, ["a", "a", "b"], 2)
    assert fold[0] == fold[1]


def test_folds_spread_every_label_evenly() -> None:
    labels = ["a"] * 50 + ["b"] * 10
    fold = neighbours.folds(np.arange(60), labels)
    counts = [[(fold[:50] == one).sum(), (fold[50:] == one).sum()] for one in range(5)]
    assert all(8 <= many <= 12 and 1 <= few <= 3 for many, few in counts)


def test_cross_validation_answers_every_message_once() -> None:
    found = validation.crossed(examples(), count=3)
    assert found.figures.messages == len(examples())
    assert np.allclose(found.probabilities.sum(axis=1), 1)
    assert found.figures.macro_f1 > 0.9


def test_a_stored_model_answers_as_before(learnt: Learnt, tmp_path: Path) -> None:
    card = store.save(learnt.model, tmp_path / "m", made_from=learnt.made_from)
    again, read = store.load(tmp_path / "m")
    rows = [fields(one.title, one.body) for one in examples()]
    before = learnt.model.judge(learning.LABEL, learnt.model.vectors(rows))
    after = again.judge(learning.LABEL, again.vectors(rows))
    assert np.abs(before.probabilities - after.probabilities).max() < 0.01
    assert before.best() == after.best()
    assert read.version == card.version
    assert read.made_from["examples"] == len(examples())


def test_a_missing_damaged_altered_or_newer_model_is_refused_by_name(learnt: Learnt, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="nothing"):
        store.load(tmp_path / "nothing")
    folder = tmp_path / "m"
    store.save(learnt.model, folder)
    arrays = (folder / store.ARRAYS).read_bytes()
    manifest = (folder / store.MANIFEST).read_text("utf-8")
    (folder / store.ARRAYS).write_bytes(arrays[:-10])
    with pytest.raises(ModelDamaged, match="与清单不符"):
        store.load(folder)
    (folder / store.ARRAYS).write_bytes(arrays)
    (folder / store.MANIFEST).write_text(manifest.replace('"scale": ', '"scale": 9'), "utf-8")
    with pytest.raises(ModelDamaged, match="已被改动"):
        store.load(folder)
    page = json.loads(manifest)
    page["format"] = store.FORMAT + 1
    (folder / store.MANIFEST).write_text(json.dumps(page), "utf-8")
    with pytest.raises(ModelTooNew, match="m"):
        store.load(folder)
    (folder / store.MANIFEST).write_text("{", "utf-8")
    with pytest.raises(ModelDamaged):
        store.load(folder)


def test_a_model_of_the_first_format_still_answers_but_dispatches_nothing(learnt: Learnt, tmp_path: Path) -> None:
    """Its confidence was rated by another rule, so its thresholds mean nothing any more."""
    folder = tmp_path / "m"
    store.save(learnt.model, folder)
    page = json.loads((folder / store.MANIFEST).read_text("utf-8"))
    page["format"] = 1
    for row in page["heads"]:
        del row["trunk"], row["branches"]
    page["seal"] = hashlib.sha256(
        json.dumps({k: v for k, v in page.items() if k != "seal"}, ensure_ascii=False, sort_keys=True).encode()
    ).hexdigest()
    (folder / store.MANIFEST).write_text(json.dumps(page), "utf-8")
    model, _ = store.load(folder)
    judged = model.judge(learning.LABEL, model.vectors([fields(one.title, one.body) for one in examples()]))
    assert np.mean([a == b.label for a, b in zip(judged.best(), examples(), strict=True)]) > 0.95
    assert not judged.sure.any()


def test_topics_that_do_not_fit_the_words_are_refused(learnt: Learnt, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    store.save(learnt.model, folder)
    page = json.loads((folder / store.MANIFEST).read_text("utf-8"))
    with np.load(folder / store.ARRAYS) as arrays:
        every = {name: arrays[name] for name in arrays.files}
    every["topic_columns"] = every["topic_columns"] + np.int32(10_000_000)
    np.savez_compressed(folder / store.ARRAYS, **every)
    page["sha256"] = hashlib.sha256((folder / store.ARRAYS).read_bytes()).hexdigest()
    page["seal"] = hashlib.sha256(
        json.dumps({k: v for k, v in page.items() if k != "seal"}, ensure_ascii=False, sort_keys=True).encode()
    ).hexdigest()
    (folder / store.MANIFEST).write_text(json.dumps(page), "utf-8")
    with pytest.raises(ModelDamaged, match="ValueError"):
        store.load(folder)


def test_no_stored_file_can_carry_code(learnt: Learnt, tmp_path: Path) -> None:
    store.save(learnt.model, tmp_path / "m")
    with np.load(tmp_path / "m" / store.ARRAYS, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)


def test_promotion_and_rollback(learnt: Learnt, tmp_path: Path) -> None:
    home = tmp_path / "home"
    store.save(learnt.model, tmp_path / "one")
    store.save(learning.fit(examples()[::2], seed=False).model, tmp_path / "two")
    with pytest.raises(ModelMissing):
        registry.rollback(home)
    first, second = registry.promote(tmp_path / "one", home), registry.promote(tmp_path / "two", home)
    assert registry.in_use(home) == second
    assert second.before == (first.version,)
    back = registry.rollback(home)
    assert back is not None
    assert back.version == first.version
    assert registry.folder_in_use(home) == home / first.version
    assert registry.rollback(home) is None


def test_a_worse_candidate_is_not_promoted(learnt: Learnt) -> None:
    muddled = [
        Example(title=one.title, body=one.body, label={"供水": "工资", "工资": "供水"}.get(one.label, one.label))
        for one in examples()
    ]
    worse = learning.fit(muddled, seed=False).model
    verdict = learning.compare(worse, learnt.model, examples())
    assert not verdict.better
    assert "不予启用" in verdict.reason
    assert learning.compare(learnt.model, learnt.model, examples()).better
    assert not learning.compare(learnt.model, learnt.model, []).better


def test_a_candidate_that_fails_one_label_is_named_even_when_better_overall() -> None:
    """One label gains much, one loses some: the mean is better and the answer is still no."""

    def taught(mislabelled: str, but_every: int) -> Learnt:
        rows = [
            Example(title="", body=one.body, label="工资" if one.label == mislabelled and at % but_every else one.label)
            for at, one in enumerate(examples())
        ]
        return learning.fit(rows, seed=False)

    holdout = [Example(title="", body=one.body, label=one.label) for one in examples() if one.label != "工资"]
    verdict = learning.compare(taught("供水", 2).model, taught("学校", 12).model, holdout, margin=0.0)
    assert verdict.candidate_f1 > verdict.incumbent_f1
    assert set(verdict.worse) == {"供水"}
    assert not verdict.better


def test_the_words_that_moved_a_label_are_shown_where_they_stand(learnt: Learnt) -> None:
    title, body = "求助", "　　老板<br>拖欠工资三个月&nbsp;不给"
    shown = explanations.highlights(learnt.model, learning.LABEL, "工资", title=title, body=body)
    assert shown
    assert all({"title": title, "body": body}[one.field][one.start : one.end] == one.text for one in shown)
    assert any("工资" in one.text or "拖欠" in one.text for one in shown[:2])
    assert sum(one.weight for one in shown) <= 1.0001
