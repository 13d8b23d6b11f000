"""Measure the text model on real messages: our figures beside a baseline of the same run.

The messages are not part of this repository. `HOTLINE_BENCH_DATA` names their folder; without it `../shared/data`
beside the checkout is tried. Run as `python -m bench.classifier.run [--json FILE] [--parts quality,speed,...]`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier import (
    datafiles,
    duplicates,
    evaluation,
    hotspots,
    learning,
    neighbours,
    seeds,
    store,
    text,
    thresholds,
    validation,
)
from classifier.features import Fields, Source, fields
from classifier.learning import Example, Learnt
from classifier.model import NONE, Model, Recipe
from classifier.suggest import Suggester

HERE: Final = Path(__file__).parent
PARTS: Final = (
    "quality",
    "fast",
    "baseline",
    "time",
    "zero",
    "corrections",
    "reject",
    "duplicates",
    "hotspots",
    "speed",
)
_PER_LABEL: Final = 200
_COLD: Final = """
import sys
from pathlib import Path
from classifier.suggest import Suggester
Suggester.load(Path(sys.argv[1])).suggest("", "小区停水两天了")
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; returns 1 when the data are absent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--parts", default=",".join(PARTS), help="which parts to run")
    parser.add_argument("--unlabelled", action="store_true", help="let unlabelled messages shape the topics")
    chosen = parser.parse_args(argv)
    folder = Path(os.environ.get("HOTLINE_BENCH_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not (folder / "complaints.jsonl").is_file():
        print(f"The messages are absent: no complaints.jsonl in {folder}. Set HOTLINE_BENCH_DATA to their folder.")
        return 1
    bench = Bench(folder, unlabelled=chosen.unlabelled)
    figures: dict[str, Any] = {}
    for part in chosen.parts.split(","):
        start = time.perf_counter()
        figures[part] = getattr(bench, part)()
        print(f"  [{part}: {time.perf_counter() - start:.0f} s]", flush=True)
        if chosen.json:
            chosen.json.write_text(json.dumps(figures, ensure_ascii=False, indent=1, default=str), "utf-8")
    return 0


class Bench:
    """Reads the messages once; each method is one part of the table."""

    def __init__(self, folder: Path, *, unlabelled: bool) -> None:
        """Read what every part needs."""
        self.folder = folder
        self.rows = datafiles.read(folder / "complaints.jsonl", labelled=True)
        self.examples = [Example(title=row.title, body=row.body, label=row.label or "") for row in self.rows]
        self.unlabelled = [
            (row.title, row.body)
            for name in ("messages_with_time", "replies", "river_complaints")
            for row in (datafiles.read(folder / f"{name}.jsonl", labelled=False) if unlabelled else [])
        ]

    def quality(self) -> dict[str, Any]:
        """Five folds, near-copies grouped, seed corpus added to the training part only."""
        found = validation.crossed(self.examples, seed=True, unlabelled=self.unlabelled, progress=_say)
        figures = found.figures
        truth = np.array([found.labels.index(one.label) for one in self.examples])
        sent = evaluation.honest_dispatch(found.probabilities, truth, found.fold, Recipe().heard)
        best = found.probabilities.argmax(axis=1)
        by_label = {
            label: round(float((truth == at)[sent & (best == at)].mean()), 4)
            for at, label in enumerate(found.labels)
            if (sent & (best == at)).any()
        }
        _row("macro-F1, 5-fold, near-copies grouped", figures.macro_f1, ">= 0.940")
        _row("accuracy", figures.accuracy, "")
        _row("expected calibration error", figures.calibration_error, "<= 0.010")
        _row("top-2 / top-3 accuracy", f"{figures.top2:.4f} / {figures.top3:.4f}", ">= 0.992 / 0.998")
        _row("dispatched, thresholds from other folds", f"{sent.mean():.1%}", ">= 82 %")
        _row("  precision of those", f"{(best == truth)[sent].mean():.2%}", ">= 98 %")
        _row("  lowest of the classes", f"{min(by_label.values()):.2%}", ">= 98 %")
        _row(
            "dispatched, each fold's own thresholds", f"{figures.coverage:.1%} at {figures.coverage_precision:.2%}", ""
        )
        for one in figures.labels:
            print(
                f"    {one.label}: precision {one.precision:.3f} {_range(one.precision_range)}"
                f" recall {one.recall:.3f} {_range(one.recall_range)} F1 {one.f1:.3f}"
                f" dispatched at {by_label.get(one.label, 1.0):.3f}"
            )
        return {**figures.as_json(), "honest_coverage": float(sent.mean()), "by_label": by_label}

    def fast(self) -> dict[str, Any]:
        """Measure the same without votes of neighbours: what the fast variant gives up."""
        found = validation.crossed(self.examples, seed=True, recipe=learning.FAST_RECIPE, progress=_say)
        _row("fast variant, macro-F1", found.figures.macro_f1, "")
        _row("fast variant, calibration error", found.figures.calibration_error, "")
        return found.figures.as_json()

    def baseline(self) -> dict[str, Any]:
        """Title characters + body characters + body words, linear SVM, one temperature: classifier.md 3."""
        messages = [fields(one.title, one.body) for one in self.examples]
        labels = sorted({one.label for one in self.examples})
        truth = np.array([labels.index(one.label) for one in self.examples])
        fold = neighbours.folds(neighbours.groups([one.body for one in messages]), [one.label for one in self.examples])

        margins = np.zeros((len(messages), len(labels)))
        for one in range(5):
            _say(f"fold {one + 1} of 5")
            seen, held = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
            known = _baseline([messages[at] for at in seen], truth[seen])
            margins[held] = known.decision_function([messages[at] for at in held])
        from classifier.calibration import softmax

        chance = softmax(4.1 * margins)
        figures = evaluation.figures(labels, chance, [one.label for one in self.examples])
        sent = evaluation.honest_dispatch(chance, truth, fold, thresholds.Promise())
        _row("baseline macro-F1 / accuracy", f"{figures.macro_f1:.4f} / {figures.accuracy:.4f}", "")
        _row("baseline calibration error", figures.calibration_error, "")
        _row("baseline top-2 / top-3", f"{figures.top2:.4f} / {figures.top3:.4f}", "")
        _row("baseline dispatched", f"{sent.mean():.1%} at {(chance.argmax(axis=1) == truth)[sent].mean():.2%}", "")
        return {**figures.as_json(), "honest_coverage": float(sent.mean())}

    def time(self) -> dict[str, Any]:
        """Oldest three quarters of the dated rows to the newest quarter."""
        dated = sorted(
            (str(row.raw["time"]), at) for at, row in enumerate(self.rows) if datafiles.moment(row.raw.get("time"))
        )
        cut = len(dated) * 3 // 4
        old, new = [self.examples[at] for _, at in dated[:cut]], [self.examples[at] for _, at in dated[cut:]]
        alone = _f1(learning.fit(old, seed=False), new)
        helped = _f1(learning.fit(old, seed=True, unlabelled=self.unlabelled), new)
        _row(f"time split ({len(old)} -> {len(new)}), with seed corpus", helped, ">= 0.90")
        _row("time split, without it", alone, "")
        return {"with_seed": helped, "without": alone}

    def zero(self) -> dict[str, Any]:
        """No history at all: the seed corpus against every real message."""
        corpus = seeds.load()
        learnt = learning.learn_default(corpus)
        every = learnt.model.judge_all(learnt.model.vectors([fields(one.title, one.body) for one in self.examples]))
        judged, judged_leaves = every[learning.FIRST], every[learning.CATEGORY]
        figures = evaluation.figures(
            judged.labels, judged.probabilities, [one.label for one in self.examples], dispatched=judged.sure
        )
        branches = [corpus.by_code[code].first for code in judged_leaves.best()]
        agreed = np.array([said == one.label for said, one in zip(branches, self.examples, strict=True)])
        _row("zero history, macro-F1", figures.macro_f1, ">= 0.80")
        _row("zero history, calibration error", figures.calibration_error, "")
        _row("zero history, dispatched", f"{figures.coverage:.1%} at {figures.coverage_precision:.2%}", "")
        sure = judged_leaves.sure
        _row("  by leaf, first level right when sure", f"{sure.mean():.1%} at {agreed[sure].mean():.2%}", "")
        return {
            **figures.as_json(),
            **learnt.made_from,
            "leaf_coverage": float(sure.mean()),
            "leaf_first_level_precision": float(agreed[sure].mean()),
        }

    def corrections(self) -> dict[str, Any]:
        """Learn from the seed corpus and 200 corrections for each label, against the rest; near-copies kept apart."""
        group = neighbours.groups([fields(one.title, one.body).body for one in self.examples])
        order = np.random.default_rng(20200).permutation(len(self.examples))
        taken: list[int] = []
        count: dict[str, int] = {}
        for at in order.tolist():
            label = self.examples[at].label
            if count.get(label, 0) < _PER_LABEL:
                count[label] = count.get(label, 0) + 1
                taken.append(at)
        known = set(group[taken].tolist())
        rest = [one for one, where in zip(self.examples, group.tolist(), strict=True) if where not in known]
        given = [self.examples[at] for at in taken]
        with_seed, without = _f1(learning.fit(given, seed=True), rest), _f1(learning.fit(given, seed=False), rest)
        _row(f"seed + {_PER_LABEL} corrections a label ({len(given)} -> {len(rest)})", with_seed, ">= 0.91")
        _row("the same without the seed corpus", without, "")
        return {"with_seed": with_seed, "without": without}

    def reject(self) -> dict[str, Any]:
        """Precision of what would be dispatched among 300 messages of any subject, read and labelled by us."""
        labelled = [json.loads(line) for line in (HERE / "reject_labels.jsonl").read_text("utf-8").splitlines()]
        texts = {
            (name, row.id): row
            for name in ("messages_with_time", "replies")
            for row in datafiles.read(self.folder / f"{name}.jsonl", labelled=False)
        }
        chosen = [texts[row["set"], str(row["id"])] for row in labelled]
        messages = [fields(row.title, row.body) for row in chosen]
        # Some were also sent to where the labelled file comes from: near-copies never stand on both sides.
        group = neighbours.groups(
            [one.body for one in [*messages, *(fields(row.title, row.body) for row in self.rows)]]
        )
        asked = set(group[: len(messages)].tolist())
        apart = [one for one, at in zip(self.examples, group[len(messages) :].tolist(), strict=True) if at not in asked]
        learnt = learning.fit(apart, seed=True)
        judged = learnt.model.judge(learning.LABEL, learnt.model.vectors(messages))
        best = judged.best()
        sent = judged.sure
        lead = np.array([said == row["label"] for said, row in zip(best, labelled, strict=True)])
        able = np.array([said == row["label"] or said in row["also"] for said, row in zip(best, labelled, strict=True)])
        none = np.array([row["label"] == NONE for row in labelled])
        _row("mixed subjects: dispatched of 300", f"{sent.mean():.1%}", "")
        _row("  to a competent department", f"{able[sent].mean():.2%}" if sent.any() else "-", ">= 97 %")
        _row("  to the one we would name first", f"{lead[sent].mean():.2%}" if sent.any() else "-", "")
        _row("  belonging to none, yet dispatched", f"{int((none & sent).sum())} of {int(none.sum())}", "")
        _row("  near-copies left out of the training", f"{len(self.examples) - len(apart)}", "")
        return {"sent": float(sent.mean()), "competent": float(able[sent].mean()), "lead": float(lead[sent].mean())}

    def duplicates(self) -> dict[str, Any]:
        """Pairs that we read and labelled; and how fast a million answer."""
        pairs = [json.loads(line) for line in (HERE / "duplicate_pairs.jsonl").read_text("utf-8").splitlines()]
        texts = {row.id: row for row in datafiles.read(self.folder / "messages_with_time.jsonl", labelled=False)}
        told = {
            name: duplicates.sketch(texts[name].title, texts[name].body)
            for pair in pairs
            for name in (str(pair["one"]), str(pair["other"]))
        }
        said, weight = [], []
        for pair in pairs:
            one, other = texts[str(pair["one"])], texts[str(pair["other"])]
            first, second = told[one.id], told[other.id]
            moments = datafiles.moment(one.raw["time"]), datafiles.moment(other.raw["time"])
            days = abs((moments[0] - moments[1]).days) if moments[0] and moments[1] else None
            said.append(
                duplicates.rated(
                    len(np.intersect1d(first, second)) / min(len(first), len(second)),
                    days_apart=days,
                    likeness=duplicates.likeness((one.title, one.body), (other.title, other.body)),
                )
            )
            weight.append(pair["stands_for"])
        score, share = np.array(said), np.array(weight)
        same = np.array([bool(pair["same"]) for pair in pairs])
        yes = score >= duplicates.SURE
        _row("labelled pairs: precision / recall", f"{same[yes].mean():.3f} / {yes[same].mean():.3f}", "")
        precision, recall = share[yes & same].sum() / share[yes].sum(), share[yes & same].sum() / share[same].sum()
        _row("  weighted to all pairs above cosine 0.07", f"{precision:.3f} / {recall:.3f}", "")
        p95 = _million()
        _row("a million tickets, p95 of one search", f"{p95:.1f} ms", "< 50 ms")
        return {"precision": float(same[yes].mean()), "recall": float(yes[same].mean()), "million_p95_ms": p95}

    def hotspots(self) -> list[dict[str, Any]]:
        """Rank the hottest topics."""
        messages = [
            hotspots.Message(
                id=row.id,
                title=row.title,
                body=row.body,
                at=datafiles.moment(row.raw["time"]) or datetime(2000, 1, 1),  # noqa: DTZ001 - the file has no zone
                citizen=str(row.raw["user"]),
                votes=row.raw["up"] + row.raw["down"],
            )
            for row in datafiles.read(self.folder / "messages_with_time.jsonl", labelled=False)
        ]
        found = hotspots.topics(messages)
        for one in found:
            _row(f"hot topic {one.rank}", f"{one.heat:.1f}, {one.citizens} citizens, {len(one.ids)} messages", "")
        return [{"rank": one.rank, "heat": one.heat, "ids": one.ids} for one in found]

    def speed(self) -> dict[str, Any]:
        """Batch, one text, file, loading and cold start of the model trained on everything.

        The speed of a machine that others use varies by two, so the baseline is timed in turns with the model: how many
        times as fast ours is holds on any machine, and how fast the baseline was says what machine this was.
        """
        learnt = learning.fit(self.examples, seed=True)
        quick = learning.fit(self.examples, seed=True, recipe=learning.FAST_RECIPE).model
        labels = sorted({one.label for one in self.examples})
        baseline = _baseline(
            [fields(one.title, one.body) for one in self.examples],
            np.array([labels.index(one.label) for one in self.examples]),
        ).decision_function
        ours = _judge(learnt.model)
        # Not those that were learnt from: of its own messages a model is surer, and then it is faster.
        batch = datafiles.read(self.folder / "messages_with_time.jsonl", labelled=False)[:3000]
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "model"
            store.save(learnt.model, folder)
            size = store.size(folder) / 1e6
            start = time.perf_counter()
            suggester = Suggester.load(folder)
            load_s = time.perf_counter() - start
            suggester.suggest("预热", "第一次调用会装载词典")
            rate = _rates({"ours": ours, "fast": _judge(quick), "baseline": baseline}, batch)
            one = {
                "ours": _alone(lambda row: ours([fields(row.title, row.body)]), batch[:500]),
                "everything": _alone(lambda row: suggester.suggest(row.title, row.body), batch[:500]),
                "baseline": _alone(lambda row: baseline([fields(row.title, row.body)]), batch[:500]),
            }
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", _COLD, str(folder)], check=True)
            cold = time.perf_counter() - begin

        def beside(name: str) -> str:
            return f"{rate[name]:.0f} docs/s = {rate[name] / rate['baseline']:.1f} x baseline"

        def p95(name: str) -> str:
            return f"{one[name][0]:.2f} ms ({one[name][1]:.2f} on a core)"

        _row("throughput, one core, tokenising included", beside("ours"), ">= 3 000")
        _row("throughput of the fast variant", beside("fast"), "")
        _row(
            "throughput of the baseline (yardstick)",
            f"{rate['baseline']:.0f} docs/s",
            "1 170 to 1 700 in classifier.md",
        )
        _row("one text, label only, p95", p95("ours"), "<= 5 ms")
        _row("one text, every suggestion, p95", p95("everything"), "")
        _row("one text, baseline, p95 (yardstick)", p95("baseline"), "7.4 ms in classifier.md")
        _row("model file", f"{size:.1f} MB, loaded in {load_s:.2f} s", "<= 10 MB, < 0.5 s")
        _row("cold start to first answer", f"{cold:.2f} s", "<= 3 s")
        return {
            "docs_per_second": rate["ours"],
            "fast_docs_per_second": rate["fast"],
            "baseline_docs_per_second": rate["baseline"],
            "p95_ms": one["ours"][0],
            "p95_core_ms": one["ours"][1],
            "everything_p95_ms": one["everything"][0],
            "everything_p95_core_ms": one["everything"][1],
            "baseline_p95_ms": one["baseline"][0],
            "baseline_p95_core_ms": one["baseline"][1],
            "megabytes": size,
            "load_s": load_s,
            "cold_s": cold,
        }


def _baseline(messages: Sequence[Fields], truth: NDArray[np.int64]) -> Any:  # noqa: ANN401 - scikit-learn ships no types
    """Return the best recipe of classifier.md 3, learnt from the messages; also the yardstick of speed."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    def block(source: Source, **how: Any) -> Any:  # noqa: ANN401 - as above
        return TfidfVectorizer(
            preprocessor=lambda message: getattr(message, source.value),
            lowercase=False,
            min_df=2,
            sublinear_tf=True,
            dtype=np.float32,
            **how,
        )

    characters = {"analyzer": "char", "ngram_range": (1, 2)}
    union = make_union(
        block(Source.TITLE, **characters),
        block(Source.BODY, **characters),
        block(Source.BODY, tokenizer=text.words, token_pattern=None),
    )
    return make_pipeline(union, LinearSVC(C=0.7, random_state=0)).fit(messages, truth)


def _f1(learnt: Learnt, held: Sequence[Example]) -> float:
    judged = learnt.model.judge(
        learning.LABEL, learnt.model.vectors([fields(one.title, one.body) for one in held])
    ).best()
    truth = [one.label for one in held]
    return float(np.mean(list(evaluation.f1_by_label(truth, judged, sorted(set(truth))).values())))


Reader = Callable[[Sequence[Fields]], Any]


def _judge(model: Model) -> Reader:
    return lambda messages: model.judge(learning.LABEL, model.vectors(messages))


def _rates(readers: Mapping[str, Reader], batch: Sequence[datafiles.Row]) -> dict[str, float]:
    """Return messages a second of processor time, tokenising included; each reader's best of three rounds.

    Other work on the machine only slows, and it slows all alike: the rounds of the readers take turns.
    """
    best = dict.fromkeys(readers, 0.0)
    for _ in range(3):
        for name, read in readers.items():
            begun = time.process_time()
            for at in range(0, len(batch), 500):
                read([fields(row.title, row.body) for row in batch[at : at + 500]])
            best[name] = max(best[name], len(batch) / (time.process_time() - begun))
    return best


def _alone(read: Callable[[datafiles.Row], Any], batch: Sequence[datafiles.Row]) -> tuple[float, float]:
    """Return the p95 of one text in milliseconds: by the clock, and of processor time."""
    clock, core = [], []
    for row in batch:
        start, begun = time.perf_counter(), time.process_time()
        read(row)
        core.append((time.process_time() - begun) * 1e3)
        clock.append((time.perf_counter() - start) * 1e3)
    return float(np.percentile(clock, 95)), float(np.percentile(core, 95))


def _million(count: int = 1_000_000) -> float:
    """Return the p95 in milliseconds of a search among a million sketches whose keys repeat as words do."""
    random = np.random.default_rng(20200)
    pool = random.integers(1, 2**63, 3_000_000, dtype=np.uint64)
    keys = np.sort(pool[(len(pool) * random.random((count, duplicates.KEYS)) ** 3).astype(int)], axis=1)
    index = duplicates.Index()
    index.extend(duplicates.Told(id=at, keys=keys[at]) for at in range(count))
    times = []
    for at in range(0, count, 5000):
        start = time.perf_counter()
        index.find(keys[at], but=at)
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.percentile(times, 95))


def _row(what: str, value: float | str, wanted: str) -> None:
    shown = value if isinstance(value, str) else f"{value:.4f}"
    print(f"{what:52s} {shown:>28s}   {wanted}", flush=True)


def _range(both: tuple[float, float]) -> str:
    return f"[{both[0]:.3f}, {both[1]:.3f}]"


def _say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
