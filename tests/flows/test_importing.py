"""A table is brought in: the good rows once, the bad ones told by line and field, whatever the file is like."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from hotline.cli import main
from hotline.core.clock import SHANGHAI
from hotline.core.db import Database
from hotline.core.errors import Invalid
from hotline.core.permissions import PUBLIC, SYSTEM
from hotline.core.sealing import Keyring
from hotline.core.text import search_words
from hotline.intake import importing
from hotline.intake.files import MOST_CELL, Table, guess_encoding, open_table
from hotline.intake.importing import Lookups, Plan, Rejected, Tally, bring_in, guess_columns, moment, parse_map
from hotline.tickets.actions import open_tickets
from hotline.tickets.models import JournalEntry, Ticket, TicketSearch
from hotline.tickets.queries import counters, holding_words
from hotline.tickets.states import Act, State
from hotline.tickets.vocabulary import Channel, NewTicket, RequestType, Urgency
from hotline.wiring import wired
from tests.conftest import NOW
from tests.makers import make_category, make_region

GOOD = "幸福路路口的路灯不亮已经三天了，晚上走路很危险"


def a_file(folder: Path, content: str | bytes, name: str = "in.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(count: int, *, first: int = 1) -> str:
    lines = [f"K{n},第{n}号路灯不亮,{GOOD}，编号{n}" for n in range(first, first + count)]
    return "\n".join(["编号,标题,内容", *lines]) + "\n"


def bring(
    database: Database | Callable[[], Any], path: Path, *, source: str = "test", **given: Any
) -> tuple[Tally, list[Rejected]]:
    """Bring a file in as the command does and return what became of it."""
    begin = database.begin if isinstance(database, Database) else database
    bad: list[Rejected] = []
    tally = Tally()
    with open_table(path) as table:
        columns = given.pop("columns", None) or guess_columns(table.columns)
        with begin() as session:
            plan = Plan(columns=columns, source=source, lookups=importing.lookups(session))
        for latest in bring_in(begin, table, plan, by=SYSTEM, now=lambda: NOW, on_rejected=bad.append, **given):
            tally = latest
    assert tally.rows == tally.imported + tally.known + tally.rejected
    assert tally.rejected == len(bad)
    return tally, bad


def within(session: Session) -> Callable[[], Any]:
    """Return a `begin` that stays in the test's own transaction."""

    @contextmanager
    def begin() -> Iterator[Session]:
        with session.begin_nested():
            yield session

    return begin


def titles(session: Session) -> list[str]:
    return list(session.scalars(select(Ticket.title).order_by(Ticket.id)))


def reasons(bad: list[Rejected]) -> dict[int, str]:
    return {each.record.line: "；".join(f"{where}{words}" for where, words in each.reasons) for each in bad}


# What comes in


def test_every_field_of_a_row_reaches_its_ticket(session: Session, tmp_path: Path) -> None:
    region, category = make_region(session, name="北苑区"), make_category(session, name="路灯照明")
    path = a_file(
        tmp_path,
        "工单编号,标题,诉求内容,姓名,联系电话,联系地址,事发地点,涉及单位,发生时间,诉求类型,紧急程度,来源渠道,所属区域,"
        "事件类别,是否保密\n"
        f"A-1,路灯不亮,{GOOD}，我的电话13900005678,王小明,139-0000-1234,幸福里3号楼,幸福路口,"
        "市政公司,2026年9月1日 8时5分,求助,紧急,微信,北苑区,路灯照明,是\n",
    )
    tally, bad = bring(within(session), path)
    assert (tally.imported, bad) == (1, [])
    ticket = session.scalars(select(Ticket)).one()
    assert (ticket.source_system, ticket.source_key) == ("test", "A-1")
    assert (ticket.state, ticket.channel) == (State.REGISTERED, Channel.WECHAT)
    assert (ticket.request_type, ticket.urgency) == (RequestType.HELP, Urgency.URGENT)
    assert (ticket.region_id, ticket.category_id) == (region.id, category.id)
    assert ticket.happened_at == datetime(2026, 9, 1, 8, 5, tzinfo=SHANGHAI)
    assert ticket.registered_at == NOW
    assert ticket.confidential
    assert (ticket.name_masked, ticket.phone_masked) == ("王**", "*******1234")
    assert "13900005678" not in ticket.content
    opened = session.info["keyring"].open(ticket.personal_sealed)
    assert opened["phone"] == "13900001234"
    assert "13900005678" in opened["content"]
    entry = session.scalars(select(JournalEntry)).one()
    assert (entry.act, entry.to_state, entry.details["source"]) == (Act.REGISTER, State.REGISTERED, "test")
    assert session.scalar(select(TicketSearch.words).where(TicketSearch.ticket_id == ticket.id))


def test_a_row_without_phone_or_channel_comes_in_as_imported(session: Session, tmp_path: Path) -> None:
    bring(within(session), a_file(tmp_path, f"内容\n{GOOD}\n"))
    ticket = session.scalars(select(Ticket)).one()
    assert ticket.channel is Channel.IMPORT
    assert ticket.wants_callback is False
    assert ticket.title.startswith("幸福路路口")


def test_what_is_imported_is_counted_searched_and_announced_like_any_ticket(db: Database, tmp_path: Path) -> None:
    bring(db, a_file(tmp_path, rows(3)))
    with db.read() as session:
        assert counters(session, ["tickets.all", "tickets.state.registered"]) == {
            "tickets.all": 3,
            "tickets.state.registered": 3,
        }
        assert session.scalar(text("SELECT count(*) FROM outbox WHERE event = 'TicketRegistered'")) == 3
        numbers = session.scalars(select(Ticket.number)).all()
        assert len(set(numbers)) == 3
        asked = holding_words("走路 危险")
        assert asked is not None
        found = session.scalar(select(func.count()).select_from(Ticket).where(asked))
        assert found == 3


def test_only_who_may_register_may_import(session: Session) -> None:
    from hotline.core.errors import Denied

    new = NewTicket(title="t", content=GOOD, channel=Channel.IMPORT, source_system="s", source_key="1")
    with pytest.raises(Denied):
        open_tickets(session, [new], by=PUBLIC, now=NOW)


# Again, stopped, side by side


def test_the_second_time_nothing_comes_in(db: Database, tmp_path: Path) -> None:
    path = a_file(tmp_path, rows(5))
    assert bring(db, path)[0].imported == 5
    tally, _ = bring(db, path)
    assert (tally.imported, tally.known) == (0, 5)
    with db.read() as session:
        assert len(titles(session)) == 5


def test_rows_that_were_added_later_come_in_and_only_they(db: Database, tmp_path: Path) -> None:
    bring(db, a_file(tmp_path, rows(5)))
    tally, _ = bring(db, a_file(tmp_path, rows(8)))
    assert (tally.imported, tally.known) == (3, 5)


def test_without_a_numbering_column_equal_rows_come_in_once(db: Database, tmp_path: Path) -> None:
    path = a_file(tmp_path, f"标题,内容\n甲,{GOOD}\n乙,{GOOD}\n甲,{GOOD}\n")
    tally, _ = bring(db, path)
    assert (tally.imported, tally.known) == (2, 1)
    assert bring(db, path)[0].known == 3


def test_the_same_number_from_another_source_is_another_record(db: Database, tmp_path: Path) -> None:
    path = a_file(tmp_path, rows(2))
    assert bring(db, path, source="one")[0].imported == 2
    assert bring(db, path, source="two")[0].imported == 2


def test_an_import_that_is_stopped_between_batches_goes_on_where_it_was(db: Database, tmp_path: Path) -> None:
    path = a_file(tmp_path, rows(500))

    def stop(tally: Tally) -> None:
        if tally.rows >= 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(db, path, on_batch=stop)
    with db.read() as session:
        assert len(titles(session)) == 200
    tally, _ = bring(db, path)
    assert (tally.imported, tally.known) == (300, 200)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(JournalEntry)) == 500


def test_a_batch_that_cannot_be_committed_leaves_nothing_of_itself(db: Database, tmp_path: Path) -> None:
    path = a_file(tmp_path, rows(300))
    opened = 0

    @contextmanager
    def breaking() -> Iterator[Session]:
        nonlocal opened
        opened += 1
        with db.begin() as session:
            yield session
            if opened == 3:  # the first reads the names, the second is the first batch
                raise ConnectionError("the line is cut before the commit")

    with pytest.raises(ConnectionError):
        bring(breaking, path)
    with db.read() as session:
        assert len(titles(session)) == 200
        assert session.scalar(select(func.count()).select_from(JournalEntry)) == 200
    assert bring(db, path)[0].imported == 100


def test_two_imports_of_one_file_at_once_bring_each_row_in_once(db: Database, tmp_path: Path) -> None:
    path = a_file(tmp_path, rows(400))
    together = threading.Barrier(2)
    tallies: list[Tally] = []

    def work() -> None:
        together.wait()
        tallies.append(bring(db, path)[0])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tally.imported for tally in tallies) == 400
    assert all(tally.rejected == 0 for tally in tallies)
    with db.read() as session:
        assert len(titles(session)) == 400


def test_a_row_that_the_database_refuses_does_not_keep_its_batch_out(db: Database, tmp_path: Path) -> None:
    with db.begin() as session:
        session.execute(text("ALTER TABLE tickets ADD CONSTRAINT no_third CHECK (title <> '第3号路灯不亮')"))
    tally, bad = bring(db, a_file(tmp_path, rows(5)))
    assert (tally.imported, tally.rejected) == (4, 1)
    assert "数据库拒绝" in reasons(bad)[4]
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(JournalEntry)) == 4
        assert session.scalar(text("SELECT count(*) FROM outbox")) == 4


# Bad rows


@pytest.mark.parametrize(
    ("heading", "cell", "said"),
    [
        ("内容", "", "诉求内容（列“内容”）请填写"),
        ("内容", "。。", "请填写诉求内容"),
        ("内容", "坏了", "内容过短"),
        ("内容", "灯" * 20_001, "内容最多 20000 字，现有 20001 字"),
        ("标题", "灯" * 101, "标题（列“标题”）标题最多 100 字"),
        ("联系电话", "12", "联系电话（列“联系电话”）电话号码不正确"),
        ("联系电话", "一三九", "只能包含数字"),
        ("身份证号", "110101199003070000", "身份证号不正确"),
        ("发生时间", "昨天", "时间“昨天”无法识别"),
        ("发生时间", "2026-13-40", "无法识别"),
        ("发生时间", "2030-01-01", "不能晚于现在"),
        ("发生时间", "1900-01-01", "过早"),
        ("诉求类型", "骂人", "不在可选范围内"),
        ("来源渠道", "飞鸽", "不在可选范围内"),
        ("所属区域", "月球", "没有名为“月球”的所属区域"),
        ("事件类别", "不存在", "没有名为“不存在”的事件类别"),
        ("是否匿名", "也许", "应为 是 或 否"),
        ("编号", "9" * 201, "编号最多 200 个字符"),
    ],
)
def test_a_bad_cell_is_told_by_line_and_field_and_the_others_come_in(
    session: Session, tmp_path: Path, *, heading: str, cell: str, said: str
) -> None:
    file = io.StringIO()
    writer = csv.DictWriter(file, dict.fromkeys(["备注", "内容", heading]))
    writer.writeheader()
    writer.writerow({"内容": GOOD})
    writer.writerow({"备注": "x", "内容": GOOD + "二", heading: cell})
    writer.writerow({"内容": GOOD + "三"})
    tally, bad = bring(within(session), a_file(tmp_path, file.getvalue()))
    assert (tally.imported, tally.rejected) == (2, 1)
    assert said in reasons(bad)[3]


def test_every_problem_of_a_row_is_told_at_once(session: Session, tmp_path: Path) -> None:
    _, bad = bring(within(session), a_file(tmp_path, "标题,内容,联系电话,发生时间\n甲,,12,昨天\n"))
    assert len(bad[0].reasons) == 3


def test_a_region_whose_name_is_borne_by_two_must_be_named_by_its_code(session: Session, tmp_path: Path) -> None:
    one, _two = make_region(session, "990199", name="新城"), make_region(session, "990299", name="新城")
    path = a_file(tmp_path, f"内容,区域\n{GOOD},新城\n{GOOD}二,990199\n")
    tally, bad = bring(within(session), path)
    assert tally.imported == 1
    assert "有多处名为“新城”" in reasons(bad)[2]
    assert session.scalars(select(Ticket.region_id)).one() == one.id


def test_html_sql_emoji_and_traditional_characters_come_in_as_they_are(session: Session, tmp_path: Path) -> None:
    odd = [
        "<script>alert('x')</script> 请修路灯",
        "'; DROP TABLE tickets; -- 请修路灯",
        "😀路燈壞了請維修，謝謝👍🏽",
        "𠮷野家门口积水，𪚥",
    ]
    path = a_file(tmp_path, "\n".join(["内容", *(f'"{each}"' for each in odd)]))
    tally, bad = bring(within(session), path)
    assert (tally.imported, bad) == (4, [])
    assert list(session.scalars(select(Ticket.content).order_by(Ticket.id))) == odd


def test_control_characters_and_nul_bytes_are_taken_out_and_the_row_comes_in(session: Session, tmp_path: Path) -> None:
    path = a_file(tmp_path, f"编号,标题,内容\nK\0 1,灯\0灯,{GOOD[:5]}\0\x07\x1b{GOOD[5:]}\n".encode())
    tally, bad = bring(within(session), path)
    assert (tally.imported, bad) == (1, [])
    ticket = session.scalars(select(Ticket)).one()
    assert (ticket.source_key, ticket.title, ticket.content) == ("K 1", "灯灯", GOOD)


def test_a_text_of_100_kb_is_refused_with_its_length(session: Session, tmp_path: Path) -> None:
    path = a_file(tmp_path, f"内容\n{'灯' * 34_000}\n{GOOD}\n")
    tally, bad = bring(within(session), path)
    assert (tally.imported, tally.rejected) == (1, 1)
    assert "现有 34000 字" in reasons(bad)[2]


def test_a_word_of_thousands_of_letters_can_be_imported_and_found(session: Session, tmp_path: Path) -> None:
    word = "a" * 15_000
    tally, _ = bring(within(session), a_file(tmp_path, f"内容\n{GOOD} {word}\n"))
    assert tally.imported == 1
    (cut,) = search_words(word)
    found = "SELECT count(*) FROM ticket_search WHERE words @@ cast(:w AS tsquery)"
    assert session.scalar(text(found), {"w": f"'{cut}'"}) == 1


# Files that are not what they should be


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("gb18030", "GB18030"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16")],
)
def test_the_usual_ways_of_writing_chinese_are_known(
    session: Session, tmp_path: Path, encoding: str, said: str
) -> None:
    path = a_file(tmp_path, rows(3).encode(encoding))
    with open_table(path) as table:
        assert said in table.written_as
        assert table.columns == ["编号", "标题", "内容"]
    assert bring(within(session), path)[0].imported == 3
    assert titles(session)[0] == "第1号路灯不亮"


def test_a_row_with_broken_bytes_is_refused_and_the_others_come_in(session: Session, tmp_path: Path) -> None:
    lines = rows(5).encode().splitlines()
    lines[3] = lines[3][:-2] + b"\xff"
    tally, bad = bring(within(session), a_file(tmp_path, b"\n".join(lines)))
    assert (tally.imported, tally.rejected) == (4, 1)
    assert "诉求内容（列“内容”）含有无法识别的字节" in reasons(bad)[4]


def test_ragged_rows(session: Session, tmp_path: Path) -> None:
    path = a_file(
        tmp_path,
        f"内容,标题,备注\n{GOOD}\n\n{GOOD}二,乙,丙,丁\n{GOOD}三,乙,丙,,\n  ,\n",
    )
    tally, bad = bring(within(session), path)
    assert tally.rows == 3
    assert tally.imported == 2
    assert "有 4 列而表头只有 3 列" in reasons(bad)[4]


def test_a_quotation_mark_that_is_never_closed_does_not_swallow_the_memory(tmp_path: Path) -> None:
    path = a_file(tmp_path, f'内容\n"{GOOD}\n' + f"{GOOD}\n" * 60_000)
    with open_table(path) as table:
        first = next(table.records())
        assert f"单元格超过 {MOST_CELL:,} 字，多半是引号没有闭合" in first.problem
        assert first.line == 2
        assert sum(not record.problem for record in table.records()) > 1_000


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_usual_delimiters_are_known(session: Session, tmp_path: Path, delimiter: str) -> None:
    path = a_file(tmp_path, rows(2).replace(",", delimiter))
    assert bring(within(session), path)[0].imported == 2


def test_text_over_several_lines_is_one_row_and_lines_are_counted_as_an_editor_does(
    session: Session, tmp_path: Path
) -> None:
    path = a_file(tmp_path, f'内容,标题\r\n"{GOOD}\n第二行\r\n第三行",甲\r\n坏,乙\r\n')
    tally, bad = bring(within(session), path)
    assert tally.imported == 1
    assert [each.record.line for each in bad] == [5]
    assert session.scalars(select(Ticket.content)).one().count("\n") == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("in.csv", b"", "是空文件"),
        ("in.csv", b"\n \n\n", "是空文件"),
        ("in.csv", b"\xef\xbb\xbf", "是空文件"),
        ("in.jsonl", b"", "是空文件"),
        ("in.xlsx", b"", "是空文件"),
        ("in.xlsx", b"PK not a workbook", "不是有效的 XLSX"),
        ("in.xls", b"\xd0\xcf\x11\xe0", "另存为 XLSX 或 CSV"),
        ("in.pdf", b"%PDF", "不支持 .pdf"),
        ("in", b"x", "没有扩展名"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        open_table(a_file(tmp_path, content, name))
    assert said in refused.value.fields["file"][0]


def test_headings_that_come_twice_or_are_missing_get_a_name(tmp_path: Path) -> None:
    with open_table(a_file(tmp_path, "内容,,内容,内容\n")) as table:
        assert table.columns == ["内容", "第2列", "内容 (2)", "内容 (3)"]


def test_an_encoding_that_does_not_exist_is_refused_and_a_given_one_is_used(tmp_path: Path) -> None:
    path = a_file(tmp_path, rows(1).encode("gb18030"))
    with pytest.raises(Invalid, match="修改") as refused:
        open_table(path, encoding="klingon")
    assert "klingon" in refused.value.fields["encoding"][0]
    with open_table(path, encoding="gbk") as table:
        assert table.columns == ["编号", "标题", "内容"]


def test_a_utf8_file_with_some_broken_lines_is_still_utf8() -> None:
    assert guess_encoding(("路灯\n" * 10).encode() + b"\xff\xfe\n") == "utf-8"
    assert guess_encoding(("路灯坏了\n" * 10).encode("gb18030") + "灯\n".encode()) == "gb18030"
    assert guess_encoding(b"plain\n") == "utf-8"


# JSON Lines


def test_json_lines_come_in_and_broken_ones_are_told(session: Session, tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": 1, "title": "甲", "body": GOOD, "time": "2026-01-02 03:04:05"}, ensure_ascii=False),
        '{"id": 2, "body": "缺了引号}',
        '["不是对象"]',
        json.dumps({"id": 3, "body": {"text": GOOD}}),
        '{"id": NaN, "title": null, "body": "' + GOOD + '四"}',
        '{"id": 5, "body": "' + GOOD + '\\ud800"}',
        '{"id": ' + "9" * 5_000 + "}",
        "[" * 200_000,
        "",
        json.dumps({"id": 1.0, "body": GOOD + "再来一次"}),
    ]
    tally, bad = bring(within(session), a_file(tmp_path, "\n".join(lines), "in.jsonl"))
    assert (tally.rows, tally.imported, tally.known) == (9, 2, 1)
    told = reasons(bad)
    assert set(told) == {2, 3, 4, 6, 7, 8}
    assert "不是有效的 JSON" in told[2]
    assert "JSON 对象" in told[3]
    assert "应为文字或数字" in told[4]
    assert "无法识别的字节" in told[6]
    assert session.scalar(select(Ticket.happened_at).where(Ticket.source_key == "1")) == datetime(
        2026, 1, 2, 3, 4, 5, tzinfo=SHANGHAI
    )


def test_a_line_without_end_is_one_bad_record(tmp_path: Path) -> None:
    path = a_file(tmp_path, '{"body": "' + "x" * 9_000_000 + '"}\n{"body": "y"}\n', "in.jsonl")
    with open_table(path) as table:
        first, second = table.records()
    assert "一行超过" in first.problem
    assert second.cells == {"body": "y"}


# Workbooks


def a_workbook(folder: Path, *lines: list[Any], name: str = "in.xlsx") -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for line in lines:
        sheet.append(line)
    book.create_sheet("第二张").append(["正文"])
    path = folder / name
    book.save(path)
    return path


def test_a_workbook_comes_in_with_its_dates_and_numbers(session: Session, tmp_path: Path) -> None:
    path = a_workbook(
        tmp_path,
        [],
        ["编号", "内容", "联系电话", "发生时间"],
        [17, GOOD, 13900001234, datetime(2026, 9, 1, 8, 30)],  # noqa: DTZ001 - a workbook knows no zones
        [],
        [18.0, GOOD + "二", "13900001235", 46_000.5],
    )
    tally, bad = bring(within(session), path)
    assert (tally.imported, bad) == (2, [])
    one, two = session.scalars(select(Ticket).order_by(Ticket.id))
    assert (one.source_key, two.source_key) == ("17", "18")
    assert one.happened_at == datetime(2026, 9, 1, 8, 30, tzinfo=SHANGHAI)
    assert two.happened_at == datetime(2025, 12, 9, 12, 0, tzinfo=SHANGHAI)
    assert session.info["keyring"].open(one.personal_sealed)["phone"] == "13900001234"


def test_a_formula_in_a_used_column_is_refused_and_elsewhere_it_does_no_harm(session: Session, tmp_path: Path) -> None:
    path = a_workbook(
        tmp_path,
        ["内容", "标题", "备注"],
        ['=HYPERLINK("http://x.example","点")', "甲", ""],
        [GOOD, "乙", "=1+1"],
        [GOOD + "三", "#N/A", ""],
        ["x", "丁", "", "多出来的"],
    )
    tally, bad = bring(within(session), path)
    told = reasons(bad)
    assert (tally.imported, set(told)) == (1, {2, 4, 5})
    assert "诉求内容（列“内容”）单元格是公式" in told[2]
    assert "标题（列“标题”）单元格是错误值" in told[4]
    assert "比表头的 3 列多" in told[5]


def test_a_sheet_can_be_chosen_and_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = a_workbook(tmp_path, ["内容"])
    with open_table(path, sheet="第二张") as table:
        assert table.columns == ["正文"]
    with pytest.raises(Invalid) as refused:
        open_table(path, sheet="第三张")
    assert "现有：Sheet、第二张" in refused.value.fields["sheet"][0]


def test_a_workbook_that_is_cut_or_damaged_is_refused_or_told(tmp_path: Path) -> None:
    path = a_workbook(tmp_path, ["内容"], *([f"{GOOD}{n}"] for n in range(2_000)))
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        a_file(tmp_path, whole[:size], "cut.xlsx")
        with suppress(Invalid), open_table(tmp_path / "cut.xlsx") as table:
            list(table.records())
    with zipfile.ZipFile(path) as packed, zipfile.ZipFile(tmp_path / "bad.xlsx", "w") as bad:
        for entry in packed.namelist():
            content = packed.read(entry)
            if entry.endswith("sheet1.xml"):
                content = content[: len(content) // 2]
            bad.writestr(entry, content)
    with open_table(tmp_path / "bad.xlsx") as table:
        found = list(table.records())
    assert "从这里起已损坏" in found[-1].problem
    assert len(found) > 100


# Columns and cells


def test_headings_are_known_in_chinese_and_english_with_whatever_stands_around_them() -> None:
    assert guess_columns(["工单 编号", "*标题：", "诉求内容（必填）", "联系电话", "来电时间", "无关"]) == {
        "key": "工单 编号",
        "title": "*标题：",
        "content": "诉求内容（必填）",
        "phone": "联系电话",
        "happened_at": "来电时间",
    }
    assert guess_columns(["ID", "Title", "Body", "Created_At"]) == {
        "key": "ID",
        "title": "Title",
        "content": "Body",
        "happened_at": "Created_At",
    }
    assert guess_columns(["序号", "甲", "乙"]) == {}


def test_no_heading_is_claimed_by_two_fields() -> None:
    for _, headings in importing.FIELDS.values():
        assert len(headings) == len({heading.lower() for heading in headings})
    every = [heading for _, headings in importing.FIELDS.values() for heading in headings]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("标题", "应写作 字段=列名"),
        ("title=", "应写作 字段=列名"),
        ("titel=标题", "没有名为“titel”的字段"),
        ("title=题", "没有名为“题”的列，现有：标题、内容"),
        ("title=标题,title=内容", "对应了两列"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(given: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_map(given, ["标题", "内容"])
    assert said in refused.value.fields["map"][0]


def test_a_mapping_is_read_with_chinese_commas_too() -> None:
    assert parse_map("title=标题， content=内容", ["标题", "内容"]) == {"title": "标题", "content": "内容"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-02-28 11:25:05", (2026, 2, 28, 11, 25, 5)),
        ("2026/2/8 9:03", (2026, 2, 8, 9, 3)),
        ("2026.2.8", (2026, 2, 8)),
        ("2026年2月8日", (2026, 2, 8)),
        ("2026年2月8日 14时20分", (2026, 2, 8, 14, 20)),
        ("2026年2月8日14点", (2026, 2, 8, 14)),
        ("2026年2月8日 星期日 下午3:20", (2026, 2, 8, 15, 20)),
        ("2026-02-08 凌晨12:30", (2026, 2, 8, 0, 30)),
        ("2026-02-08 上午12:30", (2026, 2, 8, 0, 30)),
        ("2026-02-08 中午12:30", (2026, 2, 8, 12, 30)),
        ("2026-02-08 中午1:20", (2026, 2, 8, 13, 20)),
        ("2026-02-08 中午11:50", (2026, 2, 8, 11, 50)),
        ("2026-02-08 晚上11:50", (2026, 2, 8, 23, 50)),
        ("2026-02-08 晚上12点", (2026, 2, 9, 0, 0)),
        ("2026-02-08 上午 9:05:06", (2026, 2, 8, 9, 5, 6)),
        ("2026-02-08T09:05:06.123", (2026, 2, 8, 9, 5, 6)),
        ("２０２６－０２－０８　０９：０５", (2026, 2, 8, 9, 5)),
        ("20260208", (2026, 2, 8)),
        ("20260208090506", (2026, 2, 8, 9, 5, 6)),
    ],
)
def test_a_written_time_is_read_as_china_means_it(written: str, meant: tuple[int, ...]) -> None:
    found = moment(written)
    assert found is not None
    assert found.replace(tzinfo=None) == datetime(*meant)  # type: ignore[arg-type]  # noqa: DTZ001 - the wall clock
    assert found.tzinfo in {None, SHANGHAI}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-02-08T09:05:06Z", datetime(2026, 2, 8, 9, 5, 6, tzinfo=UTC)),
        ("2026-02-08T09:05:06+09:00", datetime(2026, 2, 8, 0, 5, 6, tzinfo=UTC)),
        (1_770_541_506, datetime(2026, 2, 8, 9, 5, 6, tzinfo=UTC)),
        (1_770_541_506_000, datetime(2026, 2, 8, 9, 5, 6, tzinfo=UTC)),
    ],
)
def test_a_time_with_its_own_zone_keeps_it(written: str | int, meant: datetime) -> None:
    assert moment(written) == meant


@pytest.mark.parametrize("written", ["昨天", "2026-02-30", "25:00", "2026-02-08 25:00", "12", "9" * 400, "1e5"])
def test_what_is_no_time_is_told(written: str) -> None:
    with pytest.raises(ValueError, match="无法识别"):
        moment(written)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.datetimes(), st.none()))
def test_any_cell_is_a_time_or_a_sentence(cell: Any) -> None:
    said = ""
    try:
        found = moment(cell)
    except ValueError as error:
        found, said = None, str(error)
    assert isinstance(found, datetime) or found is None
    assert not said or "无法识别" in said


# Anything at all


def _read_all(table: Table) -> tuple[int, int]:
    columns = guess_columns(table.columns) or {"content": next(iter(table.columns), "")}
    plan = Plan(columns=columns, source="test", lookups=Lookups(regions={}, categories={}))
    good = bad = 0
    for record in table.records():
        assert record.line > 0
        problems: dict[str, list[str]] = {}
        try:
            new = importing.checked(record, plan, now=NOW)
        except Invalid as error:
            problems = error.fields
            bad += 1
        else:
            new.content.encode()
            (new.source_key or "").encode()
            good += 1
        assert all(words for sentences in problems.values() for words in sentences)
    return good, bad


_tables = st.lists(
    st.lists(st.one_of(st.just(GOOD), st.text(max_size=30), st.sampled_from(['"', "=1+1", "\0", "\r", "2026-1-1"]))),
    max_size=8,
)
_ANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_ANY
@given(content=st.binary(max_size=400), name=st.sampled_from(["x.csv", "x.jsonl", "x.xlsx", "x.tsv"]))
def test_arbitrary_bytes_are_refused_or_read_and_never_break(tmp_path: Path, content: bytes, name: str) -> None:
    path = a_file(tmp_path, content, name)
    with suppress(Invalid), open_table(path) as table:
        _read_all(table)


@_ANY
@given(
    table=_tables, encoding=st.sampled_from(["utf-8", "gb18030"]), broken=st.binary(max_size=3), at=st.integers(0, 99)
)
def test_arbitrary_tables_are_read_to_their_end(
    tmp_path: Path, *, table: list[list[str]], encoding: str, broken: bytes, at: int
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerow(["内容", "标题", "发生时间", "联系电话", "编号"])
    csv.writer(file).writerows(table)
    raw = file.getvalue().encode(encoding, "replace")
    head = raw.index(b"\n") + 1
    at = head + at % (len(raw) - head + 1)
    with open_table(a_file(tmp_path, raw[:at] + broken + raw[at:])) as opened:
        good, bad = _read_all(opened)
    everything = "".join(cell for line in table for cell in line)
    # Zero bytes can make so small a file look like UTF-16; a lone carriage return ends a line of its own.
    if not broken and all(len(line) <= 5 for line in table) and not {"\r", "\0"} & set(everything):
        assert good + bad == sum(any(cell.strip() for cell in line) for line in table)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=_tables)
def test_whatever_is_read_goes_into_the_database_or_is_told(
    session: Session, tmp_path: Path, table: list[list[str]]
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["内容", "标题", "编号", "姓名", "涉及单位", "事发地点", "联系地址"], *table])
    path = a_file(tmp_path, file.getvalue().encode("utf-8", "replace"))
    outer = session.begin_nested()
    tally, bad = bring(within(session), path)
    session.flush()
    assert len(titles(session)) == tally.imported
    assert not any("数据库拒绝" in words for words in reasons(bad).values())
    outer.rollback()
    session.expire_all()


# The command


@pytest.fixture
def command(database_url: str, tmp_path: Path, db: Database) -> Callable[..., Result]:
    """Call `hotline import` as a person at a terminal does."""
    home = tmp_path / "home"
    Keyring.load(home / "keys", create=True)

    def call(*words: str) -> Result:
        environment = {"DATABASE_URL": database_url, "HOTLINE_HOME": str(home), "COLUMNS": "200"}
        return CliRunner().invoke(main, ["import", *words], env=environment)

    return call


def count(db: Database) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(Ticket)) or 0


def test_the_command_says_what_it_did(command: Callable[..., Result], db: Database, tmp_path: Path) -> None:
    path = a_file(tmp_path, f"编号,标题,内容,心情\n1,甲,{GOOD},好\n2,乙,{GOOD}二,坏\n")
    answer = command(str(path))
    assert answer.exit_code == 0, answer.output
    assert "内容 → 诉求内容" in answer.output
    assert "未使用的列：心情" in answer.output
    assert "共 2 行：导入 2，已有或重复 0，坏行 0。" in answer.output
    assert not path.with_name("in.csv.rejected.csv").exists()
    again = command(str(path))
    assert (again.exit_code, count(db)) == (0, 2)
    assert "导入 0，已有或重复 2" in again.output


def test_bad_rows_are_kept_in_a_file_that_is_safe_to_open_and_can_be_mended(
    command: Callable[..., Result], db: Database, tmp_path: Path
) -> None:
    path = a_file(tmp_path, f"标题,内容,联系电话\n=cmd|calc,{GOOD},@12\n乙,{GOOD}二,\n")
    answer = command(str(path))
    assert (answer.exit_code, count(db)) == (1, 1)
    assert "第 2 行：联系电话（列“联系电话”）：电话号码" in answer.output
    aside = path.with_name("in.csv.rejected.csv")
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    with aside.open(encoding="utf-8-sig", newline="") as file:
        heading, row = csv.reader(file)
    assert heading == ["行号", "原因", "标题", "内容", "联系电话"]
    assert row[0] == "2"
    assert row[2:] == ["'=cmd|calc", GOOD, "'@12"]
    aside.write_text(aside.read_text("utf-8-sig").replace("'@12", "13900001234"), "utf-8")
    mended = command(str(aside))
    assert (mended.exit_code, count(db)) == (0, 2)
    with db.read() as session:
        assert "=cmd|calc" in titles(session)


def test_only_the_first_twenty_bad_rows_are_told_on_screen(command: Callable[..., Result], tmp_path: Path) -> None:
    path = a_file(tmp_path, "内容\n" + "坏\n" * 50)
    answer = command(str(path))
    assert answer.output.count("内容过短") == 20
    assert "其余坏行不再显示" in answer.output
    kept = path.with_name("in.csv.rejected.csv").read_text("utf-8-sig")
    assert kept.count("内容过短") == 50


def test_a_dry_run_writes_nothing_and_a_limit_reads_no_further(
    command: Callable[..., Result], db: Database, tmp_path: Path
) -> None:
    path = a_file(tmp_path, rows(20))
    answer = command(str(path), "--dry-run", "--limit", "7")
    assert "共 7 行：可导入 7" in answer.output
    assert count(db) == 0
    command(str(path), "--limit", "7")
    assert count(db) == 7


def test_columns_and_source_can_be_told(command: Callable[..., Result], db: Database, tmp_path: Path) -> None:
    path = a_file(tmp_path, f"甲,乙\n{GOOD},x1\n")
    answer = command(str(path), "--map", "content=甲,key=乙", "--source", "市长信箱2025", "--channel", "mayor_mailbox")
    assert answer.exit_code == 0, answer.output
    with db.read() as session:
        ticket = session.scalars(select(Ticket)).one()
    assert (ticket.source_system, ticket.source_key) == ("市长信箱2025", "x1")
    assert ticket.channel is Channel.MAYOR_MAILBOX


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        ("甲,乙\n1,2\n", (), "认不出哪一列是诉求内容"),
        (f"内容\n{GOOD}\n", ("--map", "content=正文"), "没有名为“正文”的列"),
        (f"内容\n{GOOD}\n", ("--source", "x" * 101), "--source 最多 100 个字符"),
        (f"内容\n{GOOD}\n", ("--encoding", "klingon"), "没有名为“klingon”的字符编码"),
        ("", (), "是空文件"),
    ],
)
def test_a_mistake_of_usage_ends_with_2_and_changes_nothing(
    command: Callable[..., Result], db: Database, tmp_path: Path, *, content: str, words: tuple[str, ...], said: str
) -> None:
    answer = command(str(a_file(tmp_path, content)), *words)
    assert answer.exit_code == 2
    assert said in answer.output
    assert count(db) == 0


def test_a_file_that_is_not_there_and_one_that_would_be_overwritten_are_refused(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    assert command(str(tmp_path / "nothing.csv")).exit_code == 2
    path = a_file(tmp_path, "内容\n坏\n")
    answer = command(str(path), "--rejected", str(path))
    assert answer.exit_code == 2
    assert path.read_text("utf-8") == "内容\n坏\n"


def test_ctrl_c_in_the_middle_loses_nothing_and_doubles_nothing(database_url: str, tmp_path: Path) -> None:
    """A real process is interrupted while it works, and run again."""
    Keyring.load(tmp_path / "home" / "keys", create=True)
    path = a_file(tmp_path, rows(3_000))
    environment = {**os.environ, "DATABASE_URL": database_url, "HOTLINE_HOME": str(tmp_path / "home")}
    call = [sys.executable, "-m", "hotline.cli", "import", str(path)]
    database = wired(database_url, keyring=Keyring.for_tests(), pool=1)
    try:
        # Whoever runs the tests in the background has SIGINT ignored, and children inherit that.
        process = subprocess.Popen(
            call,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread here
        )
        while not count(database):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        there = count(database)
        assert process.returncode == 130, said
        assert "再次执行同一命令即从中断处继续" in said
        assert 0 < there < 3_000
        assert there % 200 == 0
        again = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert again.returncode == 0, again.stdout + again.stderr
        assert f"导入 {3_000 - there}，已有或重复 {there}，坏行 0" in again.stdout
        assert count(database) == 3_000
    finally:
        database.close()
