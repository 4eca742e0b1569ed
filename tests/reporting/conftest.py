"""What the tests of figures and records share with those of the queues."""

import pytest

from tests.queues.telephone import Telephone


@pytest.fixture
def phone():
    return Telephone()
