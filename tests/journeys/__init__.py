"""What a person does with the product, in a real browser, against all of its real processes."""

import pytest

pytest.register_assert_rewrite("tests.journeys.chat", "tests.journeys.installation")
