"""The dispatch catalogue on screen: drafted, checked, brought in from a workbook, tried, published."""

from __future__ import annotations

import io
import json
import re
from datetime import datetime, timedelta
from typing import Any

import openpyxl
import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from hotline.core import clock
from hotline.core.outbox import OutboxRow
from hotline.core.permissions import Role
from hotline.tickets.models import Category, Ticket
from hotline.wiring import REACTIONS, Installation
from routing.catalogue import editions as catalogue
from routing.catalogue import trials as catalogue_trials
from routing.catalogue.editions import RowView
from routing.catalogue.models import CatalogueState, CatalogueTrial, CatalogueVersion, TrialState
from routing.catalogue.sheets import COLUMNS
from routing.duty.models import Dispute, Ruling
from routing.events import CatalogueTrialAsked
from tests.makers import (
    dispatched_ticket,
    make_actor,
    make_category,
    make_department,
    make_region,
    make_user,
    ruled_ticket,
    sign_in,
    turned,
)


class Desk:
    """An administrator's browser, two departments, two categories, a region."""

    def __init__(self, client: FlaskClient, tools: Installation, now: datetime) -> None:
        """Make them."""
        self.client, self.tools, self.now = client, tools, now
        with tools.db.begin() as session:
            self.admin = make_actor(session, Role.ADMINISTRATOR, login="admin", now=now)
            make_user(session, Role.DISPATCHER, login="dispatcher", now=now)
            self.lamps = make_department(session, "lamps", name="市路灯管理处")
            self.other = make_department(session, "city_mgmt", name="市城管局")
            self.category = make_category(session, "CJ-01", name="路灯照明").id
            make_category(session, "CJ-02", name="井盖")
            make_region(session, "9901", name="北苑区")
        sign_in(client, "admin")

    def add(self, **given: Any) -> Any:
        return self.client.post("/admin/catalogue/1/rows", data={"category": "CJ-01", "lead": "lamps", **given})

    def draft(self) -> CatalogueVersion:
        with self.tools.db.read() as session:
            found = catalogue.draft(session)
            assert found is not None
            return found

    def rows(self) -> list[RowView]:
        with self.tools.db.read() as session:
            return catalogue.rows_of(session, self.draft().id)

    def upload(self, lines: list[list[Any]], *, name: str = "a.xlsx") -> Any:
        book = openpyxl.Workbook()
        for line in lines:
            book.active.append(line)  # type: ignore[union-attr]
        out = io.BytesIO()
        book.save(out)
        out.seek(0)
        return self.client.post(
            "/admin/catalogue/1/import", data={"file": (out, name)}, content_type="multipart/form-data"
        )


HEADINGS = [heading for heading, _ in COLUMNS]


def line(category: str = "", lead: str = "", **given: str) -> list[str]:
    cells = {"类别代码": category, "主办单位代码": lead, **given}
    return [cells.get(heading, "") for heading in HEADINGS]


@pytest.fixture
def desk(client: FlaskClient, tools: Installation, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(clock, "now", lambda: now)
    made = Desk(client, tools, now)
    assert client.post("/admin/catalogue/draft").status_code == 303
    return made


def shown(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_a_catalogue_is_drafted_checked_and_published_on_screen(desk: Desk) -> None:
    assert "还没有派单目录" not in desk.client.get("/admin/catalogue").text
    assert desk.add(co_handlers=["city_mgmt", ""], basis="三定方案", sla_class="即办").status_code == 303
    read = shown(desk.client.get("/admin/catalogue/1").text)
    for words in ("路灯照明", "北苑区", "市路灯管理处", "市城管局", "三定方案", "没有条目 1"):
        assert (words in read) == (words != "北苑区"), words
    assert "井盖" in shown(desk.client.get("/admin/catalogue/1?flaw=no_row").text)
    published = desk.client.post("/admin/catalogue/1/publish", data={"version": desk.draft().version, "note": "首版"})
    assert published.status_code == 303
    listed = shown(desk.client.get("/admin/catalogue").text)
    assert "生效中" in listed
    assert "首版" in listed
    assert desk.add().status_code == 404


def test_a_refused_row_keeps_what_was_typed_and_says_why_by_field(desk: Desk) -> None:
    answer = desk.add(lead="nobody", basis="某法第三条", region="0000")
    assert answer.status_code == 422
    read = shown(answer.text)
    assert "没有代码为“nobody”的单位" in read
    assert "没有代码为“0000”的区域" in read
    assert 'value="某法第三条"' in answer.text
    assert desk.add().status_code == 303
    again = desk.add(lead="city_mgmt")
    assert again.status_code == 422
    assert "适用范围完全相同" in again.text


def test_a_row_is_changed_and_removed_and_an_old_page_changes_nothing(desk: Desk) -> None:
    desk.add()
    row, seen = desk.rows()[0], desk.draft().version
    address = f"/admin/catalogue/1/rows/{row.id}"
    assert "市路灯管理处" in desk.client.get(address).text
    changed = desk.client.post(address, data={"version": seen, "category": "CJ-01", "lead": "city_mgmt"})
    assert changed.status_code == 303
    assert desk.rows()[0].lead_code == "city_mgmt"
    assert desk.client.post(f"{address}/remove", data={"version": seen}).status_code == 409
    assert desk.client.post(f"{address}/remove", data={"version": desk.draft().version}).status_code == 303
    assert desk.rows() == []


def test_a_window_in_the_past_is_refused_on_the_page_with_what_was_typed(desk: Desk) -> None:
    desk.add()
    answer = desk.client.post(
        "/admin/catalogue/1/publish",
        data={"version": desk.draft().version, "valid_from": "2020-01-01T00:00", "note": "旧日"},
    )
    assert answer.status_code == 422
    assert "不能早于现在" in answer.text
    assert 'value="2020-01-01T00:00"' in answer.text
    assert desk.draft().state is CatalogueState.DRAFT


def test_what_is_exported_comes_back_without_a_difference(desk: Desk) -> None:
    desk.add(co_handlers=["city_mgmt"], basis="=1+1 三定", region="9901", request_type="投诉")
    file = desk.client.get("/admin/catalogue/1/export")
    assert file.status_code == 200
    sheet = openpyxl.load_workbook(io.BytesIO(file.data)).active
    assert sheet is not None
    lines = [[cell or "" for cell in row] for row in sheet.iter_rows(values_only=True)]
    assert lines[1][10] == "'=1+1 三定"
    answer = desk.upload(lines)
    assert answer.status_code == 200
    assert "新增 0 条，修改 0 条，删除 0 条，不变 1 条" in shown(answer.text)


def test_a_file_is_previewed_and_written_only_when_it_is_confirmed(desk: Desk) -> None:
    desk.add()
    desk.add(category="CJ-02", lead="city_mgmt")
    answer = desk.upload([HEADINGS, line("CJ-01", "city_mgmt"), line("", "district", 区域代码="9901")])
    read = shown(answer.text)
    assert "新增 1 条，修改 1 条，删除 1 条，不变 0 条" in read
    assert "路灯照明 · 全市：市路灯管理处 → 市城管局" in read
    assert {row.lead_code for row in desk.rows()} == {"lamps", "city_mgmt"}
    packed = re.search(r'name="packed" value="([^"]*)"', answer.text)
    assert packed is not None
    body = packed[1].replace("&#34;", '"').replace("&quot;", '"')
    assert len(json.loads(body)) == 2
    seen = desk.draft().version
    done = desk.client.post("/admin/catalogue/1/apply", data={"version": seen, "packed": body})
    assert done.status_code == 303
    assert {(row.category_code, row.region_code, row.lead_code) for row in desk.rows()} == {
        ("CJ-01", "", "city_mgmt"),
        ("", "9901", "district"),
    }
    assert desk.client.post("/admin/catalogue/1/apply", data={"version": seen, "packed": body}).status_code == 409
    assert desk.client.post("/admin/catalogue/1/apply", data={"version": seen, "packed": "{"}).status_code == 422


def test_a_file_with_wrong_lines_is_told_by_line_and_nothing_is_written(desk: Desk) -> None:
    answer = desk.upload([HEADINGS, line("CJ-01", "lamps"), line("NO", "lamps"), line("CJ-01", "city_mgmt")])
    assert answer.status_code == 422
    read = shown(answer.text)
    assert "第 3 行：没有代码为“NO”的事件类别" in read
    assert "第 4 行：与第 1 条的适用范围完全重叠" in read
    assert "确认写入草案" not in read
    assert desk.rows() == []
    assert "缺少列：类别代码、主办单位代码" in desk.upload([["a", "b"], ["1", "2"]]).text
    assert "不支持" in desk.upload([HEADINGS], name="a.pdf").text
    assert "请选择" in desk.client.post("/admin/catalogue/1/import", data={}).text


def test_a_draft_is_tried_on_last_months_tickets_with_examples(desk: Desk) -> None:
    with desk.tools.db.begin() as session:
        kept = dispatched_ticket(session, desk.lamps, now=desk.now - timedelta(days=3), category_id=desk.category)
        moved = dispatched_ticket(session, desk.other, now=desk.now - timedelta(days=2), category_id=desk.category)
        dispatched_ticket(session, desk.other, now=desk.now - timedelta(days=1))
        dispatched_ticket(session, desk.other, now=desk.now - timedelta(days=60), category_id=desk.category)
        numbers = kept.number, moved.number
    desk.add()
    assert desk.client.post("/admin/catalogue/1/trial").status_code == 303
    html = desk.client.get("/admin/catalogue/1").text
    read = shown(html)
    assert "1 张会派往别处 ，1 张不变，1 张目录没有明确主办" in read
    assert numbers[1] in read
    assert numbers[0] not in read
    desk.add(category="CJ-02")
    assert "草案此后有修改" in desk.client.get("/admin/catalogue/1/trial").text


def test_a_trial_says_what_the_draft_changes_and_what_people_had_changed_already(desk: Desk) -> None:
    with desk.tools.db.begin() as session:
        third = make_department(session, "third", name="市公用事业中心")
        covers = session.scalars(select(Category.id).where(Category.code == "CJ-02")).one()
        for at in range(3):
            dispatched_ticket(
                session, desk.lamps, now=desk.now - timedelta(days=at + 1), category_id=desk.category
            )  # the draft sends them elsewhere
        dispatched_ticket(session, third, now=desk.now - timedelta(days=1), category_id=covers)  # a person had done so
        dispatched_ticket(session, desk.other, now=desk.now - timedelta(days=1), category_id=desk.category)  # mended
    desk.add()
    desk.add(category="CJ-02", lead="city_mgmt")
    with desk.tools.db.begin() as session:
        catalogue.publish(session, number=1, version=desk.draft().version, by=desk.admin, now=desk.now)
    desk.client.post("/admin/catalogue/draft")
    (lamps,) = (row for row in desk.rows() if row.category_code == "CJ-01")
    desk.client.post(
        f"/admin/catalogue/2/rows/{lamps.id}",
        data={"category": "CJ-01", "lead": "city_mgmt", "version": desk.draft().version},
    )
    desk.client.post("/admin/catalogue/2/trial")
    html = desk.client.get("/admin/catalogue/2").text
    read = shown(html)
    assert "4 张会派往别处 ，1 张不变，0 张目录没有明确主办" in read
    assert "3 张由本版改变 （现行目录不是这样派的），1 张现行目录也派往同一单位、当时由人改派" in read
    assert "另有 1 张，现行目录派往别处，本版与实际承办一致" in read
    # What the draft itself changes stands first, with the row that does it.
    assert re.search("市路灯管理处 市城管局 市路灯管理处 本版改变 3 .*市公用事业中心 市城管局 同左 1", read)
    assert f'href="/admin/catalogue/2/rows/{lamps.id}"' in html[html.index('id="trial-part"') :]
    # A row that is changed afterwards is not linked from figures that it did not make.
    desk.client.post("/admin/catalogue/2/rows", data={"category": "", "lead": "third"})
    part = desk.client.get("/admin/catalogue/2/trial").text
    assert "草案此后有修改" in part
    assert "/rows/" not in part


def test_a_trial_that_takes_too_long_goes_on_in_the_background_and_shows_how_far_it_is(desk: Desk) -> None:
    with desk.tools.db.begin() as session:
        dispatched_ticket(session, desk.other, now=desk.now - timedelta(days=2), category_id=desk.category)
    desk.add()
    with desk.tools.db.begin() as slow, desk.tools.db.begin() as session:
        # Somebody holds the tickets, so the question takes longer than anybody waits: the database stops it.
        slow.execute(text("LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE"))
        trial = catalogue_trials.ask(session, number=1, by=desk.admin, now=desk.now, patience_ms=50)
        trial_id, state = trial.id, trial.state
        heard = session.scalar(select(func.count()).where(OutboxRow.event == "CatalogueTrialAsked"))
    assert (state, heard) == (TrialState.WAITING, 1)
    assert "hx-get" in desk.client.get("/admin/catalogue/1/trial").text
    (reaction,) = REACTIONS[CatalogueTrialAsked]
    with desk.tools.db.begin() as session:
        reaction.run(session, CatalogueTrialAsked(trial_id=trial_id), desk.tools, desk.now)
    with desk.tools.db.read() as session:
        done = session.get_one(CatalogueTrial, trial_id)
    assert (done.state, done.done_days, done.result["elsewhere"]) == (TrialState.DONE, done.days, 1)
    assert "1 张会派往别处" in shown(desk.client.get("/admin/catalogue/1/trial").text)


def test_a_dispatcher_reads_and_proposes_and_publishes_nothing(desk: Desk) -> None:
    desk.add()
    browser = desk.client.application.test_client()
    sign_in(browser, "dispatcher")
    assert browser.get("/admin/catalogue/1").status_code == 200
    assert browser.post("/admin/catalogue/1/rows", data={"category": "CJ-02", "lead": "lamps"}).status_code == 303
    assert browser.post("/admin/catalogue/1/publish", data={"version": desk.draft().version}).status_code == 403
    assert browser.post("/admin/catalogue/1/trial").status_code == 403
    assert len(desk.rows()) == 2


def test_long_catalogues_are_turned_page_by_page(desk: Desk) -> None:
    with desk.tools.db.begin() as session:
        for at in range(60):
            make_category(session, f"ZZ-{at:02}", name=f"类别{at:02}")
    with desk.tools.db.begin() as session:
        catalogue.replace_rows(
            session,
            version=desk.draft().version,
            wishes=[catalogue.RowWish(category=f"ZZ-{at:02}", lead="lamps") for at in range(60)],
            by=desk.admin,
            now=desk.now,
        )
    first = desk.client.get("/admin/catalogue/1").text
    second = desk.client.get(turned(first, "next")).text
    assert "类别00" in first
    assert "类别59" not in first
    assert "类别59" in second
    assert "类别00" not in second
    assert desk.client.get(turned(second, "prev")).text.count("类别00") == first.count("类别00")


def test_rulings_that_a_draft_contradicts_are_listed_and_confirmed_one_by_one_or_followed(desk: Desk) -> None:
    with desk.tools.db.begin() as session:
        ruled = [
            ruled_ticket(
                session, desk.lamps, lead=desk.other, category_id=desk.category, title=f"路灯归属{number}", now=desk.now
            ).id
            for number in range(2)
        ]
    assert desk.add().status_code == 303
    read = shown(desk.client.get("/admin/catalogue/1").text)
    for words in ("与职责裁定不一致（2 件）", "路灯归属0", "路灯归属1", "主办由市城管局改为市路灯管理处"):
        assert words in read
    refused = desk.client.post(
        "/admin/catalogue/1/publish",
        data={"version": desk.draft().version, "note": "年度更新", "overrules": ruled[:1], "overrules_seen": "2"},
    )
    assert refused.status_code == 422
    assert "还有 1 件裁定与草案不一致，尚未确认" in shown(refused.text)
    assert "年度更新" in refused.text
    assert len(re.findall(r'name="overrules" value="\d+" checked', refused.text)) == 1
    stale = {"version": desk.draft().version, "overrules_all": "yes", "overrules_seen": "1"}
    assert desk.client.post("/admin/catalogue/1/publish", data=stale).status_code == 409
    meant = {**stale, "version": desk.draft().version, "overrules_seen": "2"}
    assert desk.client.post("/admin/catalogue/1/publish", data=meant).status_code == 303
    dispatcher = desk.client.application.test_client()
    sign_in(dispatcher, "dispatcher")
    with desk.tools.db.read() as session:
        dispute_id = session.get_one(Ruling, ruled[0]).dispute_id
        number = session.get_one(Ticket, session.get_one(Dispute, dispute_id).ticket_id).number
    assert "目录另作规定" in dispatcher.get(f"/disputes/{dispute_id}").text
    assert "派单目录第 1 版与本件裁定不一致，已确认" in dispatcher.get(f"/tickets/{number}").text


def test_a_draft_follows_a_ruling_in_one_step(desk: Desk) -> None:
    with desk.tools.db.begin() as session:
        ruling = ruled_ticket(session, desk.lamps, lead=desk.other, category_id=desk.category, now=desk.now).id
    desk.add()
    assert desk.client.post(f"/admin/catalogue/1/rulings/{ruling}").status_code == 303
    assert "与职责裁定不一致" not in desk.client.get("/admin/catalogue/1").text
    assert [(row.lead_code, row.origin) for row in desk.rows()] == [("city_mgmt", f"职责裁定第 {ruling} 号")]
    assert desk.client.post(f"/admin/catalogue/2/rulings/{ruling}").status_code == 404
