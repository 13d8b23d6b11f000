"""The command `hotline classifier`: train, predict, measure and switch models from files, no database needed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from classifier import datafiles, evaluation, explanations, hotspots, learning, registry, seeds, store, text
from classifier.datafiles import Row
from classifier.errors import BadTrainingFile, ClassifierError, ModelMissing
from classifier.features import fields
from classifier.hotspots import Message
from classifier.model import NONE, Judgement, Model
from hotline.cli import Refused
from hotline.cli.learning import learn
from hotline.core.settings import Settings
from routing.serving import models_folder

_T = TypeVar("_T")
_BATCH: Final = 500
_DEFAULT: Final = "default"
_TASKS: Final = (learning.CATEGORY, learning.FIRST, learning.REQUEST_TYPE)
_console = Console(stderr=True)
_SHOWN_CONTRADICTIONS: Final = 5

_data_option = click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSONL：每行含 title、body（和 label）",
)
_model_option = click.option(
    "--model",
    "model_name",
    default=_DEFAULT,
    show_default=True,
    metavar="DIR|default",
    help="模型目录；default 为在用模型",
)
_by_option = click.option(
    "--by",
    type=click.Choice(_TASKS),
    help="默认模型按哪种标签预测：category 末级类别、first 七个一级类、request_type 诉求类型",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="输出 JSON")


@click.group(help="训练、评估与切换分类模型；除 learn 外全部读写文件，不需要数据库。")
def classifier() -> None:
    """Group of commands over model folders and JSONL files."""


classifier.add_command(learn)


@classifier.command(help="从带标签的 JSONL 训练模型。")
@_data_option
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="写入模型的目录")
@click.option("--seed-corpus", is_flag=True, help="并入随附的种子语料（按末级代码或七个一级类对应）")
@click.option(
    "--unlabelled",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="无标签 JSONL，只用来了解用词；可多次",
)
@click.option("--fast", is_flag=True, help="快速型：批量处理快一半以上，可自动派发的少一些")
def train(data: Path, out: Path, *, seed_corpus: bool, unlabelled: Sequence[Path], fast: bool) -> None:
    """Learn `title`, `body` -> `label`, whatever the labels are, and store the model."""
    rows = datafiles.read(data, labelled=True)
    found = datafiles.contradictions(rows)
    for one in found[:_SHOWN_CONTRADICTIONS]:
        _console.print(
            f"注意：{one.ids[0]} 与 {one.ids[1]} 文字相同而标签不同"
            f"（{one.labels[0]} / {one.labels[1]}），两条都会降低权重。"
        )
    if len(found) > _SHOWN_CONTRADICTIONS:
        _console.print(f"注意：共有 {len(found)} 处文字相同而标签不同。")
    doubted = {name for one in found for name in one.ids}
    examples = [
        learning.Example(
            title=row.title, body=row.body, label=row.label or "", weight=0.3 if row.id in doubted else 1.0
        )
        for row in rows
    ]
    more = [(row.title, row.body) for path in unlabelled for row in datafiles.read(path, labelled=False)]
    start = time.perf_counter()
    with _steps() as say:
        say("训练模型")
        recipe = learning.FAST_RECIPE if fast else None
        learnt = learning.fit(examples, seed=seed_corpus, unlabelled=more, recipe=recipe, progress=say)
        say("写入文件")
        figures = learning.own_figures(learnt)
        card = store.save(learnt.model, out, made_from=learnt.made_from, measured=figures.as_json())
    took = time.perf_counter() - start
    click.echo(
        f"模型 {card.version} 已写入 {out}（{store.size(out) / 1e6:.1f} MB，用时 {took:.0f} 秒）。\n"
        f"样本 {len(rows)} 条，类别 {len(learnt.made_from['labels'])} 个；"
        f"留一组法估计：宏平均 F1 {figures.macro_f1:.3f}，可自动派发 {figures.coverage:.1%}"
        f"（正确率 {figures.coverage_precision:.1%}）。"
    )
    if len(rows) < 20 * len(learnt.made_from["labels"]):
        click.echo("注意：样本很少（平均每类不足 20 条），结果只供参考，不会自动派发。")


@classifier.command(help="逐行预测，写出 JSONL。")
@_model_option
@_data_option
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="写入结果的 JSONL")
@_by_option
def predict(model_name: str, data: Path, out: Path, by: str | None) -> None:
    """Write for each line its label, probability, top three and whether it abstained."""
    rows = datafiles.read(data, labelled=False)
    model, _ = _loaded(model_name)
    task = _task(model, by)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as file:
        for chunk, judged in _judged(model, task, rows):
            for at, row in enumerate(chunk):
                file.write(json.dumps(_line(row, judged, at), ensure_ascii=False) + "\n")
    click.echo(f"{len(rows)} 条已写入 {out}。")


@classifier.command(help="在带标签的 JSONL 上评估，打印成绩表。")
@_model_option
@_data_option
@_by_option
@_json_option
def evaluate(model_name: str, data: Path, by: str | None, *, as_json: bool) -> None:
    """Measure a stored model on labelled messages that it has not seen."""
    rows = datafiles.read(data, labelled=True)
    loaded = time.perf_counter()
    model, folder = _loaded(model_name)
    load_s = time.perf_counter() - loaded
    task = _task(model, by)
    labels = model.heads[task].labels
    truth = [row.label or "" for row in rows]
    unknown = sorted(set(truth) - set(labels))
    if len(unknown) == len(set(truth)):
        known = "、".join([label for label in labels if label][:8])
        raise BadTrainingFile(f"文件中的标签模型都不认识，例如“{unknown[0]}”。模型的标签有：{known}…")
    begun = time.process_time()
    parts = [judged for _, judged in _judged(model, task, rows)]
    speed = len(rows) / max(time.process_time() - begun, 1e-9)
    chance, sure = np.concatenate([one.probabilities for one in parts]), np.concatenate([one.sure for one in parts])
    figures = evaluation.figures(labels, chance, truth, dispatched=sure)
    more = {
        "model": folder.name,
        "unknown_labels": unknown,
        "documents_per_second": round(speed),
        "one_text_p95_ms": round(_p95_ms(model, task, rows[:300]), 2),
        "model_bytes": store.size(folder),
        "load_seconds": round(load_s, 3),
    }
    if as_json:
        click.echo(json.dumps({**figures.as_json(), **more}, ensure_ascii=False, indent=1))
        return
    click.echo(table(figures, more))


@classifier.command(help="启用一个模型；给出 --holdout 时先与在用模型比较，不合格不启用。")
@click.option("--model", "model_name", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option("--holdout", type=click.Path(path_type=Path), metavar="FILE", help="留存的带标签 JSONL")
@click.option("--margin", type=click.FloatRange(0, 1), default=0.02, show_default=True, help="每个类别允许下降的幅度")
def promote(model_name: Path, holdout: Path | None, margin: float) -> None:
    """Put a model in use when it is not worse overall and in no class by more than the margin."""
    home = _home()
    candidate, _ = store.load(model_name)
    if holdout:
        rows = datafiles.read(holdout, labelled=True)
        incumbent, _ = store.load(registry.folder_in_use(home))
        judged = learning.compare(
            candidate,
            incumbent,
            [learning.Example(title=row.title, body=row.body, label=row.label or "") for row in rows],
            margin=margin,
        )
        click.echo(judged.reason)
        if not judged.better:
            raise Refused("模型未启用。")
    now = registry.promote(model_name, home)
    click.echo(f"模型 {now.version} 已启用。")


@classifier.command(help="回退到上一个启用的模型。")
def rollback() -> None:
    """Put the version before back in use."""
    now = registry.rollback(_home())
    click.echo(f"已回退到模型 {now.version}。" if now else "已回退到随附语料训练的默认模型。")


@classifier.command(help="说明一条文本为什么这样分类：标出起作用的词。")
@_model_option
@click.option("--title", default="", help="标题")
@click.option("--body", default="", help="正文")
@_by_option
@_json_option
def explain(model_name: str, title: str, body: str, by: str | None, *, as_json: bool) -> None:
    """Show the candidates and the words that moved the first one."""
    if not text.words(text.normal(title + body)):
        raise Refused("没有可供判断的文字，请用 --title、--body 给出内容。")
    model, _ = _loaded(model_name)
    task = _task(model, by)
    judged = model.judge(task, model.vectors([fields(title, body)]))
    line = _line(Row(id="1", title=title, body=body, label=None, raw={}), judged, 0)
    shown = explanations.highlights(model, task, line["label"], title=title, body=body)
    if as_json:
        click.echo(json.dumps({**line, "highlights": [asdict(one) for one in shown]}, ensure_ascii=False, indent=1))
        return
    names = _names()
    for label, chance in line["top"]:
        click.echo(f"{chance:6.1%}  {names.get(label, label)}")
    click.echo("把握不足，建议人工判断。" if line["abstained"] else "达到该类别的自动派发标准。")
    for one in shown:
        place = "标题" if one.field == "title" else "正文"
        click.echo(f"  {one.weight:6.1%}  {one.text}（{place}第 {one.start + 1} 字）")


@classifier.command(name="hotspots", help="从带时间的 JSONL 归并热点事项，按热度排序。")
@_data_option
@click.option("--top", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="写入结果的 JSON")
def hotspots_(data: Path, top: int, out: Path) -> None:
    """Write the topics in order of heat."""
    messages = []
    for row in datafiles.read(data, labelled=False):
        at = datafiles.moment(row.raw.get("time"))
        if at is None:
            raise BadTrainingFile(f"{data.name} 中 id 为 {row.id} 的一条缺少可识别的 time 字段。")
        messages.append(
            Message(
                id=row.id,
                title=row.title,
                body=row.body,
                at=at.replace(tzinfo=None),
                citizen=str(row.raw.get("user") or ""),
                votes=_count(row.raw.get("up")) + _count(row.raw.get("down")),
            )
        )
    with _steps() as say:
        found = hotspots.topics(messages, top=top, progress=say)
    page = [
        {
            "rank": one.rank,
            "name": one.name,
            "place": one.place,
            "from": one.starts_at.isoformat(sep=" "),
            "to": one.ends_at.isoformat(sep=" "),
            "heat": one.heat,
            "ids": _as_given(one.ids, messages),
            "citizens": one.citizens,
            "votes": one.votes,
            "reasons": one.reasons,
        }
        for one in found
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(page, ensure_ascii=False, indent=1), "utf-8")
    for one in found:
        click.echo(f"{one.rank:3d}  {one.heat:7.1f}  {one.name}（{one.place}；{one.reasons}）")


@classifier.command(help="打印模型卡：来源、样本、训练时的成绩与各类别标准。")
@_model_option
@_json_option
def card(model_name: str, *, as_json: bool) -> None:
    """Show what a stored model was made from and how it measured."""
    model, folder = _loaded(model_name)
    known = store.card(folder)
    heads = {
        name: {"labels": len(head.labels), "features": int(head.weights.shape[0])} for name, head in model.heads.items()
    }
    page = {
        "version": known.version,
        "bytes": store.size(folder),
        "heads": heads,
        "made_from": known.made_from,
        "measured": known.measured,
    }
    if as_json:
        click.echo(json.dumps(page, ensure_ascii=False, indent=1))
        return
    click.echo(f"模型 {known.version}，{store.size(folder) / 1e6:.1f} MB")
    for name, row in heads.items():
        click.echo(f"  任务 {name}：{row['labels']} 个标签，{row['features']} 个特征")
    for key, value in known.made_from.items():
        click.echo(f"  {key}：{value if not isinstance(value, list) else '、'.join(map(str, value[:20]))}")
    for head in model.heads.values():
        if len(head.labels) <= 20:  # noqa: PLR2004 - a longer list fills no screen usefully
            limits = (
                f"{label or '（都不属于）'} {'不自动派发' if limit > 1 else f'{limit:.3f}'}"
                for label, limit in zip(head.labels, head.thresholds, strict=True)
            )
            click.echo(f"  {head.task} 自动派发标准：" + "，".join(limits))
    if known.measured:
        click.echo(
            f"  留一组法：{known.measured['messages']} 条，宏平均 F1 {known.measured['macro_f1']:.3f}，"
            f"校准误差 {known.measured['calibration_error']:.3f}，自动派发 {known.measured['coverage']:.1%}，"
            f"正确率 {known.measured['coverage_precision']:.1%}"
        )


def table(figures: evaluation.Figures, more: dict[str, Any] | None = None) -> str:
    """Return the figures as lines for a terminal."""
    lines = [
        f"样本                       {figures.messages}",
        f"宏平均 F1                  {figures.macro_f1:.4f}",
        f"准确率                     {figures.accuracy:.4f}",
        f"期望校准误差               {figures.calibration_error:.4f}",
        f"前二 / 前三命中            {figures.top2:.4f} / {figures.top3:.4f}",
        f"自动派发比例 @ 正确率      {figures.coverage:.1%} @ {figures.coverage_precision:.2%}",
    ]
    for key, value in (more or {}).items():
        lines.append(f"{key:26s} {value}")
    if len(figures.labels) <= 30:  # noqa: PLR2004 - a longer list fills no screen usefully
        lines.append("类别：样本 精确率[95%区间] 召回率[95%区间] F1 派发@正确率")
        lines += [_label_line(one) for one in figures.labels]
    return "\n".join(lines)


def _label_line(one: evaluation.LabelFigures) -> str:
    precision = f"{one.precision:.3f}[{one.precision_range[0]:.3f},{one.precision_range[1]:.3f}]"
    recall = f"{one.recall:.3f}[{one.recall_range[0]:.3f},{one.recall_range[1]:.3f}]"
    sent = f"{one.dispatched}@{one.dispatched_precision:.3f}"
    return f"  {one.label}：{one.support} {precision} {recall} {one.f1:.3f} {sent}"


def _home() -> Path:
    return models_folder(Settings.from_environment().home)


def _loaded(name: str) -> tuple[Model, Path]:
    if name == _DEFAULT:
        with _steps() as say:
            say("准备默认模型（首次约需一分钟）")
            folder = registry.folder_in_use(_home())
    else:
        folder = Path(name)
        if not folder.is_dir():
            raise ModelMissing(f"没有找到模型目录 {name}。")
    return store.load(folder)[0], folder


def _task(model: Model, by: str | None) -> str:
    if by is None:
        return learning.LABEL if learning.LABEL in model.heads else learning.CATEGORY
    if by not in model.heads:
        raise Refused(f"这个模型没有 {by}，只有：{'、'.join(model.heads)}。")
    return by


def _judged(model: Model, task: str, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], Judgement]]:
    for chunk in _counted(_chunks(rows), "分类", len(rows)):
        yield chunk, model.judge(task, model.vectors([fields(row.title, row.body) for row in chunk]))


def _line(row: Row, judged: Judgement, at: int) -> dict[str, Any]:
    order = judged.order()[at]
    top = [
        [judged.labels[one], round(float(judged.probabilities[at, one]), 6)]
        for one in order[:3]
        if judged.labels[one] != NONE
    ]
    empty = not text.words(text.normal(row.title + row.body)[:500])
    return {
        "id": row.raw.get("id", row.id),
        "label": top[0][0],
        "probability": top[0][1],
        "top": top,
        "abstained": bool(empty or not judged.sure[at]),
    }


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def _p95_ms(model: Model, task: str, rows: Sequence[Row]) -> float:
    times = []
    for row in rows:
        start = time.perf_counter()
        model.judge(task, model.vectors([fields(row.title, row.body)]))
        times.append((time.perf_counter() - start) * 1000)
    return float(np.percentile(times, 95))


def _names() -> dict[str, str]:
    try:
        return {leaf.code: " / ".join(leaf.path) for leaf in seeds.load().leaves}
    except ClassifierError:
        return {}


def _count(value: Any) -> int:  # noqa: ANN401 - whatever a JSON file holds
    return value if isinstance(value, int) else 0


def _as_given(ids: Iterable[str], messages: Sequence[Message]) -> list[str | int]:
    """Return ids as numbers when all of the file's are numbers, as the file has them."""
    if all(message.id.isdecimal() for message in messages):
        return [int(one) for one in ids]
    return list(ids)


@contextmanager
def _steps() -> Iterator[Callable[[str], None]]:
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=_console, transient=True
    ) as bar:
        job = bar.add_task("…", total=None)
        yield lambda what: bar.update(job, description=what)


def _counted(items: Iterator[Sequence[_T]], what: str, total: int) -> Iterator[Sequence[_T]]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_console,
        transient=True,
    ) as bar:
        job = bar.add_task(what, total=total)
        for item in items:
            yield item
            bar.advance(job, len(item))
