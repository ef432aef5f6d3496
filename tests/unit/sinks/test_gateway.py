"""One connection to a gateway: kept, bounded by its deadline, and honest about what went wrong."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.errors import PushError
from skoopctl.sinks.gateway import SMALLEST_GZIP, Access, GatewayClient, RefusedError, _labels, path_of
from tests.unit.sinks.gateway_double import Double, gateway_double

GROUP = {"cluster": "c", "node": "n1"}
TEXT = b"# TYPE a untyped\na 1\n"


@pytest.fixture
def double() -> Iterator[Double]:
    """Run a gateway that answers as told."""
    with gateway_double() as running:
        yield running


def test_pushes_share_a_connection(double: Double) -> None:
    """The next push uses the connection of the one before."""
    client = GatewayClient(double.access())
    for _ in range(3):
        client.put(GROUP, TEXT)
    client.delete(GROUP)
    client.close()
    assert len(double.connections) == 1
    path = "/metrics/job/skoopctl/cluster/c/node/n1"
    assert double.requests == [*[("PUT", path, TEXT)] * 3, ("DELETE", path, b"")]


def test_long_texts_are_compressed_and_sent_plain_to_who_does_not_know_that(double: Double) -> None:
    """A gateway that refuses gzip gets the same text without, and no gzip from then on."""
    client, long = GatewayClient(double.access()), TEXT * SMALLEST_GZIP
    client.put(GROUP, long)
    double.gzip_known = False
    client.put(GROUP, long)
    client.put(GROUP, long)
    client.close()
    assert [body for _, _, body in double.requests] == [long] * 4


def test_a_refused_text_is_not_the_gateway_s_fault(double: Double) -> None:
    """400 is about the text, 503 about the gateway; both say what the gateway said."""
    client = GatewayClient(double.access())
    double.status = 400
    with pytest.raises(RefusedError, match="the gateway says 400 Bad Request: so it is"):
        client.put(GROUP, TEXT)
    double.status = 503
    with pytest.raises(PushError, match="the gateway says 503") as caught:
        client.put(GROUP, TEXT)
    assert not isinstance(caught.value, RefusedError)
    double.status = 200
    client.put(GROUP, TEXT)
    client.close()


def test_a_gateway_that_drips_costs_its_timeout(double: Double) -> None:
    """Bytes that come now and then do not put the deadline off."""
    double.drip = True
    client = GatewayClient(double.access(timeout_s=0.5))
    began = time.monotonic()
    with pytest.raises(PushError, match=r"gave no answer within 0\.5 s"):
        client.put(GROUP, TEXT)
    assert time.monotonic() - began < 10


def test_a_gateway_that_is_not_there_is_one_line() -> None:
    """The port is ours, and nothing listens."""
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
        with pytest.raises(
            PushError, match=rf"^http://127\.0\.0\.1:{port}: the gateway cannot be reached: .*refused"
        ):
            GatewayClient(Access(f"http://127.0.0.1:{port}")).put(GROUP, TEXT)


def test_a_missing_password_file_is_named() -> None:
    """It is read for each request, so that a new password counts at once; when it is gone, that is said."""
    client = GatewayClient(Access("http://127.0.0.1:1", user="u", password_file="/nowhere/secret"))  # noqa: S106
    with pytest.raises(PushError, match="/nowhere/secret: No such file"):
        client.put(GROUP, TEXT)


def test_groups_are_found_on_the_page_with_their_age(double: Double) -> None:
    """Each group has a line that says when it was pushed; others' jobs are left out."""
    now = time.time()
    double.page = (
        f'push_time_seconds{{cluster="c",instance="",job="skoopctl",node="n\\"1"}} {now - 100:.9e}\n'
        f'push_time_seconds{{instance="x",job="backup"}} {now:.9e}\n'
        'kubeskoop_x{text="push_time_seconds{job=\\"skoopctl\\"} 1"} 1\n'
    ).encode()
    (found,) = GatewayClient(double.access()).groups()
    assert found.group == {"cluster": "c", "node": 'n"1'}
    assert 90 < found.age_s < 115


NAMES = st.text(min_size=1, max_size=30).filter(lambda text: "\x00" not in text)


@given(NAMES)
def test_every_name_has_a_path_of_its_own(name: str) -> None:
    """Whatever a node is called, its group's path is one segment, and says its name."""
    path = path_of({"node": name})
    *_, key, value = path.split("/")
    assert path.count("/") == 5
    if key == "node@base64":
        assert base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode() == name
    else:
        assert key == "node"
        assert value not in {".", "..", ""}


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), NAMES, max_size=4))
def test_labels_of_a_line_are_read_as_they_were_written(labels: dict[str, str]) -> None:
    """Quotes, backslashes and newlines in values come back."""

    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    line = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
    assert dict(_labels(line)) == labels
