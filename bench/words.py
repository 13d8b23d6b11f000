"""Texts for a million tickets, composed from pieces of ours; a share of them holds a rare word to look for."""

from __future__ import annotations

import random

PLACES = [
    "幸福路",
    "建设街",
    "锦绣苑小区",
    "文昌街道",
    "滨河公园",
    "望川大道",
    "丰收村",
    "火车站广场",
    "东泽桥头",
    "北苑菜市场",
    "南屏中学",
    "西岭医院",
]
MATTERS = [
    "路灯不亮已经半个月，晚上老人孩子出行看不清路面",
    "楼下烧烤店油烟直排，窗户不敢开，多次找物业没有结果",
    "自来水发黄有异味，放了十几分钟还是浑浊",
    "工地夜里两点还在施工，打桩声音很大影响休息",
    "拖欠三个月工资，包工头电话打不通，现在没有路费回家",
    "下水道堵塞污水外溢，整条巷子都是臭味",
    "公交车不按时到站，早高峰等了四十多分钟",
    "小区电梯频繁故障，上周把住户困在里面半个小时",
    "预付卡健身房突然关门，剩余费用没有人退",
    "占道经营严重，人行道走不过去只能走机动车道",
    "孩子入学报名学区划分不清楚，想咨询具体政策",
    "暖气不热，室内只有十三度，家里有老人和小孩",
]
WISHES = [
    "请有关部门尽快处理并回复。",
    "希望派人到现场看一看。",
    "请问应该找哪个单位办理？",
    "已经打过两次电话，请重视。",
    "麻烦给个明确的答复时间。",
]
RARE = ["光伏", "步道", "雕塑", "鱼塘", "钟楼", "邮筒", "渡口", "苗圃"]


def texts(count: int, *, seed: int = 12345) -> list[tuple[str, str]]:
    """Return `count` pairs of title and content, about 160 characters, the same for the same seed."""
    source = random.Random(seed)
    found = []
    for number in range(count):
        place, matter, other = source.choice(PLACES), source.choice(MATTERS), source.choice(MATTERS)
        rare = source.choice(RARE) if number % 500 == 0 else ""
        content = (
            f"我住在{place}{source.randrange(1, 900)}号附近，{matter}。"
            f"另外{source.choice(PLACES)}一带也有{other}的情况{('，旁边就是' + rare) if rare else ''}。"
            f"这个问题从{source.randrange(1, 13)}月{source.randrange(1, 29)}日开始，{source.choice(WISHES)}"
        )
        found.append((f"{place}{matter[:12]}", content))
    return found
