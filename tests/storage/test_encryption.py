import base64
import os

import pytest

from storage.encryption import BadEncryptionKeyError, Cipher, UndecryptableError, parse_keys

KEY, OTHER = os.urandom(32), os.urandom(32)


def test_what_was_encrypted_comes_back() -> None:
    cipher = Cipher([KEY], "jobs")
    sealed = cipher.encrypt(b"a prompt", "job 1")
    assert b"prompt" not in sealed
    assert cipher.decrypt(sealed, "job 1") == b"a prompt"


def test_equal_texts_look_different() -> None:
    cipher = Cipher([KEY], "jobs")
    assert cipher.encrypt(b"", "x") != cipher.encrypt(b"", "x")


@pytest.mark.parametrize(
    ("cipher", "context"),
    [
        (Cipher([OTHER], "jobs"), "job 1"),
        (Cipher([KEY], "files"), "job 1"),
        (Cipher([KEY], "jobs"), "job 2"),
    ],
)
def test_another_key_purpose_or_place_does_not_read_it(cipher: Cipher, context: str) -> None:
    sealed = Cipher([KEY], "jobs").encrypt(b"a prompt", "job 1")
    with pytest.raises(UndecryptableError):
        cipher.decrypt(sealed, context)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + bytes(60), b"\x01" + bytes(60)])
def test_what_is_no_ciphertext_is_refused(sealed: bytes) -> None:
    with pytest.raises(UndecryptableError):
        Cipher([KEY], "jobs").decrypt(sealed, "x")


def test_an_older_key_still_reads() -> None:
    sealed = Cipher([OTHER], "jobs").encrypt(b"old", "x")
    assert Cipher([KEY, OTHER], "jobs").decrypt(sealed, "x") == b"old"


def test_keys_are_read_from_text() -> None:
    text = ", ".join(base64.b64encode(key).decode() for key in (KEY, OTHER))
    assert parse_keys(text) == (KEY, OTHER)
    assert parse_keys(base64.urlsafe_b64encode(KEY).decode()) == (KEY,)


@pytest.mark.parametrize("text", ["", "x", base64.b64encode(bytes(16)).decode(), "é"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadEncryptionKeyError):
        parse_keys(text)
