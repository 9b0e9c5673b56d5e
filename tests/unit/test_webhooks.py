"""Who may post: the six cases of Standard Webhooks, checked against its own library, and bearer tokens."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from soar.errors import Invalid, Unauthenticated
from soar.webhooks import delivery_id, secret_bytes, sign, verify_bearer, verify_signature

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
OLD, NEW, OTHER = (bytes([each]) * 32 for each in (1, 2, 3))
BODY = json.dumps({"rule": "Ransomware", "host": "ws-0147", "user": "é"}, ensure_ascii=False).encode()


def signed(secret: bytes = NEW, at: datetime = NOW, body: bytes = BODY, message: str = "msg_1") -> dict[str, str]:
    return sign(secret, message, at, body)


def whsec(secret: bytes) -> str:
    return "whsec_" + base64.b64encode(secret).decode()


# the six-case vector


def test_a_rightly_signed_delivery_is_let_in_and_named() -> None:
    assert verify_signature([NEW], signed(), BODY, NOW) == "msg_1"


def test_one_fitting_signature_among_several_is_enough() -> None:
    headers = signed()
    headers["webhook-signature"] = f"v1a,xyz v1,!!! {signed(OTHER)['webhook-signature']} {headers['webhook-signature']}"
    assert verify_signature([NEW], headers, BODY, NOW) == "msg_1"


@pytest.mark.parametrize("body", [BODY + b" ", BODY[:-1], b"", BODY.replace(b"ws-0147", b"ws-0148")])
def test_a_tampered_body_fits_no_signature(body: bytes) -> None:
    with pytest.raises(Unauthenticated, match="no signature"):
        verify_signature([NEW], signed(), body, NOW)


def test_a_wrong_secret_fits_no_signature() -> None:
    with pytest.raises(Unauthenticated, match="no signature"):
        verify_signature([OLD, NEW], signed(OTHER), BODY, NOW)


@pytest.mark.parametrize(("seconds", "reason"), [(-301, "too old"), (301, "too new")])
def test_a_time_outside_the_window_is_refused_with_its_direction(seconds: int, reason: str) -> None:
    with pytest.raises(Unauthenticated, match=reason):
        verify_signature([NEW], signed(at=NOW + timedelta(seconds=seconds)), BODY, NOW)


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_a_time_inside_the_window_is_taken(seconds: int) -> None:
    assert verify_signature([NEW], signed(at=NOW + timedelta(seconds=seconds)), BODY, NOW) == "msg_1"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_header_is_named(name: str, empty: bool) -> None:
    headers = signed()
    if empty:
        headers[name] = ""
    else:
        del headers[name]
    with pytest.raises(Unauthenticated, match=f"{name} is missing"):
        verify_signature([NEW], headers, BODY, NOW)


# beyond the vector


def test_both_secrets_count_while_one_replaces_the_other() -> None:
    for secret in (OLD, NEW):
        assert verify_signature([OLD, NEW], signed(secret), BODY, NOW) == "msg_1"


def test_a_source_without_a_secret_lets_nobody_in() -> None:
    with pytest.raises(Unauthenticated, match="no secret"):
        verify_signature([], signed(), BODY, NOW)


def test_the_id_and_the_time_are_signed_too() -> None:
    for change in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(NOW.timestamp()) + 1)}):
        with pytest.raises(Unauthenticated, match="no signature"):
            verify_signature([NEW], signed() | change, BODY, NOW)


def test_a_full_stop_in_the_id_cannot_move_the_border_between_the_signed_parts() -> None:
    seconds = str(int(NOW.timestamp()))
    honest = signed(body=f"{seconds}.rest".encode(), message="a")
    shifted = honest | {"webhook-id": f"a.{seconds}", "webhook-timestamp": seconds}
    with pytest.raises(Unauthenticated, match="full stop"):
        verify_signature([NEW], shifted, b"rest", NOW)


@pytest.mark.parametrize("text", ["1e9", "-1", " 1", "1.0", "nan", "inf", "٣", "9" * 5000, "0x10"])
def test_a_time_that_is_no_whole_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated, match="webhook-timestamp"):
        verify_signature([NEW], signed() | {"webhook-timestamp": text}, BODY, NOW)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_random_signatures_never_pass(noise: list[bytes]) -> None:
    text = " ".join(f"v1,{base64.b64encode(each).decode()}" for each in noise) or "v1,"
    with pytest.raises(Unauthenticated, match="no signature"):
        verify_signature([OLD, NEW], signed() | {"webhook-signature": text}, BODY, NOW)


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()))
def test_hostile_headers_are_refused_and_nothing_else(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        verify_signature([NEW], headers, BODY, NOW)


# the other implementation as judge


def test_the_reference_library_accepts_what_we_sign() -> None:
    now = datetime.now(UTC)
    headers = signed(at=now)
    assert Webhook(whsec(NEW)).verify(BODY, headers) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(whsec(OLD)).verify(BODY, headers)


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"])), st.binary(min_size=24, max_size=64))
def test_we_accept_what_the_reference_library_signs(text: str, secret: bytes) -> None:
    signature = Webhook(secret).sign("msg_9", NOW, text)
    headers = {
        "webhook-id": "msg_9",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": signature,
    }
    assert verify_signature([secret_bytes(whsec(secret))], headers, text.encode(), NOW) == "msg_9"


# secrets, tokens, ids


@pytest.mark.parametrize(
    "text", ["whsec_", "whsec_***", base64.b64encode(NEW).decode(), whsec(b"short"), whsec(b"x" * 65), "whsec_é"]
)
def test_a_badly_written_secret_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        secret_bytes(text)
    assert refused.value.problems[0].mend.startswith("Write whsec_")
    assert text == "whsec_" or text not in str(refused.value)


def test_an_id_that_could_not_be_verified_is_not_signed() -> None:
    with pytest.raises(Invalid):
        signed(message="a.b")


@pytest.mark.parametrize("token", ["first-token", "second-token", "tokén"])
def test_each_configured_token_opens(token: str) -> None:
    verify_bearer(["first-token", "second-token", "tokén"], {"authorization": f"bearer {token}"})


@pytest.mark.parametrize(
    "value", ["Bearer first-toke", "Bearer first-token2", "Bearer ", "Bearer", "Basic first-token", "first-token"]
)
def test_anything_else_than_a_token_does_not_open(value: str) -> None:
    with pytest.raises(Unauthenticated):
        verify_bearer(["first-token", ""], {"authorization": value})


def test_no_token_and_no_header_do_not_open() -> None:
    with pytest.raises(Unauthenticated, match="authorization is missing"):
        verify_bearer(["first-token"], {})
    with pytest.raises(Unauthenticated, match="not valid"):
        verify_bearer([], {"authorization": "Bearer first-token"})


def test_an_unsigned_delivery_is_told_by_its_own_id_before_its_body() -> None:
    headers = {"x-request-id": "c", "idempotency-key": "b", "webhook-id": "a"}
    assert delivery_id(headers, BODY) == "a"
    del headers["webhook-id"]
    assert delivery_id(headers, BODY) == "b"
    del headers["idempotency-key"]
    assert delivery_id(headers, BODY) == "c"


@pytest.mark.parametrize("odd", ["", " ", "x" * 256, "a\nb", "a b", "ü"])
def test_a_delivery_without_a_usable_id_is_told_by_its_bytes(odd: str) -> None:
    by_body = delivery_id({"webhook-id": odd}, BODY)
    assert by_body.startswith("sha256:")
    assert len(by_body) == 71
    assert by_body != delivery_id({}, BODY + b" ")
