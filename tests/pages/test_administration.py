"""The administrator's pages: each opens, does its work, keeps what was typed when it refuses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from hotline.core.permissions import Actor, Role
from hotline.people import queries as people
from hotline.tickets import queries as tickets
from hotline.tickets import service_items
from hotline.web.admin.layout import ROWS
from hotline.wiring import Installation
from routing import queries as routing
from tests.forms import Page
from tests.makers import PASSWORD, dispatched_ticket, make_category, make_department, make_user, sign_in

ADDRESSES = ["users", "departments", "categories", "calendar", "profiles", "profiles/new", "settings", "tokens", "jobs"]


@pytest.fixture
def browser(client: FlaskClient, tools: Installation, now: datetime) -> FlaskClient:
    with tools.db.begin() as session:
        make_user(session, Role.ADMINISTRATOR, login="the.admin", name="管理员甲", now=now)
        make_department(session, "lighting", name="市路灯管理处")
    sign_in(client, "the.admin")
    return client


@pytest.mark.parametrize("address", ADDRESSES)
def test_each_page_opens_for_an_administrator(browser: FlaskClient, address: str) -> None:
    answer = browser.get(f"/admin/{address}")
    assert answer.status_code == 200, answer.text[:500]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_page_opens_for_an_operator(client: FlaskClient, tools: Installation, now: datetime, address: str) -> None:
    with tools.db.begin() as session:
        make_user(session, Role.OPERATOR, login="the.operator", now=now)
    sign_in(client, "the.operator")
    assert client.get(f"/admin/{address}").status_code == 403


def test_an_account_is_opened_changed_and_closed(browser: FlaskClient, tools: Installation) -> None:
    with tools.db.read() as session:
        lighting = routing.department_by_code(session, "lighting")
    assert lighting is not None
    made = browser.post(
        "/admin/users",
        data={
            "login": "zhang.san",
            "display_name": "张三",
            "role": "responder",
            "password": "First-pass-1",
            "department_ids": str(lighting.id),
        },
    )
    assert made.status_code == 303
    with tools.db.read() as session:
        user = people.user(session, login="zhang.san")
        assert user.must_change_password
        assert routing.departments_of(session, user.id) == frozenset({lighting.id})
    changed = browser.post(
        "/admin/users/zhang.san",
        data={"version": str(user.version), "display_name": "张三丰", "role": "responder", "active": "yes"},
    )
    assert changed.status_code == 303
    stale = browser.post(
        "/admin/users/zhang.san", data={"version": str(user.version), "display_name": "李四", "role": "responder"}
    )
    assert stale.status_code == 409
    with tools.db.read() as session:
        assert people.user(session, login="zhang.san").display_name == "张三丰"


def test_what_was_typed_stays_when_an_account_is_refused(browser: FlaskClient) -> None:
    answer = browser.post(
        "/admin/users", data={"login": "Bad Login", "display_name": "王五", "role": "operator", "password": "1"}
    )
    assert answer.status_code == 422
    assert 'value="王五"' in answer.text
    assert "至少 8 个字符" in answer.text
    taken = browser.post(
        "/admin/users", data={"login": "the.admin", "display_name": "x", "role": "operator", "password": PASSWORD}
    )
    assert taken.status_code == 409
    assert "已被使用" in taken.text


def test_an_administrator_cannot_close_himself(browser: FlaskClient, tools: Installation) -> None:
    with tools.db.read() as session:
        version = people.user(session, login="the.admin").version
    answer = browser.post(
        "/admin/users/the.admin", data={"version": str(version), "display_name": "x", "role": "administrator"}
    )
    assert answer.status_code == 409


def test_a_department_tree_never_becomes_a_circle(browser: FlaskClient, tools: Installation) -> None:
    with tools.db.begin() as session:
        above = make_department(session, "above")
        below = make_department(session, "below", parent_id=above.id)
    answer = browser.post(
        f"/admin/departments/{above.id}",
        data={"version": "1", "name": "上级", "parent_id": str(below.id), "active": "yes"},
    )
    assert answer.status_code == 422
    assert "不能是本单位或其下级" in answer.text


def test_a_department_with_work_in_hand_is_not_closed(browser: FlaskClient, tools: Installation, now: datetime) -> None:
    with tools.db.begin() as session:
        department = make_department(session, "busy")
        dispatched_ticket(session, department, now=now)
    answer = browser.post(f"/admin/departments/{department.id}", data={"version": "1", "name": "忙碌单位"})
    assert answer.status_code == 409
    assert "未办结" in answer.text


def test_a_department_is_added_and_a_taken_code_is_refused(browser: FlaskClient, tools: Installation) -> None:
    data = {"code": "parks", "name": "市公园管理处", "kind": "bureau"}
    assert browser.post("/admin/departments", data=data).status_code == 303
    again = browser.post("/admin/departments", data=data)
    assert again.status_code == 422
    assert "已被使用" in again.text
    with tools.db.read() as session:
        assert routing.department_by_code(session, "parks") is not None


def test_a_category_is_added_renamed_with_all_below_it_and_retired_from_the_leaves(
    browser: FlaskClient, tools: Installation
) -> None:
    with tools.db.begin() as session:
        root = make_category(session, "CG", name="城市管理")
    child = {"code": "CG-01", "name": "市容", "parent_id": str(root.id), "lead": "lighting", "urgency": "一般"}
    assert browser.post("/admin/categories", data=child).status_code == 303
    assert browser.post("/admin/categories", data={**child, "code": "CG-02", "lead": "nobody"}).status_code == 422
    assert browser.post("/admin/categories/CG", data={"name": "城管", "urgency": "一般"}).status_code == 303
    with tools.db.read() as session:
        assert tickets.category(session, "CG-01").path == "城管 / 市容"
    assert browser.post("/admin/categories/CG", data={"name": "城管", "retired": "yes"}).status_code == 422
    assert browser.post("/admin/categories/CG-01", data={"name": "市容", "retired": "yes"}).status_code == 303
    with tools.db.read() as session:
        assert [node.code for node in tickets.categories(session)] == ["CG"]


def test_units_categories_and_items_are_shown_a_page_at_a_time(browser: FlaskClient, tools: Installation) -> None:
    administrator = Actor(user_id=None, role=Role.ADMINISTRATOR)
    with tools.db.begin() as session:
        for number in range(ROWS + 3):
            make_department(session, f"unit{number:02d}")
            make_category(session, f"CG-{number:02d}")
            service_items.add(session, code=f"SX-{number:02d}", name=f"事项{number}", by=administrator)
    for path, first, last in (
        ("/admin/departments", "unit00", f"unit{ROWS + 2}"),
        ("/admin/categories", "CG-00", f"CG-{ROWS + 2}"),
        ("/admin/service-items", "SX-00", f"SX-{ROWS + 2}"),
    ):
        shown = Page(browser.get(path).text, path=path)
        onward = next(link for link in shown.links if "cursor=" in link)
        assert first in browser.get(path).text
        assert f">{last}<" not in browser.get(path).text
        assert f">{last}<" in browser.get(onward).text
        assert f">{last}<" in browser.get(f"{path}?q={last}").text
        assert browser.get(f"{path}?cursor=%25").status_code == 422


def test_an_act_whose_question_nobody_has_answered_is_asked_and_not_done(
    browser: FlaskClient, tools: Installation, client: FlaskClient
) -> None:
    browser.post("/admin/tokens", data={"name": "一号窗口", "role": "device"})
    asked = browser.post("/admin/tokens/1/end", data={"unasked": "确定<吗>？", "kept": ["一", "二"], "csrf_token": "x"})
    assert asked.status_code == 200
    form = next(one for one in Page(asked.text, path="").forms if one.action == "/admin/tokens/1/end")
    assert "确定&lt;吗&gt;？" in asked.text
    assert [(one.name, one.value) for one in form.fields if one.kind == "hidden"][-2:] == [
        ("kept", "一"),
        ("kept", "二"),
    ]
    assert "unasked" not in form.names
    assert "已停用" not in browser.get("/admin/tokens").text
    assert browser.post("/admin/tokens/1/end", data={"kept": "一"}).status_code == 303
    assert "已停用" in browser.get("/admin/tokens").text
    # Behind the door: nobody is asked what he may not do, and a citizen is never asked.
    with tools.db.begin() as session:
        make_user(session, Role.OPERATOR, login="the.operator", now=datetime(2026, 10, 8, tzinfo=UTC))
    sign_in(client, "the.operator")
    assert client.post("/admin/tokens/1/end", data={"unasked": "确定吗？"}).status_code == 403


def test_settings_are_checked_and_kept(browser: FlaskClient, tools: Installation) -> None:
    bad = browser.post("/admin/settings", data={"least": "120", "promise": "80"})
    assert bad.status_code == 422
    assert "50 到 100" in bad.text
    assert "90 到 99.9" in bad.text
    odd = browser.post("/admin/settings", data={"least": "95", "promise": "98", "dispatches": "3", "workdays": "五"})
    assert 'id="f-workdays-error"' in odd.text
    assert 'id="f-dispatches-error"' not in odd.text
    good = {"on": "yes", "least": "95", "excluded": "CJ-01，HB", "promise": "98.5"}
    assert browser.post("/admin/settings", data=good).status_code == 303
    with tools.db.read() as session:
        assert tickets.setting(session, "automatic_dispatch") == {
            "on": True,
            "least": 0.95,
            "excluded": ["CJ-01", "HB"],
            "promise": 0.985,
        }
    with tools.db.begin() as session:
        make_category(session, "HB-0101")
    assert "没有以“CJ-01、HB”开头的类别代码" in browser.get("/admin/settings").text
    browser.post("/admin/settings", data=good)
    assert "没有以“CJ-01”开头的类别代码" in browser.get("/admin/settings").text


def test_a_token_is_shown_once_and_can_be_ended(browser: FlaskClient, tools: Installation) -> None:
    made = browser.post("/admin/tokens", data={"name": "3 号窗口评价器"})
    assert "请立即复制" in made.text
    with tools.db.read() as session:
        (token,) = people.tokens(session)
    assert token.role is Role.DEVICE
    assert browser.post(f"/admin/tokens/{token.id}/end").status_code == 303
    assert "已停用" in browser.get("/admin/tokens").text
    assert browser.post("/admin/tokens", data={"name": "x", "login": "nobody"}).status_code == 422
    assert browser.post("/admin/tokens", data={"name": ""}).status_code == 422


def test_what_was_given_up_is_shown_and_can_be_tried_again(browser: FlaskClient, tools: Installation) -> None:
    with tools.db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO outbox (event, payload, created_at, tries, last_error)"
                " VALUES ('TicketRegistered', '{}', now(), 8, '模型文件损坏')"
            )
        )
    shown = browser.get("/admin/jobs")
    assert "模型文件损坏" in shown.text
    assert "队列服务没有回答" in shown.text
    assert browser.post("/admin/jobs/outbox/1").status_code == 303
    assert "模型文件损坏" not in browser.get("/admin/jobs").text
