"""The tree of errors.

StudioError                 what a visitor may be told; carries code, HTTP status, fatal, retryable
    ConfigError             the YAML or the command line is wrong (exit code 2)
    BadMessage              a message or request that breaks the contract
        BadJson             not JSON at all
        UnknownType         a message type the contract does not have
        OfferInvalid        an SDP offer nobody can answer
        CodecUnsupported    no common codec
        TooLarge            over a limit of size
    AvatarNotFound          no avatar of that name
    SessionNotFound         no visit of that id, or no longer
    AvatarNotReady          known, but cannot run on this server now
        BadNetwork          a network's file is missing, damaged, or not the one that belongs there
        DeviceFull          the GPU has no memory left
    BadAudio                sound that cannot be read
    BadPortrait             a picture that cannot become an avatar
    StudioFull              no seat left
    RateLimited             too many messages in too little time
    Unauthorized            the page comes from somewhere that was not configured
        OperatorOnly        who asks is not the studio's operator
    PeerTimeout             no media path came up
    EngineFault             the engine failed in this take (fatal for the visit)
"""

from __future__ import annotations

from typing import ClassVar


class StudioError(Exception):
    """Base of all errors that reach a visitor.

    Args:
        message: One plain sentence for the visitor, on which a person can act.
        detail: For the log only: never sent to anybody.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    fatal: ClassVar[bool] = False
    retryable: ClassVar[bool] = False
    default: ClassVar[str] = "Something went wrong in the studio."

    def __init__(self, message: str = "", detail: str = "") -> None:
        self.message = message or self.default
        self.detail = detail
        super().__init__(f"{self.message} [{detail}]" if detail else self.message)


class ConfigError(StudioError):
    """The configuration or the command line is wrong; the process exits with code 2."""

    code = "config"


class BadMessage(StudioError):
    """A message or request breaks the contract."""

    code = "bad_message"
    status = 400
    default = "This page and the studio disagree. Reload the page."


class BadJson(BadMessage):
    """The text is not a JSON object."""

    code = "bad_json"
    default = "The studio got a message that is not JSON."


class UnknownType(BadMessage):
    """The message's type is not in the contract."""

    code = "unknown_type"
    default = "The studio does not know this kind of message."


class OfferInvalid(BadMessage):
    """The SDP offer cannot be answered."""

    code = "offer_invalid"
    default = "The browser's connection offer cannot be answered. Reload the page."


class CodecUnsupported(BadMessage):
    """Offer and studio have no codec in common."""

    code = "codec_unsupported"
    default = "This browser and the studio share no video format. Use one that plays VP8 or H.264."


class TooLarge(BadMessage):
    """Over a limit of size."""

    code = "too_large"
    status = 413
    default = "That is larger than the studio accepts."


class AvatarNotFound(StudioError):
    """No avatar of that name."""

    code = "avatar_not_found"
    status = 404
    default = "There is no such avatar."


class SessionNotFound(StudioError):
    """No visit of that id goes on."""

    code = "session_not_found"
    status = 404
    default = "There is no such session. It may have ended."


class AvatarNotReady(StudioError):
    """The avatar is known but cannot run on this server now."""

    code = "avatar_not_ready"
    status = 503
    retryable = True
    default = "This avatar is not ready on this server."


class BadNetwork(AvatarNotReady):
    """A network's file is missing, damaged, or not the one that belongs there; the sentence says which and why."""


class DeviceFull(AvatarNotReady):
    """The GPU has no memory left for what is asked of it."""


class BadAudio(StudioError):
    """Sound that cannot be read."""

    code = "bad_audio"
    status = 415
    default = "This sound file cannot be read."


class BadPortrait(StudioError):
    """A picture that cannot become an avatar; the sentence says why and what would."""

    code = "bad_portrait"
    status = 415
    default = "This picture cannot become an avatar."


class StudioFull(StudioError):
    """Every seat is taken; HTTP answers carry ``Retry-After``."""

    code = "capacity"
    status = 503
    retryable = True
    default = "All seats are taken. Please try again shortly."


class RateLimited(StudioError):
    """Too many messages in too little time."""

    code = "rate_limited"
    status = 429
    retryable = True
    default = "Too many messages at once. Slow down."


class Unauthorized(StudioError):
    """The request's origin is not allowed."""

    code = "unauthorized"
    status = 403
    default = "This page may not talk to the studio. Add its origin to server.origins."


class OperatorOnly(Unauthorized):
    """Only the studio's operator may do this; HTTP answers carry ``WWW-Authenticate``."""

    status = 401
    default = "Only the studio's operator may do this: on the studio's own machine, or with its token."


class PeerTimeout(StudioError):
    """No media path came up in time."""

    code = "peer_timeout"
    status = 504
    retryable = True
    default = "No media path between you and the studio."


class EngineFault(StudioError):
    """The engine failed in this take; the visit ends with close code 1011."""

    code = "engine_failed"
    fatal = True
    retryable = True
    default = "The avatar lost its thread. Start again."
