"""All tests of the gate."""

import pytest

pytest.register_assert_rewrite("tests.harness", "tests.bypass.cases")
