"""A menu on a number: the right key, a wrong one, none."""

import pytest

from tests.acceptance.centre import Centre


@pytest.fixture
def departments(centre: Centre):
    """Two queues, each with an agent, behind a menu: 1 and 2."""
    sales, support = centre.queue(), centre.queue()
    centre.agent(sales)
    centre.agent(support)
    return sales, support


def test_the_right_key_leads_to_its_queue(centre: Centre, departments):
    sales, support = departments
    number = centre.menu(("1", sales), ("2", support))
    [told] = centre.over(centre.call_in(number, digits=["2"], talk=0.5))
    assert (told["status"], told["queue"]) == ("completed", support.slug)


def test_a_wrong_key_is_asked_again(centre: Centre, departments):
    sales, support = departments
    number = centre.menu(("1", sales), ("2", support))
    call = centre.call_in(number, digits=["7", "2"], talk=0.5)
    [told] = centre.over(call)
    assert (told["status"], told["queue"]) == ("completed", support.slug)
    assert "Sorry, that was not one of the choices." in centre.heard(call)


@pytest.mark.parametrize("no_input_post", [True, False])
def test_no_key_at_all_leads_to_the_first_option(centre: Centre, departments, no_input_post: bool):
    centre.switch(no_input_post=no_input_post)
    number = centre.menu(("1", departments[0]), ("2", departments[1]), tries=2)
    call = centre.call_in(number, talk=0.5)
    [told] = centre.over(call)
    assert (told["status"], told["queue"]) == ("completed", departments[0].slug)
    assert centre.heard(call).count("Press.") == 2


@pytest.mark.parametrize("digits", [[], ["9", "8"], [None, "9"]])
def test_a_menu_may_end_the_call_politely(centre: Centre, departments, digits: list[str | None]):
    number = centre.menu(("1", departments[0]), tries=2, on_failure="hangup")
    call = centre.call_in(number, digits=digits)
    [told] = centre.over(call)
    assert (told["status"], told["queue"]) == ("rejected", None)
    assert centre.heard(call).count("Press.") == 2
    assert "We are sorry" in centre.heard(call)[-1]


def test_a_caller_hangs_up_in_the_menu(centre: Centre, departments):
    number = centre.menu(("1", departments[0]), timeout=5)
    call = centre.call_in(number)
    centre.until_status(call, "greeting")
    centre.hang_up(call)
    [told] = centre.over(call)
    assert (told["status"], told["abandoned_in"]) == ("abandoned", "menu")


def test_a_key_may_lead_to_a_queue_where_everybody_is_busy(centre: Centre):
    sales = centre.queue()
    agent = centre.agent(sales, presence="break")
    number = centre.menu(("1", sales))
    call = centre.call_in(number, digits=["1"], talk=0.5)
    centre.until_offerable(call)
    centre.present(agent)
    [told] = centre.over(call)
    assert (told["status"], told["agent"]) == ("completed", agent.username)
