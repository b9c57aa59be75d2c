"""A model file in pieces: in order, going on after a break, and from a later program."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from comfyray import Client, ModelProgress, RequestError
from comfyray.cli import main
from comfyray.model_files import upload_model

from tests.clients.test_python_flows import driven

CONTENT = bytes(range(25))


class Uploads:
    """The upload routes of a service, which can lose an answer, or the second half of a piece."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.received = b""
        self.ranges: list[str] = []
        self.cut_at: int | None = None  # the piece that reaches this byte breaks there, once

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/complete"):
            return httpx.Response(201, json={"model": {"id": "mdl_1"}})
        if request.method == "PUT":
            first = int(request.headers["Content-Range"].removeprefix("bytes ").partition("-")[0])
            if first != len(self.received):
                return httpx.Response(409, json={"message": "out of step"})
            self.ranges.append(request.headers["Content-Range"])
            whole = self.received + request.content
            if self.cut_at is not None and len(whole) > self.cut_at:
                self.received, self.cut_at = whole[: self.cut_at], None
                raise httpx.ReadError("cut")
            self.received = whole
        return httpx.Response(200, json={"upload": self.upload})

    @property
    def upload(self) -> dict[str, Any]:
        return {"id": "upl_1", "offset": len(self.received), "size": self.size}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "style.safetensors"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_model, "__defaults__", (10,))
    monkeypatch.setattr("time.sleep", lambda _: None)


def sent(service: Uploads, file: Path, **how: Any) -> dict[str, Any]:
    with Client("http://service.test", transport=httpx.MockTransport(service)) as client:
        return client.upload_model(file, **how)


def test_pieces_come_in_order_and_are_told(file: Path) -> None:
    service, told = Uploads(25), list[ModelProgress]()
    assert sent(service, file, folder="loras", on_progress=told.append) == {"id": "mdl_1"}
    assert service.received == CONTENT
    assert service.ranges == ["bytes 0-9/25", "bytes 10-19/25", "bytes 20-24/25"]
    assert told == [ModelProgress("upl_1", done, 25) for done in (0, 10, 20, 25)]


def test_a_piece_that_broke_goes_on_where_it_did(file: Path) -> None:
    service = Uploads(25)
    service.cut_at = 14
    sent(service, file)
    assert service.received == CONTENT
    assert service.ranges[2] == "bytes 14-23/25"


def test_a_later_program_sends_what_has_not_come(file: Path) -> None:
    service = Uploads(25)
    service.received = CONTENT[:20]
    assert sent(service, file, resume="upl_1") == {"id": "mdl_1"}
    assert service.ranges == ["bytes 20-24/25"]


def test_another_file_is_not_sent_into_an_upload(file: Path) -> None:
    with pytest.raises(ValueError, match="has 25 bytes; upload upl_1 is of 24"):
        sent(Uploads(24), file, resume="upl_1")


def test_a_service_that_never_takes_a_piece_is_given_up(file: Path) -> None:
    upload = {"id": "upl_1", "offset": 0, "size": 25}
    begun = httpx.Response(201, json={"upload": upload})
    same = [httpx.Response(409, json={}), httpx.Response(200, json={"upload": upload})]
    with pytest.raises(RequestError):
        driven(upload_model(file, None, None, None), [begun, *(10 * same)])


def test_the_command_says_how_to_go_on(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_client: Client, _file: str, _folder: str | None, **how: Any) -> Any:
        how["on_progress"](ModelProgress("upl_1", 10, 25))
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "upload_model", interrupted)
    assert main(["upload-model", str(file)]) == 130
    assert "10 of 25 bytes have come; --resume upl_1 goes on" in capsys.readouterr().err
