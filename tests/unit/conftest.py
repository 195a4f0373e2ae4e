"""No unit test has a database: the split between the folders means what it says."""

import pytest


@pytest.fixture(scope="session")
def server_url() -> str:
    pytest.fail("a unit test asks for a database; it belongs into tests/integration")
