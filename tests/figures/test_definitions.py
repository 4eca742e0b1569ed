"""Definitions as data: the same hour by five rules, and what is made of nothing."""

import pytest

from reporting.figures import counts, definitions

# 70 answered in time, 20 late, 6 left in time (3 of them short), 4 late, 5 flowed out.
HOUR = {
    "offered": 105, "answered": 90, "in_time": 70, "late": 20, "abandoned": 10,
    "abandoned_in_time": 6, "short_abandons": 3, "overflowed": 5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "percent"),
    [
        ("sl_asterisk", 77.8), ("sl_asterisk_2", 76.0), ("sl_plain", 70.0),
        ("sl_genesys_short", 72.2), ("sl_genesys_flow_outs", 66.7), ("sl_genesys", 70.0),
        ("sl_amazon", 72.4), ("service_level", 68.6),
    ],
)  # fmt: skip
def test_one_hour_by_every_definition(key, percent):
    found = {
        each["definition"].key: each["value"]
        for each in definitions.evaluate(definitions.SERVICE_LEVELS, HOUR)
    }
    assert round(found[key] * 100, 1) == percent


def test_the_parts_are_told_too():
    [found] = definitions.evaluate([definitions.ALL["service_level"]], HOUR)
    assert (found["numerator"], found["denominator"]) == (70, 102)


@pytest.mark.parametrize("definition", definitions.ALL.values(), ids=lambda one: one.key)
def test_nothing_over_nothing_is_no_figure(definition):
    nothing = {name.removeprefix("-"): 0 for name in definition.numerator + definition.denominator}
    assert definitions.value(definition, nothing) is None
    assert definitions.value(definition, {}) is None


def test_every_service_level_is_made_of_counts_that_have_a_condition():
    for each in definitions.SERVICE_LEVELS:
        names = {name.removeprefix("-") for name in (*each.numerator, *each.denominator)}
        assert names <= counts.COUNTS.keys()


def test_each_says_whose_it_is_and_which_version():
    for key, each in definitions.ALL.items():
        assert each.key == key
        assert each.version >= 1
        assert each.source
        assert each.formula


def test_occupancy_and_utilisation_by_hand():
    hour = {"on_call": 2400.0, "wrap_up": 300.0, "available_idle": 600.0, "paid": 3600.0}
    assert definitions.value(definitions.ALL["occupancy"], hour) == 0.8182  # 2700 / 3300
    assert definitions.value(definitions.ALL["utilisation"], hour) == 0.75  # 2700 / 3600
