"""Orders of events that were once told apart wrongly, as the search for them found them."""

import pytest

from tests.properties.test_floor import House

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_customer_who_had_left_long_before_the_agent_came(sautikit_api):
    House.mock = sautikit_api
    state = House()
    try:
        state.opens()
        state.a_customer_calls(queue="sales")
        state.a_customer_calls(queue="sales")
        state.a_customer_calls(queue="sales")
        state.an_agent_toggles(which=95, word="break")
        state.the_workers_die_or_come_back(dead=True)
        state.the_workers_die_or_come_back(dead=False)
        state.an_agent_toggles(which=95, word="break")
        state.an_agent_is_done(which=24)
        state.the_customer_hangs_up(news="told", which=95)
        state.the_agents_phone_hangs_up(how="busy", news="told", which=95)
        state.an_agent_is_done(which=24)
        state.the_agent_answers(join="lost", which=10)
        state.time_passes(seconds=16)
        state.nothing_runs_for_a_while(seconds=40)
        state.the_customer_hangs_up(news="late", which=70)
        state.a_customer_calls(queue="support")
        state.nothing_runs_for_a_while(seconds=3)
        state.the_agent_answers(join="told", which=4)
        state.the_customer_hangs_up(news="late", which=49)
        state.nothing_runs_for_a_while(seconds=3)
        state.time_passes(seconds=4)
        state.the_agent_answers(join="lost", which=79)
        state.the_agents_phone_hangs_up(how="busy", news="late", which=49)
        state.time_passes(seconds=2)
        state.the_agent_answers(join="told", which=19)
        state.the_workers_die_or_come_back(dead=False)
        state.late_news_comes_in(which=91)
        state.time_passes(seconds=31)
    finally:
        state.teardown()


def test_workers_that_come_back_need_a_sweep(sautikit_api):
    House.mock = sautikit_api
    state = House()
    try:
        state.opens()
        state.a_customer_calls(queue="sales")
        state.a_customer_calls(queue="support")
        state.the_customer_is_in_the_room(which=61)
        state.something_is_told_again(which=13)
        state.the_workers_die_or_come_back(dead=True)
        state.a_customer_calls(queue="sales")
        state.an_agent_toggles(which=81, word="available")
        state.something_is_told_again(which=42)
        state.the_agent_answers(join="told", which=39)
        state.the_customer_is_in_the_room(which=41)
        state.something_is_told_again(which=74)
        state.the_workers_die_or_come_back(dead=False)
        state.the_customer_is_in_the_room(which=65)
    finally:
        state.teardown()
