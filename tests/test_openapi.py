"""The OpenAPI description against the server itself: schemathesis makes requests from it, right and wrong ones, and checks the answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_server import FakeServer
from tests.serving import KEY, running


def described() -> dict[str, Any]:
    with running() as server:
        found: dict[str, Any] = server.client.get("/openapi.json").json()
    return found


def test_every_route_is_described_with_examples_problems_and_the_key() -> None:
    paths = described()["paths"]
    assert set(paths) == {
        "/health", "/ready", "/metrics", "/get_reward", "/compare", "/verify", "/judge", "/v1/models", "/v1/chat/completions",
    }  # fmt: skip
    for path, methods in paths.items():
        for route in methods.values():
            assert route["description"], path
            assert ("security" in route) == (path not in ("/health", "/ready"))
            if "requestBody" in route:
                assert {"401", "413", "422", "429", "503", "504"} <= route["responses"].keys()


@pytest.mark.slow
def test_schemathesis_finds_nothing() -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import CHECKS, load_all_checks

    load_all_checks()
    # That lists are of one length, and that texts fit a context, cannot be said in a schema: such requests are refused with 422.
    left_out = [CHECKS.get_by_names(["positive_data_acceptance"])[0]]
    with FakeServer() as model, running(model="embedded", backend_url=f"{model.url}/v1") as server:
        schema = schemathesis.openapi.from_dict(server.client.get("/openapi.json").json())
        schema.config.update(base_url=server.url)
        tried = 0
        for operation in schema.get_all_operations():
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

                @given(case=operation.ok().as_strategy(generation_mode=mode))
                @settings(
                    max_examples=25,
                    deadline=None,
                    derandomize=True,
                    suppress_health_check=list(HealthCheck),
                    phases=[Phase.generate],
                )
                def check(case: Any) -> None:
                    nonlocal tried
                    tried += 1
                    case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"}, excluded_checks=left_out)

                if mode == schemathesis.GenerationMode.POSITIVE or operation.ok().body:
                    check()
    assert tried > 150
