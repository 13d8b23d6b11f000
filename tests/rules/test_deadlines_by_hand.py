"""Cases that were counted on paper, from the texts of the cities and the notice for 2026, and then asked of the command.

Each line: the arithmetic in words | the options | what must come out, `clock=moment` or `yellow=`, `red=`. The counts use
only the yearly notice: days of rest 1-3 January, 15-23 February, 4-6 April, 1-5 May, 19-21 June, 25-27 September, 1-7 October
and all other weekends; worked at weekends 4 January, 14 and 28 February, 9 May, 20 September, 10 October. A day of a count
ends at 18:00 where the city's text says nothing, at 17:00 on the Shandong line of 2017, at 24:00 in Dalian and for calendar days.
"""

# One case is one line, however long its sentence is.
# ruff: noqa: E501

from __future__ import annotations

import json
import shlex
from datetime import datetime
from typing import Any

import pytest
from click.testing import CliRunner

from hotline.cli.deadline import deadline

SHANDONG = """
exactly at closing on a make-up Saturday: 15-23 Feb rest, 24=1 25=2 26=3 27=4, Sat 28 worked=5 | --start 2026-02-14T18:00 | handle=2026-02-28T18:00 total=2026-02-28T18:00 return=2026-02-25T18:00 yellow=2026-02-27T18:00 red=2026-03-02T09:00
a minute before midnight before Qingming: 4-6 Apr rest, Tue 7=1 8=2 9=3 Fri 10=4 Mon 13=5 | --start 2026-04-03T23:59 | handle=2026-04-13T18:00 return=2026-04-08T18:00
before opening on the eve of Labour Day: Wed 6 May=1 7=2 8=3, Sat 9 worked=4, Mon 11=5 | --start 2026-04-30T08:00 | handle=2026-05-11T18:00 return=2026-05-07T18:00 yellow=2026-05-09T18:00 red=2026-05-12T09:00
on a day of rest inside Labour Day: the same days | --start 2026-05-05T12:00 | handle=2026-05-11T18:00 return=2026-05-07T18:00
on the make-up Saturday itself: it is not counted, Mon 11=1 ... Fri 15=5 | --start 2026-05-09T10:00 | handle=2026-05-15T18:00
before Dragon Boat: Thu 18=1, 19-21 rest, Mon 22=2 23=3 24=4 25=5 | --start 2026-06-17T17:59 | handle=2026-06-25T18:00 return=2026-06-22T18:00
Mid-Autumn and National Day, two pauses that overlap: 22=1, 23 and 24 lost, 25-27 rest, Mon 28 runs again at noon=2 29=3 30=4, 1-7 rest, 8 Oct=5 | --start 2026-09-21T10:00 --suspend 2026-09-23/2026-09-24 --suspend 2026-09-24T12:00/2026-09-28T12:00 | handle=2026-10-08T18:00
two pauses that touch at closing time: 22 and 23 lost, 24=1 28=2 29=3 30=4, 8 Oct=5 | --start 2026-09-21T10:00 --suspend 2026-09-22T09:00/2026-09-22T18:00 --suspend 2026-09-22T18:00/2026-09-23T18:00 | handle=2026-10-08T18:00
a pause on a Sunday wins nothing: Sat 10=1 12=2 13=3 14=4 15=5 | --start 2026-10-09T16:40 --suspend 2026-10-11/2026-10-11 | handle=2026-10-15T18:00
a pause from the day before the dispatch: Sat 10 and Mon 12 lost, 13=1 14=2 15=3 16=4 19=5 | --start 2026-10-09T16:40 --suspend 2026-10-08T09:00/2026-10-12T18:00 | handle=2026-10-19T18:00
a pause that ends after the first due day: 10=1 12=2 13=3, 14 15 16 19 20 lost, 21=4 22=5 | --start 2026-10-09T16:40 --suspend 2026-10-14/2026-10-20 | handle=2026-10-22T18:00
a pause after the due day comes too late: 15 Oct stays | --start 2026-10-09T16:40 --suspend 2026-10-16/2026-10-20 | handle=2026-10-15T18:00
ten days of extension after 15 Oct: 16=1 19-23=6 26-29=10 | --start 2026-10-09T16:40 --extend 10 | handle=2026-10-29T18:00 return=2026-10-12T18:00
extended by two, stood one day of them: 15 Oct, 16 lost, 19=1 20=2 | --start 2026-10-09T16:40 --extend 2 --suspend 2026-10-16/2026-10-16 | handle=2026-10-20T18:00
a return accepted on Mon 12: the new unit 13=1 14=2 15=3 16=4 19=5, the citizen's total stays | --start 2026-10-09T16:40 --redispatch 2026-10-12T17:30 | handle=2026-10-19T18:00 total=2026-10-15T18:00 return=2026-10-14T18:00
returned on Wednesday 10:00, window two working days: dispatched Mon 2 Mar, Tue 3=1 Wed 4=2 | --start 2026-03-02T10:00 | return=2026-03-04T18:00 handle=2026-03-09T18:00
the last working day of the old year: 1-3 Jan rest, Sun 4 worked=1 5=2 6=3 7=4 8=5 | --start 2025-12-31T18:01 | handle=2026-01-08T18:00
"""

COMPLAINT_LINE = """
over the Spring Festival: Sat 14 Feb=1, 24=2 25=3 26=4 27=5 Sat 28=6, 2-6 Mar=11, 9=12 10=13 11=14 12=15 | --start 2026-02-13T10:00 | handle=2026-03-12T17:00 yellow=2026-03-11T17:00 red=2026-03-13T09:00
over National Day: 18 Sep=1, Sun 20=2, 21-24=6, 28=7 29=8 30=9, 8 Oct=10 9=11 Sat 10=12, 12=13 13=14 14=15 | --start 2026-09-17T09:00 | handle=2026-10-14T17:00
at exactly 17:00: 2 Apr=1 3=2, 4-6 rest, 7-10=6, 13-17=11, 20-23=15 | --start 2026-04-01T17:00 | handle=2026-04-23T17:00
due on a Friday: 3 Apr=1, 7-10=5, 13-17=10, 20-24=15; red on the Monday | --start 2026-04-02T17:01 | handle=2026-04-24T17:00 yellow=2026-04-23T17:00 red=2026-04-27T09:00
due on the eve of Labour Day: 10 Apr=1, 13-17=6, 20-24=11, 27=12 28=13 29=14 30=15; red on Wed 6 May | --start 2026-04-09T10:00 | handle=2026-04-30T17:00 yellow=2026-04-29T17:00 red=2026-05-06T09:00
extended by seven: 13 Mar=1, 16-20=6, 23=7 | --start 2026-02-13T10:00 --extend 7 | handle=2026-03-23T17:00
extended in the last minute | --start 2026-02-13T10:00 --extend 7 --extend-asked 2026-03-12T17:00 | handle=2026-03-23T17:00
extended a second time by the provincial office: 24=1 25=2 26=3 27=4 30=5 31=6 1 Apr=7 | --start 2026-02-13T10:00 --extend 7 --extend 7 --higher-level | handle=2026-04-01T17:00
stood until 17:00 of the last day: the day is lost, Fri 13 Mar | --start 2026-02-13T10:00 --suspend 2026-03-12T09:00/2026-03-12T17:00 | handle=2026-03-13T17:00
stood until 16:59 of the last day: it ended running | --start 2026-02-13T10:00 --suspend 2026-03-12T09:00/2026-03-12T16:59 | handle=2026-03-12T17:00
stood after 17:00 of the last day: it was over | --start 2026-02-13T10:00 --suspend 2026-03-12T17:30/2026-03-12T18:00 | handle=2026-03-12T17:00
"""

DALIAN = """
a question before Labour Day: 6 May=1 7=2, to midnight | --type 咨询 --start 2026-04-30T16:00 | handle=2026-05-07T23:59:59 contact=2026-05-07T23:59:59
twenty days over the Spring Festival: 10-13 Feb=4, Sat 14=5, 24-27=9, Sat 28=10, 2-6 Mar=15, 9-13=20 | --type 投诉 --start 2026-02-09T10:00 | handle=2026-03-13T23:59:59 contact=2026-02-11T23:59:59
a question at 23:59 of a make-up Saturday: Mon 12=1 13=2 | --type 咨询 --start 2026-10-10T23:59 | handle=2026-10-13T23:59:59
to contact the citizen, Sunday worked: Sun 20 Sep=1 Mon 21=2 | --type 求助 --start 2026-09-18T10:00 | contact=2026-09-21T23:59:59
at 00:00: the day itself is not counted, 3=1 4=2; yellow with the evening before, red the next morning | --type 咨询 --start 2026-03-02T00:00 | handle=2026-03-04T23:59:59 yellow=2026-03-03T23:59:59 red=2026-03-05T09:00
a pause until closing costs the day although the limit runs to midnight: 3 lost, 4=1 5=2 | --type 咨询 --start 2026-03-02T10:00 --suspend 2026-03-03T09:00/2026-03-03T18:00 | handle=2026-03-05T23:59:59
a pause until a minute before closing costs nothing | --type 咨询 --start 2026-03-02T10:00 --suspend 2026-03-03T09:00/2026-03-03T17:59 | handle=2026-03-04T23:59:59
a pause in the evening of the last day costs nothing: its work was over | --type 咨询 --start 2026-03-02T10:00 --suspend 2026-03-04T19:00/2026-03-04T22:00 | handle=2026-03-04T23:59:59
ten more: 13 Mar, 16-20=5 23-27=10 | --type 投诉 --start 2026-02-09T10:00 --extend 10 | handle=2026-03-27T23:59:59
"""

XUZHOU = """
over both holidays: 14-18 Sep=5, Sun 20=6, 21-24=10, 28-30=13, 8 Oct=14 9=15; feedback 8 Oct; return two days, Sat 12 and Sun 13 | --type 投诉 --start 2026-09-11T10:00 | handle=2026-10-09T18:00 feedback=2026-10-08T18:00 return=2026-09-13T23:59:59
a question over the year's last week: 24=1 25=2 28=3 29=4 30=5; feedback 29 | --type 咨询 --start 2026-12-23T10:00 | handle=2026-12-30T18:00 feedback=2026-12-29T18:00
an emergency a minute before midnight has that minute | --type 投诉 --urgency 紧急 --start 2026-03-06T23:59 | handle=2026-03-06T23:59:59
an emergency on National Day is that day's | --type 求助 --urgency 特急 --start 2026-10-02T21:00 | handle=2026-10-02T23:59:59
what can be answered today is answered today, on the make-up Saturday too | --type 求助 --sla-class 即办 --start 2026-10-10T09:00 | handle=2026-10-10T23:59:59
five more, asked a working day before 23 Mar: 24-27=4 30=5; feedback 27 | --type 建议 --start 2026-03-02T10:00 --extend 5 --extend-asked 2026-03-20T18:00 | handle=2026-03-30T18:00 feedback=2026-03-27T18:00
stood a week: 23 Mar becomes 30; feedback 27 | --type 投诉 --start 2026-03-02T10:00 --suspend 2026-03-09/2026-03-13 | handle=2026-03-30T18:00 feedback=2026-03-27T18:00
help before Qingming: 7-10 Apr=4, Mon 13=5; feedback Fri 10; return Sat 4, Sun 5 | --type 求助 --start 2026-04-03T10:00 | handle=2026-04-13T18:00 feedback=2026-04-10T18:00 return=2026-04-05T23:59:59
over Dragon Boat: 9-12 Jun=4, 15-18=8, 22-26=13, 29=14 30=15 | --type 建议 --start 2026-06-08T10:00 | handle=2026-06-30T18:00
"""

QINGLONG = """
a question on the eve of National Day: one calendar day, 1 Oct; sign two hours, over midnight | --type 咨询 --start 2026-09-30T23:59 | handle=2026-10-01T23:59:59 sign=2026-10-01T01:59
ten calendar days end in the Spring Festival: 23 Feb; the one working day before is Sat 14, so yellow as it begins; red on the 24th | --type 投诉 --start 2026-02-13T10:00 | handle=2026-02-23T23:59:59 yellow=2026-02-13T23:59:59 red=2026-02-24T09:00
two hours to sign run at night | --type 举报 --start 2026-10-09T23:30 | sign=2026-10-10T01:30 handle=2026-10-19T23:59:59
five days from the make-up Saturday: 1-5 Mar | --type 求助 --start 2026-02-28T12:00 | handle=2026-03-05T23:59:59
a pause over a weekend costs its two calendar days: 12 becomes 14 Mar | --type 投诉 --start 2026-03-02T10:00 --suspend 2026-03-07/2026-03-08 | handle=2026-03-14T23:59:59
a pause until 18:00 costs no calendar day: it ends at midnight | --type 投诉 --start 2026-03-02T10:00 --suspend 2026-03-09T09:00/2026-03-09T18:00 | handle=2026-03-12T23:59:59
three working days more: Thu 12, Fri 13=1 Mon 16=2 Tue 17=3 | --type 投诉 --start 2026-03-02T10:00 --extend 3 | handle=2026-03-17T23:59:59
five days over the end of the year: 31, 1, 2, 3, 4 Jan; no holiday matters | --type 建议 --start 2026-12-30T10:00 | handle=2027-01-04T23:59:59
sent on after four days: ten for the new unit, the total stays, two hours to sign anew | --type 投诉 --start 2026-03-02T10:00 --redispatch 2026-03-06T10:00 | handle=2026-03-16T23:59:59 total=2026-03-12T23:59:59 sign=2026-03-06T12:00
"""

SHANGHAI = """
a question before Qingming: Tue 7 | --type 咨询 --start 2026-04-03T10:00 | handle=2026-04-07T18:00
a question on a Saturday of rest: Sunday 20 Sep is worked | --type 建议 --start 2026-09-19T10:00 | handle=2026-09-20T18:00
a complaint on the make-up Sunday: 21-24=4, 25-27 rest, 28=5 | --type 投诉 --start 2026-09-20T10:00 | handle=2026-09-28T18:00
supervision over Dragon Boat: 18=1, 22=2 23=3 | --type 投诉 --sla-class 督办 --start 2026-06-17T10:00 | handle=2026-06-23T18:00
rework of a question, three: Sat 10=1 12=2 13=3 | --type 咨询 --sla-class 重办 --start 2026-10-09T16:40 | handle=2026-10-13T18:00
difficult, fifteen: 3-6 Feb=4, 9-13=9, Sat 14=10, 24-27=14, Sat 28=15 | --type 求助 --sla-class 疑难复杂 --start 2026-02-02T10:00 | handle=2026-02-28T18:00
five and ten are the fifteen that are allowed: 9 Mar, 10-13=4 16-20=9 23=10 | --type 投诉 --start 2026-03-02T10:00 --extend 10 | handle=2026-03-23T18:00
no limit of its own for emergencies: five days | --type 求助 --urgency 特急 --start 2026-03-02T10:00 | handle=2026-03-09T18:00
"""

BEIJING = """
life in danger on National Day: an hour to dispatch from 23:50, two to handle from 00:30 | --type 求助 --urgency 特急 --registered 2026-10-01T23:50 --start 2026-10-02T00:30 | dispatch=2026-10-02T00:50 handle=2026-10-02T02:30
utilities from the make-up Saturday into the Spring Festival: 24 hours; two to dispatch | --type 求助 --urgency 紧急 --start 2026-02-14T18:00 | handle=2026-02-15T18:00 dispatch=2026-02-14T20:00
seven calendar days are not postponed by National Day: 1-7 Oct | --type 投诉 --start 2026-09-30T10:00 | handle=2026-10-07T23:59:59 red=2026-10-08T09:00
fifteen for a difficult one: 4-18 Apr | --type 投诉 --sla-class 疑难复杂 --start 2026-04-03T23:59 | handle=2026-04-18T23:59:59
24 hours to dispatch from the registration | --type 咨询 --registered 2026-02-14T16:00 --start 2026-02-15T09:00 | dispatch=2026-02-15T16:00 handle=2026-02-22T23:59:59
24 hours and a pause of two and a half; yellow after twelve running hours: 10:00 + 12:00 + 2:30 | --type 求助 --urgency 紧急 --start 2026-03-02T10:00 --suspend 2026-03-02T12:00/2026-03-02T14:30 | handle=2026-03-03T12:30 yellow=2026-03-03T00:30 red=2026-03-03T12:30
two hours and two pauses that overlap, together one and a half | --type 求助 --urgency 特急 --start 2026-03-02T10:00 --suspend 2026-03-02T10:30/2026-03-02T11:30 --suspend 2026-03-02T11:00/2026-03-02T12:00 | handle=2026-03-02T13:30
seven days and two days of pause: 9 becomes 11 Mar | --type 建议 --start 2026-03-02T10:00 --suspend 2026-03-04/2026-03-05 | handle=2026-03-11T23:59:59
seven days and three working days: 9, 10=1 11=2 12=3 | --type 建议 --start 2026-03-02T10:00 --extend 3 | handle=2026-03-12T23:59:59
"""

DEFAULT = """
life in danger a minute before midnight: 15 minutes to sign and to return, two hours to handle, yellow at half time | --type 求助 --urgency 特急 --start 2026-10-10T23:59 | sign=2026-10-11T00:14 return=2026-10-11T00:14 handle=2026-10-11T01:59 dispatch=2026-10-11T00:59 yellow=2026-10-11T00:59 red=2026-10-11T01:59
utilities on a holiday | --type 投诉 --urgency 紧急 --start 2026-02-17T03:00 | dispatch=2026-02-17T05:00 sign=2026-02-17T03:30 return=2026-02-17T03:30 handle=2026-02-18T03:00
at closing before National Day: 8=1 9=2 Sat 10=3, 12-16=8, 19=9 20=10; sign 8, contact and return 9 | --type 投诉 --start 2026-09-30T18:00 | handle=2026-10-20T18:00 sign=2026-10-08T18:00 contact=2026-10-09T18:00 return=2026-10-09T18:00 dispatch=2026-10-01T18:00
the province's feed takes three: 9=1 Sat 10=2 12=3 | --type 投诉 --source 省12345 --start 2026-10-08T16:40 | handle=2026-10-12T18:00
the mayor's mailbox too: Tue 7 Apr=1 8=2 9=3 | --type 求助 --source 市长信箱 --start 2026-04-03T09:00 | handle=2026-04-09T18:00
rework of a matter from the province is rework: 24=1 25=2 26=3 | --type 投诉 --source 省12345 --sla-class 重办 --start 2026-02-14T10:00 | handle=2026-02-26T18:00
difficult, from the province: fifteen, 10=1, 12-16=6, 19-23=11, 26-29=15 | --type 投诉 --source 省12345 --sla-class 疑难复杂 --start 2026-10-09T16:40 | handle=2026-10-29T18:00
an emergency from the province is an emergency: 24 hours | --type 投诉 --source 省12345 --urgency 紧急 --start 2026-10-09T16:40 | handle=2026-10-10T16:40
waiting for papers without an end stands ten working days, 12-16 and 19-23: Sat 10=1, 26=2 27=3 28=4 29=5 | --type 求助 --start 2026-10-09T16:40 --suspend 2026-10-12T09:00//等待当事人材料 | handle=2026-10-29T18:00
an expertise of three days and five more: 22 Oct, 27 with the pause, 28=1 29=2 30=3 2 Nov=4 3=5 | --type 投诉 --start 2026-10-09T16:40 --suspend 2026-10-12/2026-10-14/鉴定 --extend 5 | handle=2026-11-03T18:00 yellow=2026-11-02T18:00 red=2026-11-04T09:00
the unit rests on Wed 14: one day later, and the citizen's total with it where one calendar is given | --type 咨询 --start 2026-10-12T10:00 --calendar-override 2026-10-14=rest | handle=2026-10-15T18:00
a half day at the end of a question closes at noon | --type 咨询 --start 2026-10-08T16:40 --calendar-override 2026-10-10=09:00-12:00 | handle=2026-10-10T12:00
"""

TABLES = {
    "shandong": SHANDONG,
    "shandong-complaint-line": COMPLAINT_LINE,
    "dalian": DALIAN,
    "xuzhou": XUZHOU,
    "qinglong": QINGLONG,
    "shanghai-street": SHANGHAI,
    "beijing": BEIJING,
    "default": DEFAULT,
}
CASES = [
    pytest.param(profile, *(part.strip() for part in rest), id=f"{profile}: {sentence}")
    for profile, table in TABLES.items()
    for sentence, *rest in (line.split(" | ") for line in table.strip().splitlines())
]


@pytest.mark.parametrize(("profile", "options", "expected"), CASES)
def test_what_was_counted_on_paper(profile: str, options: str, expected: str) -> None:
    words = [
        "--profile",
        profile,
        *([] if "--type" in options else ["--type", "投诉"]),
        *shlex.split(options),
        "--json",
    ]
    result = CliRunner().invoke(deadline, words)
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["confirmed"] or "2026-12-30" in options
    assert {name: _found(answer, name) for name in _asked(expected)} == _asked(expected)


def test_every_profile_has_at_least_eight_cases() -> None:
    assert all(len(table.strip().splitlines()) >= 8 for table in TABLES.values())


def _asked(expected: str) -> dict[str, str]:
    return {name: moment for name, _equals, moment in (part.partition("=") for part in expected.split())}


def _found(answer: dict[str, Any], name: str) -> str:
    if name in {"yellow", "red"}:
        moment = datetime.fromisoformat(answer["cards"][f"{name}_from_local"])
    else:
        moment = next(datetime.fromisoformat(one["due_local"]) for one in answer["clocks"] if one["name"] == name)
    return f"{moment:%Y-%m-%dT%H:%M:%S}" if moment.second else f"{moment:%Y-%m-%dT%H:%M}"
